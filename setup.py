from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "claude_mpm/__init__.py").read_text())
assert VERSION is not None

setup(
    name="claude-mpm",
    version=VERSION[1],
    description="See what Claude Code is doing, live: a WebSocket monitor beside the claude command line",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["claude_mpm", "claude_mpm.*"]),
    package_data={"claude_mpm": ["py.typed", "data/*"]},
    install_requires=["simple-websocket>=1.1", "wsproto>=1.3", "watchdog>=5", "psutil>=6"],
    extras_require={
        "screen": ["pyghostty>=0.1.3"],
        "test": [
            "pytest>=8",
            "hypothesis>=6",
            "websockets>=14",
            "jsonschema>=4.21",
            "PyYAML>=6",
            "ruff>=0.8",
            "mypy>=1.13",
            "types-PyYAML",
            "types-jsonschema",
            "types-psutil",
        ],
    },
    entry_points={"console_scripts": ["claude-mpm=claude_mpm.__main__:run"]},
)
