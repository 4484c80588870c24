"""The ring: memory that checkpoints go through, slot by slot, and who has which slot."""

from __future__ import annotations

import ctypes
import mmap
import threading
from collections.abc import Callable
from typing import Optional

#: A multiple of 2 MiB: the size of a huge page, and of any block that O_DIRECT asks for (src/native/staging.ts).
SLOT_UNIT_BYTES = 2 << 20
#: Large enough for a dozen requests of 1 MiB in flight, small enough to have many.
SLOT_BYTES = 16 << 20
SLOTS_MIN = 2


def slots_for(ring_bytes: int) -> tuple[int, int]:
    """(slots, slot bytes) of a ring of about that size: 16 MiB each, less where that would make fewer than 8."""
    if ring_bytes < SLOTS_MIN * SLOT_UNIT_BYTES:
        raise ValueError(f"a ring takes {SLOTS_MIN * SLOT_UNIT_BYTES} bytes at least, not {ring_bytes}")
    slot_bytes = SLOT_BYTES
    while slot_bytes > SLOT_UNIT_BYTES and ring_bytes // slot_bytes < 8:
        slot_bytes //= 2
    return ring_bytes // slot_bytes, slot_bytes


def _prefer_huge_pages(memory: mmap.mmap) -> None:
    if hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            memory.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            pass  # a kernel without them


class Ring:
    """Mapped memory of `slots` pieces. Thread-safe.

    Invariant: a slot is free, or has exactly one holder, or is lost: a slot into which a copy of unknown state may
    still land is never used again, and the memory is then left mapped for good (the driver keeps its pages until it is
    done).
    """

    def __init__(self, memory: mmap.mmap, slots: int, slot_bytes: int) -> None:
        self.slots = slots
        self.slot_bytes = slot_bytes
        self._memory = memory
        self._view: Optional[memoryview] = memoryview(memory)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self._free = list(range(slots))
        self._lost = 0
        self._changed = threading.Condition()

    @classmethod
    def of_descriptor(cls, descriptor: int, slots: int, slot_bytes: int) -> Ring:
        """Maps a ring that another process has made. The descriptor stays the caller's."""
        memory = mmap.mmap(descriptor, slots * slot_bytes, mmap.MAP_SHARED)
        _prefer_huge_pages(memory)
        return cls(memory, slots, slot_bytes)

    @classmethod
    def anonymous(cls, slots: int, slot_bytes: int) -> Ring:
        """Memory of this process alone, of huge pages where there are any."""
        memory = mmap.mmap(-1, slots * slot_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        _prefer_huge_pages(memory)
        return cls(memory, slots, slot_bytes)

    @property
    def size(self) -> int:
        return self.slots * self.slot_bytes

    def slot(self, index: int) -> memoryview:
        if self._view is None:
            raise ValueError("the ring is closed")
        return self._view[index * self.slot_bytes : (index + 1) * self.slot_bytes]

    def slot_address(self, index: int) -> int:
        return self.address + index * self.slot_bytes

    def acquire(self, check: Callable[[], None]) -> int:
        """Takes a slot, and waits for one while there is none. `check` raises when it is no use to wait any more."""
        with self._changed:
            while True:
                check()
                if self._free:
                    return self._free.pop()
                if self._lost == self.slots:
                    raise RuntimeError("no slot of the ring can be used any more")
                # What `check` looks at may change without a word: an interrupted program, a lost connection.
                self._changed.wait(1.0)

    def await_change(self, condition: Callable[[], bool]) -> None:
        """Returns when the condition, which is looked at whenever a slot is released or `wake` is called, is true."""
        with self._changed:
            while not condition():
                self._changed.wait(1.0)

    def release(self, index: int) -> None:
        with self._changed:
            self._free.append(index)
            self._changed.notify_all()

    def lose(self) -> None:
        """Whatever is on its way into the caller's slot may still arrive: nobody gets that slot any more."""
        with self._changed:
            self._lost += 1
            self._changed.notify_all()

    def wake(self) -> None:
        """Makes those who wait look again."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Unmaps, unless a slot is lost."""
        with self._changed:
            if self._view is None or self._lost > 0:
                return
            self._view.release()
            self._view = None
        try:
            self._memory.close()
        except BufferError:
            pass  # somebody still holds a view of a slot: unmapped with the last of them
