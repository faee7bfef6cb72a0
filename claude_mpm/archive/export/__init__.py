"""A session as one file: a page, a text, JSON Lines or an asciicast."""
