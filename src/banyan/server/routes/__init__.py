"""One file per group of routes; ``server.main`` lists them all."""
