"""The kernel's TCP under a script: a TUN device in a fresh network namespace, and real time."""

from __future__ import annotations

from tcplab.engines.errors import CANNOT, EngineError


class Kernel:
    """`tcplab.lab.drill.stack.Stack` on the kernel's own TCP."""

    def __init__(self, options: dict[str, str]) -> None:
        raise EngineError("the kernel's TCP cannot be drilled here", CANNOT)
