"""Media: the bytes of pictures and of the stream, without I/O."""
