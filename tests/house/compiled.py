"""The compiled stack is the same stack, to the octet. Not among the default tests, because it takes some minutes:

pytest tests/house/compiled.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import compiled

pytestmark = pytest.mark.skipif(bool(compiled.cannot()), reason=compiled.cannot() or "it can be built")
ROOT = compiled.ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled.build(tmp_path_factory.mktemp("compiled"))


def test_it_is_compiled(installed: Path) -> None:
    code = "import tcplab.tcp.input as one, tcplab.engines.world as two; print(one.__file__, two.__file__)"
    done = compiled.python(installed, "-c", code)
    assert [Path(name).suffix for name in done.stdout.split()] == [".so", ".so"], done.stderr
    assert "stack           compiled" in compiled.python(installed, "-m", "tcplab", "doctor").stdout
    assert not list((ROOT / "tcplab").rglob("*.so")), "the checkout goes on running as it is"


def test_every_packet_script_is_exact(installed: Path) -> None:
    done = compiled.python(installed, "-m", "tcplab", "drill", "tests/pkt", "--exact")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def test_the_stacks_own_tests_pass(installed: Path) -> None:
    done = compiled.python(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/tcp", "tests/wire")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


@pytest.mark.parametrize("exercise", ["handshake", "accept-full"])
def test_the_same_plan_and_seed_give_the_same_bytes(exercise: str, installed: Path, tmp_path: Path) -> None:
    traces = []
    for name, run in (("source", _source), ("compiled", lambda *args: compiled.python(installed, *args))):
        trace = tmp_path / f"{name}.jsonl"
        done = run("-m", "tcplab", "run", exercise, "--engine", "sim", "--seed", "11", "--trace", str(trace))
        assert done.returncode == 0, done.stderr
        traces.append(trace.read_bytes())
    assert traces[0] == traces[1]


def _source(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], cwd=ROOT, capture_output=True, text=True, check=False)
