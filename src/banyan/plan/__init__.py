"""Planning: will it fit, how fast, in which layout. Pure arithmetic, no torch, no I/O."""
