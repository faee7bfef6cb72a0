"""What a hub does with a Redis: it reads every instance's events, and gives commands to instances."""
