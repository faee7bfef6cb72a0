"""The client library: connect to a claude-mpm, ask it, follow its events."""

from claude_mpm.client.client import Client as Client
