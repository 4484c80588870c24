"""load(mmap=True): tensors that are the file's own pages."""

from __future__ import annotations

import os
import warnings

import pytest

torch = pytest.importorskip("torch")

import podfs  # noqa: E402
from podfs import _mapping  # noqa: E402
from support.ranks import open_rank, save_all, state_of  # noqa: E402
from support.states import assert_equal, every_kind, random_tensor  # noqa: E402

RING_BYTES = 4 << 20


def open_place(place):
    return podfs.checkpoint(place[0], mode=place[1], ring_bytes=RING_BYTES)


def mapped_files(tensors):
    """Whether each tensor's memory is some file's."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        ranges = [line.split() for line in maps]
    files = [(*(int(end, 16) for end in fields[0].split("-")), fields[4] != "0") for fields in ranges]
    return {
        name: any(begin <= tensor.data_ptr() < end and is_file for begin, end, is_file in files)
        for name, tensor in tensors.items()
    }


def test_all_tensors_come_back(place):
    state = every_kind()
    with open_place(place) as ck:
        ck.save(state, "step").wait()
        loaded = ck.load("step", mmap=True)
        assert_equal(loaded, state)
        assert loaded["tied"].data_ptr() == loaded["transposed"].data_ptr()
        assert all(mapped_files({name: tensor for name, tensor in loaded.items() if tensor.numel() > 0}).values())
        assert_equal(ck.load("step", names=["large"], mmap=True), {"large": state["large"]})


def test_writing_to_them_leaves_the_file_as_it_is(place):
    state = {"a": torch.arange(10_000.0), "b": torch.arange(10_000)}
    with open_place(place) as ck, warnings.catch_warnings():
        warnings.simplefilter("error")
        ck.save(state, "step").wait()
        loaded = ck.load("step", mmap=True)
        for tensor in loaded.values():
            tensor.add_(1)
        assert_equal(loaded, {name: tensor + 1 for name, tensor in state.items()})
        assert_equal(ck.load("step"), state)


def test_they_stay_when_the_file_is_replaced_or_removed(place):
    old, new = ({"a": torch.full((300_000,), value)} for value in (1.0, 2.0))
    with open_place(place) as ck:
        ck.save(old, "step").wait()
        loaded = ck.load("step", mmap=True)
        ck.save(new, "step", overwrite=True).wait()
        assert_equal(ck.load("step", mmap=True), new)
        ck.remove("step")
        assert_equal(loaded, old)


def test_given_tensors_are_filled_all_the_same(place):
    state = {"a": torch.randn(1000), "b": torch.randn(1000)}
    into = {"a": torch.zeros(1000)}
    with open_place(place) as ck:
        ck.save(state, "step").wait()
        loaded = ck.load("step", into=into, names=["a", "b"], mmap=True)
    assert loaded["a"] is into["a"]
    assert mapped_files(loaded) == {"a": False, "b": True}
    assert_equal(loaded, state)


def test_checkpoints_of_ranks_and_objects(place):
    save_all(place[0], 2, save_id="one")
    with open_rank(place[0], 0, 1) as ck:
        assert_equal(ck.load("step", rank=1, mmap=True), state_of(1))
        loaded = ck.load("step", mmap=True)
        assert all(mapped_files(loaded).values())
    path = os.path.join(place[0], "object.safetensors")
    podfs.save({"model": {"w": torch.ones(100)}, "step": 7}, path)
    found = podfs.load(path, mmap=True)
    assert found["step"] == 7 and torch.equal(found["model"]["w"], torch.ones(100))
    assert mapped_files(found["model"]) == {"w": True}


def test_what_another_writer_did_not_align_is_copied(tmp_path):
    header = (
        '{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"F32","shape":[2],"data_offsets":[3,11]}}'
    )
    values = torch.tensor([1.5, -2.0])
    data = bytes([7, 8, 9]) + values.numpy().tobytes()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode() + data)
    with podfs.checkpoint(tmp_path, mode="file") as ck:
        loaded = ck.load("x", mmap=True)
        assert_equal(loaded, {"a": torch.tensor([7, 8, 9], dtype=torch.uint8), "b": values})
        assert mapped_files(loaded)["b"] is False


def test_a_kernel_that_cannot_bring_pages_in(tmp_path, monkeypatch):
    state = {"a": random_tensor((100_000,), torch.int32)}
    monkeypatch.setattr(_mapping, "_MADV_POPULATE_READ", 9999)
    with podfs.checkpoint(tmp_path, mode="file") as ck:
        ck.save(state, "step").wait()
        assert_equal(ck.load("step", mmap=True), state)


def test_what_cannot_be_read_is_an_exception(tmp_path, monkeypatch):
    bring_in = _mapping.FileMapping.jobs

    def cut_short(self, *given):
        os.truncate(tmp_path / "step.safetensors", 5000)
        return bring_in(self, *given)

    with podfs.checkpoint(tmp_path, mode="file") as ck:
        ck.save({"a": torch.zeros(100_000)}, "step").wait()
        monkeypatch.setattr(_mapping.FileMapping, "jobs", cut_short)
        with pytest.raises((podfs.StorageError, podfs.DamagedCheckpoint)):
            ck.load("step", mmap=True)
