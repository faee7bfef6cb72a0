"""Observations in, events out: each fact once, whichever sources saw it and in whatever order. Pure; one thread."""
