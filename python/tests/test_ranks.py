"""Checkpoints of several processes: one file per rank, and an index when all are whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors")

import podfs  # noqa: E402
from podfs._names import shard_file  # noqa: E402
from support.process_group import run_ranks  # noqa: E402
from support.ranks import RING_BYTES, files, open_rank, save_all, save_rank, state_of, states  # noqa: E402


@pytest.fixture
def directory(place):
    """On a plain disk, and in a mount."""
    path = Path(place[0])
    with podfs.checkpoint(path, ring_bytes=RING_BYTES) as ck:
        assert ck.mode == place[1], ck.reason
    return path


def test_the_index_appears_with_the_last_file(directory):
    save_rank(directory, 1, 2, state_of(1), save_id="one")
    assert files(directory) == ["step-00002-of-00002.safetensors"]
    assert states(directory) == {"step": "incomplete"}
    with open_rank(directory, 0, 1) as ck, pytest.raises(podfs.CheckpointNotFound, match="1 of 2"):
        ck.load("step")
    save_rank(directory, 0, 2, state_of(0), save_id="one")
    assert files(directory)[2:] == ["step.safetensors.index.json"]
    assert states(directory) == {"step": "complete"}


def test_all_tensors_come_back_and_each_rank_has_its_own(directory):
    save_all(directory, 3, save_id="one")
    with open_rank(directory, 0, 1) as ck:
        loaded = ck.load("step")
        assert sorted(loaded) == ["layer.0", "layer.1", "layer.2", "shared"]
        assert torch.equal(loaded["layer.2"], state_of(2)["layer.2"])
        assert torch.equal(loaded["shared"], torch.zeros(3)), "the lowest rank's"
        assert torch.equal(ck.load("step", rank=2)["shared"], torch.full((3,), 2.0))
        assert list(ck.load("step", names=["layer.1"])) == ["layer.1"]
        target = {"layer.1": torch.empty(100)}
        ck.load("step", into=target)
        assert torch.equal(target["layer.1"], torch.full((100,), 1.0))
        with pytest.raises(podfs.TensorMismatch, match="no tensor 'layer.9'"):
            ck.load("step", names=["layer.9"])
        with pytest.raises(podfs.TensorMismatch, match="no rank 3"):
            ck.load("step", rank=3)


def test_the_layout_is_hugging_faces(directory):
    save_all(directory, 2, save_id="one", metadata={"note": "mine"})
    index = json.loads((directory / "step.safetensors.index.json").read_text())
    assert index["weight_map"] == {
        "layer.0": "step-00001-of-00002.safetensors",
        "layer.1": "step-00002-of-00002.safetensors",
        "shared": "step-00001-of-00002.safetensors",
    }
    assert index["metadata"]["total_size"] == 2 * (100 + 3) * 4
    for tensor, filename in index["weight_map"].items():
        with safetensors.safe_open(str(directory / filename), "pt") as file:
            assert tensor in file.keys()
            assert file.metadata()["podfs.save"] == index["metadata"]["podfs.save"]
            assert file.metadata()["note"] == "mine"


def test_tied_weights_are_in_the_index_under_both_names(directory):
    weight = torch.arange(10.0)
    save_rank(directory, 0, 2, {"head": weight, "embedding": weight}, save_id="one")
    save_rank(directory, 1, 2, {"other": torch.ones(1)}, save_id="one")
    with open_rank(directory, 0, 1) as ck:
        loaded = ck.load("step")
    assert torch.equal(loaded["head"], weight) and torch.equal(loaded["embedding"], weight)


def test_models_that_others_sharded_are_loaded(directory):
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file({"a": torch.ones(2)}, str(directory / "model-00001-of-00002.safetensors"))
    save_file({"b": torch.zeros(2)}, str(directory / "model-00002-of-00002.safetensors"))
    weight_map = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with open_rank(directory, 0, 1) as ck:
        assert sorted(ck.load("model")) == ["a", "b"]


def test_files_of_another_save_never_count(directory):
    save_rank(directory, 0, 2, state_of(0), save_id="killed in the middle")
    save_rank(directory, 1, 2, state_of(1), save_id="the next attempt")
    assert states(directory) == {"step": "incomplete"}
    save_rank(directory, 0, 2, state_of(0, 5.0), save_id="the next attempt")
    with open_rank(directory, 0, 1) as ck:
        assert ck.load("step")["layer.0"][0] == 5.0


def test_a_name_that_exists_is_not_touched(directory):
    save_all(directory, 2, save_id="one")
    before = {name: (directory / name).read_bytes() for name in files(directory)}
    with pytest.raises(podfs.CheckpointExists, match="overwrite=True"):
        save_rank(directory, 0, 2, state_of(0, 5.0), save_id="two")
    with pytest.raises(podfs.CheckpointExists):
        save_rank(directory, 0, 1, state_of(0), save_id=None)
    assert {name: (directory / name).read_bytes() for name in files(directory)} == before


def test_ranks_that_cannot_agree_are_told_what_to_do(directory):
    with open_rank(directory, 0, 2) as ck, pytest.raises(ValueError, match="save_id"):
        ck.save(state_of(0), "step")
    assert files(directory) == []


@pytest.mark.parametrize(("rank", "ranks"), [(2, 2), (-1, 2), (0, None), (None, 2)])
def test_impossible_ranks(directory, rank, ranks):
    with pytest.raises(ValueError, match="rank"):
        open_rank(directory, rank, ranks)


def test_a_rank_killed_in_the_middle_leaves_no_checkpoint(tmp_path):
    save_all(tmp_path, 2, "old", save_id="one")
    save_rank(tmp_path, 0, 2, state_of(0), "new", save_id="two")
    program = """
        import os, signal, sys, torch, podfs
        # The name of the file is the last step: the process dies when everything but that is done.
        die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        os.link = os.rename = os.replace = die
        with podfs.checkpoint(sys.argv[1], mode="file", ring_bytes=4 << 20, rank=1, world_size=2) as ck:
            ck.save({"layer.1": torch.ones(100)}, "new", save_id="two")
            ck.wait()
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    killed = subprocess.run(command, env=environment, timeout=600)
    assert killed.returncode == -signal.SIGKILL
    assert states(tmp_path) == {"old": "complete", "new": "incomplete"}
    with open_rank(tmp_path, 0, 1) as ck:
        assert sorted(ck.load("old")) == ["layer.0", "layer.1", "shared"]
        with pytest.raises(podfs.CheckpointNotFound, match="not complete"):
            ck.load("new")


