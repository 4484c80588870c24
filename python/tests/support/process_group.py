"""Runs a function on several ranks of torch.distributed (gloo, loopback): what torchrun does, for tests."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

TIMEOUT_SECONDS = 600


def run_ranks(ranks: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """Calls `function(rank, *args)` in a process for each rank, and returns what they return, by rank.

    The function must be a module's own, and what it takes and returns picklable. An exception in one is raised here.
    """
    context = multiprocessing.get_context("spawn")  # not fork: torch has threads
    with tempfile.TemporaryDirectory() as directory:
        pipes, processes = [], []
        for rank in range(ranks):
            receiving, sending = context.Pipe(duplex=False)
            rendezvous = os.path.join(directory, "rendezvous")
            process = context.Process(target=_main, args=(sending, rendezvous, rank, ranks, function, args))
            process.start()
            sending.close()
            pipes.append(receiving)
            processes.append(process)
        try:
            return [_result(pipe, rank) for rank, pipe in enumerate(pipes)]
        finally:
            for process in processes:
                process.join(5)
                process.kill()
                process.join()


def _result(pipe: Any, rank: int) -> Any:
    if not pipe.poll(TIMEOUT_SECONDS):
        raise TimeoutError(f"rank {rank} has not ended in {TIMEOUT_SECONDS} s")
    try:
        ok, value = pipe.recv()
    except EOFError:
        raise RuntimeError(f"rank {rank} died") from None
    if not ok:
        raise RuntimeError(f"rank {rank} failed:\n{value}")
    return value


def _main(
    pipe: Any, rendezvous: str, rank: int, ranks: int, function: Callable[..., Any], args: tuple[Any, ...]
) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    try:
        dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=ranks)
        value = function(rank, *args)
        dist.barrier()
        pipe.send((True, value))
        dist.destroy_process_group()
    except BaseException:
        pipe.send((False, traceback.format_exc()))
