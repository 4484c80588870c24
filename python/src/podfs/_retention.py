"""Which checkpoints go when a new one is there (`keep=N`).

Nothing is removed here: the names that are returned go with the commit of the new checkpoint, and are removed when that
is in the volume, so that at no moment the volume has fewer than the N that are wanted.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional

from . import _catalog
from ._errors import DamagedCheckpoint
from ._index import index_first, read_index, shard_files
from ._names import RANKS_KEY, TIME_KEY, index_file, single_file
from ._safetensors import read_header

#: Files without an index are what a rank that died has left, or a save that still runs: this long after the last one
#: was written, no save still runs.
ABANDONED_AFTER_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Saved:
    """A checkpoint that is about to be complete."""

    name: str
    files: frozenset[str]
    began_ms: int
    """When its save began, by the clock of that rank which says the earliest."""


def retire(directory: str, keep: Optional[int], saved: Saved) -> list[str]:
    """Names of files in `directory` that may go when the checkpoint `saved` is in the volume.

    These are: of the complete checkpoints, all but the newest `keep`, that being saved among them (None: they all
    stay); what abandoned saves older than those have left; and what is older under its own name. Only what podfs wrote,
    but for a checkpoint that is replaced. An index comes before the files it names: a crash in between leaves no
    checkpoint, not half a one.
    """
    if keep is not None and keep < 1:
        raise ValueError(f"keep={keep}: at least the checkpoint that is being saved is kept")
    names = _replaced(directory, saved)
    return names if keep is None else names + _superseded(directory, keep, saved.name)


def _replaced(directory: str, saved: Saved) -> list[str]:
    """What earlier saves have left under this name, and the checkpoint that its index stands for, whoever wrote that.

    Of a later save there may be files already: they stay.
    """
    name, names = saved.name, list[str]()
    index_files: Sequence[str] = ()
    try:
        index_files = read_index(directory, name).files
        names.append(index_file(name))
    except (OSError, DamagedCheckpoint):
        pass  # there is none, or none that could be read by anybody
    if _time_of(directory, single_file(name)) <= saved.began_ms:
        names.append(single_file(name))
    for filename in shard_files(directory, name):
        if filename in index_files or _time_of(directory, filename) < saved.began_ms:
            names.append(filename)
    return [filename for filename in names if filename not in saved.files]


def _superseded(directory: str, keep: int, saving: str) -> list[str]:
    """The files of checkpoints beyond `keep`, and of abandoned saves that are older than all that stay."""
    found = (info for info in _catalog.scan(directory) if info.save_id is not None and info.name != saving)
    ours = [info for info in found if _is_of_a_series(directory, info)]
    complete = [info for info in ours if info.state == "complete"]
    staying, going = complete[: keep - 1], complete[keep - 1 :]
    oldest_ms = min((info.saved_ms for info in staying), default=math.inf)
    incomplete = (info for info in ours if info.state == "incomplete" and info.saved_ms < oldest_ms)
    going += (info for info in incomplete if _is_abandoned(directory, info.files))
    return [filename for info in going for filename in index_first(info.files)]


def _is_of_a_series(directory: str, info: _catalog.CheckpointInfo) -> bool:
    """False for what `podfs.save` has written: single files, which their owner counts."""
    try:
        return len(info.files) > 1 or RANKS_KEY in read_header(os.path.join(directory, info.files[0])).metadata
    except (OSError, DamagedCheckpoint):
        return False


def _time_of(directory: str, filename: str) -> float:
    """When the save of a file began; never, if podfs did not write it, or it is gone."""
    try:
        text = read_header(os.path.join(directory, filename)).metadata.get(TIME_KEY, "")
    except (OSError, DamagedCheckpoint):
        return math.inf
    return int(text) if text.isascii() and text.isdigit() else math.inf


def _is_abandoned(directory: str, files: Iterable[str]) -> bool:
    try:
        newest = max(os.stat(os.path.join(directory, filename)).st_mtime for filename in files)
    except OSError:
        return False
    return newest < time.time() - ABANDONED_AFTER_SECONDS
