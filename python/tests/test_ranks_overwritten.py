"""Checkpoints of several ranks, replaced by others of their name: at each moment there is a whole one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import podfs  # noqa: E402
from podfs import _ranks, _temporary  # noqa: E402
from podfs._names import file_set_of, index_file, shard_file, single_file  # noqa: E402
from support.ranks import (  # noqa: E402
    await_next_millisecond,
    files,
    open_rank,
    save_all,
    save_rank,
    state_of,
    states,
)
from support.waiting import await_value  # noqa: E402

INDEX = index_file("step")
MODULES = os.pathsep.join([str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent)])


@pytest.fixture
def directory(place):
    """On a plain disk, and in a mount."""
    path = Path(place[0])
    path.mkdir()
    return path


def shards(ranks, save_id=None):
    """Names of the ranks' files; of a save that replaces another, if its id is given."""
    file_set = "" if save_id is None else file_set_of(_ranks._hexadecimal(save_id))
    return sorted(shard_file("step", rank, ranks, file_set) for rank in range(ranks))


def value_of(directory):
    """What was added to the ranks' states, which must be one number in all that is loaded."""
    with open_rank(directory, 0, 1) as ck:
        loaded = ck.load("step")
    values = {float(loaded[name][0]) - int(name[-1]) for name in loaded if name.startswith("layer.")}
    assert len(values) == 1, values
    return values.pop()


def test_the_old_one_stays_until_the_new_one_is_whole(directory):
    save_all(directory, 2, save_id="one")
    save_rank(directory, 0, 2, state_of(0, 5.0), save_id="two", overwrite=True)
    assert states(directory) == {"step": "complete"}
    assert value_of(directory) == 0
    save_rank(directory, 1, 2, state_of(1, 5.0), save_id="two", overwrite=True)
    assert value_of(directory) == 5
    await_value(lambda: files(directory), [*shards(2, "two"), INDEX])
    assert json.loads((directory / INDEX).read_text())["metadata"]["podfs.set"] == shards(2, "two")[0][-28:-12]


def test_over_and_over(directory):
    for attempt in range(4):
        save_all(directory, 2, value=float(attempt), save_id=f"attempt {attempt}", overwrite=True)
        assert value_of(directory) == attempt
    await_value(lambda: files(directory), [*shards(2, "attempt 3"), INDEX])


def test_another_number_of_ranks_leaves_nothing_of_the_old_one(directory):
    save_all(directory, 3, save_id="three")
    save_all(directory, 2, save_id="two", overwrite=True)
    await_value(lambda: files(directory), [*shards(2, "two"), INDEX])
    with open_rank(directory, 0, 1) as ck:
        ck.save({"alone": torch.ones(1)}, "step", overwrite=True).wait()
        await_value(lambda: files(directory), ["step.safetensors"])
        assert list(ck.load("step")) == ["alone"]
    save_all(directory, 2, save_id="again", overwrite=True)
    await_value(lambda: files(directory), [*shards(2, "again"), INDEX])


def test_a_save_that_is_tried_again_under_its_id(directory):
    save_all(directory, 2, save_id="one")
    save_rank(directory, 0, 2, state_of(0, 5.0), save_id="two", overwrite=True)
    save_all(directory, 2, value=6.0, save_id="two", overwrite=True)
    assert value_of(directory) == 6
    save_all(directory, 2, value=7.0, save_id="two", overwrite=True)
    assert value_of(directory) == 7
    await_value(lambda: files(directory), [*shards(2, "two"), INDEX])


def test_what_a_killed_save_has_left_goes_with_the_next(directory):
    save_all(directory, 2, save_id="one")
    save_rank(directory, 0, 2, state_of(0, 5.0), save_id="killed", overwrite=True)
    save_rank(directory, 2, 3, state_of(2, 5.0), save_id="killed, of other ranks", overwrite=True)
    save_all(directory, 2, value=6.0, save_id="two", overwrite=True)
    assert value_of(directory) == 6
    await_value(lambda: files(directory), [*shards(2, "two"), INDEX])


