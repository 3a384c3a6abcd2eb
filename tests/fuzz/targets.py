"""The targets by name: each takes any octets and must not raise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fuzz import segments, texts

CORPUS = Path(__file__).parent / "corpus"

TARGETS: dict[str, Callable[[bytes], None]] = {
    "segments": segments.target,
    "script": texts.script,
    "lab": texts.lab,
    "line": texts.line,
}


def seeds(name: str) -> list[Path]:
    """The inputs of a target that are kept."""
    return sorted((CORPUS / name).iterdir())
