"""PyTorch Distributed Checkpoint (torch.distributed.checkpoint) on the fast way into a podfs mount.

    import torch.distributed.checkpoint as dcp
    from podfs.dcp import PodfsReader, PodfsWriter

    dcp.save(state, storage_writer=PodfsWriter("/workspace/ckpt/step-1000"))      # or dcp.async_save
    dcp.load(state, storage_reader=PodfsReader("/workspace/ckpt/step-1000"))

As with torch's own FileSystemWriter, a checkpoint is a directory with files of each rank and `.metadata`, which comes
last and says that the rest is whole. Here the files are safetensors files, and no save writes over the files of
another: until the new `.metadata` takes the place of the old one, in one step, the old checkpoint stays as it was.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import secrets
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional, Union

import torch
from torch.distributed.checkpoint.metadata import Metadata, MetadataIndex, StorageMeta
from torch.distributed.checkpoint.planner import (
    LoadPlan,
    LoadPlanner,
    ReadItem,
    SavePlan,
    SavePlanner,
    WriteItem,
    WriteItemType,
)
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

from ._dcp_read import read_items
from ._engine import Engine
from ._errors import CheckpointExists, CheckpointNotFound, DamagedCheckpoint
from ._names import RANK_KEY, SUFFIX, TIME_KEY
from ._ranks import placement

__all__ = ["PodfsReader", "PodfsWriter"]

_Path = Union[str, "os.PathLike[str]"]
_METADATA = ".metadata"
#: What is read on to GPUs goes through a ring: one for all files. What is read elsewhere does not touch it.
_READ_RING_BYTES = 128 << 20
_RANK_FILE = re.compile(r"rank-(?P<rank>\d{5,})-[0-9a-f]{12}\.safetensors")


@dataclass(frozen=True)
class StoredItem:
    """Where an item is: the `storage_data` of DCP's metadata. `.metadata` refers to it by this name: never move it."""

    filename: str
    tensor: str


