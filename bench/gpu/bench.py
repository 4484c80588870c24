"""What every section is given: the GPU, the disk, the results, and what this machine has beside."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Optional

import mounting
from device import Driver, Gpu
from patterns import HostPatterns, KernelPatterns, Patterns
from results import Results

GIB = 1 << 30
MIB = 1 << 20

sys.path.insert(0, str(mounting.ROOT / "python/src"))


@dataclass(frozen=True)
class Options:
    """Of the command line, handed on to each section."""

    directory: str
    """On the disk that is measured."""
    results: str
    gib: float
    """Of the large states."""
    simulated: bool


class Bench:
    def __init__(self, options: Options, section: str) -> None:
        self.options = options
        self.results = Results(options.results)
        self.results.begin(section)
        self.driver = Driver()
        self.gpu = Gpu(self.driver)
        self.patterns: Patterns = HostPatterns(self.gpu) if options.simulated else KernelPatterns(self.gpu)

    @property
    def state_bytes(self) -> int:
        """Of the large states: what was asked for, or what the GPU (twice) and the disk (three times) have room for."""
        if self.options.simulated:
            return 2 * MIB
        disk = shutil.disk_usage(self.options.directory).free
        return min(int(self.options.gib * GIB), self.gpu.free_bytes * 2 // 5, disk * 2 // 7)

    @contextlib.contextmanager
    def scratch(self, under: Optional[str] = None) -> Iterator[str]:
        """A directory of its own, deleted afterwards."""
        path = tempfile.mkdtemp(prefix="podfs-gpu-", dir=under or self.options.directory)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def mounted(self) -> Iterator[mounting.Mount]:
        with self.scratch() as directory, mounting.Mount(directory) as mount:
            yield mount


def torch_obstacle() -> Optional[str]:
    """Why there is no comparing with PyTorch; None when there is."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    import torch

    return None if torch.cuda.is_available() else f"torch {torch.__version__} does not see the GPU"


def drop_pages(path: str) -> None:
    """The file's pages leave the page cache: what is read next comes from the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


class Clock:
    """`with Clock() as clock: …` and then `clock.seconds`."""

    seconds: float

    def __enter__(self) -> Clock:
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: Any) -> None:
        self.seconds = time.perf_counter() - self._start


def files_in(directory: str) -> list[str]:
    """Everything below it, hidden files too: what a half-done save would have left."""
    return sorted(str(path.relative_to(directory)) for path in Path(directory).rglob("*"))
