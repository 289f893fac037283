"""Drivers: what cameras are read with, one file for each kernel interface or protocol."""
