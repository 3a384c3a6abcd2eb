"""Offloads off, so that what crosses a veth pair is what a wire would carry: whole checksums, frames of the MTU.

With transmit checksum offload (the default on veth) a frame of the kernel's TCP reaches a packet socket with only the
pseudo-header's sum in it; with segmentation offload it is up to 64 KB long. See ethtool(8), linux/ethtool.h.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import socket
import struct
from typing import Final

_SIOCETHTOOL: Final = 0x8946
_SETTERS: Final = {
    "tso": 0x1F,  # ETHTOOL_STSO
    "gso": 0x24,  # ETHTOOL_SGSO
    "gro": 0x2C,  # ETHTOOL_SGRO
    "sg": 0x19,  # ETHTOOL_SSG
    "tx": 0x17,  # ETHTOOL_STXCSUM
    "rx": 0x15,  # ETHTOOL_SRXCSUM
}


def offloads_off(device: str) -> None:
    """Switch them off on a device of the network namespace that this thread is in. Raises OSError."""
    for name in _SETTERS:
        try:
            offload(device, name, False)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:  # what a device does not have is off
                raise


def offload(device: str, name: str, on: bool) -> None:
    """Switch one of them on or off. OSError: the device cannot, or there is none of that name."""
    if name not in _SETTERS:
        raise OSError(errno.EINVAL, "no such offload")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        value = ctypes.create_string_buffer(struct.pack("II", _SETTERS[name], on))  # struct ethtool_value
        request = struct.pack("16sP", device.encode(), ctypes.addressof(value))  # struct ifreq
        fcntl.ioctl(control, _SIOCETHTOOL, request.ljust(40, b"\0"))
