"""Several hosts as one engine: who joins, who runs what, who has died."""
