"""The token that a running instance has written for its own user."""

from __future__ import annotations

from claude_mpm.config import Config


def registered_token(host: str, port: int) -> str | None:
    """The token of the instance on `port`, which is sent to this machine only; None if there is none."""
    if host not in ("localhost", "127.0.0.1", "::1"):
        return None
    from claude_mpm.system.instances import token_for  # loads psutil, which whoever brings a token does not need

    return token_for(port, Config().state_dir)
