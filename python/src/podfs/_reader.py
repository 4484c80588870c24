"""Reads of one file, whole or an error: through the page cache, or past it where the file is not in there."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
from collections.abc import Sequence
from typing import Optional

from ._errors import CheckpointNotFound, DamagedCheckpoint, StorageError
from ._targets import PAGE_BYTES

#: So many places of the file are looked at to see whether it is in the page cache.
_PROBES = 16
#: A read of 8 MiB that begins and ends anywhere.
_BOUNCE_BYTES = (8 << 20) + 2 * PAGE_BYTES


class FileReader:
    """An open file. Thread-safe."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._direct: Optional[int] = None
        self._own = threading.local()
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as cause:
            raise CheckpointNotFound(f"{path} does not exist") from cause
        except OSError as cause:
            raise StorageError(f"{path} cannot be opened: {cause.strerror}") from cause

    def prefer_direct(self, begin: int, end: int) -> None:
        """Aligned reads go past the page cache from now on, unless most of the range is in there."""
        if self._direct is not None or end - begin < 1 << 20 or self.is_cached(begin, end):
            return
        try:
            self._direct = os.open(self.path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
        except OSError:
            pass  # a filesystem that knows no direct reads

    def is_cached(self, begin: int, end: int) -> bool:
        """Whether most of a range is in the page cache, going by a few places."""
        probe, cached = bytearray(1), 0
        for index in range(_PROBES):
            try:
                cached += os.preadv(self.descriptor, [probe], begin + (end - begin) * index // _PROBES, os.RWF_NOWAIT)
            except BlockingIOError:
                pass
            except OSError:
                return True  # a filesystem that cannot tell
        return cached * 2 > _PROBES

    def read(self, buffers: Sequence[memoryview], offset: int) -> None:
        """Fills the buffers from `offset` on. Raises DamagedCheckpoint where the file ends before that."""
        base = offset - offset % PAGE_BYTES
        needed = offset - base + sum(map(len, buffers))
        if self._direct is None or needed > _BOUNCE_BYTES:
            self._read_cached(buffers, offset)
            return
        # Moved twice all the same, this takes half the processor time of reading through the page cache (measured).
        bounce = self._bounce_buffer()
        self.read_aligned(memoryview(bounce), base, needed)
        source = ctypes.addressof(ctypes.c_char.from_buffer(bounce)) + offset - base
        for buffer in buffers:
            # Lets other threads run meanwhile, which assigning to a slice does not.
            ctypes.memmove((ctypes.c_char * len(buffer)).from_buffer(buffer), source, len(buffer))
            source += len(buffer)

    def _bounce_buffer(self) -> mmap.mmap:
        found: Optional[mmap.mmap] = getattr(self._own, "bounce", None)
        if found is None:
            found = self._own.bounce = mmap.mmap(-1, _BOUNCE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        return found

    def _read_cached(self, buffers: Sequence[memoryview], offset: int) -> None:
        left = list(buffers)
        while left:
            count = self._read_some(self.descriptor, left, offset)
            if count == 0:
                raise DamagedCheckpoint(f"{self.path} ends at {offset}, in the middle of a tensor")
            offset += count
            while left and count >= len(left[0]):
                count -= len(left.pop(0))
            if left and count > 0:
                left[0] = left[0][count:]

    def read_aligned(self, buffer: memoryview, offset: int, needed: int) -> None:
        """Fills `needed` bytes of the buffer, and may fill all of it.

        The buffer, its length and `offset` are aligned to pages.
        """
        done = 0
        if self._direct is not None:
            buffer = buffer[: -(-needed // PAGE_BYTES) * PAGE_BYTES]
            try:
                while done < needed:
                    count = os.preadv(self._direct, [buffer[done:]], offset + done)
                    done += count - count % PAGE_BYTES
                    if count % PAGE_BYTES or count == 0:
                        # The end of the file; or of what direct reads can do.
                        done = min(done + count % PAGE_BYTES, needed)
                        break
            except OSError as cause:
                if cause.errno != errno.EINVAL:
                    raise self._failed(cause) from cause
        if done < needed:
            self._read_cached([buffer[done:needed]], offset + done)

    def _read_some(self, descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        try:
            return os.preadv(descriptor, buffers, offset)
        except OSError as cause:
            raise self._failed(cause) from cause

    def _failed(self, cause: OSError) -> StorageError:
        return StorageError(f"{self.path} could not be read: {cause.strerror}")

    def close(self) -> None:
        os.close(self.descriptor)
        if self._direct is not None:
            os.close(self._direct)
