"""Checkpoints of several ranks, saved one rank after the other in this process."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Optional

import torch

import podfs

RING_BYTES = 4 << 20


def open_rank(directory: Path, rank: int, ranks: int, **options: Any) -> podfs.Checkpoint:
    return podfs.checkpoint(str(directory), ring_bytes=RING_BYTES, rank=rank, world_size=ranks, **options)


def save_rank(
    directory: Path,
    rank: int,
    ranks: int,
    state: dict[str, torch.Tensor],
    name: str = "step",
    save_id: Optional[str] = None,
    keep: Optional[int] = None,
    **options: Any,
) -> None:
    with open_rank(directory, rank, ranks, keep=keep) as ck:
        ck.save(state, name, save_id=save_id, **options)
        ck.wait()
    await_next_millisecond()


def await_next_millisecond() -> None:
    """No two saves are to begin in the same one: which is the newer could not be told."""
    time.sleep(0.002)


def state_of(rank: int, value: float = 0.0) -> dict[str, torch.Tensor]:
    return {f"layer.{rank}": torch.full((100,), rank + value), "shared": torch.full((3,), float(rank))}


def save_all(
    directory: Path, ranks: int, name: str = "step", value: float = 0.0, *, save_id: str, **options: Any
) -> None:
    for rank in range(ranks):
        save_rank(directory, rank, ranks, state_of(rank, value), name, save_id=save_id, **options)


def files(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def states(directory: Path) -> dict[str, str]:
    with open_rank(directory, 0, 1) as ck:
        return {info.name: info.state for info in ck.list()}
