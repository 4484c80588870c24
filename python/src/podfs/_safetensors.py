"""The safetensors format: header bytes ↔ what they say.

The format (https://github.com/huggingface/safetensors, "Format"): 8 bytes little-endian length N of the header; the
header, JSON that begins with `{` and may end with spaces; then the tensors, one after the other, without holes, to the
end of the file. Here the header is padded so that the tensors begin at a multiple of 4096: slots of the ring and
direct I/O then need no shifting. Readers are promised less than that, and do not mind.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Optional

from ._dtypes import BITS, byte_length
from ._errors import CheckpointNotFound, DamagedCheckpoint, StorageError, UnsupportedTensor
from ._names import ALIAS_PREFIX

if TYPE_CHECKING:
    from typing import Protocol, TypeGuard

    class _Damaged(Protocol):
        def __call__(self, why: str, cause: Optional[BaseException] = None) -> NoReturn: ...


LENGTH_BYTES = 8
HEADER_BYTES_MAX = 100_000_000
DATA_ALIGNMENT = 4096
METADATA_KEY = "__metadata__"


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a file. `begin` and `end` count from the first byte of the tensors."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file says of itself. The tensors are in the order of their bytes."""

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    data_start: int
    """Where in the file the first tensor begins."""
    size: int
    """Of the whole file, in bytes."""

    @property
    def aliases(self) -> dict[str, str]:
        """Names of tied weights → the name under which their bytes are stored."""
        prefixed = [key for key in self.metadata if key.startswith(ALIAS_PREFIX)]
        found = {key[len(ALIAS_PREFIX) :]: self.metadata[key] for key in prefixed}
        return {
            alias: stored for alias, stored in found.items() if stored in self.tensors and alias not in self.tensors
        }


def plan(tensors: Iterable[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str]) -> tuple[bytes, Header]:
    """Lays out a file: (its bytes up to the first tensor, where everything goes).

    tensors: (name, dtype, shape). Larger elements come first, so that each tensor is aligned to its own; then by name,
    so that equal states give equal files.
    """
    ordered = sorted(tensors, key=lambda tensor: (-BITS[tensor[1]], tensor[0]))
    infos: dict[str, TensorInfo] = {}
    position = 0
    for name, dtype, shape in ordered:
        length = byte_length(dtype, shape)
        if length is None:
            raise UnsupportedTensor(f"{name!r}: {dtype} of shape {list(shape)} does not fill whole bytes")
        infos[name] = TensorInfo(dtype, shape, position, position + length)
        position += length
    prefix = _encode(infos, metadata)
    return prefix, Header(infos, dict(metadata), len(prefix), len(prefix) + position)


def _encode(infos: Mapping[str, TensorInfo], metadata: Mapping[str, str]) -> bytes:
    document: dict[str, object] = {METADATA_KEY: dict(metadata)} if metadata else {}
    for name, info in infos.items():
        document[name] = {"dtype": info.dtype, "shape": info.shape, "data_offsets": (info.begin, info.end)}
    try:
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as cause:
        raise UnsupportedTensor("a name or a value of the metadata is not valid Unicode") from cause
    padding = -(LENGTH_BYTES + len(text)) % DATA_ALIGNMENT
    length = len(text) + padding
    if length > HEADER_BYTES_MAX:
        raise UnsupportedTensor(f"names and metadata take {length} bytes; the format allows {HEADER_BYTES_MAX}")
    return length.to_bytes(LENGTH_BYTES, "little") + text + b" " * padding


def read_header(path: str) -> Header:
    """Reads and checks the header of a file. Raises DamagedCheckpoint, CheckpointNotFound, StorageError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise CheckpointNotFound(f"{path} does not exist") from cause
    try:
        return read_header_of(descriptor, path)
    finally:
        os.close(descriptor)


def read_header_of(descriptor: int, path: str) -> Header:
    """The same for an open file; `path` is for messages only."""
    try:
        size = os.fstat(descriptor).st_size
        prefix = _read(descriptor, LENGTH_BYTES, 0)
        if len(prefix) < LENGTH_BYTES:
            raise DamagedCheckpoint(f"{path}: {size} bytes are too few for a header")
        length = int.from_bytes(prefix, "little")
        if length > HEADER_BYTES_MAX:
            raise DamagedCheckpoint(f"{path}: no safetensors file (a header of {length} bytes)")
        if LENGTH_BYTES + length > size:
            raise DamagedCheckpoint(f"{path}: ends in its header ({size} bytes, the header alone has {length})")
        text = _read(descriptor, length, LENGTH_BYTES)
    except IsADirectoryError as cause:
        raise DamagedCheckpoint(f"{path} is a directory") from cause
    except OSError as cause:
        raise StorageError(f"{path} could not be read: {cause.strerror}") from cause
    return decode(text, size, path)


def _read(descriptor: int, length: int, offset: int) -> bytes:
    parts = []
    while length > 0:
        part = os.pread(descriptor, length, offset)
        if not part:
            break
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts)


def decode(text: bytes, size: int, path: str) -> Header:
    """Checks a header against every rule of the format. size: of the whole file; path: for messages."""

    def damaged(why: str, cause: Optional[BaseException] = None) -> NoReturn:
        raise DamagedCheckpoint(f"{path}: {why}") from cause

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            damaged("a key of the header is there twice")
        return found

    if not text.startswith(b"{"):
        damaged("no safetensors file (the header is not JSON)")
    try:
        document = json.loads(text.decode(), object_pairs_hook=unique)
    except DamagedCheckpoint:
        raise
    except (ValueError, RecursionError) as cause:
        damaged("the header is not JSON", cause)
    metadata = document.pop(METADATA_KEY, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        damaged("the metadata must map strings to strings")
    infos = {name: _decode_tensor(name, entry, damaged) for name, entry in document.items()}
    ordered = dict(sorted(infos.items(), key=lambda item: (item[1].begin, item[1].end)))
    position = 0
    for name, info in ordered.items():
        if info.begin != position:
            damaged(f"tensor {name!r} begins at {info.begin}, the one before it ends at {position}")
        position = info.end
    data_start = LENGTH_BYTES + len(text)
    if data_start + position != size:
        damaged(f"has {size} bytes; the header says {data_start + position}")
    return Header(ordered, metadata, data_start, size)


def _decode_tensor(name: str, entry: object, damaged: _Damaged) -> TensorInfo:
    if not isinstance(entry, dict):
        damaged(f"tensor {name!r} has no description")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in BITS:
        damaged(f"tensor {name!r} is of an unknown type {dtype!r}")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        damaged(f"tensor {name!r} has no proper shape or place")
    info = TensorInfo(dtype, tuple(shape), offsets[0], offsets[1])
    if byte_length(info.dtype, info.shape) != info.end - info.begin:
        damaged(f"tensor {name!r} has {info.end - info.begin} bytes; {dtype} of shape {shape} takes another number")
    return info


def _are_counts(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)
