"""Ceilings: what the driver copies between this GPU and the host when nothing else happens."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Callable

from bench import GIB, MIB, Bench, Clock

PINNED = "pinned copy"
PIECES_MIB = [1, 4, 16, 64]
TOTAL_BYTES = 4 * GIB
BUFFER_BYTES = GIB
REGISTER_BYTES = GIB
#: CU_MEMHOSTREGISTER_PORTABLE: for all contexts.
REGISTER_PORTABLE = 1


def pinned(direction: str, mib: int) -> str:
    """What the row is called, for those that are held against it. direction: "GPU → host" or "host → GPU"."""
    return _name(PINNED, direction, mib)


def _name(kind: str, direction: str, mib: int) -> str:
    return f"{kind}, {direction}, {mib} MiB"


def measure(bench: Bench) -> None:
    gpu = bench.gpu
    device = gpu.allocate(BUFFER_BYTES)
    host = gpu.pinned(BUFFER_BYTES)
    _rows(bench, PINNED, device, host)
    gpu.free_pinned(host)

    with mmap.mmap(-1, BUFFER_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        pageable = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        ctypes.memset(pageable, 1, BUFFER_BYTES)
        _rows(bench, "pageable copy", device, pageable)
    _registered(bench, device)
    gpu.free(device)


def _rows(bench: Bench, kind: str, device: int, host: int) -> None:
    gpu = bench.gpu
    directions = {
        "GPU → host": lambda offset, size: gpu.to_host(host + offset, device + offset, size),
        "host → GPU": lambda offset, size: gpu.to_device(device + offset, host + offset, size),
    }
    for direction, copy in directions.items():
        for mib in PIECES_MIB:
            seconds = _time(bench, copy, mib * MIB)
            ceiling = None if kind == PINNED else pinned(direction, mib)
            bench.results.row(_name(kind, direction, mib), TOTAL_BYTES / seconds / 1e9, "GB/s", ceiling)


def _time(bench: Bench, copy: Callable[[int, int], None], piece: int) -> float:
    """Seconds for `TOTAL_BYTES` in pieces, queued as fast as the driver takes them; warmed up by one pass."""
    for timed in (False, True):
        with Clock() as clock:
            for position in range(0, TOTAL_BYTES if timed else BUFFER_BYTES, piece):
                copy(position % BUFFER_BYTES, piece)
            bench.gpu.wait()
    return clock.seconds


def _registered(bench: Bench, device: int) -> None:
    """A memfd that two processes could share, registered: what the ring is made of."""
    descriptor = os.memfd_create("podfs-gpu-bench")
    os.ftruncate(descriptor, REGISTER_BYTES)
    with mmap.mmap(descriptor, REGISTER_BYTES) as memory:
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        with Clock() as clock:
            bench.driver.call("cuMemHostRegister_v2", address, REGISTER_BYTES, REGISTER_PORTABLE)
        rate = REGISTER_BYTES / clock.seconds / 1e9
        bench.results.row("registering a memfd", rate, "GB/s", note="new pages; once, never per save")
        _rows(bench, "registered memfd", device, address)
        bench.driver.call("cuMemHostUnregister", address)
    os.close(descriptor)
