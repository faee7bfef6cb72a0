"""The client library: connect to a claude-mpm, send it commands, and follow its events."""

from claude_mpm.client.client import CONNECTED as CONNECTED
from claude_mpm.client.client import LOST as LOST
from claude_mpm.client.client import Client as Client
from claude_mpm.errors import ConnectionFailed as ConnectionFailed
from claude_mpm.errors import ProtocolError as ProtocolError
from claude_mpm.errors import ServerUnavailable as ServerUnavailable
