"""Congestion controllers by their names: Linux's, and those that somebody registers. One file each; none knows another.

A controller of your own is a class like those here (`tcplab.tcp.cc.base`); `register` makes it known under its name,
and TCP_CONGESTION or the sysctl tcp_congestion_control choose it. A package that offers one as an entry point of the
group `tcplab.congestion` needs no call: a name that nobody registered is looked for there (`tcplab.engines.plugins`),
as Linux looks for a module.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from tcplab.tcp.cc.base import Controller
from tcplab.tcp.cc.bbr import Bbr
from tcplab.tcp.cc.cubic import Cubic
from tcplab.tcp.cc.reno import Reno

if TYPE_CHECKING:
    from tcplab.tcp.tcb import Tcb

Factory: TypeAlias = Callable[[], Controller]
"""Makes the controller of one connection."""

DEFAULT: Final = "cubic"
CONTROLLERS: Final[dict[str, Factory]] = {"reno": Reno, "cubic": Cubic, "bbr": Bbr}
_PLACES: Final[list[Callable[[str], Factory | None]]] = []
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,14}")  # Linux TCP_CA_NAME_MAX


def register(name: str, factory: Factory) -> None:
    """Make a controller known. ValueError: no name that Linux could have, or it is taken by another one."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a congestion control: 1 to 15 of a-z, 0-9 and _")
    if CONTROLLERS.setdefault(name, factory) is not factory:
        raise ValueError(f"there is a congestion control {name} already")


def find(name: str) -> Factory | None:
    """The controller of that name; one that is not known is looked for where `look_in` said (tcp_ca_find_autoload)."""
    if name not in CONTROLLERS and _NAME.fullmatch(name):
        for look in _PLACES:
            factory = look(name)
            if factory is not None:
                register(name, factory)
                break
    return CONTROLLERS.get(name)


def look_in(place: Callable[[str], Factory | None]) -> None:
    """`place` may know controllers that were not registered."""
    if place not in _PLACES:
        _PLACES.append(place)


def assign(tcb: Tcb, name: str) -> None:
    """Give `tcb` the controller of that name (tcp_assign_congestion_control)."""
    tcb.cc = CONTROLLERS[name]()


def change_state(tcb: Tcb, state: str) -> None:
    """Move `Tcb.ca_state`, and tell the controller before (tcp_set_ca_state)."""
    tcb.cc.on_state(tcb, state)
    tcb.ca_state = state
