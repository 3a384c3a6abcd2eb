"""What this machine allows: the answer behind `tcplab doctor` and the automatic choice of an engine."""

from __future__ import annotations

import os
import sys
from typing import Final

import msgspec

from tcplab.engines.errors import CANNOT, EngineError


class Finding(msgspec.Struct, frozen=True):
    """One thing that was tried: `text` says what works, or the exact cause why it does not."""

    name: str
    ok: bool
    text: str
    code: int = 0
    """If not ok: the exit code that fits."""


_FINDINGS: Final = msgspec.json.Decoder(list[Finding])


def probe() -> list[Finding]:
    """Try what the veth engine needs, step by step, up to the first step that fails.

    In a forked child: namespaces change a process for good.
    """
    if sys.platform != "linux":
        return [Finding("namespaces", False, "network namespaces and packet sockets are Linux's", CANNOT)]
    try:
        import pyroute2  # noqa: F401  before the fork, so that the World does not pay for it again
    except ImportError as error:
        return [Finding("veth", False, f"pyroute2 cannot be imported: {error}", CANNOT)]
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(receive)
            os.write(send, msgspec.json.encode(_try()))
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as answer:
        findings = answer.read()
    os.waitpid(child, 0)
    if not findings:
        return [Finding("namespaces", False, "the process that tried it was killed", CANNOT)]
    return _FINDINGS.decode(findings)


def choose_engine() -> tuple[str, str]:
    """(`veth`, "") where it works, else (`sim`, a notice that says why)."""
    for finding in probe():
        if not finding.ok:
            return "sim", f"The wire is simulated in memory (engine sim): {finding.text}"
    return "veth", ""


def _try() -> list[Finding]:
    """The steps of `Namespaces`, each with its outcome."""
    from tcplab.engines.netns import Namespaces

    who = "root" if os.geteuid() == 0 else f"user {os.geteuid()}"
    findings: list[Finding] = []
    name = "namespaces"
    try:
        namespaces = Namespaces()
        namespaces.unshare()
        kind = "network namespaces" if namespaces.user is None else "network namespaces in a user namespace"
        findings.append(Finding(name, True, f"{who} can make {kind}"))
        name = "veth"
        namespaces.join()
        findings.append(Finding(name, True, "veth pairs with the kernel's addresses on their ends"))
        name = "packet sockets"
        namespaces.open_sockets()
        findings.append(Finding(name, True, "packet sockets on all four ends"))
    except EngineError as error:
        findings.append(Finding(name, False, error.text, error.code))
    except OSError as error:
        findings.append(Finding(name, False, str(error), CANNOT))
    return findings
