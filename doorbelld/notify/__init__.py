"""Notify: tells phones and other programs that the bell has rung."""
