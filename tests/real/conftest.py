"""These tests need network namespaces, and say so where there are none."""

from __future__ import annotations

import pytest

from tcplab.engines.probe import choose_engine


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    engine, notice = choose_engine()
    if engine != "veth":
        pytest.skip(notice)
