"""keep=N: which checkpoints go when a new one is there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import podfs  # noqa: E402
from podfs._names import index_file, shard_file  # noqa: E402
from support.waiting import await_value  # noqa: E402

STATE = {"w": torch.ones(10)}


@pytest.fixture
def directory(place):
    """On a plain disk, and in a mount."""
    path = Path(place[0])
    path.mkdir()
    return path


def open_here(directory, **options):
    return podfs.checkpoint(str(directory), ring_bytes=4 << 20, **options)


def save(directory, name, keep=None, **options):
    with open_here(directory, keep=keep) as ck:
        ck.save(STATE, name, **options)
        ck.wait()
    time.sleep(0.002)  # so that no two have been saved in the same millisecond


def save_ranks(directory, name, ranks, keep=None):
    for rank in range(ranks):
        with open_here(directory, rank=rank, world_size=ranks, keep=keep) as ck:
            ck.save(STATE, name, save_id=name)
            ck.wait()
    time.sleep(0.002)


def names(directory):
    return sorted(os.listdir(directory))


def files_of(name, ranks):
    return [*(shard_file(name, rank, ranks) for rank in range(ranks)), index_file(name)]


def test_the_newest_stay(directory):
    for name in ("c", "a", "d", "b"):
        save(directory, name, keep=2)
    await_value(lambda: names(directory), ["b.safetensors", "d.safetensors"])


def test_several_saves_before_anybody_waits(directory):
    with open_here(directory, keep=1) as ck:
        for step in range(4):
            ck.save(STATE, f"step-{step}")
            time.sleep(0.002)
        ck.wait()
    await_value(lambda: names(directory), ["step-3.safetensors"])


def test_without_keep_all_stay(directory):
    for name in ("a", "b", "c"):
        save(directory, name)
    assert len(names(directory)) == 3


def test_saving_under_an_old_name_makes_it_the_newest(directory):
    for name in ("a", "b", "c"):
        save(directory, name)
    save(directory, "a", keep=2, overwrite=True)
    await_value(lambda: names(directory), ["a.safetensors", "c.safetensors"])


def test_what_podfs_did_not_save_as_a_checkpoint_stays(directory):
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file(STATE, str(directory / "foreign.safetensors"))
    podfs.save({"best": STATE}, str(directory / "best.safetensors"), mode="file")
    (directory / "notes.txt").write_text("mine")
    (directory / "damaged.safetensors").write_bytes(b"\x00" * 3)
    save(directory, "a", keep=1)
    save(directory, "b", keep=1)
    stay = ["best.safetensors", "damaged.safetensors", "foreign.safetensors", "notes.txt"]
    await_value(lambda: names(directory), ["b.safetensors", *stay])


def test_all_files_of_a_checkpoint_of_several_ranks_go(directory):
    save(directory, "single", keep=2)
    save_ranks(directory, "one", 3, keep=2)
    save_ranks(directory, "two", 2, keep=2)
    await_value(lambda: names(directory), [*files_of("one", 3), *files_of("two", 2)])
    save_ranks(directory, "three", 2, keep=1)
    await_value(lambda: names(directory), files_of("three", 2))


def test_nothing_goes_before_the_new_one_is_complete(directory):
    save_ranks(directory, "old", 2, keep=1)
    with open_here(directory, rank=0, world_size=2, keep=1) as ck:
        ck.save(STATE, "new", save_id="new")
        ck.wait()
    assert "old.safetensors.index.json" in names(directory)


def test_incomplete_ones_stay_until_they_are_a_day_old(directory):
    with open_here(directory, rank=0, world_size=2) as ck:
        ck.save(STATE, "broken", save_id="broken")
        ck.wait()
    time.sleep(0.002)
    save(directory, "a", keep=1)
    assert "broken-00001-of-00002.safetensors" in names(directory)
    yesterday = time.time() - 25 * 3600
    os.utime(directory / "broken-00001-of-00002.safetensors", (yesterday, yesterday))
    save(directory, "b", keep=1)
    await_value(lambda: names(directory), ["b.safetensors"])


def test_a_save_that_fails_removes_nothing(directory):
    save(directory, "a", keep=1)
    with open_here(directory, keep=1) as ck, pytest.raises(podfs.CheckpointExists):
        ck.save(STATE, "a")
        ck.wait()
    await_value(lambda: names(directory), ["a.safetensors"])


def test_keep_must_be_positive(directory):
    with pytest.raises(ValueError, match="keep"):
        save(directory, "a", keep=0)
