"""Net: addresses, listening sockets, names and TLS."""
