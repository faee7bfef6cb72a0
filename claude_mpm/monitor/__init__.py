"""One monitored run: its parts, built, started and stopped."""
