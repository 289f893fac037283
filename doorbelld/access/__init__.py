"""Access: who may ask, who has logged in, and who may go on watching."""
