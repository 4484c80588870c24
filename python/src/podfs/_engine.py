"""The engine: tensors into files, through whichever way is open here.

One engine belongs to one directory's `Checkpoint` and knows nothing of ranks, indexes or retention: those build on
`save_file` and `save_bytes`.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from ._copy import Segment, SlotFiller
from ._errors import Cancelled, PodfsError, WaitTimeout
from ._finisher import Finisher
from ._names import ALIAS_PREFIX
from ._pending import Deadline, Outcome
from ._pending import PendingFile as PendingFile
from ._route import Route
from ._safetensors import plan
from ._sink import SinkSave, Target
from ._sources import BytesSource, Source, describe_all, is_device
from ._staging import Staging

RING_BYTES = 512 << 20

#: Names in the directory to be removed once the file is in the volume; or what tells them, at the time of the commit.
Retire = Union[Sequence[str], Callable[[], Sequence[str]]]
#: What to do when a file has got its name. It may save another, and return that.
Then = Callable[[], Optional[PendingFile]]


@dataclass(frozen=True)
class _Commit:
    """What comes with a file's getting its name, as `Engine.save_file` and `save_bytes` have it."""

    retire: Retire
    then: Optional[Then] = None
    series: Optional[str] = None
    earlier: Optional[Sequence[Outcome]] = None
    after: Sequence[str] = ()


