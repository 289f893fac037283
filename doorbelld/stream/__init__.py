"""Stream: every frame's way from the camera to all that want it; it knows nothing of HTTP."""
