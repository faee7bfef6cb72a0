"""Telling somebody, by a POST, that a session needs him or has ended."""
