"""Checkpoints of several processes: one file per rank, and an index that appears when every one of them is whole.

No rank waits for another to say that it has finished. Each, when its own file has got its name, looks at all of them;
the one that finds all whole, and all of this save, writes the index. Two ranks that finish at once both do: the bytes
are the same, and a rename is one step. So a rank that dies leaves files without an index, which are no checkpoint, and
files that an earlier save left under the same name never count, as they carry another id.

A save that may replace another (`overwrite=True`) gives its files names with its id in them. So nothing of the old
checkpoint changes until the new index takes the place of the old one, in one step; then the old files go. That ranks
run ahead of each other, and begin the next save under a name before the last one is whole, changes nothing about it.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from . import _retention
from ._errors import CheckpointExists, CheckpointNotFound, DamagedCheckpoint, TensorMismatch
from ._index import Index, check_same_save, encode_index, read_index
from ._names import (
    RANK_KEY,
    RANKS_KEY,
    SAVE_KEY,
    TIME_KEY,
    file_set_of,
    index_file,
    shard_file,
    single_file,
)
from ._pending import Outcome
from ._restore import load_file
from ._retention import Saved
from ._safetensors import Header, read_header

if TYPE_CHECKING:
    from ._engine import Engine, PendingFile

_SAVE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class _Identity:
    """What the files of one save have in common."""

    save_id: str
    time_ms: str


def placement(rank: Optional[int] = None, ranks: Optional[int] = None) -> tuple[int, int]:
    """(rank from 0, number of ranks): as given, else torch.distributed's where it is initialised, else (0, 1)."""
    if rank is None and ranks is None:
        return _distributed() or (0, 1)
    if rank is None or ranks is None:
        raise ValueError("rank and world_size go together: give both or neither")
    if not 0 <= rank < ranks:
        raise ValueError(f"rank {rank} of {ranks}: ranks are counted from 0")
    return rank, ranks


def save(
    engine: Engine,
    directory: str,
    name: str,
    state: Mapping[str, Any],
    *,
    metadata: Mapping[str, str],
    overwrite: bool,
    rank: int,
    ranks: int,
    keep: Optional[int] = None,
    save_id: Optional[str] = None,
) -> PendingFile:
    """Saves this rank's part. Every rank calls it, with its own state; names may be in those of others as well.

    save_id: any string, the same on all ranks and a new one for each save. It is not needed where torch.distributed is
    initialised with these ranks: rank 0 broadcasts one, and the call is a collective one. overwrite: a checkpoint of
    this name may be there, and stays until the new one is whole. Without, files that have no index, which a save that
    was killed has left, are replaced all the same.

    What is returned is this rank's file: when `wait` has returned on all ranks, the index is there. Raises
    CheckpointExists, on all ranks.
    """
    identity = _agree(directory, name, overwrite, rank, ranks, save_id)
    own = {SAVE_KEY: identity.save_id, TIME_KEY: identity.time_ms, RANK_KEY: str(rank), RANKS_KEY: str(ranks)}
    save_files = _SaveFiles(directory, name, ranks, identity.save_id, overwrite)
    earlier = engine.running()
    return engine.save_file(
        directory,
        save_files.of(rank),
        state,
        {**metadata, **own},
        replace=True,
        then=lambda: _write_index(engine, save_files, keep, earlier),
        # An index that comes late would speak for files that the next one has had removed.
        series=name,
    )


@dataclass(frozen=True)
class _SaveFiles:
    """Where the files of one save go."""

    directory: str
    name: str
    ranks: int
    save_id: str
    overwrite: bool

    @property
    def file_set(self) -> str:
        return file_set_of(self.save_id) if self.overwrite else ""

    def of(self, rank: int) -> str:
        return shard_file(self.name, rank, self.ranks, self.file_set)


def load(
    engine: Optional[Engine],
    directory: str,
    name: str,
    *,
    device: Any = None,
    into: Optional[Mapping[str, Any]] = None,
    names: Optional[Iterable[str]] = None,
    rank: Optional[int] = None,
    mmap: bool = False,
) -> dict[str, Any]:
    """Loads the tensors of all ranks (of those that several have, the lowest rank's), or what `rank` alone has saved.

    Raises CheckpointNotFound without an index, DamagedCheckpoint when a file is missing, cut short or of another save,
    TensorMismatch when there is no such tensor or rank.
    """
    index = read_index(directory, name)
    if rank is not None:
        if not 0 <= rank < index.ranks:
            raise TensorMismatch(f"checkpoint {name!r} is of {index.ranks} ranks: there is no rank {rank}")
        return _load_one(engine, directory, index.file_of(rank), index, device, into, names, mmap)
    wanted = list(names if names is not None else into if into is not None else index.weight_map)
    missing = [tensor for tensor in wanted if tensor not in index.weight_map]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise TensorMismatch(f"checkpoint {name!r} has no tensor {', '.join(map(repr, missing[:3]))}{more}")
    by_file: dict[str, list[str]] = {}
    for tensor in wanted:
        by_file.setdefault(index.weight_map[tensor], []).append(tensor)
    loaded: dict[str, Any] = {}
    for filename, tensors in by_file.items():
        targets = None if into is None else {tensor: into[tensor] for tensor in tensors if tensor in into}
        loaded.update(_load_one(engine, directory, filename, index, device, targets, tensors, mmap))
    return {tensor: loaded[tensor] for tensor in wanted}


