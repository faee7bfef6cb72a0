"""Other machines: where a hub gets sessions from, and what an instance gives to others."""
