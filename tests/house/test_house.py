"""The house rules that a machine can keep: layers, types, lint, one door to a state, no path of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tcplab.api.counters import COUNTERS
from tcplab.api.states import TRANSITIONS, State
from tcplab.host.options import OPTIONS, Option
from tcplab.lab.language import help_text
from tcplab.tcp.sysctl import KNOBS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tcplab"
MOST_LINES = 500
MOST_LINES_OF_A_FUNCTION = 60


def run(*words: str) -> None:
    """Run a checker as a module of this interpreter; its output is the failure's."""
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_lint() -> None:
    run("ruff", "check", ".")


def test_format() -> None:
    run("ruff", "format", "--check", ".")


def test_types() -> None:
    run("mypy")


def test_imports_only_point_down() -> None:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short_enough_to_read(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "__init__":  # a list of fields
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MOST_LINES_OF_A_FUNCTION, f"{node.name} has {length} lines"


def test_only_the_door_writes_a_state() -> None:
    allowed = {"machine.py": 1, "tcb.py": 1, "timewait.py": 3, "request.py": 1}
    for path in sorted((PACKAGE / "tcp").rglob("*.py")):
        writes = sum(
            isinstance(target, ast.Attribute) and target.attr == "state"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for assigned in (node.targets if isinstance(node, ast.Assign) else [node.target])
            for target in (assigned.elts if isinstance(assigned, ast.Tuple) else [assigned])
        )
        assert writes <= allowed.get(path.name, 0), path.name


def test_every_state_can_be_reached_and_left() -> None:
    reached = set(TRANSITIONS.values())
    assert reached == set(State)
    assert {old for old, _ in TRANSITIONS} == set(State)


def definitions(tree: ast.Module) -> list[ast.FunctionDef | ast.ClassDef]:
    """Public classes and functions, and the public methods of public classes."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    nodes = [*tree.body, *(inner for cls in classes for inner in cls.body)]
    public = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return [node for node in public if not node.name.startswith("_")]


def test_public_definitions_say_what_they_do() -> None:
    """A method that implements a protocol need not say again what the protocol says."""
    found = [(path, node) for path in sources() for node in definitions(ast.parse(path.read_text()))]
    said = {node.name for _, node in found if ast.get_docstring(node)}
    silent = [f"{path.relative_to(ROOT)}:{node.lineno} {node.name}" for path, node in found if node.name not in said]
    assert silent == []


@pytest.mark.parametrize("option", OPTIONS.values(), ids=lambda option: option.name)
def test_every_socket_option_is_explained(option: Option) -> None:
    shown = help_text(option.name)
    assert shown.startswith(f"{option.name}  {option.text}\n")
    assert all((option.text, option.unit, option.source))
    assert not option.knob or option.knob in KNOBS


def test_every_counter_is_documented_and_counted() -> None:
    counted = set()
    for path in sources():
        if path.name != "counters.py":
            counted |= set(re.findall(r'"((?:TcpExt|Tcp|IpExt|Ip|Icmp)[A-Z]\w+)"', path.read_text()))
    assert counted == set(COUNTERS)
