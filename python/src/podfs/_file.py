"""The sink without a mount, for any directory: a few threads write slots into a temporary file beside the target."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Optional

from . import _errors
from ._pending import Deadline, Outcome
from ._ring import Ring, slots_for
from ._sink import Target
from ._temporary import TemporaryFile, sync_directory

#: Requests in flight are slots of 16 MiB: enough of them to keep a disk busy.
WRITER_THREADS = 4


class FileSink:
    """A ring of this process, and threads that write it out. Thread-safe."""

    mode = "file"

    def __init__(self, ring_bytes: int, reason: str, threads: int = WRITER_THREADS) -> None:
        self.reason = reason
        self.ring = Ring.anonymous(*slots_for(ring_bytes))
        self._jobs: queue.SimpleQueue[Optional[Callable[[], None]]] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name="podfs-writer", daemon=True) for _ in range(threads)]
        self._open = True
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        return self._open

    def begin(self, target: Target) -> FileSave:
        return FileSave(self, TemporaryFile(target), target)

    def submit(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            job()

    def close(self) -> None:
        self._open = False
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()


class FileSave:
    """One file on its way.

    Invariants: `_unwritten` counts slots that were given and are not written; the file is published or discarded by
    whoever takes it from 1 to 0 after the commit or a failure, or by these themselves where it is 0, so exactly once
    and with nobody writing.
    """

    def __init__(self, sink: FileSink, file: TemporaryFile, target: Target) -> None:
        self._sink = sink
        self._file = file
        self._target = target
        self._lock = threading.Lock()
        self._unwritten = 0
        self._committed = False
        self._ended = False
        self._error: Optional[BaseException] = None
        self._retire: Sequence[str] = ()
        self.named = Outcome()

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def write(self, slot: int, offset: int, length: int) -> None:
        with self._lock:
            self._unwritten += 1
        self._sink.submit(lambda: self._write(slot, offset, length))

    def _write(self, slot: int, offset: int, length: int) -> None:
        try:
            if self._error is None:
                self._file.write(self._sink.ring.slot(slot)[:length], offset)
        except OSError as cause:
            self._set_error(_errors.of_system_error(cause, self._file.final))
        finally:
            self._sink.ring.release(slot)
            with self._lock:
                self._unwritten -= 1
            self._end_if_due()

    def fill(self, slot: int, offset: int, length: int, pieces: Sequence[dict[str, Any]]) -> None:
        raise AssertionError("mode file has no fills")

    def commit(self, retire: Sequence[str], after: Sequence[str]) -> None:
        # What is named is on the disk already: `after` is so, too.
        with self._lock:
            self._committed, self._retire = True, retire
        self._end_if_due()

    def cancel(self, error: BaseException) -> None:
        self._set_error(error)
        self._end_if_due()

    def await_idle(self) -> None:
        self.named.wait_quietly()

    def _set_error(self, error: BaseException) -> None:
        with self._lock:
            if self._error is None and not self._ended:
                self._error = error
        self._sink.ring.wake()

    def _end_if_due(self) -> None:
        with self._lock:
            due = self._unwritten == 0 and (self._committed or self._error is not None) and not self._ended
            self._ended = self._ended or due
        if due:
            self._sink.submit(self._end)

    def _end(self) -> None:
        if self._error is None:
            try:
                self._file.publish()
            except _errors.PodfsError as error:
                self._error = error
        if self._error is not None:
            self._file.discard()
        else:
            self._remove_retired()
        self.named.settle(self._error)

    def _remove_retired(self) -> None:
        # The new file is durable. What cannot be removed now is found again by the next save.
        try:
            for name in self._retire:
                _unlink_if_there(os.path.join(self._target.directory, name))
            if self._retire:
                sync_directory(self._target.directory)
        except OSError:
            pass

    def await_copied(self, deadline: Deadline) -> None:
        pass  # there are no fills

    def await_published(self, deadline: Deadline) -> None:
        self.named.wait(deadline, f"saving {self._file.final}")


def _unlink_if_there(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
