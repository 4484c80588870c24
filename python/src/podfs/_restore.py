"""Files into tensors: several large reads at once, to where the bytes belong, or through slots on to a GPU.

The file is read through the mount: complete files come at the disk's speed, cold ones as their chunks arrive.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Optional

from ._errors import TensorMismatch
from ._jobs import THREADS, Job, run_jobs
from ._mapping import FileMapping
from ._reader import FileReader
from ._restore_device import DeviceLoading
from ._ring import Ring, slots_for
from ._safetensors import Header, TensorInfo, read_header_of
from ._staging import Staging
from ._targets import (
    Arena,
    Target,
    check_given,
    given,
    new_on_device,
    new_on_host,
    parse_device,
    unique_results,
    view_of,
)

if TYPE_CHECKING:
    import torch

    from ._engine import Engine

READ_BYTES = 8 << 20
#: Buffers of one preadv; IOV_MAX is 1024.
BUFFERS_MAX = 512
#: Of the ring that a load on to a GPU makes for itself when it is given no engine.
OWN_RING_BYTES = 128 << 20


def load_file(
    path: str,
    device: Any = None,
    into: Optional[Mapping[str, Any]] = None,
    names: Optional[Iterable[str]] = None,
    engine: Optional[Engine] = None,
    mmap: bool = False,
    check: Optional[Callable[[Header], None]] = None,
) -> dict[str, Any]:
    """Tensors of one safetensors file, by name, in the order asked for.

    device: of new tensors, as torch has it ("cpu", "cuda:0"); None is the CPU. into: tensors (or arrays) to be filled
    in place, of the same dtypes and shapes; where names is None, only these are loaded. names: which; None: all, tied
    weights under each of their names. engine: its ring is used for GPUs; without, a load makes one for itself.
    mmap: new CPU tensors are the file's own pages. check: raises if this is not the file that is meant.
    Raises CheckpointNotFound, DamagedCheckpoint, TensorMismatch, UnsupportedTensor, StorageError, DeviceError.
    """
    reader = FileReader(path)
    try:
        header = read_header_of(reader.descriptor, path)
        if check is not None:
            check(header)
        wanted, aliases, order = _select(path, header, into or {}, names if names is not None else into)
        check_given(path, wanted, into or {})
        loading = _Loading(reader, header.data_start, engine, mmap)
        results = loading.run(wanted, parse_device(device), into or {})
        return unique_results(results, aliases, order)
    finally:
        reader.close()


def _select(
    path: str, header: Header, into: Mapping[str, Any], names: Optional[Iterable[str]]
) -> tuple[dict[str, TensorInfo], dict[str, str], list[str]]:
    """(what is to be read, aliases that are not read but follow, all names in order)."""
    aliases = header.aliases
    order = [*header.tensors, *aliases] if names is None else list(names)
    missing = [name for name in order if name not in header.tensors and name not in aliases]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise TensorMismatch(f"{path} has no tensor {', '.join(map(repr, missing[:3]))}{more}")
    wanted: dict[str, TensorInfo] = {}
    for name in order:
        stored = aliases.get(name, name)
        # An alias that is to be filled in place is read like any other tensor: its memory may be its own.
        wanted[name if name in into else stored] = header.tensors[stored]
    return wanted, aliases, order


class _Loading:
    """One load. `run` is called once."""

    def __init__(self, reader: FileReader, data_start: int, engine: Optional[Engine], mmap: bool) -> None:
        self._reader = reader
        self._data_start = data_start
        self._engine = engine
        self._mmap = mmap

    def run(
        self, wanted: Mapping[str, TensorInfo], device: Optional[torch.device], into: Mapping[str, Any]
    ) -> dict[str, Any]:
        results: dict[str, Any] = {}
        targets: list[Target] = []
        fresh = {name: info for name, info in wanted.items() if name not in into}
        for name, info in wanted.items():
            if name in into:
                targets.append(given(name, into[name], info))
            elif device is not None:
                targets.append(new_on_device(name, info, device))
            else:
                continue
            results[name] = targets[-1].result
        arenas: list[Arena] = []
        if device is None and fresh:
            mapping = self._map(fresh.values()) if self._mmap else None
            memory = None if mapping is None else mapping.range
            unaligned, tensors, arenas = new_on_host(fresh, self._data_start, memory)
            targets += unaligned
            results.update(tensors)
            if mapping is not None:
                self._bring_in(mapping, arenas)
                arenas = []
        self._read_host([target for target in targets if target.ordinal is None], arenas)
        self._read_device([target for target in targets if target.ordinal is not None])
        for target in targets:
            if target.finish is not None:
                target.finish()
        return results

    def _map(self, infos: Iterable[TensorInfo]) -> Optional[FileMapping]:
        places = [(info.begin, info.end) for info in infos if info.end > info.begin]
        if not places:
            return None
        begin, end = min(begin for begin, _ in places), max(end for _, end in places)
        return FileMapping(self._reader.descriptor, self._reader.path, self._data_start + begin, self._data_start + end)

    def _bring_in(self, mapping: FileMapping, arenas: Sequence[Arena]) -> None:
        cached, absent = list[Job](), list[Job]()
        for arena in arenas:
            is_cached = self._reader.is_cached(arena.begin, arena.begin + arena.length)
            (cached if is_cached else absent).extend(mapping.jobs(memoryview(arena.memory), is_cached))
        run_jobs(absent)
        # These do not wait for a disk: more threads than cores only get into each other's way.
        run_jobs(cached, min(THREADS, len(os.sched_getaffinity(0))))

    def _read_host(self, targets: Sequence[Target], arenas: Sequence[Arena]) -> None:
        ranges = [(arena.begin, arena.begin + arena.length) for arena in arenas]
        ranges += [(self._data_start + target.info.begin, self._data_start + target.info.end) for target in targets]
        if ranges:
            self._reader.prefer_direct(min(begin for begin, _ in ranges), max(end for _, end in ranges))
        run_jobs([*self._arena_jobs(arenas), *self._target_jobs(targets)])

    def _arena_jobs(self, arenas: Sequence[Arena]) -> Iterator[Job]:
        for arena in arenas:
            memory = memoryview(arena.memory)
            end = arena.begin + arena.length - arena.base
            for begin in range(0, end, READ_BYTES):
                part, needed = memory[begin : begin + READ_BYTES], min(READ_BYTES, end - begin)
                yield partial(self._reader.read_aligned, part, arena.base + begin, needed)

    def _target_jobs(self, targets: Sequence[Target]) -> Iterator[Job]:
        offset, length, buffers = 0, 0, list[memoryview]()
        for target in sorted(targets, key=lambda target: target.info.begin):
            size = target.info.end - target.info.begin
            for begin in range(0, size, READ_BYTES):
                place = self._data_start + target.info.begin + begin
                view = view_of(target.address + begin, min(READ_BYTES, size - begin))
                full = length + len(view) > READ_BYTES or len(buffers) == BUFFERS_MAX
                if buffers and (full or place != offset + length):
                    yield partial(self._reader.read, buffers, offset)
                    buffers, length = [], 0
                if not buffers:
                    offset = place
                buffers.append(view)
                length += len(view)
        if buffers:
            yield partial(self._reader.read, buffers, offset)

    def _read_device(self, targets: Sequence[Target]) -> None:
        if not targets:
            return
        staging, own = self._staging()
        try:
            DeviceLoading(self._reader, self._data_start, staging).run(targets)
        finally:
            if own:
                staging.close()

    def _staging(self) -> tuple[Staging, bool]:
        if self._engine is not None:
            return self._engine.staging, False
        return Staging(Ring.anonymous(*slots_for(OWN_RING_BYTES))), True
