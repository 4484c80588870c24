"""Saving and loading CPU tensors, through a mount and without one."""

from __future__ import annotations

import gc
import os
import time

import pytest

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

import podfs  # noqa: E402
from support.states import assert_equal, every_kind, random_tensor, raw  # noqa: E402

#: Two slots of 2 MiB: states are larger than the ring, tensors larger than a slot.
SMALL_RING = 4 << 20


def open_place(place, **options):
    directory, mode = place
    return podfs.checkpoint(directory, mode=mode, **{"ring_bytes": SMALL_RING, **options})


def test_every_kind_of_tensor_comes_back_bit_by_bit(place):
    state = every_kind()
    with open_place(place) as ck:
        assert ck.mode == place[1]
        ck.save(state, "step")
        ck.wait()
        assert_equal(ck.load("step"), state)


def test_stock_safetensors_loads_the_file(place):
    state = every_kind()
    with open_place(place) as ck:
        ck.save(state, "step", metadata={"epoch": "3"})
    loaded = safetensors_torch.load_file(os.path.join(place[0], "step.safetensors"))
    del state["tied"]  # stored once, as "transposed"
    assert_equal(loaded, state)
    with safetensors_torch.safe_open(os.path.join(place[0], "step.safetensors"), "pt") as file:
        assert file.metadata()["epoch"] == "3"
        assert file.metadata()["podfs.alias.tied"] == "transposed"


def test_tied_weights_are_one_tensor_again(place):
    weight = torch.randn(100, 100)
    with open_place(place) as ck:
        ck.save({"a": weight, "b": weight, "c": weight.t(), "d": weight.clone()}, "step").wait()
        loaded = ck.load("step")
        assert loaded["a"] is loaded["b"]
        assert loaded["c"].data_ptr() != loaded["a"].data_ptr()
        assert list(ck.load("step", names=["b"])) == ["b"]


def test_tensors_may_change_when_save_has_returned(place):
    state = {f"layer.{number}": random_tensor((300_000,), torch.float32, number) for number in range(12)}
    expected = {name: tensor.clone() for name, tensor in state.items()}
    with open_place(place) as ck:
        for step in range(3):
            pending = ck.save(state, f"step-{step}")
            for tensor in state.values():
                tensor.fill_(step)
            pending.wait()
            assert_equal(ck.load(f"step-{step}"), expected)
            expected = {name: tensor.clone() for name, tensor in state.items()}


def test_loading_into_tensors(place):
    state = {"a": torch.randn(700, 900), "b": torch.randn(5), "c": torch.zeros(0), "t": torch.randn(30, 20)}
    with open_place(place) as ck:
        ck.save(state, "step").wait()
        into = {name: torch.full_like(tensor, 7) for name, tensor in state.items()}
        into["t"] = torch.zeros(20, 30).t()
        loaded = ck.load("step", into=into)
        assert_equal(into, state)
        assert all(loaded[name] is into[name] for name in state)
        only = {"b": torch.zeros(5)}
        assert list(ck.load("step", into=only)) == ["b"]
        assert raw(only["b"]) == raw(state["b"])


def test_loading_some(place):
    state = {f"t{number}": torch.randn(number * 1000) for number in range(20)}
    with open_place(place) as ck:
        ck.save(state, "step").wait()
        names = ["t13", "t2", "t3", "t0"]
        loaded = ck.load("step", names=names)
        assert list(loaded) == names
        assert_equal(loaded, {name: state[name] for name in names})


def test_loaded_tensors_outlive_the_checkpoint_and_can_be_changed(place):
    state = {"a": torch.randn(2_000_000), "b": torch.randn(3)}
    with open_place(place) as ck:
        ck.save(state, "step").wait()
        loaded = ck.load("step")
    kept = loaded.pop("b")
    del loaded
    gc.collect()
    kept += 1
    assert raw(kept) == raw(state["b"] + 1)


def test_the_ring_may_be_smaller_than_a_tensor(place):
    state = {"x": random_tensor((9_000_001,), torch.uint8)}
    with open_place(place) as ck:
        ck.save(state, "step").wait()
        assert_equal(ck.load("step"), state)


def test_files_of_others_are_loaded(place):
    state = {"odd": torch.arange(3, dtype=torch.uint8), "then": torch.arange(5.0)}
    with open_place(place) as ck:
        # Not aligned: the header of stock safetensors ends at a multiple of 8, and "then" after three bytes.
        odd = b'{"dtype":"U8","shape":[3],"data_offsets":[0,3]}'
        then = b'{"dtype":"F32","shape":[5],"data_offsets":[3,23]}'
        prefix = b'{"odd":' + odd + b',"then":' + then + b"}"
        with open(os.path.join(place[0], "other.safetensors"), "wb") as file:
            file.write(len(prefix).to_bytes(8, "little") + prefix + raw(state["odd"]) + raw(state["then"]))
        assert_equal(ck.load("other"), state)
        assert ck.list()[0].save_id is None


