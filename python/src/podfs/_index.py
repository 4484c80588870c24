"""The index of a checkpoint of several processes: which of its files has which tensor.

It is Hugging Face's (`NAME.safetensors.index.json` with `weight_map`), so that what loads sharded models loads these,
and such models are loaded here. That it is there says that all ranks' files were whole.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Optional

from ._errors import CheckpointNotFound, DamagedCheckpoint
from ._names import (
    INDEX_SUFFIX,
    RANKS_KEY,
    SAVE_KEY,
    SET_KEY,
    TIME_KEY,
    index_file,
    parse_shard,
    shard_file,
)
from ._safetensors import Header

_FILE_SET = re.compile(r"[0-9a-f]{1,16}")
#: Of files that have no set of their own, an index may say this.
_NO_SET = "1"
#: Far more than there are anywhere, and few enough to go through.
_RANKS_MAX = 100_000


@dataclass(frozen=True)
class Index:
    """What an index says. Where podfs did not write it, `save_id` is None, and `ranks` the number of files."""

    name: str
    save_id: Optional[str]
    ranks: int
    file_set: str
    weight_map: Mapping[str, str]
    """Tensor → name of the file in the same directory; tied weights under each of their names."""

    def file_of(self, rank: int) -> str:
        return shard_file(self.name, rank, self.ranks, self.file_set)

    @property
    def files(self) -> list[str]:
        """All that it stands for: those of ranks, too, of whose tensors others have each."""
        own = [] if self.save_id is None else map(self.file_of, range(self.ranks))
        return sorted({*own, *self.weight_map.values()})


def read_index(directory: str, name: str) -> Index:
    """Reads and checks an index. Raises CheckpointNotFound, which says what there is instead, and DamagedCheckpoint."""
    path = os.path.join(directory, index_file(name))
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        metadata = content.get("metadata") or {}
        weight_map = {str(tensor): str(filename) for tensor, filename in content["weight_map"].items()}
        ranks = int(metadata.get(RANKS_KEY, len(set(weight_map.values()))))
        file_set = str(metadata.get(SET_KEY, _NO_SET))
    except FileNotFoundError:
        raise CheckpointNotFound(_what_is_there(directory, name)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as cause:
        raise DamagedCheckpoint(f"{path} is no index of a checkpoint: {cause!r}") from cause
    if any("/" in filename for filename in weight_map.values()):
        raise DamagedCheckpoint(f"{path} names a file outside its directory")
    if ranks > _RANKS_MAX:
        raise DamagedCheckpoint(f"{path} is of {ranks} ranks, which cannot be")
    if _FILE_SET.fullmatch(file_set) is None:
        raise DamagedCheckpoint(f"{path} names a set of files that cannot be: {file_set!r}")
    return Index(name, metadata.get(SAVE_KEY), ranks, "" if file_set == _NO_SET else file_set, weight_map)


def encode_index(headers: Mapping[str, Header], file_set: str) -> bytes:
    """The index of the files of one save, given by rank. Whichever rank makes it, the bytes are the same.

    A tensor that several ranks have saved is the lowest one's.
    """
    weight_map: dict[str, str] = {}
    for filename, header in headers.items():
        for tensor in (*header.tensors, *header.aliases):
            weight_map.setdefault(tensor, filename)
    any_header = next(iter(headers.values()))
    metadata = {
        "total_size": sum(header.size - header.data_start for header in headers.values()),
        SAVE_KEY: any_header.metadata[SAVE_KEY],
        # Ranks that could not talk to each other have each noted their own.
        TIME_KEY: max((header.metadata[TIME_KEY] for header in headers.values()), key=int),
        RANKS_KEY: str(len(headers)),
        **({SET_KEY: file_set} if file_set else {}),
    }
    document = {"metadata": metadata, "weight_map": weight_map}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def check_same_save(path: str, header: Header, index: Index) -> None:
    """Raises DamagedCheckpoint when the file at `path` is not one of those that the index was written for."""
    if index.save_id is not None and header.metadata.get(SAVE_KEY) != index.save_id:
        raise DamagedCheckpoint(f"{path} is of another save than the index beside it")


def shard_files(directory: str, name: str) -> list[str]:
    """The names of the ranks' files of this checkpoint, of any number of ranks."""
    try:
        found = os.listdir(directory)
    except FileNotFoundError:
        return []
    placed = ((filename, parse_shard(filename)) for filename in found)
    return sorted(filename for filename, shard in placed if shard is not None and shard.name == name)


def index_first(files: Iterable[str]) -> list[str]:
    """The order to remove files in: without its index a checkpoint is none, so that nobody sees it with files
    missing."""
    return sorted(files, key=lambda filename: (not filename.endswith(INDEX_SUFFIX), filename))


def _what_is_there(directory: str, name: str) -> str:
    shards = [shard for shard in map(parse_shard, shard_files(directory, name)) if shard is not None]
    if not shards:
        return f"there is no checkpoint {name!r} in {directory}"
    (ranks, _), there = max(Counter((shard.ranks, shard.file_set) for shard in shards).items())
    return f"checkpoint {name!r} in {directory} is not complete: {there} of {ranks} ranks' files are there"
