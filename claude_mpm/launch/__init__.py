"""Starting Claude and staying out of its way."""
