"""The nouns and rules every other room speaks in. No I/O, no clocks, no sockets; imports nothing of the project but
itself."""