def test_names_and_overwriting(place):
    with open_place(place) as ck:
        ck.save({"a": torch.zeros(3)}, "step").wait()
        with pytest.raises(podfs.CheckpointExists, match="overwrite"):
            ck.save({"a": torch.ones(3)}, "step")
        assert ck.load("step")["a"].tolist() == [0, 0, 0]
        ck.save({"a": torch.ones(3)}, "step.safetensors", overwrite=True).wait()
        assert ck.load("step.safetensors")["a"].tolist() == [1, 1, 1]
        with pytest.raises(podfs.CheckpointNotFound):
            ck.load("absent")
        for bad in ("", ".", "..", "a/b", ".hidden", "a\nb", "x" * 300, "x-00001-of-00002"):
            with pytest.raises(podfs.InvalidName):
                ck.save({"a": torch.ones(3)}, bad)
            with pytest.raises(podfs.InvalidName):
                ck.load(bad)


def test_what_cannot_be_saved(place):
    with open_place(place) as ck:
        for state, message in (
            ({"a": torch.zeros(3, dtype=torch.complex128)}, "complex128"),
            ({"a": torch.zeros(3, 3).to_sparse()}, "sparse"),
            ({"a": torch.empty(3, device="meta")}, "meta"),
            ({"__metadata__": torch.zeros(1)}, "__metadata__"),
        ):
            with pytest.raises(podfs.UnsupportedTensor, match=message):
                ck.save(state, "step")
        with pytest.raises(ValueError, match="podfs's own"):
            ck.save({}, "step", metadata={"podfs.save": "x"})
        with pytest.raises(TypeError, match="strings"):
            ck.save({}, "step", metadata={"epoch": 3})
        assert ck.list() == []


def test_what_does_not_fit_is_said(place):
    with open_place(place) as ck:
        ck.save({f"t{number}": torch.zeros(3) for number in range(9)}, "step").wait()
        with pytest.raises(podfs.TensorMismatch, match=r"'t0' is F32 \[4\], in the checkpoint F32 \[3\].*and 5 more"):
            ck.load("step", into={f"t{number}": torch.zeros(4) for number in range(9)})
        with pytest.raises(podfs.TensorMismatch, match="F64"):
            ck.load("step", into={"t1": torch.zeros(3, dtype=torch.float64)})
        with pytest.raises(podfs.TensorMismatch, match="no tensor 'absent'"):
            ck.load("step", names=["t1", "absent"])
        with pytest.raises(podfs.DeviceError, match="GPU|not to"):
            ck.load("step", device="cuda:7")


def test_nested_objects_come_back(place):
    model = torch.nn.Linear(4, 4)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    with open_place(place) as ck:
        ck.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": 7}, "step").wait()
        loaded = ck.load("step")
    assert loaded["step"] == 7
    assert_equal(loaded["model"], model.state_dict())
    assert torch.equal(loaded["optimizer"]["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])


def test_arrays_of_numpy(place):
    numpy = pytest.importorskip("numpy")
    state = {"a": numpy.arange(12, dtype="f4").reshape(3, 4), "t": numpy.arange(12, dtype="i2").reshape(3, 4).T}
    with open_place(place) as ck:
        ck.save(state, "step").wait()
        loaded = ck.load("step")
        assert loaded["a"].tolist() == state["a"].tolist()
        assert loaded["t"].tolist() == state["t"].tolist()
        into = {"a": numpy.zeros((3, 4), "f4")}
        ck.load("step", into=into)
        assert into["a"].tolist() == state["a"].tolist()
        with pytest.raises(podfs.UnsupportedTensor, match=">f4"):
            ck.save({"a": state["a"].astype(">f4")}, "big-endian")
        ck.save({"a": torch.ones(2), "scalar": numpy.float64(2.5)}, "scalar").wait()
        assert os.path.getsize(os.path.join(place[0], "scalar.safetensors")) > 0


def test_many_saves_at_once_and_waiting_for_all(place):
    from concurrent.futures import ThreadPoolExecutor

    with open_place(place) as ck, ThreadPoolExecutor(6) as pool:
        states = {f"step-{number}": {"a": random_tensor((700_001,), torch.float32, number)} for number in range(6)}
        list(pool.map(lambda name: ck.save(states[name], name), states))
        ck.wait()
        for name, state in states.items():
            assert_equal(ck.load(name), state)
        assert {info.name for info in ck.list()} == set(states)
        ck.wait(durable=True)


def test_listing_and_removing(place):
    with open_place(place) as ck:
        ck.save({"a": torch.zeros(1000)}, "one").wait()
        time.sleep(0.002)  # so that the two have not been saved in the same millisecond
        ck.save({"a": torch.zeros(1000)}, "two").wait()
        assert [(info.name, info.state, info.ranks) for info in ck.list()] == [
            ("two", "complete", 1),
            ("one", "complete", 1),
        ]
        ck.remove("one")
        assert [info.name for info in ck.list()] == ["two"]
        with pytest.raises(podfs.CheckpointNotFound):
            ck.remove("one")


def test_a_closed_checkpoint_says_so(place):
    ck = open_place(place)
    ck.close()
    ck.close()
    with pytest.raises(ValueError, match="closed"):
        ck.save({"a": torch.zeros(3)}, "step")


def test_files_that_are_not_in_the_page_cache(place):
    state = {"a": random_tensor((9_000_001,), torch.uint8), "b": torch.randn(3), "c": torch.randn(1500, 1000)}
    with open_place(place) as ck:
        ck.save(state, "step").wait()
        for load in (
            lambda: ck.load("step"),
            lambda: ck.load("step", into={n: torch.zeros_like(t) for n, t in state.items()}),
        ):
            with open(os.path.join(place[0], "step.safetensors"), "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            assert_equal(load(), state)
