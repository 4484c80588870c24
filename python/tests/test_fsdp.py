"""A model that FSDP2 (`fully_shard`) has spread over two processes: through DCP, and each rank its part."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
dcp = pytest.importorskip("torch.distributed.checkpoint")
state_dict = pytest.importorskip("torch.distributed.checkpoint.state_dict")
fsdp = pytest.importorskip("torch.distributed.fsdp")
if not hasattr(fsdp, "fully_shard"):
    pytest.skip("this PyTorch has no fully_shard: 2.6 has", allow_module_level=True)

import podfs  # noqa: E402
from podfs.dcp import PodfsReader, PodfsWriter  # noqa: E402
from support.process_group import run_ranks  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is")


@pytest.fixture
def directory(place):
    """On a plain disk, and in a mount."""
    path = Path(place[0])
    path.mkdir()
    return path


def build(seed):
    torch.manual_seed(seed)
    # The first dimension of the last layer does not divide by two.
    return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 7))


def trained(seed):
    """A model on two ranks and its optimizer, after a step."""
    mesh = torch.distributed.init_device_mesh("cpu", (2,))
    model = build(seed)
    for layer in (model[0], model[2]):
        fsdp.fully_shard(layer, mesh=mesh)
    fsdp.fully_shard(model, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters())
    torch.manual_seed(seed)
    model(torch.randn(4, 8)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer


def state_of(model, optimizer):
    model_state, optimizer_state = state_dict.get_state_dict(model, optimizer)
    return {"model": model_state, "optimizer": optimizer_state}


def whole(model):
    """All parameters of the model, on every rank."""
    return {name: parameter.full_tensor().detach().clone() for name, parameter in model.named_parameters()}


def parts(model):
    return {name: parameter.to_local().detach().clone() for name, parameter in model.named_parameters()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def moments(optimizer):
    return {str(index): entry["exp_avg"].full_tensor() for index, entry in enumerate(optimizer.state.values())}


def through_dcp(directory):
    model, optimizer = trained(1)
    expected = whole(model)
    dcp.save(state_of(model, optimizer), storage_writer=PodfsWriter(f"{directory}/step"))
    other, its_optimizer = trained(2)
    assert not same(whole(other), expected)
    state = state_of(other, its_optimizer)
    dcp.load(state, storage_reader=PodfsReader(f"{directory}/step"))
    loaded = {"model_state_dict": state["model"], "optim_state_dict": state["optimizer"]}
    state_dict.set_state_dict(other, its_optimizer, **loaded)
    assert same(whole(other), expected)
    assert same(moments(its_optimizer), moments(optimizer))
    return expected


def each_rank_its_part(rank, directory):
    model, _ = trained(1)
    expected = parts(model)
    with podfs.checkpoint(f"{directory}/parts", ring_bytes=4 << 20) as ck:
        ck.save(parts(model), "step")
        ck.wait()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.to_local().fill_(-1)
        # It is complete when all have waited.
        torch.distributed.barrier()
        into = {name: parameter.to_local().detach() for name, parameter in model.named_parameters()}
        ck.load("step", into=into, rank=rank)
    assert same(parts(model), expected)


def use_two_ranks(rank, directory):
    each_rank_its_part(rank, directory)
    return {name: tensor.tolist() for name, tensor in through_dcp(directory).items()}


def test_two_ranks_and_back_on_one(directory):
    expected, _ = run_ranks(2, use_two_ranks, str(directory))
    assert len(os.listdir(directory / "parts")) == 3
    model = build(3)
    dcp.load({"model": model.state_dict()}, storage_reader=PodfsReader(directory / "step"))
    assert {name: tensor.tolist() for name, tensor in model.state_dict().items()} == expected
