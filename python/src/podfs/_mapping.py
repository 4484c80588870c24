"""Files as memory: what loading gives instead of copies, where it is asked to.

Pages are brought in beforehand, many at once: a fault for each (or for the few around it) costs more than the bytes
do. And what cannot be read is an exception then, not the end of the process.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Iterator
from functools import partial

from ._errors import StorageError, of_system_error
from ._jobs import Job
from ._targets import PAGE_BYTES

_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

_MADV_WILLNEED = 3
#: Since Linux 5.14 (madvise(2)): page tables are filled as by reading, an error of a read is EFAULT.
_MADV_POPULATE_READ = 22
_PIECE_BYTES = 8 << 20


class FileMapping:
    """Bytes [begin, end) of a file, private: writing changes this process's copy of a page. One `mmap` for all of them,
    as each holds a descriptor for as long as it lives."""

    def __init__(self, descriptor: int, path: str, begin: int, end: int) -> None:
        self._path = path
        self._base = begin - begin % mmap.ALLOCATIONGRANULARITY
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        try:
            mapping = mmap.mmap(descriptor, end - self._base, mmap.MAP_PRIVATE, protection, offset=self._base)
        except OSError as cause:
            raise of_system_error(cause, path) from cause
        self._memory = memoryview(mapping)

    def range(self, begin: int, end: int) -> memoryview:
        """From the page on in which `begin` lies. It keeps the mapping alive."""
        return self._memory[begin - begin % PAGE_BYTES - self._base : end - self._base]

    def jobs(self, memory: memoryview, is_cached: bool) -> Iterator[Job]:
        """What brings in the pages of a range."""
        first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        start = first - first % mmap.PAGESIZE
        for address in range(start, first + len(memory), _PIECE_BYTES):
            length = min(_PIECE_BYTES, first + len(memory) - address)
            yield partial(self._bring_in, address, length, is_cached)

    def _bring_in(self, address: int, length: int, is_cached: bool) -> None:
        if not is_cached:
            # Requests as large as the disk takes, and not those that faults make.
            _libc.madvise(address, length, _MADV_WILLNEED)
        if _libc.madvise(address, length, _MADV_POPULATE_READ) == 0:
            return
        number = ctypes.get_errno()
        if number == errno.EFAULT:
            raise StorageError(f"{self._path} could not be read")
        if number != errno.EINVAL:  # an older kernel: pages come when they are looked at
            raise of_system_error(OSError(number, os.strerror(number)), self._path)
