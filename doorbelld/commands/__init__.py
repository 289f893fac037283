"""Commands: one file for each subcommand of ``doorbelld``."""
