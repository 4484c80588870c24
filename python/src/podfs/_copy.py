"""Tensors into slots: a file is cut into pieces of a slot's size, and each piece is put together from what lies in it.

Host memory is copied on the spot. Copies from a GPU are queued on a stream of their own, which follows the program's;
a thread waits for each slot's last copy and hands the slot on. The program's stream is made to wait for the last copy
of all, so whatever it queues after `save()` cannot overtake (cuStreamWaitEvent); the CPU waits only for slots.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ._device import DeviceCopier, Devices, Event
from ._errors import PodfsError
from ._pending import Deadline
from ._ring import Ring
from ._sink import SinkSave
from ._sources import DeviceSource, Source, is_device

#: In mode "ipc", what is smaller is copied by this process: the messages about it would be larger than a line may be.
IPC_BYTES_MIN = 16 << 10


@dataclass(frozen=True)
class Segment:
    """A source and its place in the file."""

    source: Source
    offset: int


@dataclass(frozen=True)
class Part:
    """Bytes [begin, end) of a source, and their place in a slot."""

    source: Source
    begin: int
    end: int
    slot_offset: int


def pieces_of(segments: Sequence[Segment], size: int, piece_bytes: int) -> Iterator[tuple[int, list[Part]]]:
    """(offset in the file, parts) of each piece. Segments are in the order of the file, and cover it."""
    index = 0
    for offset in range(0, size, piece_bytes):
        end = min(offset + piece_bytes, size)
        parts: list[Part] = []
        while index < len(segments) and segments[index].offset < end:
            segment = segments[index]
            stop = segment.offset + segment.source.nbytes
            begin = max(segment.offset, offset)
            if stop > begin:
                first, last = begin - segment.offset, min(stop, end) - segment.offset
                parts.append(Part(segment.source, first, last, begin - offset))
            if stop > end:
                break
            index += 1
        yield offset, parts


#: (events, what to do when they have come, what must live until then).
_Item = tuple[list[Event], Callable[[Optional[PodfsError]], None], object]


class Completions:
    """A thread that waits for copies, in the order in which they were queued, and does what is due after each."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Optional[_Item]] = queue.SimpleQueue()
        self._thread: Optional[threading.Thread] = None
        self._lock = threading.Lock()

    def after(self, events: list[Event], then: Callable[[Optional[PodfsError]], None], keep: object = None) -> None:
        """Calls `then` when all events have come, with the error if one did not; keeps `keep` alive until that."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="podfs-copies", daemon=True)
                self._thread.start()
        self._queue.put((events, then, keep))

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                return
            self._complete(item)
            del item  # and with it what it has kept alive

    def _complete(self, item: _Item) -> None:
        events, then, _ = item
        error: Optional[PodfsError] = None
        for event in events:
            try:
                event.wait()
            except PodfsError as failure:
                error = failure
        then(error)

    def close(self) -> None:
        """Returns when everything that was queued has been waited for."""
        with self._lock:
            if self._thread is not None:
                self._queue.put(None)
                self._thread.join()
                self._thread = None


class SlotFiller:
    """Fills slots for one save. Used by one thread."""

    def __init__(
        self, save: SinkSave, ring: Ring, devices: Optional[Devices], completions: Completions, ipc: bool
    ) -> None:
        self._save = save
        self._ring = ring
        self._devices = devices
        self._completions = completions
        self._ipc = ipc
        # Of the sources of device memory whose turn it is: where they are, and with whose stream.
        self._placed: dict[int, tuple[DeviceCopier, int]] = {}
        # Of those that the mount copies from: names of their memory, and what keeps that.
        self._handles: dict[int, tuple[str, int]] = {}
        self._kept: list[object] = []
        self._streams: set[tuple[DeviceCopier, Optional[int]]] = set()

    def run(self, segments: Sequence[Segment], size: int, finish: Callable[[], None]) -> None:
        """Returns when the sources may change. Calls `finish` when the save has every slot, from any thread.

        On an error, slots that were not given to the save are free again, or lost if a copy into them may still be
        running.
        """
        for offset, parts in pieces_of(segments, size, self._ring.slot_bytes):
            length = min(self._ring.slot_bytes, size - offset)
            self._fill(offset, length, parts)
        for copier, stream in self._streams:
            copier.precede(stream)
        if self._ipc:
            self._save.await_copied(Deadline(None))
        if self._streams and not self._ipc:
            self._completions.after([], lambda _: finish())
        else:
            finish()

    def _fill(self, offset: int, length: int, parts: Sequence[Part]) -> None:
        slot = self._ring.acquire(self._save.check)
        used: set[DeviceCopier] = set()
        pieces: list[dict[str, Any]] = []
        owners: list[object] = []
        try:
            for part in parts:
                if not is_device(part.source):
                    start = part.slot_offset
                    view = self._ring.slot(slot)[start : start + part.end - part.begin]
                    part.source.read_into(view, part.begin, part.end)
                elif self._ipc and part.end - part.begin >= IPC_BYTES_MIN:
                    pieces.append(self._ipc_piece(part, part.source))
                else:
                    owners.append(self._queue_copy(slot, part, part.source, used))
                if part.end == part.source.nbytes:
                    self._placed.pop(id(part.source), None)
                    part.source.release()
            events = [copier.mark() for copier in used]
            if self._ipc:
                for event in events:
                    event.wait()
        except BaseException:
            self._give_back(slot, used)
            raise
        if self._ipc:
            if pieces:
                self._save.fill(slot, offset, length, pieces)
            else:
                self._save.write(slot, offset, length)
        elif events:
            self._completions.after(events, lambda error: self._hand_on(slot, offset, length, error), owners)
        else:
            self._save.write(slot, offset, length)

    def _hand_on(self, slot: int, offset: int, length: int, error: Optional[PodfsError]) -> None:
        if error is not None:
            self._ring.lose()
            self._save.cancel(error)
            return
        try:
            self._save.write(slot, offset, length)
        except PodfsError as failure:  # the mount is gone
            self._save.cancel(failure)

    def _queue_copy(self, slot: int, part: Part, source: DeviceSource, used: set[DeviceCopier]) -> object:
        copier, address = self._place(source)
        used.add(copier)
        copier.to_host(self._ring.slot_address(slot) + part.slot_offset, address + part.begin, part.end - part.begin)
        return source.owner

    def _place(self, source: DeviceSource) -> tuple[DeviceCopier, int]:
        placed = self._placed.get(id(source))
        if placed is None:
            assert self._devices is not None
            address = source.address()
            copier = self._devices.copier(source.ordinal)
            stream = source.stream
            copier.follow(stream)
            self._streams.add((copier, stream))
            placed = self._placed[id(source)] = (copier, address)
        return placed

    def _ipc_piece(self, part: Part, source: DeviceSource) -> dict[str, Any]:
        copier, address = self._place(source)
        if id(source) not in self._handles:
            # The mount's process sees only what is done; it knows nothing of our streams.
            copier.synchronize()
            self._kept.append(source.owner)
            self._handles[id(source)] = copier.ipc_handle(address)
        handle, handle_offset = self._handles[id(source)]
        return {
            "device": copier.uuid,
            "handle": handle,
            "handleOffset": handle_offset + part.begin,
            "bytes": part.end - part.begin,
            "slotOffset": part.slot_offset,
        }

    def _give_back(self, slot: int, used: set[DeviceCopier]) -> None:
        try:
            for copier in used:
                copier.synchronize()
        except PodfsError:
            self._ring.lose()
        else:
            self._ring.release(slot)
