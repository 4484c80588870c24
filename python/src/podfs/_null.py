"""A sink that writes nothing: how fast copies into the ring are by themselves (bench/gpu)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._pending import Deadline, Outcome
from ._ring import Ring, slots_for
from ._sink import Target


class NullSink:
    """Gives each slot back at once. `Engine(Route(directory, "file", ring_bytes, NullSink(ring_bytes)))` uses it."""

    mode = "file"
    reason = ""
    alive = True

    def __init__(self, ring_bytes: int) -> None:
        self.ring = Ring.anonymous(*slots_for(ring_bytes))

    def begin(self, target: Target) -> NullSave:
        return NullSave(self.ring)

    def close(self) -> None:
        pass


class NullSave:
    """A file that is not written anywhere."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self.named = Outcome()

    def check(self) -> None:
        pass

    def write(self, slot: int, offset: int, length: int) -> None:
        self._ring.release(slot)

    def fill(self, slot: int, offset: int, length: int, pieces: Sequence[dict[str, Any]]) -> None:
        raise AssertionError("nobody else copies into this ring")

    def commit(self, retire: Sequence[str], after: Sequence[str]) -> None:
        self.named.settle()

    def cancel(self, error: BaseException) -> None:
        self.named.settle(error)

    def await_idle(self) -> None:
        pass

    def await_copied(self, deadline: Deadline) -> None:
        pass

    def await_published(self, deadline: Deadline) -> None:
        pass