class PodfsWriter(StorageWriter):
    """Writes DCP checkpoints. One may be used for any number of saves, one after the other."""

    def __init__(self, path: _Path, *, mode: str = "auto", overwrite: bool = True, durable: bool = False) -> None:
        """path: the checkpoint's directory, which is made. mode: as `podfs.checkpoint` has it. durable: a save ends
        when it is in the volume, rather than on the local disk. Without `overwrite`, a checkpoint that is there is an
        error."""
        super().__init__()
        self._path = os.path.abspath(os.fspath(path))
        self._mode = mode
        self._overwrite = overwrite
        self._durable = durable
        self._save_id = secrets.token_hex(16)
        self._rank: Optional[int] = None
        """Given when ranks do not work together (`use_collectives=False`): then each has a `.metadata` of its own."""
        self._earlier: list[str] = []
        """Files there were when this save began. They go when it is complete; later ones may be of the next save."""
        self._engine: Optional[Engine] = None
        """Kept from save to save: what it has set up with the GPU's driver takes a while. Goes with the writer."""

    def reset(self, checkpoint_id: Optional[_Path] = None) -> None:
        if checkpoint_id:
            self._path = os.path.abspath(os.fspath(checkpoint_id))
        self._save_id = secrets.token_hex(16)

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        self._rank = None if kwargs.get("use_collectives", True) else kwargs.get("rank")

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        os.makedirs(self._path, exist_ok=True)
        if not self._overwrite and os.path.exists(os.path.join(self._path, _metadata_file(self._rank))):
            raise CheckpointExists(f"{self._path} has a checkpoint: save with overwrite=True, or remove it")
        self._earlier = list(self._written_so_far())
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        return plans

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        rank = placement()[0] if self._rank is None else self._rank
        filename = f"rank-{rank:05d}-{secrets.token_hex(6)}{SUFFIX}"
        tensors: dict[str, torch.Tensor] = {}
        results = []
        for item in plan.items:
            name = _unused(_name_of(item), tensors)
            tensor = tensors[name] = _as_tensor(planner.resolve_data(item))
            results.append(WriteResult(item.index, tensor.numel() * tensor.element_size(), StoredItem(filename, name)))
        if tensors:
            metadata = {TIME_KEY: str(time.time_ns() // 1_000_000), RANK_KEY: str(rank)}
            engine = self._open_engine()
            engine.save_file(self._path, filename, tensors, metadata, replace=False)
            engine.wait()
        written: Future[list[WriteResult]] = Future()
        written.set_result(results)
        return written

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        metadata.storage_data = {result.index: result.storage_data for of_rank in results for result in of_rank}
        metadata.storage_meta = self.storage_meta()
        current = {item.filename for item in metadata.storage_data.values()}
        engine = self._open_engine()
        engine.save_bytes(
            self._path,
            _metadata_file(self._rank),
            pickle.dumps(metadata),
            replace=True,
            retire=[filename for filename in self._earlier if filename not in current],
            after=sorted(current),
        )
        engine.wait(self._durable)

    def close(self) -> None:
        """Gives the ring and the connection to the mount back. Another save opens them again."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def __getstate__(self) -> dict[str, Any]:
        # dcp.async_save with a process of its own sends the writer there.
        return {**self.__dict__, "_engine": None}

    def _open_engine(self) -> Engine:
        if self._engine is None:
            self._engine = Engine.open(self._path, self._mode)
            weakref.finalize(self, self._engine.close)
        return self._engine

    def _written_so_far(self) -> Iterator[str]:
        """Files of saves in this directory, also of those that came to nothing."""
        for filename in os.listdir(self._path):
            match = _RANK_FILE.fullmatch(filename)
            if match is not None and self._rank in (None, int(match["rank"])):
                yield filename

    def storage_meta(self) -> Optional[StorageMeta]:
        return StorageMeta(checkpoint_id=self._path, save_id=self._save_id)

    @property
    def checkpoint_id(self) -> str:
        """The directory that the next save goes to."""
        return self._path

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: _Path) -> bool:
        return "://" not in os.fspath(checkpoint_id)


class PodfsReader(StorageReader):
    """Reads what PodfsWriter wrote, on any number of ranks. As torch's reader does, it unpickles `.metadata`: load
    checkpoints of people you trust only."""

    def __init__(self, path: _Path) -> None:
        super().__init__()
        self._path = os.path.abspath(os.fspath(path))
        self._items: dict[MetadataIndex, StoredItem] = {}

    def reset(self, checkpoint_id: Optional[_Path] = None) -> None:
        if checkpoint_id:
            self._path = os.path.abspath(os.fspath(checkpoint_id))
        self._items = {}

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        path = os.path.join(self._path, _metadata_file(kwargs.get("rank")))
        try:
            with open(path, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            raise CheckpointNotFound(f"{self._path} has no complete checkpoint: there is no {_METADATA}") from None
        try:
            metadata = pickle.loads(content)
        except Exception as cause:  # damaged bytes make pickle raise nearly anything
            raise DamagedCheckpoint(f"{path} is damaged: {cause!r}") from cause
        items = getattr(metadata, "storage_data", None)
        if not isinstance(items, dict) or not all(isinstance(item, StoredItem) for item in items.values()):
            raise DamagedCheckpoint(f"{path} was not written by podfs: use torch's FileSystemReader")
        assert isinstance(metadata, Metadata)
        return metadata

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        self._items = metadata.storage_data

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        by_file: dict[str, list[tuple[ReadItem, str]]] = {}
        for item in plan.items:
            stored = self._items[item.storage_index]
            by_file.setdefault(stored.filename, []).append((item, stored.tensor))
        engine = Engine.open(self._path, "file", _READ_RING_BYTES)
        try:
            for filename, items in by_file.items():
                read_items(os.path.join(self._path, filename), items, planner, engine)
        finally:
            engine.close()
        done: Future[None] = Future()
        done.set_result(None)
        return done

    @property
    def checkpoint_id(self) -> str:
        """The directory that is read from."""
        return self._path

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: _Path) -> bool:
        return "://" not in os.fspath(checkpoint_id)


def _metadata_file(rank: Optional[int]) -> str:
    return _METADATA if rank is None else f"__{rank}{_METADATA}"


def _name_of(item: WriteItem) -> str:
    """The name in the file: that in the state, with the offsets of what is a part of a tensor."""
    if item.type == WriteItemType.SHARD and item.index.offset is not None:
        return f"{item.index.fqn}[{','.join(map(str, item.index.offset))}]"
    return item.index.fqn


def _unused(name: str, used: dict[str, torch.Tensor]) -> str:
    unique, number = name, 2
    while unique in used:
        unique, number = f"{name}~{number}", number + 1
    return unique


def _as_tensor(data: Union[torch.Tensor, io.BytesIO]) -> torch.Tensor:
    if isinstance(data, torch.Tensor):
        return data.detach()
    content = data.getbuffer()
    return torch.frombuffer(content, dtype=torch.uint8) if len(content) > 0 else torch.empty(0, dtype=torch.uint8)
