"""Names of checkpoints, of their files, and of the metadata that podfs writes into each."""

import os
import re

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
#: `podfs.alias.NAME` = the name under which a tied tensor's bytes are stored.
ALIAS_PREFIX = "podfs.alias."
RESERVED_PREFIX = "podfs."

_SHARD = re.compile(r"^(?P<name>.+)-(?P<rank>\d{5,})-of-(?P<ranks>\d{5,})\.safetensors$")


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
    # The longest file of a checkpoint is "NAME-00001-of-00008.safetensors" or its index.
    if len(os.fsencode(plain)) + len(INDEX_SUFFIX) > NAME_BYTES_MAX:
        most = NAME_BYTES_MAX - len(INDEX_SUFFIX)
        raise InvalidName(f"{name[:40]!r}… is too long for a checkpoint: {most} bytes at most")
    return plain


def single_file(name: str) -> str:
    """The file of a checkpoint that one process saved."""
    return name + SUFFIX


def shard_file(name: str, rank: int, ranks: int) -> str:
    """The file of one rank (counted from 0), in Hugging Face's layout: `NAME-00001-of-00008.safetensors`."""
    return f"{name}-{rank + 1:05d}-of-{ranks:05d}{SUFFIX}"


def index_file(name: str) -> str:
    """What says that all ranks' files are whole, and which has what."""
    return name + INDEX_SUFFIX


def parse_shard(filename: str) -> "tuple[str, int, int] | None":
    """(name, rank from 0, ranks) of a rank's file; None if it is none."""
    match = _SHARD.match(filename)
    if match is None:
        return None
    rank, ranks = int(match["rank"]), int(match["ranks"])
    return (match["name"], rank - 1, ranks) if 1 <= rank <= ranks else None
