"""What Python 3.11 does not have: setns(2), unshare(2) and the capability calls, by ctypes."""

from __future__ import annotations

import ctypes
import os
from typing import Final

CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWNET: Final = 0x40000000

libc: Final = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> None:
    """Raise OSError with errno if the C function failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
