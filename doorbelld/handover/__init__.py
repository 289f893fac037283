"""Handover: what outlives the process, so that a restart goes unnoticed."""
