"""See what Claude Code is doing, live."""

__version__ = "0.2.0"
