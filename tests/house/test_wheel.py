"""What is installed: the wheel has the labs and everything that the package reads at run time."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_carries_the_labs_and_runs_them(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    labs = {path.parent.name for path in (installed / "tcplab" / "_labs").glob("*/*/exercise.toml")}
    assert labs == {path.parent.name for path in (ROOT / "labs").glob("*/*/exercise.toml")}
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); from tcplab.cli import main; main()"
    run = [sys.executable, "-c", code, "run", "handshake", "--engine", "sim"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "9 of 9 checks passed" in done.stdout
