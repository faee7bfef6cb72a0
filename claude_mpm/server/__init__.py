"""Serving the events: WebSocket and HTTP on one loopback port."""
