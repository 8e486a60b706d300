"""How the figures of derived chips were found, each script with its output."""
