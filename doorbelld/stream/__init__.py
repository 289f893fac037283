"""Stream: every frame's way from the camera to all viewers; it knows nothing of HTTP."""
