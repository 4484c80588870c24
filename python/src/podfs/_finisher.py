"""What comes after the copies of a save: its commit, and what is to be done when it has its name."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Optional, Union

from ._errors import PodfsError, StorageError
from ._pending import Outcome, PendingFile
from ._sink import SinkSave


class Finisher:
    """A thread for what may wait or call the program's own code; it is started when there is such a thing to do."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Optional[Callable[[], None]]] = queue.SimpleQueue()
        self._thread: Optional[threading.Thread] = None
        self._lock = threading.Lock()

    def commit(
        self,
        save: SinkSave,
        retire: Union[Sequence[str], Callable[[], Sequence[str]]],
        after: Sequence[str],
        awaited: Sequence[Outcome],
    ) -> Callable[[], None]:
        """What commits the save, when it has every slot and all that is awaited has happened.

        It never raises: the save fails instead.
        """

        def now(names: Sequence[str]) -> None:
            try:
                save.commit(names, after)
            except PodfsError as error:
                save.cancel(error)

        def later() -> None:
            try:
                names = retire() if callable(retire) else retire
            except Exception as error:
                save.cancel(_as_podfs_error(error))
            else:
                now(names)

        if not callable(retire) and not awaited:
            plain = retire
            return lambda: now(plain)
        return lambda: _when_all(awaited, lambda: self._submit(later))

    def follow(self, save: SinkSave, pending: PendingFile, then: Optional[Callable[[], Optional[PendingFile]]]) -> None:
        """Has `then` done when the save has its name, and `pending` finished after that."""

        def act() -> None:
            assert then is not None
            try:
                pending.follower = then()
            except BaseException as error:
                end(error)
            else:
                end(None)

        def end(error: Optional[BaseException]) -> None:
            pending.finished.settle(error)
            following = [] if pending.follower is None else [pending.follower.ended]
            _when_all(following, pending.ended.settle)

        def settled(error: Optional[BaseException]) -> None:
            if error is not None or then is None:
                end(error)
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


def _when_all(outcomes: Sequence[Outcome], then: Callable[[], object]) -> None:
    """Calls `then` when all have happened, well or not: on the thread of the last, or now."""
    left = iter(outcomes)

    def wait_for_next(_: Optional[BaseException] = None) -> None:
        outcome = next(left, None)
        if outcome is None:
            then()
        else:
            outcome.on_settled(wait_for_next)

    wait_for_next()


def _as_podfs_error(error: Exception) -> PodfsError:
    return error if isinstance(error, PodfsError) else StorageError(f"what is superseded could not be told: {error}")
