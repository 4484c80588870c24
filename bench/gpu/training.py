"""What a save costs the training that goes on meanwhile: the time of a step, without and with one running."""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import Any, Callable

import mounting
from bench import Bench, torch_obstacle

WIDTH = 4096
LAYERS = 24
BATCH = 4096
STEPS = 40


def measure(bench: Bench) -> None:
    reason = torch_obstacle()
    if reason is not None:
        bench.results.skip("training while a save runs", reason)
        return
    with contextlib.ExitStack() as stack:
        if mounting.obstacle() is None:
            directory = stack.enter_context(bench.mounted()).path
        else:
            directory = stack.enter_context(bench.scratch())
        _measure_in(bench, directory)


def _measure_in(bench: Bench, directory: str) -> None:
    import podfs
    import torch

    torch.manual_seed(1)
    model = torch.nn.Sequential(*(torch.nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS))).cuda().bfloat16()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    batch = torch.randn(BATCH, WIDTH, device="cuda", dtype=torch.bfloat16)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        model(batch).square().mean().backward()
        optimizer.step()

    _times(step, 10)
    alone = statistics.median(_times(step, STEPS))
    bench.results.row("training step alone", alone * 1000, "ms")
    with podfs.checkpoint(directory) as checkpoint:
        blocked: list[float] = []
        times: list[float] = []
        for number in range(3):
            started = time.perf_counter()
            pending = checkpoint.save(_tensors(model, optimizer), f"step-{number}")
            blocked.append(time.perf_counter() - started)
            times += _times(step, 1)
            while not pending.committed:
                times += _times(step, 1)
            pending.wait()
        what = "training step while a save runs"
        bench.results.row(what, statistics.median(times) * 1000, "ms", "training step alone")
        bench.results.row("training: save() blocks", statistics.median(blocked) * 1000, "ms", note=checkpoint.mode)


def _times(step: Callable[[], None], count: int) -> list[float]:
    """Seconds of each."""
    import torch

    times = []
    for _ in range(count):
        torch.cuda.synchronize()
        started = time.perf_counter()
        step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return times


def _tensors(model: Any, optimizer: Any) -> dict[str, Any]:
    """Weights and both moments: three times the model."""
    tensors = dict(model.state_dict())
    for index, moments in optimizer.state_dict()["state"].items():
        tensors.update({f"optimizer.{index}.{name}": moments[name] for name in ("exp_avg", "exp_avg_sq")})
    return tensors
