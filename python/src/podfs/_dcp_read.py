"""Reads what a plan of torch.distributed.checkpoint wants of one file."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch.distributed.checkpoint.planner import LoadItemType, LoadPlanner, ReadItem

from . import _dtypes
from ._engine import Engine
from ._errors import CheckpointNotFound, DamagedCheckpoint
from ._objects import bytes_of
from ._restore import load_file
from ._safetensors import TensorInfo, read_header

#: Tensors that do not go straight to where they belong are read in groups of this many bytes.
_DETOUR_BYTES = 256 << 20

#: What is to be read, and the name that it is stored under.
_Wanted = tuple[ReadItem, str]


def read_items(path: str, items: Sequence[_Wanted], planner: LoadPlanner, engine: Engine) -> None:
    """Reads what is wanted of one file: straight into place where a whole stored tensor is, else by way of the CPU."""
    stored = _stored_tensors(path)
    straight: dict[str, torch.Tensor] = {}
    placed: list[tuple[ReadItem, torch.Tensor]] = []
    detours: list[_Wanted] = []
    for item, name in items:
        if name not in stored:
            raise DamagedCheckpoint(f"{path} has no tensor {name!r}, though the checkpoint's metadata names it")
        if item.type == LoadItemType.TENSOR and name not in straight:
            target = planner.resolve_tensor(item).detach()
            if _fits(stored[name], item, target):
                straight[name] = target
                placed.append((item, target))
                continue
        detours.append((item, name))
    if straight:
        load_file(path, None, straight, None, engine)
    for item, target in placed:
        planner.commit_tensor(item, target)
    for batch in _batches(stored, detours):
        loaded = load_file(path, "cpu", None, sorted({name for _, name in batch}))
        for item, name in batch:
            _place(item, loaded[name], planner)


def _stored_tensors(path: str) -> dict[str, TensorInfo]:
    """What the file has; tied weights under each of their names."""
    try:
        header = read_header(path)
    except CheckpointNotFound:
        raise DamagedCheckpoint(f"{path} is missing, though the checkpoint's metadata names it") from None
    return {**header.tensors, **{alias: header.tensors[name] for alias, name in header.aliases.items()}}


def _place(item: ReadItem, stored: torch.Tensor, planner: LoadPlanner) -> None:
    """Gives the planner an object's bytes, or copies the piece of a stored tensor that is wanted."""
    if item.type == LoadItemType.BYTE_IO:
        planner.load_bytes(item, io.BytesIO(bytes_of(stored)))
        return
    for dimension, (offset, length) in enumerate(zip(item.storage_offsets, item.lengths)):
        stored = stored.narrow(dimension, offset, length)
    target = planner.resolve_tensor(item).detach()
    target.copy_(stored)
    planner.commit_tensor(item, target)


def _fits(stored: TensorInfo, item: ReadItem, target: torch.Tensor) -> bool:
    """All of the stored tensor is wanted, and as it is."""
    return (
        stored.shape == tuple(item.lengths) == tuple(target.shape)
        and stored.dtype == _dtypes.of_torch(target.dtype)
        and target.is_contiguous()
    )


def _batches(stored: Mapping[str, TensorInfo], items: Sequence[_Wanted]) -> Iterator[list[_Wanted]]:
    """The items in the order of the file, in groups of few enough bytes."""
    batch: list[_Wanted] = []
    for item, name in sorted(items, key=lambda wanted: stored[wanted[1]].begin):
        if batch and stored[name].end - stored[batch[0][1]].begin > _DETOUR_BYTES:
            yield batch
            batch = []
        batch.append((item, name))
    if batch:
        yield batch
