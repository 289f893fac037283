"""Access: which clients are allowed, have logged in, and may go on watching."""