class Engine:
    """Saves and loads files of one directory. Thread-safe; of the process that opened it only."""

    def __init__(self, route: Route) -> None:
        """For `Engine.open`, and for those who bring a route of their own."""
        self._route = route
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._closed = False
        self._pending: list[PendingFile] = []
        self._saves: list[SinkSave] = []
        self._series: dict[str, PendingFile] = {}
        """The last of each series that runs."""
        self._finisher = Finisher()
        _engines.add(self)

    @classmethod
    def open(cls, directory: str, mode: str = "auto", ring_bytes: int = RING_BYTES) -> Engine:
        """Connects to the mount that the directory is in, or sets up what works without one.

        mode: "auto", "shm", "ipc" or "file". Raises DaemonUnavailable when the mode asked for needs a mount that is not
        there, ValueError for any other mode.
        """
        return cls(Route(directory, mode, ring_bytes))

    @property
    def mode(self) -> str:
        """ "shm", "ipc" or "file": what is in use now."""
        return self._route.mode

    @property
    def reason(self) -> str:
        """Why it is not the first choice; empty if it is."""
        return self._route.reason

    @property
    def staging(self) -> Staging:
        """The ring and the GPUs: loads use them, too."""
        self._check_usable()
        return self._route.staging()

    def save_file(
        self,
        directory: str,
        filename: str,
        tensors: Mapping[str, Any],
        metadata: Mapping[str, str],
        replace: bool,
        retire: Retire = (),
        then: Optional[Then] = None,
        series: Optional[str] = None,
    ) -> PendingFile:
        """Writes `tensors` as the safetensors file `directory/filename`, which appears whole, at the end.

        Returns when the tensors may be changed again. metadata: goes into `__metadata__` as it is, beside
        `podfs.alias.*` for tied weights, which the engine adds. replace: the name may exist, and is replaced when the
        new file is whole. retire: names in `directory`, removed once this file is in the volume (mode "file": once it
        is fsynced and has its name); or a function that tells them, called when earlier saves have ended. then: runs
        on a thread of the engine after the file has got its name, before `wait` returns; it may save (a PendingFile
        that it returns is waited for as well, it must not wait for it itself), and its errors are raised by `wait`.
        series: the file gets its name after the one before of the same series has ended, with what followed it.
        Raises CheckpointExists (also later, from `wait`), NoSpace before anything is copied, UnsupportedTensor …
        """
        sources, aliases = describe_all(tensors)
        tied = {ALIAS_PREFIX + alias: stored for alias, stored in aliases.items()}
        prefix, header = plan(
            ((name, source.dtype, source.shape) for name, source in sources.items()), {**metadata, **tied}
        )
        segments = [Segment(BytesSource(prefix), 0)]
        segments += (Segment(sources[name], header.data_start + info.begin) for name, info in header.tensors.items())
        target = Target(directory, filename, header.size, replace)
        return self._save(target, segments, list(sources.values()), _Commit(retire, then=then, series=series))

    def save_bytes(
        self,
        directory: str,
        filename: str,
        data: bytes,
        replace: bool,
        retire: Retire = (),
        earlier: Optional[Sequence[Outcome]] = None,
        after: Sequence[str] = (),
    ) -> PendingFile:
        """The same for bytes that are a file of their own, such as an index.

        earlier: saves that have ended when `retire` is asked (None: those that run now). after: names in the directory
        that are in the volume before this file is.
        """
        target = Target(directory, filename, len(data), replace)
        commit = _Commit(retire, earlier=earlier, after=after)
        return self._save(target, [Segment(BytesSource(data), 0)], [], commit)

    def running(self) -> list[Outcome]:
        """The saves whose files have no names yet."""
        with self._lock:
            return [save.named for save in self._saves if not save.named.done]

    def _save(
        self, target: Target, segments: Sequence[Segment], sources: Sequence[Source], commit: _Commit
    ) -> PendingFile:
        self._check_usable()
        on_devices = [source for source in sources if is_device(source) and source.nbytes > 0]
        sink, staging = self._route.take(on_devices)
        devices = staging.devices(on_devices[0].ordinal) if on_devices else None
        save = sink.begin(target)
        pending = PendingFile(os.path.join(target.directory, target.filename), save.await_published)
        with self._lock:
            awaited = self._awaited_by(commit)
            self._saves = [*(known for known in self._saves if not known.named.done), save]
            self._pending.append(pending)
            if commit.series is not None:
                self._series[commit.series] = pending
        finish = self._finisher.commit(save, commit.retire, commit.after, awaited)
        self._finisher.follow(save, pending, commit.then)
        if commit.series is not None:
            series = commit.series
            pending.ended.on_settled(lambda _: self._end_series(series, pending))
        filler = SlotFiller(save, staging.ring, devices, staging.completions, sink.mode == "ipc")
        try:
            filler.run(segments, target.size, finish)
        except BaseException as error:
            save.cancel(error if isinstance(error, PodfsError) else Cancelled(f"saving {pending.path} was interrupted"))
            save.await_idle()
            self._forget(pending)
            raise
        return pending

    def _awaited_by(self, commit: _Commit) -> list[Outcome]:
        """What is to happen before this commit. With the lock held."""
        awaited: list[Outcome] = []
        if callable(commit.retire):
            # Only when the saves before this one have their names can it be told what is superseded.
            running = [save.named for save in self._saves if not save.named.done]
            awaited += running if commit.earlier is None else commit.earlier
        if commit.series is not None and commit.series in self._series:
            awaited.append(self._series[commit.series].ended)
        return awaited

    def _end_series(self, series: str, last: PendingFile) -> None:
        with self._lock:
            if self._series.get(series) is last:
                del self._series[series]

    def wait(self, durable: bool = False, timeout: Optional[float] = None) -> None:
        """For all saves so far; when all have ended, the first error that nobody has been told of is raised."""
        deadline = Deadline(timeout)
        with self._lock:
            pending = list(self._pending)
        first: Optional[BaseException] = None
        for file in pending:
            try:
                if not file.reported:
                    file.wait(durable, deadline.left)
            except WaitTimeout:
                raise
            except Exception as error:
                first = first or error
            else:
                if durable:
                    self._forget(file)
            if file.reported:
                self._forget(file)
        if first is not None:
            raise first

    def _forget(self, file: PendingFile) -> None:
        with self._lock:
            if file in self._pending:
                self._pending.remove(file)

    def close(self) -> None:
        """Waits for saves to be committed, then gives back the ring and the connection. Raises their first error."""
        if self._closed or self._process != os.getpid():
            return
        try:
            self.wait()
        finally:
            with self._lock:
                self._closed = True
            _engines.discard(self)
            for save in self._saves:
                save.named.wait_quietly()
            self._finisher.close()
            self._route.close()

    def _check_usable(self) -> None:
        if self._process != os.getpid():
            raise RuntimeError("this checkpoint was opened by another process: open one of its own after fork()")
        if self._closed:
            raise ValueError("the checkpoint is closed")


#: Those that are open. A program that ends right after save() keeps its checkpoint.
_engines: set[Engine] = set()


@atexit.register
def _close_all() -> None:
    for engine in list(_engines):
        try:
            engine.close()
        except PodfsError as error:
            print(f"podfs: a checkpoint was not saved: {error}", file=sys.stderr)
