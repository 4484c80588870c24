"""States to save, and how to compare them bit by bit."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from podfs import _dtypes


def raw(tensor: torch.Tensor) -> bytes:
    """The bytes of a tensor, row by row."""
    return bytes(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def random_tensor(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """Random bits: also NaNs, denormals and negative zeros."""
    size = int(torch.empty(shape, dtype=dtype, device="meta").numel()) * torch.empty(0, dtype=dtype).element_size()
    bits = torch.randint(0, 256, (size,), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return (bits % 2 if dtype == torch.bool else bits).view(dtype).reshape(shape)


def every_kind() -> dict[str, torch.Tensor]:
    """Every dtype, and every shape of trouble."""
    state: dict[str, torch.Tensor] = {}
    for number, (name, dtype) in enumerate(_dtypes.torch_dtypes().items()):
        state[f"{name}.matrix"] = random_tensor((6, 16), dtype, number)
        state[f"{name}.odd"] = random_tensor((7, 11), dtype, number)
        state[f"{name}.empty"] = random_tensor((0, 4), dtype)
        if name != "F4":
            state[f"{name}.scalar"] = random_tensor((), dtype, number)
    state["transposed"] = torch.randn(300, 200).t()
    state["strided"] = torch.randn(100)[3:50:2]
    state["expanded"] = torch.randn(5, 1).expand(5, 1000)
    state["conjugate"] = torch.randn(10, dtype=torch.complex64).conj()
    state["tied"] = state["transposed"]
    state["view"] = state["transposed"][:50]
    state["parameter"] = torch.nn.Parameter(torch.randn(17, 3))
    state["large"] = torch.randn(1500, 1501)
    state["ünïcode “name”"] = torch.arange(5)
    return state


def assert_equal(got: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """The same names, dtypes, shapes and bits."""
    assert set(got) == set(expected)
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype, name
        assert got[name].shape == tensor.shape, name
        assert raw(got[name]) == raw(tensor.resolve_conj()), name
