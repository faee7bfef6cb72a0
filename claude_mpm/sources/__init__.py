"""What is seen of Claude, turned into events: pure parsers, and watchers that own a thread."""
