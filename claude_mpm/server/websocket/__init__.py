"""One WebSocket client from its handshake to its close, and what they share."""
