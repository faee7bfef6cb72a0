from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
SERVED = ("docs/asyncapi.yaml",)  # copied to data/ by an installation; a checkout serves them from where they are
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "claude_mpm/__init__.py").read_text())
assert VERSION is not None


class BuildWithServedFiles(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            data = Path(self.build_lib) / "claude_mpm" / "data"
            self.mkpath(str(data))
            for name in SERVED:
                shutil.copy(HERE / name, data)


setup(
    name="claude-mpm",
    version=VERSION[1],
    description="See what Claude Code is doing, live: a WebSocket monitor beside the claude command line",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["claude_mpm", "claude_mpm.*"]),
    package_data={"claude_mpm": ["py.typed", "page/*", "page/*/*"]},
    cmdclass={"build_py": BuildWithServedFiles},
    install_requires=["simple-websocket>=1.1,<2", "wsproto>=1.3", "watchdog>=5,<8", "psutil>=6"],
    extras_require={
        "screen": ["pyghostty>=0.1.3,<0.2"],
        "fleet": ["redis[hiredis]>=5.1,<9"],  # hiredis reads replies in C, which a hub of hundreds of sessions needs
        "test": [
            "redis[hiredis]>=5.1,<9",
            "pytest>=8",
            "hypothesis>=6",
            "websockets>=14",
            "jsonschema>=4.21",
            "PyYAML>=6",
            "selenium>=4.20",
            "setuptools>=77",
            "ruff>=0.17,<0.18",  # another one may format differently
            "mypy>=2,<3",
            "types-PyYAML",
            "types-jsonschema",
            "types-psutil",
            "types-setuptools",
        ],
    },
    entry_points={"console_scripts": ["claude-mpm=claude_mpm.__main__:run"]},
)
