"""Cameras: one file for each kind, behind one small protocol."""
