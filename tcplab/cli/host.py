"""A lab in this very process, with what others need to join it: shared by `run` and `engine`."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from tcplab.lab.exercise import load
from tcplab.lab.rendezvous import Guests, open_door
from tcplab.lab.runner import Runner
from tcplab.lab.server import Server


@dataclass
class Hosted:
    """A lab, its listening socket, and who may come in."""

    runner: Runner
    guests: Guests
    door: socket.socket | None

    def server(self, screen: socket.socket | None = None) -> Server:
        """A server for it; `screen` is the inherited socket of whoever started it."""
        return Server(self.runner, self.guests, screen, self.door)


def open_lab(lab: str | None, engine: str, seed: int | None, door: bool) -> Hosted:
    """Build the lab `lab` (an id, a file, or None: free play). Raises EngineError, LabError.

    `engine` auto: veth where it works, else sim with a notice; replay: `lab` names a simulated world. The door is
    opened before the lab has any namespace of its own, because it must be in that of the others.
    """
    if engine == "replay":
        from tcplab.lab.simulate.watch import Replay

        guests, listener = Guests(), open_door() if door else None
        return Hosted(Replay(lab or ""), guests, listener)
    source = load(lab)
    notice = ""
    if engine == "auto":
        from tcplab.engines.probe import choose_engine

        engine, notice = choose_engine()
    guests = Guests()
    listener = open_door() if door else None
    runner = Runner(source, engine, seed)
    runner.world.notice = notice
    return Hosted(runner, guests, listener)
