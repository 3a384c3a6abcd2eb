"""The package with its stack compiled, elsewhere: as `HATCH_BUILD_HOOKS_ENABLE=1 pip install .` does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def cannot() -> str:
    """Why it cannot be built here; empty: it can."""
    return "" if shutil.which("cc") or shutil.which("gcc") else "there is no C compiler: apt install gcc"


def build(place: Path) -> Path:
    """Build the wheel and unpack it below `place`, an empty directory; what to put on PYTHONPATH. A minute or two."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    enabled = os.environ | {"HATCH_BUILD_HOOKS_ENABLE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=enabled, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (wheel,) = place.glob("*.whl")
    installed = place / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    return installed


def python(installed: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the compiled package and the tests' own modules."""
    paths = [str(installed), str(ROOT / "tests"), str(ROOT / "tests" / "bench")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-P", *args]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
