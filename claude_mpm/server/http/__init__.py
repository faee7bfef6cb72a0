"""Before a connection is a WebSocket: the request, who may ask, and what plain HTTP gets."""