def test_a_model_that_others_sharded_is_replaced_with_its_files(directory):
    save_file = pytest.importorskip("safetensors.torch").save_file
    for rank in range(2):
        save_file({f"layer.{rank}": torch.ones(2)}, str(directory / shard_file("step", rank, 2)))
    save_file({"a": torch.ones(2)}, str(directory / shard_file("step", 2, 3)))
    weight_map = {f"layer.{rank}": shard_file("step", rank, 2) for rank in range(2)}
    (directory / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    save_all(directory, 2, value=6.0, save_id="two", overwrite=True)
    assert value_of(directory) == 6
    await_value(lambda: files(directory), sorted([*shards(2, "two"), INDEX, shard_file("step", 2, 3)]))


def test_ranks_that_run_ahead(directory):
    """Rank 0 has saved twice more when rank 1 comes: no save takes the files of another."""
    save_all(directory, 2, save_id="0")
    for attempt in (1, 2):
        save_rank(directory, 0, 2, state_of(0, float(attempt)), save_id=str(attempt), overwrite=True)
    for attempt in (1, 2):
        assert value_of(directory) == attempt - 1
        save_rank(directory, 1, 2, state_of(1, float(attempt)), save_id=str(attempt), overwrite=True)
    assert value_of(directory) == 2
    await_value(lambda: files(directory), [*shards(2, "2"), INDEX])


def test_an_index_is_written_before_the_next_file_of_its_rank(tmp_path, monkeypatch):
    """If it came later, it could take the place of the next index, whose save has removed the files it names."""
    for attempt in range(3):
        save_rank(tmp_path, 0, 2, state_of(0, float(attempt)), save_id=str(attempt), overwrite=True)
    names = []
    publish, write_index = _temporary.TemporaryFile.publish, _ranks._write_index
    all_begun = threading.Event()
    monkeypatch.setattr(
        _temporary.TemporaryFile, "publish", lambda self: (names.append(os.path.basename(self.final)), publish(self))
    )
    monkeypatch.setattr(_ranks, "_write_index", lambda *given: (all_begun.wait(300), write_index(*given))[1])
    with open_rank(tmp_path, 1, 2, mode="file", keep=1) as ck:
        for attempt in range(3):
            ck.save(state_of(1, float(attempt)), "step", overwrite=True, save_id=str(attempt))
        all_begun.set()
        ck.wait()
    assert names == [name for attempt in range(3) for name in (shards(2, str(attempt))[1], INDEX)]
    assert files(tmp_path) == [*shards(2, "2"), INDEX]
    assert value_of(tmp_path) == 2


def test_the_newer_one_counts_while_both_are_there(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    save_all(old, 2, save_id="one")
    with open_rank(new, 0, 1) as ck:
        ck.save({"layer.0": torch.full((2,), 3.0)}, "step").wait()
    await_next_millisecond()
    for name in files(old):
        shutil.copy2(old / name, new / name)
    assert value_of(new) == 3
    save_all(old, 2, value=4.0, save_id="two", overwrite=True)
    for name in files(old):
        shutil.copy2(old / name, new / name)
    assert value_of(new) == 4
    with open_rank(new, 0, 1) as ck:
        assert [info.ranks for info in ck.list()] == [2]
        ck.remove("step")
    assert files(new) == []


def test_a_set_may_have_any_hexadecimal_name(tmp_path):
    save_all(tmp_path, 2, save_id="one")
    for rank in range(2):
        os.rename(tmp_path / shard_file("step", rank, 2), tmp_path / shard_file("step", rank, 2, "2"))
    text = (tmp_path / INDEX).read_text().replace("-of-00002.", "-of-00002.2.")
    (tmp_path / INDEX).write_text(text.replace('"metadata":{', '"metadata":{"podfs.set":"2",'))
    assert states(tmp_path) == {"step": "complete"}
    assert value_of(tmp_path) == 0
    with open_rank(tmp_path, 0, 1) as ck:
        assert sorted(ck.load("step", rank=1)) == ["layer.1", "shared"]
        (tmp_path / INDEX).write_text(text.replace('"metadata":{', '"metadata":{"podfs.set":"../x",'))
        with pytest.raises(podfs.DamagedCheckpoint, match="set of files"):
            ck.load("step")


@pytest.mark.parametrize("name", ["x-00001-of-00002.2", "x-00001-of-00002.0123456789abcdef.safetensors"])
def test_names_of_files_of_ranks_are_refused(tmp_path, name):
    with open_rank(tmp_path, 0, 1) as ck, pytest.raises(podfs.InvalidName, match="ranks"):
        ck.save({"a": torch.ones(1)}, name)


def test_a_reader_sees_one_whole_checkpoint_at_every_moment(directory):
    save_all(directory, 2, save_id="first")
    seen, errors, done = [], [], threading.Event()

    def read():
        try:
            with open_rank(directory, 0, 1) as ck:
                while not done.is_set() or not seen:
                    assert [(info.name, info.state) for info in ck.list()] == [("step", "complete")]
                    seen.append(value_of(directory))
        except BaseException as error:
            errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for attempt in range(1, 13):
            ranks = attempt % 3 + 1
            if ranks == 1:
                with open_rank(directory, 0, 1) as ck:
                    ck.save(state_of(0, float(attempt)), "step", overwrite=True)
            else:
                save_all(directory, ranks, value=float(attempt), save_id=str(attempt), overwrite=True)
    finally:
        done.set()
        reader.join()
    assert errors == []
    assert seen == sorted(seen)
    assert value_of(directory) == 12


# Rank 1 of 2, which kills itself at the n-th call of a function.
KILLED = """
import os, sys
import podfs
from support.dying import die_at
from support.hosts import HostArray

directory, mode, save_id, module, function, when = sys.argv[1:7]
with podfs.checkpoint(directory, mode=mode, ring_bytes=4 << 20, rank=1, world_size=2) as ck:
    die_at(module, function, int(when))
    ck.save({"b": HostArray(save_id.encode() * 100_000)}, "step", overwrite=True, save_id=save_id)
    ck.wait(durable=True)
os._exit(7)  # it was not called that often
"""

STEPS = {
    "shm": [("podfs._daemon", "DaemonSink.send", when) for when in range(9)],
    "file": [
        *(("os", "pwrite", when) for when in range(2)),
        *(("os", "ftruncate", when) for when in range(2)),
        *(("os", "fsync", when) for when in range(5)),
        *(("os", "rename", when) for when in range(2)),
        *(("podfs._file", "_unlink_if_there", when) for when in range(3)),
    ],
}


def test_a_rank_killed_at_any_step_leaves_the_old_one_or_the_new_one(place):
    directory, mode = Path(place[0]), place[1]

    def save(rank, save_id):
        array = torch.frombuffer(bytearray(save_id.encode() * 100_000), dtype=torch.uint8)
        save_rank(directory, rank, 2, {"ab"[rank]: array}, save_id=save_id, overwrite=True)

    def saved():
        with open_rank(directory, 0, 1, mode="file") as ck:
            assert [(info.name, info.state) for info in ck.list()] == [("step", "complete")]
            loaded = ck.load("step")
        assert sorted(loaded) == ["a", "b"]
        values = {bytes(tensor[:4].tolist()).decode() for tensor in loaded.values()}
        assert len(values) == 1
        return values.pop()

    exits = []
    for number, step in enumerate(STEPS[mode]):
        old, new = f"o{number:03d}", f"n{number:03d}"
        for rank in range(2):
            save(rank, old)
        save(0, new)
        assert saved() == old
        environment = {**os.environ, "PYTHONPATH": MODULES}
        command = [sys.executable, "-c", KILLED, str(directory), mode, new, *map(str, step)]
        exits.append(subprocess.run(command, env=environment, timeout=600).returncode)
        assert saved() in (old, new), step
        save(1, new)
        assert saved() == new, step
    await_value(lambda: files(directory), [*shards(2, new), INDEX])
    assert exits.count(-signal.SIGKILL) >= len(exits) - 1
    assert single_file("step") not in files(directory)
