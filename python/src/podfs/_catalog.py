"""Which checkpoints a directory has, and whether they are complete."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from ._errors import CheckpointNotFound, DamagedCheckpoint, PodfsError, StorageError
from ._index import read_index
from ._names import INDEX_SUFFIX, RANKS_KEY, SAVE_KEY, SUFFIX, TIME_KEY, index_file, parse_shard, single_file
from ._safetensors import Header, read_header

_HEADERS_MAX = 1024


@dataclass(frozen=True)
class CheckpointInfo:
    """One checkpoint of a directory."""

    name: str
    files: tuple[str, ...]
    """Names of its files that are there, in the directory."""
    bytes: int
    """Of all of them."""
    ranks: int
    saved_ms: int
    """When it was saved, in milliseconds since 1970; of what podfs did not write, when it was last changed."""
    save_id: Optional[str]
    """None: podfs did not write it."""
    state: str
    """ "complete", "incomplete" (ranks are still saving, or have died) or "damaged"."""
    why: str
    """What is missing or wrong; empty if nothing is."""


def scan(directory: str) -> list[CheckpointInfo]:
    """All checkpoints of a directory, newest first. Headers are read, tensors are not. Raises CheckpointNotFound."""
    found = [_describe(directory, name, files) for name, files in _group(_list(directory)).items()]
    return sorted((info for info in found if info is not None), key=lambda info: (-info.saved_ms, info.name))


def find(directory: str, name: str) -> CheckpointInfo:
    """The one of this name. Raises CheckpointNotFound."""
    files = _group(_list(directory)).get(name)
    info = _describe(directory, name, files) if files else None
    if info is None:
        raise CheckpointNotFound(f"there is no checkpoint {name!r} in {directory}")
    return info


def _list(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise CheckpointNotFound(f"{directory} is not a directory") from cause
    except OSError as cause:
        raise StorageError(f"{directory} cannot be listed: {cause.strerror}") from cause


def _group(filenames: list[str]) -> dict[str, list[str]]:
    """Name of a checkpoint → its files."""
    groups: dict[str, list[str]] = {}
    for filename in filenames:
        if filename.startswith("."):
            continue
        shard = parse_shard(filename)
        if shard is not None:
            groups.setdefault(shard[0], []).append(filename)
        elif filename.endswith(INDEX_SUFFIX):
            groups.setdefault(filename[: -len(INDEX_SUFFIX)], []).append(filename)
        elif filename.endswith(SUFFIX):
            groups.setdefault(filename[: -len(SUFFIX)], []).append(filename)
    return groups


def _describe(directory: str, name: str, files: list[str]) -> Optional[CheckpointInfo]:
    """The newer of the two, where one process and several have saved under this name. None if all is gone meanwhile."""
    single = single_file(name)
    rest = [filename for filename in files if filename != single]
    found = [
        _describe_single(directory, name) if single in files else None,
        _describe_sharded(directory, name, rest) if rest else None,
    ]
    there = [info for info in found if info is not None]
    return max(there, key=lambda info: (info.state == "complete", info.saved_ms)) if there else None


def _describe_single(directory: str, name: str) -> Optional[CheckpointInfo]:
    filename = single_file(name)
    try:
        status = os.stat(os.path.join(directory, filename))
        header, why = _header(os.path.join(directory, filename)), ""
    except FileNotFoundError:
        return None
    except PodfsError as error:
        header, why = None, str(error)
    metadata = header.metadata if header is not None else {}
    saved_ms = _milliseconds(metadata.get(TIME_KEY), status)
    state = "damaged" if why else "complete"
    return CheckpointInfo(name, (filename,), status.st_size, 1, saved_ms, metadata.get(SAVE_KEY), state, why)


def _describe_sharded(directory: str, name: str, files: list[str]) -> Optional[CheckpointInfo]:
    statuses: dict[str, os.stat_result] = {}
    for filename in files:
        try:
            statuses[filename] = os.stat(os.path.join(directory, filename))
        except FileNotFoundError:
            continue  # removed meanwhile
    if not statuses:
        return None
    headers, why = _headers(directory, statuses)
    newest = max(statuses.values(), key=lambda status: status.st_mtime_ns)
    latest = max(headers.values(), key=lambda header: _number(header.metadata.get(TIME_KEY)), default=None)
    metadata = latest.metadata if latest is not None else {}
    save_id, ranks, state = metadata.get(SAVE_KEY), max(_number(metadata.get(RANKS_KEY)), len(headers)), "damaged"
    if not why and index_file(name) in statuses:
        save_id, ranks, state, why = _check_index(directory, name, headers)
    elif not why:
        whole = sum(header.metadata.get(SAVE_KEY) == save_id for header in headers.values())
        state, why = "incomplete", f"{whole} of {ranks} ranks' files are there, and no index"
    size = sum(status.st_size for status in statuses.values())
    saved_ms = _milliseconds(metadata.get(TIME_KEY), newest)
    return CheckpointInfo(name, tuple(statuses), size, ranks, saved_ms, save_id, state, why)


def _check_index(directory: str, name: str, headers: dict[str, Header]) -> tuple[Optional[str], int, str, str]:
    """(save id, ranks, state, why) of what has an index."""
    try:
        index = read_index(directory, name)
    except (CheckpointNotFound, DamagedCheckpoint) as error:
        return None, len(headers), "damaged", str(error)
    named = sorted(set(index.weight_map.values()))
    missing = [filename for filename in named if filename not in headers]
    if missing:
        return index.save_id, index.ranks, "damaged", f"{missing[0]} is missing"
    others = [filename for filename in named if headers[filename].metadata.get(SAVE_KEY) != index.save_id]
    if index.save_id is not None and others:
        return index.save_id, index.ranks, "incomplete", f"{others[0]} is of another save than the index"
    return index.save_id, index.ranks, "complete", ""


def _headers(directory: str, filenames: Iterable[str]) -> tuple[dict[str, Header], str]:
    """(headers of the ranks' files, what is wrong with the first that is damaged)."""
    headers: dict[str, Header] = {}
    why = ""
    for filename in filenames:
        if filename.endswith(INDEX_SUFFIX):
            continue
        try:
            headers[filename] = _header(os.path.join(directory, filename))
        except FileNotFoundError:
            continue
        except PodfsError as error:
            why = why or str(error)
    return headers, why


def _number(text: Optional[str]) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else 0


def _milliseconds(text: Optional[str], status: os.stat_result) -> int:
    return _number(text) or status.st_mtime_ns // 1_000_000


_headers_lock = threading.Lock()
#: Headers of files that have not changed since: keep= looks at all checkpoints with every save.
_known_headers: OrderedDict[tuple[str, int, int, int], Header] = OrderedDict()


def _header(path: str) -> Header:
    status = os.stat(path)
    key = (path, status.st_ino, status.st_size, status.st_mtime_ns)
    with _headers_lock:
        known = _known_headers.get(key)
        if known is not None:
            _known_headers.move_to_end(key)
            return known
    header = read_header(path)
    with _headers_lock:
        _known_headers[key] = header
        if len(_known_headers) > _HEADERS_MAX:
            _known_headers.popitem(last=False)
    return header
