"""A few threads for reads, which let other Python threads run while they wait."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Callable

THREADS = 8

Job = Callable[[], None]


def run_jobs(jobs: Sequence[Job], threads_max: int = THREADS) -> None:
    """Runs them on a few threads, in order, and raises the first error; jobs not begun by then are left out."""
    pending = iter(jobs)
    lock = threading.Lock()
    errors: list[BaseException] = []

    def work() -> None:
        while True:
            with lock:
                job = next(pending, None)
                if job is None or errors:
                    return
            try:
                job()
            except BaseException as error:
                errors.append(error)

    others = min(threads_max, len(jobs)) - 1
    threads = [threading.Thread(target=work, name="podfs-read", daemon=True) for _ in range(others)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
