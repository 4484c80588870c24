"""Names of checkpoints, of their files, and of the metadata that podfs writes into each."""

import os
import re
from typing import NamedTuple, Optional

from ._errors import InvalidName

SUFFIX = ".safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
NAME_BYTES_MAX = 255

# Keys of `__metadata__`. All values are strings.
#: Which save a file belongs to: 32 hexadecimal digits, the same in the files of all ranks.
SAVE_KEY = "podfs.save"
#: When that save began: milliseconds since 1970.
TIME_KEY = "podfs.time"
RANK_KEY = "podfs.rank"
RANKS_KEY = "podfs.ranks"
#: Of an index: the `file_set` of the files it names. Without it, they have none.
SET_KEY = "podfs.set"
#: `podfs.alias.NAME` = the name under which a tied tensor's bytes are stored.
ALIAS_PREFIX = "podfs.alias."
RESERVED_PREFIX = "podfs."

_SHARD = re.compile(
    r"^(?P<name>.+)-(?P<rank>\d{5,})-of-(?P<ranks>\d{5,})(?:\.(?P<set>[0-9a-f]{1,16}))?\.safetensors$", re.ASCII
)
#: The longest that is added to a name.
_SUFFIX_BYTES = len("-00001-of-00008.0123456789abcdef.safetensors")


def check_name(name: str) -> str:
    """Returns the name without the suffix. Raises InvalidName where no file could have it."""
    if not isinstance(name, str):
        raise InvalidName(f"a checkpoint's name is a string, not {type(name).__name__}")
    plain = name[: -len(SUFFIX)] if name.endswith(SUFFIX) else name
    if plain in ("", ".", "..") or plain.startswith("."):
        raise InvalidName(f"{name!r} is no name for a checkpoint: it is empty or begins with a dot")
    if "/" in plain or any(ord(character) < 32 or ord(character) == 127 for character in plain):
        raise InvalidName(f"{name!r} is no name for a checkpoint: it has '/' or a control character in it")
    if parse_shard(single_file(plain)) is not None:
        raise InvalidName(f"{name!r} is no name for a checkpoint: the files of ranks are named like that")
    most = NAME_BYTES_MAX - _SUFFIX_BYTES
    if len(os.fsencode(plain)) > most:
        raise InvalidName(f"{name[:40]!r}… is too long for a checkpoint: {most} bytes at most")
    return plain


def single_file(name: str) -> str:
    """The file of a checkpoint that one process saved."""
    return name + SUFFIX


def shard_file(name: str, rank: int, ranks: int, file_set: str = "") -> str:
    """The file of one rank (counted from 0), in Hugging Face's layout: `NAME-00001-of-00008.safetensors`.

    file_set: what files of a save have that may replace another, `NAME-00001-of-00008.1f0c….safetensors`: those of the
    other must stay until an index says that the new ones are whole.
    """
    return f"{name}-{rank + 1:05d}-of-{ranks:05d}{'.' if file_set else ''}{file_set}{SUFFIX}"


def file_set_of(save_id: str) -> str:
    """No two saves have the same: enough of the save's id for that."""
    return save_id[:16]


def index_file(name: str) -> str:
    """What says that all ranks' files are whole, and which has what."""
    return name + INDEX_SUFFIX


class Shard(NamedTuple):
    """What the name of a rank's file says."""

    name: str
    rank: int
    """From 0."""
    ranks: int
    file_set: str


def parse_shard(filename: str) -> Optional[Shard]:
    """None if it is not the name of a rank's file."""
    match = _SHARD.match(filename)
    if match is None:
        return None
    rank, ranks = int(match["rank"]), int(match["ranks"])
    return Shard(match["name"], rank - 1, ranks, match["set"] or "") if 1 <= rank <= ranks else None
