"""The index of a checkpoint of several processes: which of its files has which tensor.

It is Hugging Face's (`NAME.safetensors.index.json` with `weight_map`), so that what loads sharded models loads these,
and such models are loaded here. That it is there says that all ranks' files were whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Optional

from ._errors import CheckpointNotFound, DamagedCheckpoint
from ._names import INDEX_SUFFIX, RANKS_KEY, SAVE_KEY, TIME_KEY, index_file, parse_shard
from ._safetensors import Header, read_header


@dataclass(frozen=True)
class Index:
    """What an index says. Where podfs did not write it, `save_id` is None, and `ranks` the number of files."""

    save_id: Optional[str]
    ranks: int
    weight_map: Mapping[str, str]
    """Tensor → name of the file in the same directory; tied weights under each of their names."""


def read_index(directory: str, name: str) -> Index:
    """Reads and checks an index. Raises CheckpointNotFound, which says what there is instead, and DamagedCheckpoint."""
    path = os.path.join(directory, index_file(name))
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        metadata = content.get("metadata") or {}
        weight_map = {str(tensor): str(filename) for tensor, filename in content["weight_map"].items()}
        ranks = int(metadata.get(RANKS_KEY, len(set(weight_map.values()))))
    except FileNotFoundError:
        raise CheckpointNotFound(_what_is_there(directory, name)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as cause:
        raise DamagedCheckpoint(f"{path} is no index of a checkpoint: {cause!r}") from cause
    if any("/" in filename for filename in weight_map.values()):
        raise DamagedCheckpoint(f"{path} names a file outside its directory")
    return Index(metadata.get(SAVE_KEY), ranks, weight_map)


def encode_index(headers: Mapping[str, Header]) -> bytes:
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
    }
    document = {"metadata": metadata, "weight_map": weight_map}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def check_same_save(path: str, index: Index) -> None:
    """Raises DamagedCheckpoint when the file at `path` is not one of those that the index was written for."""
    try:
        header = read_header(path)
    except CheckpointNotFound:
        raise DamagedCheckpoint(f"{path} is missing, though the index names it") from None
    if index.save_id is not None and header.metadata.get(SAVE_KEY) != index.save_id:
        raise DamagedCheckpoint(f"{path} is of another save than the index beside it")


def shard_files(directory: str, name: str) -> list[str]:
    """The names of the ranks' files of this checkpoint, of any number of ranks."""
    try:
        found = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted(filename for filename in found if (parse_shard(filename) or ("",))[0] == name)


def index_first(files: Iterable[str]) -> list[str]:
    """The order to remove files in: without its index a checkpoint is none, so that nobody sees it with files
    missing."""
    return sorted(files, key=lambda filename: (not filename.endswith(INDEX_SUFFIX), filename))


def _what_is_there(directory: str, name: str) -> str:
    placed = [parsed for parsed in map(parse_shard, shard_files(directory, name)) if parsed is not None]
    if not placed:
        return f"there is no checkpoint {name!r} in {directory}"
    ranks = max(of for _, _, of in placed)
    there = sum(of == ranks for _, _, of in placed)
    return f"checkpoint {name!r} in {directory} is not complete: {there} of {ranks} ranks' files are there"
