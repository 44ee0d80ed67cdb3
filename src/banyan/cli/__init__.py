"""The command line: each command wires what it needs, runs it and draws its events."""
