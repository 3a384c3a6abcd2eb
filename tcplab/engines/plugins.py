"""What other installed packages add: a congestion control is an entry point of the group `tcplab.congestion`.

Its name is what TCP_CONGESTION takes, its object a class like those in `tcplab.tcp.cc`. In the package's
pyproject.toml:

    [project.entry-points."tcplab.congestion"]
    mine = "my_package.mine:Mine"
"""

from __future__ import annotations

import errno
from typing import Final

from tcplab.tcp.cc import Factory

CONGESTION: Final = "tcplab.congestion"


def congestion(name: str) -> Factory | None:
    """The controller of that name, if a package has it. OSError: the package cannot be loaded."""
    from importlib.metadata import entry_points  # when it is needed: it takes longer than all of the lab's start

    for entry in entry_points(group=CONGESTION, name=name):
        try:
            factory: Factory = entry.load()
        except Exception as wrong:
            why = f"the congestion control {name} ({entry.value}) cannot be loaded: {wrong}"
            raise OSError(errno.ENOENT, why) from wrong
        return factory
    return None
