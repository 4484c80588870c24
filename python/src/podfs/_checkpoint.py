"""What training code calls: a directory of checkpoints."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Optional

from . import _catalog, _objects, _ranks, _retention
from ._catalog import CheckpointInfo
from ._engine import RING_BYTES, Engine
from ._errors import CheckpointExists, CheckpointNotFound, DamagedCheckpoint, of_system_error
from ._index import index_first
from ._names import (
    RANK_KEY,
    RANKS_KEY,
    RESERVED_PREFIX,
    SAVE_KEY,
    TIME_KEY,
    check_name,
    index_file,
    single_file,
)
from ._pending import PendingFile
from ._restore import load_file
from ._retention import Saved
from ._sources import is_tensor

Mode = Literal["auto", "shm", "ipc", "file"]

#: transformers loads no safetensors file that does not say so.
_FORMAT = {"format": "pt"}


def checkpoint(
    path: str | os.PathLike[str],
    mode: Mode = "auto",
    ring_bytes: int = RING_BYTES,
    keep: Optional[int] = None,
    rank: Optional[int] = None,
    world_size: Optional[int] = None,
) -> Checkpoint:
    """Opens a directory (it is made if it is not there) for saving and loading checkpoints. Use it with `with`.

    mode: "auto" takes the fastest way there is, and `reason` says why it is not the first. "shm": through memory
    shared with the daemon of the podfs mount that the directory is in. "ipc": the mount's daemon copies out of GPU
    memory by itself. "file": without a daemon, in any directory. What was asked for by name and is not to be had
    raises DaemonUnavailable.
    ring_bytes: memory that tensors go through. A state that fits is saved without waiting for the disk.
    keep: so many checkpoints stay; older ones that podfs wrote are removed when a new one is in the volume.
    rank, world_size: of this process among those that save together; torch.distributed's where it is initialised.
    """
    return Checkpoint(path, mode, ring_bytes, keep, rank, world_size)


class Checkpoint:
    """A directory of checkpoints. Thread-safe; of the process that opened it only (open another after fork)."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: Mode = "auto",
        ring_bytes: int = RING_BYTES,
        keep: Optional[int] = None,
        rank: Optional[int] = None,
        world_size: Optional[int] = None,
    ) -> None:
        if keep is not None and keep < 1:
            raise ValueError(f"keep={keep}: at least the checkpoint that is being saved is kept")
        self.path = os.path.abspath(os.fspath(path))
        self._keep = keep
        # torch.distributed may be initialised later: what was not given is asked for at each save.
        self._given = (rank, world_size)
        _ranks.placement(rank, world_size)
        _make_directory(self.path)
        self._engine = Engine.open(self.path, mode, ring_bytes)

    @property
    def mode(self) -> str:
        """ "shm", "ipc" or "file": what is in use now."""
        return self._engine.mode

    @property
    def reason(self) -> str:
        """Why it is not the first choice, in words; empty if it is."""
        return self._engine.reason

    def save(
        self,
        state: Any,
        name: str,
        metadata: Optional[Mapping[str, str]] = None,
        overwrite: bool = False,
        save_id: Optional[str] = None,
    ) -> PendingFile:
        """Saves a state as the checkpoint `name`, which appears when it is complete.

        Returns when the tensors may be changed. On a GPU that means: by kernels that are queued from now on, on the
        stream that is current now; work of other streams on these tensors is the caller's to wait for before.

        state: name → tensor (torch's on the CPU or on GPUs, NumPy's, or what has `__cuda_array_interface__`), any
        dtype that safetensors has, any shape and strides; tied weights are stored once. Any other object with tensors
        in it is saved like `podfs.save` does.
        metadata: strings that the file carries.
        overwrite: replaces a checkpoint of this name, in one step, when the new one is complete.
        save_id: with several ranks and without torch.distributed: the same on all, new for each save.
        Raises CheckpointExists, NoSpace, InvalidName, UnsupportedTensor, ReadOnly, ConnectionLost …; nothing is left
        then. What goes wrong after this has returned is raised by `wait`.
        """
        plain = check_name(name)
        tensors, told = (state, {}) if _is_flat(state) else _objects.pack(state)
        told = {**_FORMAT, **told, **_check_metadata(metadata or {})}
        rank, ranks = _ranks.placement(*self._given)
        if ranks > 1:
            return _ranks.save(
                self._engine,
                self.path,
                plain,
                tensors,
                metadata=told,
                overwrite=overwrite,
                rank=rank,
                ranks=ranks,
                keep=self._keep,
                save_id=save_id,
            )
        if not overwrite and os.path.lexists(os.path.join(self.path, index_file(plain))):
            raise CheckpointExists(f"checkpoint {plain!r} of several ranks exists; overwrite=True replaces it")
        now_ms = time.time_ns() // 1_000_000
        own = {SAVE_KEY: uuid.uuid4().hex, TIME_KEY: str(now_ms), RANK_KEY: "0", RANKS_KEY: "1"}
        saved = Saved(plain, frozenset((single_file(plain),)), now_ms)
        retires = overwrite or self._keep is not None
        return self._engine.save_file(
            self.path,
            single_file(plain),
            tensors,
            {**told, **own},
            overwrite,
            retire=(lambda: _retention.retire(self.path, self._keep, saved)) if retires else (),
        )

    def wait(self, durable: bool = False, timeout: Optional[float] = None) -> None:
        """Returns when all saves so far are complete on the local disk; durable: in the volume.

        timeout: in seconds; WaitTimeout, and the saves go on. When all have ended, the first error that nobody has
        been told of is raised.
        """
        self._engine.wait(durable, timeout)

    def load(
        self,
        name: str,
        device: Any = None,
        into: Optional[Mapping[str, Any]] = None,
        names: Optional[Iterable[str]] = None,
        rank: Optional[int] = None,
        mmap: bool = False,
    ) -> Any:
        """Loads a checkpoint: name → tensor, or the object that was saved. A save that still runs is not waited for.

        device: where new tensors go ("cpu", "cuda:0"); None is the CPU.
        into: tensors to be filled in place, of the same dtypes and shapes as in the checkpoint; only these are loaded,
        unless names says more.
        names: which. rank: what this rank saved; None: the tensors of all.
        mmap: new CPU tensors are the file's own pages (as with `torch.load(mmap=True)`), which other processes share,
        rather than copies; a page that is written to becomes this process's own, and the file stays as it is. The file
        stays open as long as one of these tensors lives. Overwriting, `keep` and `remove` do no harm, as podfs never
        changes a file in place; but pages may be dropped when memory is short, and are read again when they are looked
        at: where that fails (another program has cut the file short; the disk, the network or the mount is gone), the
        process ends by SIGBUS.
        Raises CheckpointNotFound, DamagedCheckpoint, TensorMismatch, DeviceError, StorageError. When it raises,
        tensors of `into` may have been filled in part. A checkpoint that is overwritten meanwhile is loaded anew.
        """
        plain = check_name(name)
        wanted = None if names is None else [*names]
        while True:
            info = _catalog.find(self.path, plain)
            try:
                tensors = self._load(info, device, into, wanted, rank, mmap)
                break
            except (CheckpointNotFound, DamagedCheckpoint):
                there = _catalog.find(self.path, plain)
                if (there.save_id, there.files) == (info.save_id, info.files):
                    raise
        whole = into is None and names is None
        if whole and _objects.PICKLE in tensors:
            return _objects.unpack(tensors, map_location="cpu" if device is None else device)
        return tensors

    def _load(
        self,
        info: CheckpointInfo,
        device: Any,
        into: Optional[Mapping[str, Any]],
        names: Optional[Sequence[str]],
        rank: Optional[int],
        mmap: bool,
    ) -> dict[str, Any]:
        single = single_file(info.name)
        if info.files == (single,):
            if rank not in (None, 0):
                raise CheckpointNotFound(f"checkpoint {info.name!r} was saved by one process: there is no rank {rank}")
            return load_file(os.path.join(self.path, single), device, into, names, self._engine, mmap)
        return _ranks.load(
            self._engine, self.path, info.name, device=device, into=into, names=names, rank=rank, mmap=mmap
        )

    def list(self) -> list[CheckpointInfo]:
        """The checkpoints of this directory, newest first, also incomplete and damaged ones."""
        return _catalog.scan(self.path)

    def remove(self, name: str) -> None:
        """Removes a checkpoint, complete or not. Raises CheckpointNotFound."""
        plain = check_name(name)
        files = _catalog.files_of(self.path, plain)
        if not files:
            raise CheckpointNotFound(f"there is no checkpoint {plain!r} in {self.path}")
        for filename in index_first(files):
            try:
                os.unlink(os.path.join(self.path, filename))
            except FileNotFoundError:
                continue
            except OSError as cause:
                raise of_system_error(cause, filename) from cause

    def close(self) -> None:
        """Waits until all saves are complete, then gives back the memory. Raises the first error of those."""
        self._engine.close()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        try:
            self.close()
        except Exception:
            if error is None:
                raise


def _make_directory(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError as cause:
        raise CheckpointExists(f"{path} is not a directory") from cause
    except OSError as cause:
        raise of_system_error(cause, path) from cause


def _is_flat(state: Any) -> bool:
    """Whether the state is tensors by name, and nothing else."""
    return isinstance(state, Mapping) and all(
        isinstance(name, str) and is_tensor(value) for name, value in state.items()
    )


def _check_metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"metadata maps strings to strings; {key!r} → {value!r} does not")
        if key.startswith(RESERVED_PREFIX):
            raise ValueError(f"metadata key {key!r}: keys that begin with {RESERVED_PREFIX!r} are podfs's own")
    return metadata
