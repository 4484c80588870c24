"""Which way is open from here: through the mount's daemon, with its ring shared or its own hands on the GPU, or alone.

"auto" goes down the list and notes why at each step: shm; for GPUs ipc, where this process cannot pin the ring; shm
with memory that is not pinned; and, where no mount answers, file.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Optional

from ._daemon import DaemonSink
from ._errors import DaemonUnavailable, DeviceError, ProtocolError
from ._file import FileSink
from ._sink import Sink
from ._sources import DeviceSource
from ._staging import Staging

MODES = ("auto", "shm", "ipc", "file")


class Route:
    """The sink in use, and its ring. Thread-safe."""

    def __init__(self, directory: str, mode: str, ring_bytes: int, sink: Optional[Sink] = None) -> None:
        """sink: one that is there already, for measuring and tests; it is not replaced."""
        if mode not in MODES:
            raise ValueError(f"mode {mode!r}: one of {', '.join(MODES)}")
        self._directory = directory
        self._wanted = mode
        self._ring_bytes = ring_bytes
        self._lock = threading.Lock()
        self._ipc_tried = sink is not None
        self._no_ipc = ""
        self._use(sink or self._open(mode))
        self._former: list[tuple[Sink, Staging]] = []

    @property
    def mode(self) -> str:
        return self._sink.mode

    @property
    def reason(self) -> str:
        """Why it is not the first choice, step by step; empty if it is."""
        return "; ".join(reason for reason in (self._sink.reason, self._staging.unpinned, self._no_ipc) if reason)

    def staging(self) -> Staging:
        with self._lock:
            return self._staging

    def take(self, devices: Sequence[DeviceSource]) -> tuple[Sink, Staging]:
        """The way for a save with these tensors on GPUs. A mount that has come back is connected to again."""
        with self._lock:
            if not self._sink.alive:
                former = (self._sink, self._staging)
                # Not "auto" again: a program that had a mount does not want to go on without it unnoticed.
                self._use(self._open("shm" if self._wanted == "auto" else self._wanted))
                self._former.append(former)
            if devices and self._sink.mode == "shm" and self._wanted == "auto":
                self._staging.devices(devices[0].ordinal)
                if self._staging.unpinned and not self._ipc_tried:
                    self._ipc_tried = True
                    self._try_ipc(devices[0])
            return self._sink, self._staging

    def _use(self, sink: Sink) -> None:
        self._sink = sink
        self._staging = Staging(sink.ring)

    def _open(self, mode: str) -> Sink:
        if mode == "file":
            return FileSink(self._ring_bytes, "")
        if mode == "ipc":
            return self._open_ipc("asked for")
        try:
            return DaemonSink(self._directory, "shm", self._ring_bytes, "")
        except (DaemonUnavailable, ProtocolError) as error:
            if mode == "shm":
                raise
            return FileSink(self._ring_bytes, str(error))

    def _open_ipc(self, reason: str) -> Sink:
        sink = DaemonSink(self._directory, "ipc", self._ring_bytes, reason)
        if sink.mode == "ipc":
            return sink
        sink.close()
        sink.ring.close()
        raise DaemonUnavailable(f"the mount cannot copy from this process's GPU memory: {sink.reason}")

    def _try_ipc(self, source: DeviceSource) -> None:
        try:
            self._staging.devices(source.ordinal).copier(source.ordinal).ipc_handle(source.address())
            sink = self._open_ipc(self._staging.unpinned)
        except (DaemonUnavailable, ProtocolError, DeviceError) as error:
            self._no_ipc = f"no CUDA IPC: {error}"
            return
        finally:
            source.release()
        self._former.append((self._sink, self._staging))
        unpinned = self._staging.unpinned
        self._use(sink)
        self._staging.unpinned = unpinned

    def close(self) -> None:
        """Ends all of it. Saves that are not committed leave nothing behind."""
        for sink, staging in [*self._former, (self._sink, self._staging)]:
            staging.close()
            sink.close()
