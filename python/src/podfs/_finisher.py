"""What comes after the copies of a save: its commit, and what is to be done when it has its name."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Optional, Union

from ._errors import PodfsError, StorageError
from ._pending import PendingFile
from ._sink import SinkSave


class Finisher:
    """A thread for what may wait or call the program's own code; it is started when there is such a thing to do."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Optional[Callable[[], None]]] = queue.SimpleQueue()
        self._thread: Optional[threading.Thread] = None
        self._lock = threading.Lock()

    def commit(
        self, save: SinkSave, retire: Union[Sequence[str], Callable[[], Sequence[str]]], earlier: Sequence[SinkSave]
    ) -> Callable[[], None]:
        """What commits the save, when it has every slot. Never raises: the save fails instead."""

        def now(names: Sequence[str]) -> None:
            try:
                save.commit(names)
            except PodfsError as error:
                save.cancel(error)

        def later(names: Callable[[], Sequence[str]]) -> None:
            # Only when the saves before this one have their names can it be told what is superseded.
            for other in earlier:
                other.named.wait_quietly()
            try:
                found = names()
            except Exception as error:
                save.cancel(_as_podfs_error(error))
            else:
                now(found)

        if callable(retire):
            names = retire
            return lambda: self._submit(lambda: later(names))
        plain = retire
        return lambda: now(plain)

    def follow(self, save: SinkSave, pending: PendingFile, then: Optional[Callable[[], Optional[PendingFile]]]) -> None:
        """Has `then` done when the save has its name, and `pending` finished after that."""

        def act() -> None:
            assert then is not None
            try:
                pending.follower = then()
            except BaseException as error:
                pending.finished.settle(error)
            else:
                pending.finished.settle()

        def settled(error: Optional[BaseException]) -> None:
            if error is not None or then is None:
                pending.finished.settle(error)
            else:
                self._submit(act)

        save.named.on_settled(settled)

    def _submit(self, task: Callable[[], None]) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="podfs-finisher", daemon=True)
                self._thread.start()
        self._tasks.put(task)

    def _run(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                return
            task()
            del task

    def close(self) -> None:
        """Returns when everything so far is done."""
        with self._lock:
            if self._thread is not None:
                self._tasks.put(None)
                self._thread.join()
                self._thread = None


def _as_podfs_error(error: Exception) -> PodfsError:
    return error if isinstance(error, PodfsError) else StorageError(f"what is superseded could not be told: {error}")
