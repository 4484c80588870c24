"""Where slots of a ring go: the two sides of it that the engine sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ._pending import Deadline, Outcome
from ._ring import Ring


@dataclass(frozen=True)
class Target:
    """A file to be."""

    directory: str
    filename: str
    size: int
    """In bytes, exactly."""
    replace: bool
    """The name may exist, and is replaced when the new file is whole."""


class SinkSave(Protocol):
    """One file that nobody sees before it is whole. Slots may come in any order, from any thread."""

    named: Outcome

    def check(self) -> None:
        """Raises the error of the save, if it has failed."""

    def write(self, slot: int, offset: int, length: int) -> None:
        """Takes the slot over, which holds `length` bytes of the file from `offset` on; frees it when it is written."""

    def fill(self, slot: int, offset: int, length: int, pieces: Sequence[dict[str, Any]]) -> None:
        """The same, but the sink copies `pieces` of device memory into the slot first (mode "ipc")."""

    def commit(self, retire: Sequence[str], after: Sequence[str]) -> None:
        """All slots have been given. Settles `named`; then the names in `retire` are removed, when that is safe.

        after: names in the same directory, whose files are in the volume before this one is.
        """

    def await_copied(self, deadline: Deadline) -> None:
        """Waits until everything given to `fill` has been copied."""

    def await_published(self, deadline: Deadline) -> None:
        """Waits until the file is in the volume. After `named`."""

    def cancel(self, error: BaseException) -> None:
        """Nothing of it is wanted any more: it ends with this error. Without effect once it has its name."""

    def await_idle(self) -> None:
        """After `cancel`: returns when nothing is left of it, and nobody reads the program's memory for it any more."""


class Sink(Protocol):
    """A ring and what drains it."""

    mode: str
    """ "shm", "ipc", "file"."""
    reason: str
    """Why the mode is not the one asked for; empty if it is."""
    ring: Ring

    @property
    def alive(self) -> bool:
        """New saves can be begun."""

    def begin(self, target: Target) -> SinkSave:
        """Makes room for the file. Raises CheckpointExists, NoSpace …"""

    def close(self) -> None:
        """Ends it. Saves that are not committed leave nothing behind. The ring is the caller's to close."""
