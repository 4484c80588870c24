"""A file on its way, as those see it who wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Optional

from ._errors import WaitTimeout


class Deadline:
    """A time that may run out. `None`: never."""

    def __init__(self, timeout: Optional[float]) -> None:
        self._at = None if timeout is None else time.monotonic() + timeout

    @property
    def left(self) -> Optional[float]:
        return None if self._at is None else max(self._at - time.monotonic(), 0.0)


class Outcome:
    """Happens once: well, or with an error. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._done = False
        self._error: Optional[BaseException] = None
        self._callbacks: list[Callable[[Optional[BaseException]], None]] = []

    def settle(self, error: Optional[BaseException] = None) -> None:
        """The first call counts."""
        with self._changed:
            if self._done:
                return
            self._done, self._error = True, error
            callbacks, self._callbacks = self._callbacks, []
            self._changed.notify_all()
        for callback in callbacks:
            callback(error)

    def on_settled(self, callback: Callable[[Optional[BaseException]], None]) -> None:
        """Calls back with the error, if there is one: on the thread that settles, or now."""
        with self._changed:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback(self._error)

    @property
    def done(self) -> bool:
        return self._done

    @property
    def error(self) -> Optional[BaseException]:
        return self._error

    def wait(self, deadline: Deadline, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._done, deadline.left):
                raise WaitTimeout(f"{what} has not happened in the time given")
            if self._error is not None:
                raise self._error

    def wait_quietly(self) -> None:
        """Returns when it has happened, well or not."""
        with self._changed:
            self._changed.wait_for(lambda: self._done)


class PendingFile:
    """One file on its way. Thread-safe."""

    def __init__(self, path: str, await_published: Callable[[Deadline], None]) -> None:
        self.path = path
        """Where it appears when it is committed."""
        self.named = Outcome()
        """The file is whole and has its name."""
        self.finished = Outcome()
        """The same, and what was to be done after it is done."""
        self.ended = Outcome()
        """The same, and the file that followed has its name. Always well: what has failed has ended, too."""
        self.follower: Optional[PendingFile] = None
        """Another file, which what was done after it has saved."""
        self.reported = False
        """That it has failed for good has been raised by `wait`."""
        self._await_published = await_published

    def wait(self, durable: bool = False, timeout: Optional[float] = None) -> None:
        """Returns when the file is whole on the local disk and has its name, and what follows it is done too.

        durable: when it is in the volume (mode "file": it is fsynced before it gets its name, so that is the same as
        without). timeout: in seconds; WaitTimeout when it is over, and the save goes on. Raises the error of the save
        if it has failed: nothing of it is left then. Any thread may wait, any number of times.
        """
        deadline = Deadline(timeout)
        try:
            self.finished.wait(deadline, f"saving {self.path}")
            if durable:
                self._await_published(deadline)
            if self.follower is not None:
                self.follower.wait(durable, deadline.left)
        finally:
            # That it could not be published yet is said each time: the mount goes on trying.
            failed_follower = self.follower is not None and self.follower.reported
            self.reported = self.reported or self.finished.error is not None or failed_follower

    @property
    def committed(self) -> bool:
        """The file is there, and what follows it. Never waits; False also when it has failed."""
        if not self.finished.done or self.finished.error is not None:
            return False
        return self.follower is None or self.follower.committed
