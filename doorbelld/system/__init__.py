"""System: threads, signals, time, files, the log and systemd."""
