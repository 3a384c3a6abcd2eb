"""Who is who on the wire: 10.77.0.0/24, no gateway."""

from __future__ import annotations

from typing import Final

from tcplab.wire import ipv4

ADDRESS: Final = {"a": ipv4.address("10.77.0.1"), "b": ipv4.address("10.77.0.2")}
MAC: Final = {"a": bytes.fromhex("02000a4d0001"), "b": bytes.fromhex("02000a4d0002")}
"""Of the lab's own stacks. The kernel has neither, so that it answers for neither."""

KERNEL_ADDRESS: Final = {"a": "10.77.0.101", "b": "10.77.0.102"}
"""What the kernel's own TCP/IP answers to in each host's namespace, for real programs."""
KERNEL_MAC: Final = {"a": bytes.fromhex("02000a4d0101"), "b": bytes.fromhex("02000a4d0102")}
PREFIX: Final = 24
GATEWAY: Final = "10.77.0.254"
"""Whom a kernel asks to carry what is for other networks; nobody is there."""
