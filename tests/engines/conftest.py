"""What the tests of the engines share."""

from __future__ import annotations

import os

import pytest

from tcplab.engines.probe import choose_engine


@pytest.fixture(scope="session")
def _why_not() -> str:
    if os.geteuid() != 0:
        return "in this process only as root: without, a user namespace would change it for good (try `unshare -Urn`)"
    return choose_engine()[1]


@pytest.fixture
def namespaces_here(_why_not) -> None:
    """Skip, with the reason, where this process cannot make namespaces and come back."""
    if _why_not:
        pytest.skip(_why_not)
