"""V4L2: webcams as the kernel has them; devices, ioctls, buffers, formats and controls."""
