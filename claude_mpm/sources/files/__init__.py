"""Claude's files, watched and read on."""
