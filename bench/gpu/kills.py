"""kill -9 of a training process in the middle of a save: nothing of it is to be seen, and the next save works."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Callable, Optional

import mounting
from bench import Bench, files_in
from correctness import round_trip
from states import awkward_shapes

#: Of the time that a whole save takes: at the beginning, in the middle, and near the commit.
MOMENTS = (0.05, 0.3, 0.6, 0.9)
LIMIT_SECONDS = 60
CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "victim.py")


def measure(bench: Bench) -> None:
    with bench.scratch() as directory:
        _kill_in_mode(bench, directory, "file", flush=lambda: None)
    reason = mounting.obstacle()
    if reason is not None:
        bench.results.skip("kill -9 of clients of a mount", reason)
        return
    with bench.mounted() as mount:
        for mode in ("shm", "ipc"):
            _kill_in_mode(bench, mount.path, mode, mount.flush)


def _kill_in_mode(bench: Bench, directory: str, mode: str, flush: Callable[[], None]) -> None:
    whole = f"{mode}-whole"
    seconds = _save(bench, directory, mode, whole, None)
    if seconds is None:
        bench.results.check(f"a save in mode {mode}, not killed", False, "it failed; its words are above")
        return
    before = files_in(directory)
    for moment in MOMENTS:
        name = f"{mode}-killed-{moment}"
        _save(bench, directory, mode, name, seconds * moment)
        new = [path for path in files_in(directory) if path not in before]
        if mode == "file":
            # Nobody cleans up after a process that was killed, but the next save in that directory.
            new = [path for path in new if not os.path.basename(path).startswith(".")]
        # A file that is there must be whole: then the save was done before the kill.
        partial = [path for path in new if _size(directory, path) != _size(directory, f"{whole}.safetensors")]
        what = f"mode {mode}, killed at {moment:.0%}: nothing half-written"
        bench.results.check(what, not partial, ", ".join(partial))
    flush()
    round_trip(bench, directory, mode, f"mode {mode}, after kills", awkward_shapes())


def _save(bench: Bench, directory: str, mode: str, name: str, kill_after: Optional[float]) -> Optional[float]:
    """Runs a process that saves. Returns the seconds its save took; None if it failed or was killed."""
    command = [sys.executable, CLIENT, directory, mode, name, str(bench.state_bytes // 4)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        # The state is on the GPU, the ring is there: from here on it saves.
        if victim.stdout.readline() != "saving\n":
            return None
        started = time.perf_counter()
        if kill_after is not None:
            time.sleep(kill_after)
            victim.kill()
        code = victim.wait(LIMIT_SECONDS)
    return time.perf_counter() - started if code == 0 else None


def _size(directory: str, path: str) -> int:
    return os.path.getsize(os.path.join(directory, path))
