"""Claude's questions, answered by clients."""
