"""Communication between the ranks of one model: sockets, shared memory, collectives."""
