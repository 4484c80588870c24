"""Which checkpoints a directory has, and whether they are complete."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
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
    """Whose files it has, or ought to have."""
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
    info = _describe(directory, name, files_of(directory, name))
    if info is None:
        raise CheckpointNotFound(f"there is no checkpoint {name!r} in {directory}")
    return info


def files_of(directory: str, name: str) -> list[str]:
    """All files of this name: of the checkpoint, of saves that still run, and what those have left that were killed."""
    return _group(_list(directory)).get(name, [])


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
    """The newest that is complete, else the newest. None if all is gone meanwhile."""
    while True:
        there = _look_at_all(directory, name, files)
        newest = max(there, key=lambda info: (info.state == "complete", info.saved_ms)) if there else None
        if newest is not None and newest.state == "complete":
            return newest
        # Another save may have ended since the files were listed, and what was here before gone with it.
        again = files_of(directory, name)
        if again == files:
            return newest
        files = again


def _look_at_all(directory: str, name: str, files: list[str]) -> list[CheckpointInfo]:
    """What one process has saved under this name, what several have, and what is left of saves that did not end."""
    single, index = single_file(name), index_file(name)
    loose = [filename for filename in files if filename not in (single, index)]
    found = [_look_at_single(directory, name)] if single in files else []
    if index in files:
        info = _look_at_indexed(directory, name, loose)
        found.append(info)
        loose = [] if info is None else [filename for filename in loose if filename not in info.files]
    if loose:
        found.append(_look_at_loose(directory, name, loose))
    return [info for info in found if info is not None]


def _look_at_single(directory: str, name: str) -> Optional[CheckpointInfo]:
    looked = _Looked(directory, [single_file(name)])
    metadata = looked.latest()
    return looked.describe(name, 1, metadata, *(("damaged", looked.why) if looked.why else ("complete", "")))


def _look_at_indexed(directory: str, name: str, shards: list[str]) -> Optional[CheckpointInfo]:
    try:
        index = read_index(directory, name)
    except CheckpointNotFound:
        return None
    except DamagedCheckpoint as error:
        looked = _Looked(directory, [index_file(name), *shards])
        return looked.describe(name, len(looked.headers), looked.latest(), "damaged", str(error))
    looked = _Looked(directory, [index_file(name), *index.files])
    missing = [filename for filename in index.files if filename not in looked.statuses]
    others = [filename for filename, header in looked.headers.items() if header.metadata.get(SAVE_KEY) != index.save_id]
    state, why = "damaged", looked.why
    if missing:
        why = f"{missing[0]} is missing"
    elif not why and index.save_id is not None and others:
        state, why = "incomplete", f"{others[0]} is of another save than the index"
    elif not why:
        state = "complete"
    metadata = {**looked.latest(), SAVE_KEY: index.save_id}
    return looked.describe(name, index.ranks, metadata, state, why)


def _look_at_loose(directory: str, name: str, shards: list[str]) -> Optional[CheckpointInfo]:
    """Files of ranks that no index has yet."""
    looked = _Looked(directory, shards)
    metadata = looked.latest()
    save_id, ranks = metadata.get(SAVE_KEY), _number(metadata.get(RANKS_KEY)) or len(looked.headers)
    whole = sum(header.metadata.get(SAVE_KEY) == save_id for header in looked.headers.values())
    missing = ("incomplete", f"{whole} of {ranks} ranks' files are there, and no index")
    return looked.describe(name, ranks, metadata, *(("damaged", looked.why) if looked.why else missing))


class _Looked:
    """Files that have been looked into; those that are gone meanwhile are left out."""

    def __init__(self, directory: str, filenames: Iterable[str]) -> None:
        self.statuses: dict[str, os.stat_result] = {}
        self.headers: dict[str, Header] = {}
        self.why = ""
        """What is wrong with the first that is damaged."""
        for filename in filenames:
            path = os.path.join(directory, filename)
            try:
                self.statuses[filename] = os.stat(path)
                if not filename.endswith(INDEX_SUFFIX):
                    self.headers[filename] = _header(path)
            except FileNotFoundError:
                self.statuses.pop(filename, None)
            except PodfsError as error:
                self.why = self.why or str(error)

    def latest(self) -> dict[str, Optional[str]]:
        """The metadata of the file whose save began last."""
        latest = max(self.headers.values(), key=lambda header: _number(header.metadata.get(TIME_KEY)), default=None)
        return {} if latest is None else {**latest.metadata}

    def describe(
        self, name: str, ranks: int, metadata: Mapping[str, Optional[str]], state: str, why: str
    ) -> Optional[CheckpointInfo]:
        """None if all files are gone."""
        if not self.statuses:
            return None
        size = sum(status.st_size for status in self.statuses.values())
        changed_ms = max(status.st_mtime_ns for status in self.statuses.values()) // 1_000_000
        saved_ms = _number(metadata.get(TIME_KEY)) or changed_ms
        files = tuple(sorted(self.statuses))
        return CheckpointInfo(name, files, size, ranks, saved_ms, metadata.get(SAVE_KEY), state, why)


def _number(text: Optional[str]) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else 0


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
