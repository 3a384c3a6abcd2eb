"""Builds the wheel whose stack is machine code: the same Python source, compiled with mypyc.

    HATCH_BUILD_HOOKS_ENABLE=1 pip install .

It needs a C compiler and a minute or two. Nothing is written beside the sources: a checkout goes on running as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMPILED = ("units.py", "rng.py", "wire/*.py", "tcp/*.py", "tcp/cc/*.py", "host/*.py", "link/*.py")
"""What runs for each segment."""
ENGINES = ("apps.py", "fabric_memory.py", "fabric_veth.py", "loop.py", "world.py")
HEIRS = ("lab/simulate/rough.py",)
"""What derives from a compiled class is compiled with it."""
AS_THEY_ARE = ("wire/__init__.py", "tcp/__init__.py", "host/__init__.py", "link/__init__.py", "tcp/sysctl.py")
"""Nothing but words; and a class whose slots are made from a table, which mypyc does not know."""
SETUP = """
from mypyc.build import mypycify
from setuptools import setup
setup(name="compiled", packages=[], ext_modules=mypycify({files!r}, opt_level="2", debug_level="0", multi_file=True))
"""
FAILED = """{said}

The stack could not be compiled; above is how it ended. It needs a C compiler (gcc or clang; CC names another one) and
Python's headers. Without HATCH_BUILD_HOOKS_ENABLE=1 `pip install .` installs the same stack as plain Python.
"""
SAID = 20
"""Lines of what the compiler said that are shown: its errors come last."""


class CompiledStack(BuildHookInterface[Any]):
    """Adds the extension modules to the wheel; they stand beside their sources and are imported before them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile in a directory of its own, which lives until the wheel is written."""
        self._place = Path(tempfile.mkdtemp(prefix="tcplab-build-"))
        for path in self._compile(Path(self.root), self._place):
            build_data["force_include"][str(path)] = str(path.relative_to(self._place))
        build_data["infer_tag"] = True
        build_data["pure_python"] = False

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel is written."""
        shutil.rmtree(self._place)

    @staticmethod
    def _compile(root: Path, place: Path) -> list[Path]:
        """The extension modules of the sources below `root`, made in `place`."""
        shutil.copytree(root / "tcplab", place / "tcplab", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        package = place / "tcplab"
        chosen = {path for pattern in COMPILED for path in package.glob(pattern)}
        chosen |= {package / "engines" / name for name in ENGINES} | {package / name for name in HEIRS}
        chosen -= {package / name for name in AS_THEY_ARE}
        (place / "mypy.ini").write_text("[mypy]\nignore_missing_imports = true\n")
        files = sorted(str(path.relative_to(place)) for path in chosen)
        (place / "setup.py").write_text(SETUP.format(files=files))
        build = [sys.executable, "setup.py", "build_ext", "--inplace", "-j", str(os.cpu_count() or 1)]
        done = subprocess.run(build, cwd=place, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(place)
            said = (done.stderr.strip() or done.stdout).splitlines()
            raise SystemExit(FAILED.format(said="\n".join(said[-SAID:])))
        return sorted([*place.glob("*.so"), *package.rglob("*.so")])
