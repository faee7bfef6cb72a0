"""Redis Streams between instances and hubs. The only room that knows redis-py."""
