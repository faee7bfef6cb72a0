"""What an instance does with a Redis: its events go there, and hubs' commands come from there."""
