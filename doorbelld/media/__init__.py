"""Media: the bytes of pictures and of the stream, and OpenCV, which is loaded when needed."""
