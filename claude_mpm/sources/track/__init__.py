"""Observations in, events out. Pure."""
