"""Saves and restores, step by step: to nowhere, to shared memory, to the disk, through a mount."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import Any, Iterator, Optional

import mounting
from bench import GIB, MIB, Bench, Clock, drop_pages
from copies import pinned
from disks import DIRECT_READ, DIRECT_WRITE
from states import State, model_shapes

TO_HOST = pinned("GPU → host", 16)
TO_DEVICE = pinned("host → GPU", 16)
SHARED_MEMORY = "/dev/shm"
#: Of the state whose save is to wait for the copies only.
SMALL_BYTES = 2 * GIB
NAME = "measured"


def measure(bench: Bench) -> None:
    with State(bench.gpu, bench.patterns, model_shapes(bench.state_bytes), seed=1) as state:
        state.fill()
        with bench.scratch() as directory:
            _to_nowhere(bench, state, directory)
            _save_and_restore(bench, state, directory, "file", "disk, no mount", DIRECT_WRITE, DIRECT_READ)
        if _shared_memory_fits(bench, state):
            with bench.scratch(SHARED_MEMORY) as directory:
                _save_and_restore(bench, state, directory, "file", "shared memory", TO_HOST, None)
        if mounting.obstacle() is None:
            with bench.mounted() as mount:
                for mode in ("shm", "ipc"):
                    _save_and_restore(bench, state, mount.path, mode, f"mount, {mode}", DIRECT_WRITE, DIRECT_READ, mount)
        else:
            bench.results.skip("saves through a mount", mounting.obstacle() or "")
    with State(bench.gpu, bench.patterns, model_shapes(SMALL_BYTES), seed=2) as small:
        _blocked(bench, small)


def _to_nowhere(bench: Bench, state: State, directory: str) -> None:
    """GPU → ring alone: slots are free again at once. Twice, since the first one registers the ring."""
    with null_engine(directory, 512 * MIB) as engine:
        for _ in range(2):
            with Clock() as clock:
                engine.save_file(directory, "nowhere", state.tensors, {}, True).wait()
    bench.results.row("save to nowhere: GPU → ring", state.bytes / clock.seconds / 1e9, "GB/s", TO_HOST, "≥ 0.9")


@contextlib.contextmanager
def null_engine(directory: str, ring_bytes: int) -> Iterator[Any]:
    from podfs._engine import Engine
    from podfs._null import NullSink
    from podfs._route import Route

    engine = Engine(Route(directory, "file", ring_bytes, NullSink(ring_bytes)))
    try:
        yield engine
    finally:
        engine.close()


def _save_and_restore(
    bench: Bench,
    state: State,
    directory: str,
    mode: str,
    where: str,
    write_ceiling: str,
    read_ceiling: Optional[str],
    mount: Optional[mounting.Mount] = None,
) -> None:
    import podfs

    rate = state.bytes / 1e9
    # The upload of one save must not be part of the next.
    settle = mount.flush if mount else lambda: None
    with podfs.checkpoint(directory, mode=mode) as checkpoint:
        # The first one registers the ring.
        _save(checkpoint, state)
        settle()
        before = mount.memory("RssAnon") if mount else 0
        blocked, seconds = _save(checkpoint, state)
        note = f"save() returned after {blocked:.2f} s"
        target = "≥ 0.9" if write_ceiling == DIRECT_WRITE else None
        bench.results.row(f"save to {where}", rate / seconds, "GB/s", write_ceiling, target, note)
        settle()
        if mount is not None:
            grown = mount.memory("RssAnon") - before
            bench.results.row(f"daemon's memory, one save more, {where}", grown / 1e6, "MB")
        if read_ceiling is not None:
            _drop(bench, directory)
            bench.results.row(f"restore from {where}", rate / _load(checkpoint, state), "GB/s", read_ceiling)
        _load(checkpoint, state)
        what = f"restore from {where}, in memory already"
        bench.results.row(what, rate / _load(checkpoint, state), "GB/s", TO_DEVICE)
        checkpoint.remove(NAME)


def _save(checkpoint: Any, state: State) -> tuple[float, float]:
    """(seconds until the tensors may be changed, seconds until the file is whole)."""
    with Clock() as whole:
        with Clock() as blocked:
            checkpoint.save(state.tensors, NAME, overwrite=True)
        checkpoint.wait()
    return blocked.seconds, whole.seconds


def _load(checkpoint: Any, state: State) -> float:
    with Clock() as clock:
        checkpoint.load(NAME, into=state.tensors)
    return clock.seconds


def _drop(bench: Bench, directory: str) -> None:
    """In a mount the pages are those of the content file, somewhere below the cache directory."""
    for top in {directory, bench.options.directory}:
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and os.path.getsize(path) >= MIB:
                    drop_pages(path)


def _blocked(bench: Bench, state: State) -> None:
    """With a ring that holds all of it, save() returns when the copies are queued; they take bytes ÷ PCIe rate."""
    import podfs

    ring_bytes = state.bytes + 64 * MIB
    with bench.scratch() as directory, podfs.checkpoint(directory, mode="file", ring_bytes=ring_bytes) as checkpoint:
        _save(checkpoint, state)
        bench.gpu.wait_all()
        blocked, _ = _save(checkpoint, state)
        with Clock() as clock:
            checkpoint.save(state.tensors, f"{NAME}-2")
            bench.gpu.wait_all()
        gigabytes = state.bytes / 1e9
        note = f"{gigabytes:.1f} GB in {blocked * 1000:.0f} ms"
        bench.results.row("until save() returns, ring large enough", gigabytes / blocked, "GB/s", TO_HOST, "≥ 1", note)
        bench.results.row("until the tensors are copied", gigabytes / clock.seconds, "GB/s", TO_HOST)


def _shared_memory_fits(bench: Bench, state: State) -> bool:
    free = shutil.disk_usage(SHARED_MEMORY).free if os.path.isdir(SHARED_MEMORY) else 0
    if free < state.bytes * 5 // 2:
        bench.results.skip("saves to shared memory", f"{SHARED_MEMORY} has {free / 1e9:.1f} GB free")
        return False
    return True
