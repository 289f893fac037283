"""doorbelld: the picture at the front door, live on every phone of the house.

One capture thread reads the camera, one broadcaster thread sends every frame to every
viewer, and a threaded standard-library HTTP server answers everything else. Start reading
at :mod:`doorbelld.daemon`.
"""

__version__ = "0.1.0"
