"""torch.distributed.checkpoint with PodfsWriter and PodfsReader."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
dcp = pytest.importorskip("torch.distributed.checkpoint")
distributed_tensor = pytest.importorskip("torch.distributed.tensor")

from torch.distributed.checkpoint.api import CheckpointException  # noqa: E402

import podfs  # noqa: E402
from podfs.dcp import PodfsReader, PodfsWriter  # noqa: E402
from support.process_group import run_ranks  # noqa: E402
from support.waiting import await_value  # noqa: E402

# "torch.distributed is … uninitialized, assuming the intent is to save in a single process": it is.
pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is")


@pytest.fixture
def directory(place):
    """On a plain disk, and in a mount. Made by the writer."""
    return Path(place[0])


def writer(path, **options):
    return PodfsWriter(str(path), **options)


def training_state(value=0.0):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.Linear(8, 4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 16)).sum().backward()
    optimizer.step()
    with torch.no_grad():
        model[0].weight += value
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    return {**state, "step": 7 + value, "extra": {"list": [1, "two"]}}


def zeroed(state):
    if isinstance(state, torch.Tensor):
        return torch.zeros_like(state)
    if isinstance(state, dict):
        return {key: zeroed(value) for key, value in state.items()}
    return [zeroed(value) for value in state] if isinstance(state, list) else type(state)()


def assert_same(one, other):
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other) and one.dtype == other.dtype
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        for left, right in zip(one, other):
            assert_same(left, right)
    else:
        assert one == other


def test_round_trip_of_one_process(directory):
    state = training_state()
    dcp.save(state, storage_writer=writer(directory / "step"))
    loaded = zeroed(state)
    dcp.load(loaded, storage_reader=PodfsReader(directory / "step"))
    assert_same(state, loaded)


def test_the_tensors_are_safetensors(directory):
    safetensors_torch = pytest.importorskip("safetensors.torch")
    state = training_state()
    dcp.save(state, storage_writer=writer(directory))
    filename, metadata = sorted(name for name in os.listdir(directory) if name != ".metadata")[0], ".metadata"
    tensors = safetensors_torch.load_file(str(directory / filename))
    assert torch.equal(tensors["model.0.weight"], state["model"]["0.weight"])
    assert sorted(os.listdir(directory)) == sorted([filename, metadata])


def test_unusual_tensors(directory):
    weight = torch.arange(6.0)
    state = {
        "scalar": torch.tensor(1.5),
        "empty": torch.empty(0, 3),
        "transposed": torch.arange(6).reshape(2, 3).t(),
        "half": torch.ones(3, dtype=torch.float16),
        "tied": weight,
        "tied too": weight,
        "bytes": b"",
    }
    dcp.save(state, storage_writer=writer(directory))
    loaded = zeroed(state)
    loaded["half"] = torch.zeros(3)  # another dtype: converted, as torch's reader does
    dcp.load(loaded, storage_reader=PodfsReader(directory))
    loaded["half"] = loaded["half"].half()
    assert_same(state, loaded)


def test_async_save_does_not_see_later_changes(directory):
    state = training_state()
    expected = training_state()
    future = dcp.async_save(state, storage_writer=writer(directory))
    for tensor in state["model"].values():
        tensor.zero_()
    future.result(timeout=300)
    loaded = zeroed(state)
    dcp.load(loaded, storage_reader=PodfsReader(directory))
    assert_same(expected, loaded)


def test_one_writer_for_many_checkpoints(directory):
    storage = writer(directory)
    for step in range(3):
        dcp.save(training_state(float(step)), checkpoint_id=str(directory / f"step-{step}"), storage_writer=storage)
        storage = pickle.loads(pickle.dumps(storage)) if step == 1 else storage  # as async_save with a process does
    for step in range(3):
        loaded = zeroed(training_state())
        dcp.load(loaded, checkpoint_id=str(directory / f"step-{step}"), storage_reader=PodfsReader(directory))
        assert_same(training_state(float(step)), loaded)


def test_saving_again_replaces_the_checkpoint_and_leaves_no_old_files(directory):
    for value in (0.0, 1.0):
        dcp.save(training_state(value), storage_writer=writer(directory))
    loaded = zeroed(training_state())
    dcp.load(loaded, storage_reader=PodfsReader(directory))
    assert_same(training_state(1.0), loaded)
    await_value(lambda: len(os.listdir(directory)), 2)
    with pytest.raises(CheckpointException, match="overwrite"):
        dcp.save(training_state(2.0), storage_writer=writer(directory, overwrite=False))


def test_a_planner_that_remembers_its_plans(directory):
    planner = dcp.DefaultSavePlanner(enable_plan_caching=True)
    for value in (0.0, 1.0):
        dcp.save(training_state(value), storage_writer=writer(directory), planner=planner)
    loaded = zeroed(training_state())
    dcp.load(loaded, storage_reader=PodfsReader(directory))
    assert_same(training_state(1.0), loaded)


def test_a_save_that_dies_leaves_the_old_checkpoint(directory):
    dcp.save(training_state(), storage_writer=writer(directory))

    class Dying(PodfsWriter):
        def finish(self, metadata, results):
            raise KeyboardInterrupt

    with pytest.raises(CheckpointException):
        dcp.save(training_state(1.0), storage_writer=Dying(directory))
    loaded = zeroed(training_state())
    dcp.load(loaded, storage_reader=PodfsReader(directory))
    assert_same(training_state(), loaded)


def test_clear_errors(directory):
    with pytest.raises(podfs.CheckpointNotFound, match="no complete checkpoint"):
        PodfsReader(directory).read_metadata()
    dcp.save({"w": torch.ones(10)}, storage_writer=writer(directory / "a"))
    for filename in os.listdir(directory / "a"):
        if filename != ".metadata":
            os.unlink(directory / "a" / filename)
    with pytest.raises(CheckpointException, match="missing"):
        dcp.load({"w": torch.zeros(10)}, storage_reader=PodfsReader(directory / "a"))
    dcp.save({"w": torch.ones(10)}, storage_writer=dcp.FileSystemWriter(str(directory / "b")))
    with pytest.raises(podfs.DamagedCheckpoint, match="FileSystemReader"):
        PodfsReader(directory / "b").read_metadata()
    (directory / "b" / ".metadata").write_bytes(b"")
    with pytest.raises(podfs.DamagedCheckpoint):
        PodfsReader(directory / "b").read_metadata()


def sharded(fill=None):
    """As FSDP and tensor parallelism have it: each rank of two holds a part."""
    mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (2,))
    whole = torch.arange(30.0).reshape(10, 3) if fill is None else torch.full((10, 3), fill)
    columns = torch.arange(12).reshape(3, 4) if fill is None else torch.full((3, 4), int(fill))
    shard, replicate = distributed_tensor.Shard, distributed_tensor.Replicate
    return {
        "rows": distributed_tensor.distribute_tensor(whole, mesh, [shard(0)]),
        "columns": distributed_tensor.distribute_tensor(columns, mesh, [shard(1)]),
        "replicated": distributed_tensor.distribute_tensor(whole[0].clone(), mesh, [replicate()]),
        "plain": torch.full((2,), 5.0 if fill is None else fill),
        "step": 3 if fill is None else 0,
    }


def unsharded(fill=None):
    return {
        "rows": torch.arange(30.0).reshape(10, 3) if fill is None else torch.full((10, 3), fill),
        "columns": torch.arange(12).reshape(3, 4) if fill is None else torch.full((3, 4), int(fill)),
        "step": 3 if fill is None else 0,
    }


def load_sharded(path):
    state = sharded(fill=-1.0)
    dcp.load(state, storage_reader=PodfsReader(path))
    for name, expected in sharded().items():
        if isinstance(expected, distributed_tensor.DTensor):
            assert torch.equal(expected.to_local(), state[name].to_local()), name
        elif name in unsharded():
            assert_same(expected, state[name])


def use_two_ranks(rank, directory):
    dcp.save(sharded(), storage_writer=writer(f"{directory}/two"))
    load_sharded(f"{directory}/two")
    dcp.async_save(sharded(), storage_writer=writer(f"{directory}/asynchronous")).result(timeout=300)
    load_sharded(f"{directory}/asynchronous")
    whole = {name: value for name, value in sharded(fill=-1.0).items() if name in unsharded()}
    dcp.load(whole, storage_reader=PodfsReader(f"{directory}/one"))
    assert torch.equal(whole["columns"].to_local(), sharded()["columns"].to_local())

    storage = writer(f"{directory}/apart")
    for value in (rank, rank + 10):
        dcp.save({"own": torch.full((4,), float(value))}, storage_writer=storage, use_collectives=False)
    own = {"own": torch.zeros(4)}
    dcp.load(own, storage_reader=PodfsReader(f"{directory}/apart"))
    return float(own["own"][0])


def test_two_ranks(directory):
    dcp.save(unsharded(), storage_writer=writer(directory / "one"))
    own = run_ranks(2, use_two_ranks, str(directory))
    assert own == [10.0, 11.0], "ranks that save apart have each their own"
    await_value(lambda: len(os.listdir(directory / "apart")), 4)
    for name in ("two", "asynchronous"):
        assert len(os.listdir(directory / name)) == 3
        state = unsharded(fill=-1.0)
        dcp.load(state, storage_reader=PodfsReader(directory / name))
        assert_same(unsharded(), state)
