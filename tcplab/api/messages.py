"""What crosses between the engine's process and a screen or a second terminal.

Each message is one msgpack object behind a 4-byte big-endian length, on a Unix stream socket. A client sends
`Do` and `Pull`; the engine answers each with one `Reply` or `Update`, in order. Nothing is pushed except `Bye`
(and one `Reply` on the socket of the screen, when the lab is ready): a slow reader is never flooded, it pulls when it
can draw.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from tcplab.api.events import AnyEvent
from tcplab.api.views import LabView


class Do(msgspec.Struct, frozen=True, tag=True):
    """Run one line of the command language."""

    line: str
    by: str = "remote"


class Pull(msgspec.Struct, frozen=True, tag=True):
    """Ask for the events with an index from `since` on, at most the newest `most`, and one snapshot."""

    since: int
    most: int = 2000


class Fds(msgspec.Struct, frozen=True, tag=True):
    """Ask for the namespace descriptors of `host`; the Reply carries them (SCM_RIGHTS: user, net)."""

    host: str


class Reply(msgspec.Struct, frozen=True, tag=True):
    """The answer to Do: text to show; `code` is 0 or the exit code that fits (2 a wrong line, 3, 4)."""

    text: str
    code: int = 0


class Update(msgspec.Struct, frozen=True, tag=True):
    """The answer to Pull. `first` is the index of events[0]; `gap` tells how many before it were left out.

    `run` is another number once the lab was built anew (`restart`, `load`): what was known before is of another run.
    The events of the first Update of a run are those from index 0 on, whatever `since` was.
    """

    first: int
    gap: int
    events: tuple[AnyEvent, ...]
    view: LabView
    run: int = 0


class Bye(msgspec.Struct, frozen=True, tag=True):
    """The lab ends, or never began; `code` is the exit code that fits."""

    why: str
    code: int = 0


Down: TypeAlias = Do | Pull | Fds
Up: TypeAlias = Reply | Update | Bye
