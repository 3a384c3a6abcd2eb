"""`tcplab doctor`: what this machine allows."""

from __future__ import annotations

import os
import platform
import shutil
import sys

import click

from tcplab.cli import exits

_PROGRAMS = {
    "tcpdump": "tcplab exec a -- tcpdump -i eth0",
    "curl": "tcplab exec a -- curl http://10.77.0.2:8080/",
    "ip": "tcplab exec a -- ip address",
}


@click.command("doctor")
def command() -> int:
    """Try what the veth engine needs, and name what is missing. Exit code 0: veth works; 3 or 4: only sim does."""
    from tcplab.engines.probe import probe

    code = exits.PASSED
    _line(True, "python", f"{platform.python_version()} at {sys.executable}")
    _line(True, "system", f"{platform.system()} {platform.release()}")
    _line(True, "stack", _stack())
    for finding in probe():
        _line(finding.ok, finding.name, finding.text)
        code = code or finding.code
    _terminal()
    for program, use in _PROGRAMS.items():
        path = shutil.which(program)
        _line(path is not None, program, path or f"not installed; wanted only for: {use}", must=False)
    from tcplab.lab.rendezvous import running

    _line(True, "running labs", ", ".join(str(lab.pid) for lab in running()) or "none")
    click.echo()
    if code == exits.PASSED:
        click.echo("Labs run in real namespaces (engine veth).")
    else:
        click.echo("Labs run in memory (engine sim); all but real programs inside the hosts works there.")
    return code


def _stack() -> str:
    """Whether the wheel with the compiled stack was installed (hatch_build.py)."""
    from tcplab.tcp import input as segment_input

    if str(segment_input.__file__).endswith(".py"):
        return "interpreted; HATCH_BUILD_HOOKS_ENABLE=1 pip install . compiles it, for those who move much data"
    return "compiled"


def _terminal() -> None:
    encoding = sys.stdout.encoding or "unknown"
    if not sys.stdout.isatty():
        _line(False, "terminal", f"standard output is none ({encoding}); the screen needs one", must=False)
        return
    size = os.get_terminal_size(sys.stdout.fileno())
    colours = "no colours" if os.environ.get("NO_COLOR") else os.environ.get("COLORTERM", "") or "colours by TERM"
    text = f"{size.columns}x{size.lines}, TERM={os.environ.get('TERM', '')}, {encoding}, {colours}"
    _line(size.columns >= 80 and size.lines >= 24, "terminal", text, must=False)


def _line(ok: bool, name: str, text: str, must: bool = True) -> None:
    click.echo(f"{'ok' if ok else 'NO' if must else '-':<3} {name:<15} {text}")
