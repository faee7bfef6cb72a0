"""What Claude is started with: its command line, and the hooks in its settings."""
