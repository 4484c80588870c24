"""The same tensors by what people use today: torch.save, safetensors, PyTorch's distributed checkpoint."""

from __future__ import annotations

import os
from typing import Any, Callable

from bench import Bench, Clock, drop_pages, torch_obstacle
from disks import DIRECT_READ, DIRECT_WRITE


def measure(bench: Bench) -> None:
    reason = torch_obstacle()
    if reason is not None:
        bench.results.skip("baselines", reason)
        return
    import torch

    state = torch_state(bench.state_bytes)
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    with bench.scratch() as directory:
        path = f"{directory}/baseline"
        for name, save, load in _contestants(state, path):
            torch.cuda.synchronize()
            try:
                with Clock() as clock:
                    save()
                    _sync(path)
                bench.results.row(f"save with {name} + fsync", size / clock.seconds / 1e9, "GB/s", DIRECT_WRITE)
                _drop(path)
                with Clock() as clock:
                    load()
                    torch.cuda.synchronize()
                bench.results.row(f"restore with {name}", size / clock.seconds / 1e9, "GB/s", DIRECT_READ)
            except Exception as error:  # A library that cannot do it here is no reason to leave out the others.
                bench.results.skip(f"{name}", f"{type(error).__name__}: {error}")
            _remove(path)
        _async_blocked(bench, state, path)


def torch_state(total_bytes: int) -> dict[str, Any]:
    """BF16 weights and FP32 moments, about as many bytes as asked for."""
    import torch

    width = 4096
    rows = total_bytes // (width * 10) // 8
    state = {}
    for layer in range(8):
        for name, dtype in (("weight", torch.bfloat16), ("exp_avg", torch.float32), ("exp_avg_sq", torch.float32)):
            state[f"layers.{layer}.{name}"] = torch.randn(rows, width, device="cuda").to(dtype)
    return state


def _contestants(state: dict[str, Any], path: str) -> list[tuple[str, Callable[[], Any], Callable[[], Any]]]:
    import torch
    import torch.distributed.checkpoint as dcp

    def load_torch() -> Any:
        return torch.load(path, map_location="cuda", weights_only=True)

    found: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
        ("torch.save", lambda: torch.save(state, path), load_torch),
        ("DCP", lambda: dcp.save(state, checkpoint_id=path), lambda: dcp.load(state, checkpoint_id=path)),
    ]
    try:
        from safetensors.torch import load_file, save_file

        found.append(("safetensors", lambda: save_file(state, path), lambda: load_file(path, device="cuda")))
    except ImportError:
        pass
    return found


def _async_blocked(bench: Bench, state: dict[str, Any], path: str) -> None:
    """How long DCP's async_save keeps the trainer, staging through pinned shared memory where this torch has that."""
    import torch
    import torch.distributed as dist
    import torch.distributed.checkpoint as dcp

    try:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        torch.cuda.synchronize()
        for what in ("first", "second"):  # The first makes its buffers.
            with Clock() as clock:
                future = dcp.async_save(state, checkpoint_id=f"{path}-{what}")
            with Clock() as rest:
                getattr(future, "upload_completion", future).result()
            note = f"done after {clock.seconds + rest.seconds:.2f} s"
            bench.results.row(f"DCP async_save blocks ({what})", clock.seconds * 1000, "ms", note=note)
    except Exception as error:
        bench.results.skip("DCP async_save", f"{type(error).__name__}: {error}")
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _files(path: str) -> list[str]:
    return [f"{path}/{name}" for name in os.listdir(path)] if os.path.isdir(path) else [path]


def _sync(path: str) -> None:
    for file in _files(path):
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def _drop(path: str) -> None:
    for file in _files(path):
        drop_pages(file)


def _remove(path: str) -> None:
    for file in _files(path):
        os.unlink(file)
    if os.path.isdir(path):
        os.rmdir(path)
