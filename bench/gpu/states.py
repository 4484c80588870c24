"""What is saved and loaded: tensors in device memory, each with a pattern of its own."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Iterator

from device import Gpu
from independent import ITEM_BITS
from patterns import Patterns

#: Type strings of the array interface. It knows no BF16 and no FP8: those say what they are in `safetensors_dtype`.
_TYPE_STRINGS = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4", "I32": "<i4",
    "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8", "C64": "<c8",
}  # fmt: skip


@dataclass(frozen=True)
class DeviceTensor:
    """Row-major memory of a GPU, as CUDA libraries hand it to each other:
    https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html"""

    address: int
    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return prod(self.shape) * ITEM_BITS[self.dtype] // 8

    @property
    def safetensors_dtype(self) -> str:
        return self.dtype

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        item_bytes = ITEM_BITS[self.dtype] // 8
        return {
            "shape": self.shape,
            "typestr": _TYPE_STRINGS.get(self.dtype, f"|V{item_bytes}"),
            "data": (self.address if self.bytes > 0 else 0, False),
            "strides": None,
            # The legacy default stream, on which `State` writes.
            "stream": 1,
            "version": 3,
        }


class State:
    """Tensors by name. Frees their memory at `close`."""

    def __init__(self, gpu: Gpu, patterns: Patterns, shapes: dict[str, tuple[str, tuple[int, ...]]], seed: int) -> None:
        self._gpu = gpu
        self._patterns = patterns
        self.tensors: dict[str, DeviceTensor] = {}
        self._seeds = {name: seed * 100_003 + index for index, name in enumerate(shapes)}
        for name, (dtype, shape) in shapes.items():
            size = prod(shape) * ITEM_BITS[dtype] // 8
            self.tensors[name] = DeviceTensor(gpu.allocate(size), dtype, shape)
        self.bytes = sum(tensor.bytes for tensor in self.tensors.values())

    def __enter__(self) -> State:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fill(self) -> None:
        """Each tensor becomes its own pattern. Queued on the default stream, not waited for."""
        for name, tensor in self.tensors.items():
            self._patterns.fill(tensor.address, tensor.bytes, self._seeds[name])

    def spoil(self) -> None:
        """Nearly every byte becomes another one, as by a training step. Queued likewise."""
        for name, tensor in self.tensors.items():
            self._patterns.fill(tensor.address, tensor.bytes, ~self._seeds[name] & 0xFFFFFFFF)

    def differences(self) -> dict[str, int]:
        """How many bytes of which tensors are not their pattern."""
        counts = {
            name: self._patterns.differences(tensor.address, tensor.bytes, self._seeds[name])
            for name, tensor in self.tensors.items()
        }
        return {name: count for name, count in counts.items() if count > 0}

    def close(self) -> None:
        self._gpu.wait_all()
        for tensor in self.tensors.values():
            self._gpu.free(tensor.address)
        self.tensors = {}


def awkward_shapes() -> dict[str, tuple[str, tuple[int, ...]]]:
    """Every dtype of whole bytes, in sizes that fit no page and no slot; scalars; empty tensors."""
    whole = [dtype for dtype, bits in ITEM_BITS.items() if bits % 8 == 0]
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {}
    for index, dtype in enumerate(whole):
        shapes[f"scalar.{dtype}"] = (dtype, ())
        shapes[f"empty.{dtype}"] = (dtype, (3, 0, 5))
        shapes[f"odd.{dtype}"] = (dtype, (7, 1009 + index, 3))
    return shapes


def model_shapes(total_bytes: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What a checkpoint of a language model looks like: large BF16 matrices with small vectors between them, FP32
    moments of the optimizer, some FP8, a step count."""
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {"step": ("I64", ())}
    for name, dtype, shape in _layers(total_bytes):
        shapes[name] = (dtype, shape)
    return shapes


def _layers(total_bytes: int) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    width = 4096 if total_bytes >= 1 << 30 else 64
    left = total_bytes
    layer = 0
    while left > 0:
        rows = max(1, min(4 * width, left // (width * 11)))
        yield f"layers.{layer}.weight", "BF16", (rows, width)
        yield f"layers.{layer}.norm", "BF16", (width,)
        yield f"layers.{layer}.weight_fp8", "F8_E4M3", (rows, width)
        yield f"optimizer.{layer}.exp_avg", "F32", (rows, width)
        yield f"optimizer.{layer}.exp_avg_sq", "F32", (rows, width)
        left -= rows * width * 11 + width * 2
        layer += 1
