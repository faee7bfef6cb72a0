"""The terminal's picture."""