def _load_one(
    engine: Optional[Engine],
    directory: str,
    filename: str,
    index: Index,
    device: Any,
    into: Optional[Mapping[str, Any]],
    names: Optional[Iterable[str]],
    mmap: bool,
) -> dict[str, Any]:
    path = os.path.join(directory, filename)
    try:
        return load_file(path, device, into, names, engine, mmap, lambda header: check_same_save(path, header, index))
    except CheckpointNotFound:
        raise DamagedCheckpoint(f"{path} is missing, though the index names it") from None


def _agree(directory: str, name: str, overwrite: bool, rank: int, ranks: int, save_id: Optional[str]) -> _Identity:
    """Looks whether the name may be taken, and gives all ranks one identity.

    What rank 0 finds wrong is raised on all of them.
    """
    if save_id is not None:
        _check_name_is_free(directory, name, overwrite)
        return _Identity(_hexadecimal(save_id), _now_ms())
    if _distributed() != (rank, ranks):
        raise ValueError(
            "save_id is needed, because torch.distributed is not initialised with these ranks: a string that is the "
            "same on all of them, and a new one for each save, such as f'{job}-{attempt}-{step}'"
        )
    import torch.distributed as dist

    agreed: list[Any] = [None]
    if rank == 0:
        try:
            _check_name_is_free(directory, name, overwrite)
            agreed = [_Identity(uuid.uuid4().hex, _now_ms())]
        except Exception as error:  # for all ranks: none must wait for a save that is not going to be
            agreed = [error]
    dist.broadcast_object_list(agreed, src=0)
    identity = agreed[0]
    if not isinstance(identity, _Identity):
        raise identity
    return identity


def _check_name_is_free(directory: str, name: str, overwrite: bool) -> None:
    """Raises CheckpointExists where a checkpoint of this name may not be replaced."""
    for path in () if overwrite else (index_file(name), single_file(name)):
        if os.path.lexists(os.path.join(directory, path)):
            raise CheckpointExists(f"{os.path.join(directory, path)} exists: save with overwrite=True, or remove it")


def _write_index(
    engine: Engine, save_files: _SaveFiles, keep: Optional[int], earlier: Sequence[Outcome]
) -> Optional[PendingFile]:
    """Writes the index if the files of all ranks are whole and of this save. If not, a later rank will."""
    directory, name = save_files.directory, save_files.name
    filenames = [save_files.of(rank) for rank in range(save_files.ranks)]
    # On NFS it is also the opening of the directory that brings in the names that other machines have made.
    if not set(filenames).issubset(os.listdir(directory)):
        return None
    headers: dict[str, Header] = {}
    for filename in filenames:
        try:
            headers[filename] = read_header(os.path.join(directory, filename))
        except (FileNotFoundError, DamagedCheckpoint):
            return None
        if headers[filename].metadata.get(SAVE_KEY) != save_files.save_id:
            return None
    began_ms = min(int(header.metadata[TIME_KEY]) for header in headers.values())
    saved = Saved(name, frozenset((index_file(name), *filenames)), began_ms)
    return engine.save_bytes(
        directory,
        index_file(name),
        encode_index(headers, save_files.file_set),
        replace=True,
        retire=lambda: _retention.retire(directory, keep, saved),
        earlier=earlier,
        after=filenames,
    )


def _distributed() -> Optional[tuple[int, int]]:
    """torch.distributed's (rank, number of ranks), where it is in use. torch is not imported to find out."""
    if "torch" not in sys.modules:
        return None
    import torch.distributed as dist

    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else None


def _hexadecimal(save_id: str) -> str:
    return save_id if _SAVE_ID.fullmatch(save_id) else hashlib.sha256(save_id.encode()).hexdigest()[:32]


def _now_ms() -> str:
    return str(time.time_ns() // 1_000_000)
