"""Claude's files: found, watched and read as they grow."""
