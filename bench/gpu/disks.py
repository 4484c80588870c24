"""Ceilings: what the disk takes and gives, with O_DIRECT and through the page cache."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from bench import GIB, MIB, Bench, Clock, drop_pages
from copies import REGISTER_PORTABLE

SIZE = 4 * GIB
REQUEST_BYTES = MIB
IN_FLIGHT = 32
DIRECT_WRITE = "disk: O_DIRECT write"
DIRECT_READ = "disk: O_DIRECT read"
BUFFERED_WRITE = "disk: buffered write + fsync"
PAGE_CACHE_READ = "disk: read from the page cache"


def measure(bench: Bench) -> None:
    with bench.scratch() as directory:
        path = f"{directory}/file"
        if shutil.which("fio"):
            bench.results.row(DIRECT_WRITE, _fio(path, "write"), "GB/s", note="fio, io_uring, 1 MiB × 32")
            bench.results.row(DIRECT_READ, _fio(path, "read"), "GB/s", note="fio, io_uring, 1 MiB × 32")
        own_write, own_read = DirectLoop(path, os.O_WRONLY | os.O_CREAT), DirectLoop(path, os.O_RDONLY)
        with mmap.mmap(-1, IN_FLIGHT * REQUEST_BYTES) as memory:
            memory.write(os.urandom(len(memory)))
            note = f"{IN_FLIGHT} threads, 1 MiB each"
            name = "disk: O_DIRECT write, threads" if shutil.which("fio") else DIRECT_WRITE
            bench.results.row(name, own_write.run(memory), "GB/s", note=note)
            name = "disk: O_DIRECT read, threads" if shutil.which("fio") else DIRECT_READ
            bench.results.row(name, own_read.run(memory), "GB/s", note=note)
            bench.results.row(BUFFERED_WRITE, _buffered_write(path, memory), "GB/s", DIRECT_WRITE)
        _read_buffered(path)
        bench.results.row(PAGE_CACHE_READ, _read_buffered(path), "GB/s", DIRECT_READ)
        drop_pages(path)
        _write_from_registered(bench, own_write)


def _fio(path: str, direction: str) -> float:
    """GB/s. Options: https://fio.readthedocs.io/en/latest/fio_doc.html"""
    job = ["--name=job", f"--filename={path}", f"--rw={direction}", f"--size={SIZE}", "--bs=1M", "--direct=1"]
    engine = ["--ioengine=io_uring", f"--iodepth={IN_FLIGHT}", "--fallocate=posix", "--end_fsync=1"]
    command = ["fio", *job, *engine, "--output-format=json"]
    output = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    figures = json.loads(output[output.index("{") :])["jobs"][0][direction]
    return float(figures["bw_bytes"]) / 1e9


class DirectLoop:
    """pread or pwrite of 1 MiB with O_DIRECT, on as many threads as requests are to be in flight."""

    def __init__(self, path: str, flags: int) -> None:
        self._path = path
        self._flags = flags

    def run(self, memory: mmap.mmap, size: int = SIZE) -> float:
        """GB/s; writes are fsynced. memory: of which each thread takes a request's worth."""
        descriptor = os.open(self._path, self._flags | os.O_DIRECT, 0o600)
        is_write = self._flags & os.O_WRONLY != 0
        if is_write:
            os.posix_fallocate(descriptor, 0, size)
        move: Callable[[int, list[memoryview], int], int] = os.pwritev if is_write else os.preadv
        view = memoryview(memory)

        def lane(index: int) -> None:
            with view[index * REQUEST_BYTES : (index + 1) * REQUEST_BYTES] as buffer:
                for position in range(index * REQUEST_BYTES, size, IN_FLIGHT * REQUEST_BYTES):
                    if move(descriptor, [buffer], position) != REQUEST_BYTES:
                        raise OSError("a short transfer")

        try:
            with Clock() as clock, ThreadPoolExecutor(IN_FLIGHT) as pool:
                list(pool.map(lane, range(IN_FLIGHT)))
                if is_write:
                    os.fsync(descriptor)
        finally:
            view.release()
            os.close(descriptor)
        return size / clock.seconds / 1e9


def _buffered_write(path: str, memory: mmap.mmap) -> float:
    os.unlink(path)
    with Clock() as clock, open(path, "wb", buffering=0) as file:
        for _ in range(SIZE // len(memory)):
            file.write(memory)
        os.fsync(file.fileno())
    return SIZE / clock.seconds / 1e9


def _read_buffered(path: str) -> float:
    buffer = bytearray(16 * MIB)
    with Clock() as clock, open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return SIZE / clock.seconds / 1e9


def _write_from_registered(bench: Bench, loop: DirectLoop) -> None:
    """Pages that the GPU's driver has pinned must still do for O_DIRECT: the ring stands on it."""
    size = IN_FLIGHT * REQUEST_BYTES
    descriptor = os.memfd_create("podfs-gpu-bench")
    os.ftruncate(descriptor, size)
    with mmap.mmap(descriptor, size) as memory:
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        bench.driver.call("cuMemHostRegister_v2", address, size, REGISTER_PORTABLE)
        bench.results.row("disk: O_DIRECT write from a registered memfd", loop.run(memory), "GB/s", DIRECT_WRITE)
        bench.driver.call("cuMemHostUnregister", address)
    os.close(descriptor)
