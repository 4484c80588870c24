"""Host memory with NumPy's array interface, for processes that are to start fast, without NumPy and torch."""

from __future__ import annotations

import ctypes
from typing import Any


class HostArray:
    """Bytes that can be changed."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self._address = ctypes.addressof((ctypes.c_char * len(data)).from_buffer(self.data))

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {"shape": (len(self.data),), "typestr": "|u1", "data": (self._address, False), "version": 3}

    def fill(self, value: int) -> None:
        self.data[:] = bytes([value]) * len(self.data)
