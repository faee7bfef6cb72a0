"""Bytes in, observations out. Pure."""
