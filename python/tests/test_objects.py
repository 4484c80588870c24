"""podfs.save and podfs.load: objects with tensors in them."""

from __future__ import annotations

import collections
import json
import os
import pickle
import random
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

import podfs  # noqa: E402
from podfs import _objects  # noqa: E402
from podfs._engine import Engine  # noqa: E402


class Unknown:
    """Not a class that anybody has declared safe."""

    def __init__(self) -> None:
        self.weight = torch.arange(3.0)


@pytest.fixture
def path(place):
    """On a plain disk, and in a mount."""
    directory = Path(place[0])
    directory.mkdir()
    return str(directory / "object.safetensors")


def round_trip(obj, path, **options):
    podfs.save(obj, path)
    return podfs.load(path, **options)


def trained():
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(4, 8)).sum().backward()
        optimizer.step()
        scheduler.step()
    return model, optimizer, scheduler


def test_model_optimizer_scheduler_and_random_states_come_back_bit_by_bit(path):
    model, optimizer, scheduler = trained()
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "torch_rng": torch.get_rng_state(),
        "python_rng": random.getstate(),
        "step": 3,
        "best": float("inf"),
        "notes": ["a", None, True, 2**80, b"bytes", {1, 2}, 1 + 2j],
    }
    loaded = round_trip(state, path)
    assert list(loaded) == list(state)
    other, other_optimizer, other_scheduler = trained()
    other.load_state_dict(loaded["model"])
    other_optimizer.load_state_dict(loaded["optimizer"])
    other_scheduler.load_state_dict(loaded["scheduler"])
    for one, another in zip(model.state_dict().values(), other.state_dict().values()):
        assert torch.equal(one, another)
    for key, moments in optimizer.state_dict()["state"].items():
        for name, value in moments.items():
            assert torch.equal(value, other_optimizer.state_dict()["state"][key][name])
    assert torch.equal(loaded["torch_rng"], state["torch_rng"])
    for key in ("python_rng", "step", "best", "notes"):
        assert loaded[key] == state[key]


