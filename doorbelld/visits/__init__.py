"""Visits: the bell, and who was at the door."""
