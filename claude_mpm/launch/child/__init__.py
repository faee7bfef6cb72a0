"""Claude as a child of ours, on a terminal or on pipes."""