def test_stock_safetensors_reads_the_tensors_by_their_places(path):
    model, optimizer, _ = trained()
    podfs.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
    tensors = safetensors_torch.load_file(path)
    assert torch.equal(tensors["model.0.weight"], model.state_dict()["0.weight"])
    assert torch.equal(tensors["optimizer.state.0.exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])
    assert tensors["podfs.pickle"].dtype == torch.uint8


def test_a_plain_state_dict_has_its_own_names(path):
    model, _, _ = trained()
    loaded = round_trip(model.state_dict(), path)
    assert isinstance(loaded, collections.OrderedDict)
    assert set(safetensors_torch.load_file(path)) == {*model.state_dict(), "podfs.pickle"}


def test_the_same_memory_is_stored_once_and_stays_shared(path):
    weight = torch.randn(100)
    loaded = round_trip({"a": weight, "b": weight, "c": weight.view(100), "d": [weight.detach()]}, path)
    assert loaded["a"] is loaded["b"]
    loaded["a"].zero_()
    assert loaded["c"].sum() == 0 and loaded["d"][0].sum() == 0
    assert len(safetensors_torch.load_file(path)) == 2


def test_parameters_stay_parameters(path):
    frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    marked = torch.nn.Parameter(torch.ones(3))
    marked.is_special = True
    loaded = round_trip([torch.nn.Parameter(torch.zeros(2)), frozen, marked, torch.ones(2, requires_grad=True)], path)
    assert [type(one) for one in loaded[:3]] == [torch.nn.Parameter] * 3
    assert [one.requires_grad for one in loaded] == [True, False, True, True]
    assert loaded[2].is_special


def test_unusual_tensors(path):
    tensors = {
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 7),
        "transposed": torch.arange(12.0).reshape(3, 4).t(),
        "expanded": torch.ones(1).expand(5),
        "sparse": torch.eye(4).to_sparse(),
        "complex": torch.tensor([1 + 2j], dtype=torch.complex128),
        "conjugate": torch.tensor([1 + 2j]).conj(),
        "bfloat": torch.arange(5, dtype=torch.bfloat16),
        "bool": torch.tensor([True, False]),
    }
    loaded = round_trip(tensors, path)
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype and loaded[name].shape == tensor.shape, name
        assert torch.equal(loaded[name].to_dense(), tensor.to_dense()), name


def test_names_that_collide_or_are_odd(path):
    state = {
        "a.b": torch.zeros(1),
        "a": {"b": torch.ones(1)},
        "podfs.pickle": torch.full((1,), 2.0),
        "\ud800": torch.full((1,), 3.0),
        "": torch.full((1,), 4.0),
    }
    assert [tensor.item() for tensor in _leaves(round_trip(state, path))] == [0, 1, 2, 3, 4]


def _leaves(obj):
    for value in obj.values():
        yield from _leaves(value) if isinstance(value, dict) else [value]


def test_an_object_that_contains_itself(path):
    loop: dict = {"weight": torch.ones(1)}
    loop["self"] = loop
    loaded = round_trip(loop, path)
    assert loaded["self"] is loaded and loaded["weight"] == 1


def test_a_tensor_alone_and_no_tensor_at_all(path):
    assert torch.equal(round_trip(torch.arange(4), path), torch.arange(4))
    assert round_trip({"step": 1}, path) == {"step": 1}


def test_what_is_not_declared_safe_is_not_made(path):
    podfs.save({"object": Unknown()}, path)
    with pytest.raises(pickle.UnpicklingError, match="Unknown"):
        podfs.load(path)
    assert torch.equal(podfs.load(path, weights_only=False)["object"].weight, torch.arange(3.0))


def test_a_file_that_would_run_code_does_not(path, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    podfs.save({"x": Evil()}, path)
    with pytest.raises(pickle.UnpicklingError):
        podfs.load(path)
    assert not (tmp_path / "ran").exists()


def test_loads_what_others_wrote(path):
    safetensors_torch.save_file({"w": torch.ones(3)}, path)
    assert torch.equal(podfs.load(path)["w"], torch.ones(3))


def test_map_location(path):
    podfs.save({"w": torch.ones(3)}, path)
    assert podfs.load(path, map_location="cpu")["w"].device.type == "cpu"
    assert podfs.load(path, map_location={"cuda:0": "cpu"})["w"].device.type == "cpu"
    with pytest.raises(TypeError, match="map_location"):
        podfs.load(path, map_location=lambda storage, location: storage)
    if not torch.cuda.is_available():
        with pytest.raises(podfs.DeviceError, match="map_location='cpu'"):
            podfs.load(path, map_location="cuda:0")


def test_tensors_of_several_devices_go_where_they_are_told(path):
    tensors, metadata = _objects.pack({"weight": torch.ones(3), "step": torch.tensor(1)})
    assert json.loads(metadata["podfs.devices"]) == {"cpu": None}
    metadata["podfs.devices"] = json.dumps({"cuda:7": None, "cpu": ["step"]})
    engine = Engine.open(os.path.dirname(path))
    engine.save_file(*os.path.split(path), tensors, metadata, replace=False)
    engine.close()
    loaded = podfs.load(path, map_location={"cuda:7": "cpu"})
    assert torch.equal(loaded["weight"], torch.ones(3)) and loaded["step"] == 1
    if not torch.cuda.is_available():
        with pytest.raises(podfs.DeviceError, match="cuda:7"):
            podfs.load(path)


def test_saving_again_replaces_the_file_and_keeps_it_whole(path):
    assert round_trip({"step": torch.tensor(1)}, path)["step"] == 1
    assert round_trip({"step": torch.tensor(2)}, path)["step"] == 2


def test_a_relative_path_and_any_suffix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert round_trip({"step": 7}, "best.pt") == {"step": 7}


def test_clear_errors(tmp_path, path):
    with pytest.raises(FileNotFoundError):
        podfs.load(path)
    with pytest.raises(FileNotFoundError):
        podfs.save({}, str(tmp_path / "absent" / "file"))
    podfs.save({"w": torch.ones(1000)}, path)
    with open(path, "r+b") as file:
        file.truncate(5000)
    with pytest.raises(podfs.DamagedCheckpoint):
        podfs.load(path)
