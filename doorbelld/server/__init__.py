"""Server: HTTP connections; it knows nothing of cameras or doorbells."""