def test_a_damaged_checkpoint_is_refused(directory):
    save_all(directory, 2, save_id="one")
    index = directory / "step.safetensors.index.json"
    whole = index.read_text()
    with open_rank(directory, 0, 1) as ck:
        for text in ("", "[]", "{}", '{"weight_map": 1}', whole.replace("step-00001", "../step-00001")):
            index.write_text(text)
            with pytest.raises(podfs.DamagedCheckpoint):
                ck.load("step")
        index.write_text(whole)
        (directory / "other").mkdir()
        save_rank(directory / "other", 1, 2, state_of(1), save_id="two")
        second = shard_file("step", 1, 2)
        os.replace(directory / "other" / second, directory / second)
        with pytest.raises(podfs.DamagedCheckpoint, match="another save"):
            ck.load("step")
        os.unlink(directory / second)
        with pytest.raises(podfs.DamagedCheckpoint, match="missing"):
            ck.load("step")


def test_eight_ranks_at_once_always_leave_an_index(directory):
    for attempt in range(5):
        name = f"step-{attempt}"
        threads = [
            threading.Thread(target=save_rank, args=(directory, rank, 8, state_of(rank), name, name))
            for rank in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert states(directory)[name] == "complete"
    assert not [name for name in files(directory) if name.startswith(".")]


def _save_twice(rank, directory):
    outcomes = []
    with podfs.checkpoint(directory, ring_bytes=RING_BYTES) as ck:
        for _ in range(2):
            try:
                ck.save(state_of(rank), "step")
                ck.wait()
                outcomes.append("saved")
            except podfs.CheckpointExists:
                outcomes.append("exists")
            # It is complete when all have waited.
            torch.distributed.barrier()
    with podfs.checkpoint(directory, ring_bytes=RING_BYTES) as ck:
        ck.save(state_of(rank, 5.0), "step", overwrite=True)
        ck.wait()
        torch.distributed.barrier()
        return outcomes, float(ck.load("step", rank=rank)[f"layer.{rank}"][0])


def test_ranks_are_asked_for_when_something_is_saved(tmp_path, monkeypatch):
    # A checkpoint that was opened before torch.distributed was initialised must not save as the only rank.
    with podfs.checkpoint(str(tmp_path), mode="file", ring_bytes=RING_BYTES) as ck:
        monkeypatch.setattr("podfs._ranks._distributed", lambda: (1, 2))
        ck.save(state_of(1), "step", save_id="late")
        ck.wait()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00002-of-00002.safetensors"]


def test_torch_distributed_agrees_on_the_save(directory):
    results = run_ranks(2, _save_twice, str(directory))
    assert results == [(["saved", "exists"], 5.0), (["saved", "exists"], 6.0)]
    assert states(directory) == {"step": "complete"}
