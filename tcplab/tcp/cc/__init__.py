"""Congestion controllers by their Linux names. One file each; none knows another."""

from __future__ import annotations

from typing import Final

from tcplab.tcp.cc.base import Controller
from tcplab.tcp.cc.reno import Reno

CONTROLLERS: Final[dict[str, Controller]] = {"reno": Reno()}
