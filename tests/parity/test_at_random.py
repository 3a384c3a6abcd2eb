"""The scripts at random: the same seed gives the same script, ours plays it as written, and the kernel alike."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from parity import at_random
from parity.at_random import Writer, calm, settled, write
from support.beside import ROOT, Beside

from tcplab.lab.drill import drill

SEEDS = range(1, 9)
_RUNS: list[Beside] = []
_KEPT = tempfile.TemporaryDirectory()  # until the interpreter ends


def begin_beside(names: list[str]) -> Callable[[], None] | None:
    """Some of them, on the kernel in its own time."""
    if os.geteuid() != 0 or test_the_kernel_does_the_same.__name__ not in names:
        return None
    _RUNS.append(_begin(len(SEEDS)))
    return _RUNS[0].stop


def _begin(scripts: int) -> Beside:
    command = f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r}); from parity.at_random import main; main()"
    return Beside("-c", command, "--scripts", str(scripts), "--keep", _KEPT.name)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_seed_one_script(seed: int, tmp_path: Path) -> None:
    text = write(seed)
    assert write(seed) == text
    file = tmp_path / "script.pkt"
    file.write_text(text)
    assert drill.play(file).status == drill.PASSED


def test_no_event_comes_near_a_timer() -> None:
    """The RTO is due after 300 ms; the kernel's may be 5 ms early and 49 ms late."""
    opened = """// x
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000>
+0 > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 32792
+0 accept(3, ..., ...) = 4
+0 send(4, ..., 10, MSG_DONTWAIT) = 10
"""
    assert calm(f"{opened}+.25 < . 1:1(0) ack 11 win 32792\n")
    for when in (".296", ".3", ".34"):  # the RTO: 300 ms
        assert not calm(f"{opened}+{when} < . 1:1(0) ack 11 win 32792\n"), when
    assert calm(f"{opened}+.37 < . 1:1(0) ack 11 win 32792\n")


def test_calls_return_what_ours_return() -> None:
    dice = random.Random(3)
    for _ in range(30):
        text = settled(Writer(dice).text())
        if "recv(" in text:
            break
    assert "recv(4, ..., " in text
    assert settled(text) == text


def test_who_may_not_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("sys.argv", ["at_random"])
    with pytest.raises(SystemExit) as ended:
        at_random.main()
    assert ended.value.code == 2
    assert "as root only" in capsys.readouterr().err


@pytest.mark.root
def test_the_kernel_does_the_same() -> None:
    if not _RUNS and begin_beside([test_the_kernel_does_the_same.__name__]) is None:
        pytest.skip("the kernel's TCP is compared as root only")
    assert _RUNS[0].lines()[-1] == f"{len(SEEDS)} scripts, 0 differ"
