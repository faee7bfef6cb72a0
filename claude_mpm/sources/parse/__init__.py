"""Parsers of what Claude Code writes: bytes in, observations out. Pure, and no input makes them raise."""
