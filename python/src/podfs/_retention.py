"""Which checkpoints go when a new one is there (`keep=N`).

Nothing is removed here: the names that are returned go with the commit of the new checkpoint, and are removed when that
is in the volume, so that at no moment the volume has fewer than the N that are wanted.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable
from typing import Optional

from . import _catalog
from ._errors import DamagedCheckpoint
from ._index import index_first, read_index, shard_files
from ._names import RANKS_KEY, SAVE_KEY, index_file, shard_file, single_file
from ._safetensors import read_header

#: Files without an index are what a rank that died has left, or a save that still runs: this long after the last one
#: was written, no save still runs.
ABANDONED_AFTER_SECONDS = 24 * 3600


def retire(directory: str, keep: Optional[int], saving: str, ranks: int = 1) -> list[str]:
    """Names of files in `directory` that may go when the checkpoint `saving`, of that many ranks, is in the volume.

    These are: of the complete checkpoints, all but the newest `keep`, that being saved among them (None: they all
    stay); what abandoned saves older than those have left; and files of `saving` itself that another number of ranks
    has written. Only what podfs wrote. An index comes before the files it names: a crash in between leaves no
    checkpoint, not half a one.
    """
    if keep is not None and keep < 1:
        raise ValueError(f"keep={keep}: at least the checkpoint that is being saved is kept")
    names = _other_layouts(directory, saving, ranks)
    return names if keep is None else names + _superseded(directory, keep, saving)


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


def _other_layouts(directory: str, name: str, ranks: int) -> list[str]:
    """Files of this checkpoint's name that its new layout does not have, as a save of other ranks has left them."""
    if ranks == 1:
        current = {single_file(name)}
    else:
        current = {index_file(name), *(shard_file(name, rank, ranks) for rank in range(ranks))}
    candidates = [index_file(name), single_file(name), *shard_files(directory, name)]
    return [filename for filename in candidates if filename not in current and _is_ours(directory, name, filename)]


def _is_of_a_series(directory: str, info: _catalog.CheckpointInfo) -> bool:
    """False for what `podfs.save` has written: single files, which their owner counts."""
    try:
        return len(info.files) > 1 or RANKS_KEY in read_header(os.path.join(directory, info.files[0])).metadata
    except (OSError, DamagedCheckpoint):
        return False


def _is_ours(directory: str, name: str, filename: str) -> bool:
    try:
        if filename == index_file(name):
            return read_index(directory, name).save_id is not None
        return SAVE_KEY in read_header(os.path.join(directory, filename)).metadata
    except (OSError, DamagedCheckpoint):
        return False


def _is_abandoned(directory: str, files: Iterable[str]) -> bool:
    try:
        newest = max(os.stat(os.path.join(directory, filename)).st_mtime for filename in files)
    except OSError:
        return False
    return newest < time.time() - ABANDONED_AFTER_SECONDS
