"""Files on to GPUs: read into pinned slots, and copied on from there, many slots at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Optional

from ._device import DeviceCopier
from ._errors import PodfsError
from ._jobs import Job, run_jobs
from ._reader import FileReader
from ._staging import Staging
from ._targets import PAGE_BYTES, Target

Placed = tuple[Target, DeviceCopier]


class DeviceLoading:
    """The part of a load that goes through slots: read, copied on, free again when the copy is done."""

    def __init__(self, reader: FileReader, data_start: int, staging: Staging) -> None:
        self._reader = reader
        self._data_start = data_start
        self._staging = staging
        self._error: Optional[PodfsError] = None

    def run(self, targets: Sequence[Target]) -> None:
        placed: list[Placed] = []
        for target in sorted(targets, key=lambda target: target.info.begin):
            if target.ordinal is not None and target.info.begin < target.info.end:
                devices = self._staging.devices(target.ordinal)
                placed.append((target, devices.copier(target.ordinal)))
        copiers = {copier: target.stream for target, copier in placed}
        for copier, stream in copiers.items():
            copier.follow(stream)  # what used this memory before may still be running
        if placed:
            first, last = placed[0][0].info, placed[-1][0].info
            self._reader.prefer_direct(self._data_start + first.begin, self._data_start + last.end)
        try:
            run_jobs([*self._jobs(placed)])
        finally:
            for copier in copiers:
                copier.synchronize()
        self._check()

    def _jobs(self, placed: Sequence[Placed]) -> Iterator[Job]:
        """Ranges of the file of a slot's size, with the tensors in them."""
        begin = end = 0
        inside: list[Placed] = []
        for target, copier in placed:
            first, last = self._data_start + target.info.begin, self._data_start + target.info.end
            if inside and first > end:
                yield from self._cut(begin, end, inside)
                inside = []
            if not inside:
                begin, end = first, last
            inside.append((target, copier))
            end = max(end, last)
        if inside:
            yield from self._cut(begin, end, inside)

    def _cut(self, begin: int, end: int, inside: Sequence[Placed]) -> Iterator[Job]:
        waiting = iter(inside)
        upcoming = next(waiting, None)
        active: list[Placed] = []
        step = self._staging.ring.slot_bytes
        for start in range(begin - begin % PAGE_BYTES, end, step):
            stop = min(start + step, end)
            active = [placed for placed in active if self._data_start + placed[0].info.end > start]
            while upcoming is not None and self._data_start + upcoming[0].info.begin < stop:
                active.append(upcoming)
                upcoming = next(waiting, None)
            yield partial(self._load_slot, start, stop, active)

    def _load_slot(self, start: int, stop: int, parts: Sequence[Placed]) -> None:
        ring = self._staging.ring
        slot = ring.acquire(self._check)
        used: set[DeviceCopier] = set()
        try:
            self._reader.read_aligned(ring.slot(slot), start, stop - start)
            for target, copier in parts:
                first = max(self._data_start + target.info.begin, start)
                last = min(self._data_start + target.info.end, stop)
                place = target.address + first - self._data_start - target.info.begin
                used.add(copier)
                copier.to_device(place, ring.slot_address(slot) + first - start, last - first)
            events = [copier.mark() for copier in used]
        except BaseException:
            try:
                for copier in used:
                    copier.synchronize()
            except PodfsError:
                ring.lose()
            else:
                ring.release(slot)
            raise
        self._staging.completions.after(events, lambda error: self._free(slot, error))

    def _free(self, slot: int, error: Optional[PodfsError]) -> None:
        if error is None:
            self._staging.ring.release(slot)
        else:
            self._error = error
            self._staging.ring.lose()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
