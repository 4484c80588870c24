"""A safetensors reader of its own, from the format's description, that shares no line with podfs."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

HEADER_BYTES_MAX = 100_000_000
ITEM_BITS = {
    **dict.fromkeys(["BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"], 8),
    **dict.fromkeys(["U16", "I16", "F16", "BF16"], 16),
    **dict.fromkeys(["U32", "I32", "F32"], 32),
    **dict.fromkeys(["U64", "I64", "F64", "C64"], 64),
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
}


class Malformed(Exception):
    """The file breaks a rule of the format."""


@dataclass(frozen=True)
class Entry:
    dtype: str
    shape: tuple[int, ...]
    begin: int
    """In the file."""
    end: int


@dataclass(frozen=True)
class Parsed:
    entries: dict[str, Entry]
    metadata: dict[str, str]


def parse(path: str) -> Parsed:
    """Raises Malformed. The rules: https://github.com/huggingface/safetensors#format"""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        _require(header_bytes <= min(HEADER_BYTES_MAX, size - 8), f"a header of {header_bytes} bytes in {size}")
        text = file.read(header_bytes)
    _require(text[:1] == b"{", "the header does not begin with {")
    header = json.loads(text, object_pairs_hook=_without_duplicates)
    metadata = header.pop("__metadata__", {})
    _require(all(isinstance(value, str) for value in metadata.values()), "metadata that is no string")
    start = 8 + header_bytes
    entries = {name: _entry(name, value, start) for name, value in header.items()}
    position = start
    for entry in sorted(entries.values(), key=lambda entry: (entry.begin, entry.end)):
        _require(entry.begin == position, f"a hole or an overlap at byte {position}")
        position = entry.end
    _require(position == size, f"tensors end at {position}, the file at {size}")
    return Parsed(entries, metadata)


def _entry(name: str, value: dict[str, Any], start: int) -> Entry:
    begin, end = value["data_offsets"]
    bits = ITEM_BITS[value["dtype"]]
    for extent in value["shape"]:
        bits *= extent
    _require(0 <= begin <= end and (end - begin) * 8 == bits, f"{name} has {end - begin} bytes for {bits} bits")
    return Entry(value["dtype"], tuple(value["shape"]), start + begin, start + end)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    _require(len(found) == len(pairs), "a key that is there twice")
    return found


def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise Malformed(complaint)
