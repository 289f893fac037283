"""V4L2: the kernel's interface to webcams, in ioctls, buffers, formats and controls."""
