"""Where tensors are loaded to: memory of the CPU or of a GPU, given or new, side by side.

New CPU tensors that are not to be the file's own pages lie in mappings of their own, at the same distance from a page's
begin as in the file: whole ranges of the file are then read where they belong, also past the page cache. (Asking for
huge pages was measured: a process's first load took up to five times the system time, when the kernel had to make them,
and a third when it had them. It is left to the machine's setting.)
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from . import _dtypes
from ._errors import DeviceError, TensorMismatch, UnsupportedTensor
from ._safetensors import TensorInfo
from ._sources import describe, is_device

if TYPE_CHECKING:
    import torch

PAGE_BYTES = 4096
#: New tensors share mappings of about this size: one is freed when all of its tensors are.
ARENA_BYTES = 64 << 20
MISMATCHES_SHOWN = 4

#: Bytes [begin, end) of a file, from the page on in which they begin.
Mapped = Callable[[int, int], memoryview]


@dataclass(frozen=True)
class Target:
    """Memory for the bytes of one tensor. `address` is the device's if `ordinal` is not None."""

    info: TensorInfo
    address: int
    ordinal: Optional[int]
    stream: Optional[int]
    result: Any
    """What the caller gets."""
    finish: Optional[Callable[[], object]] = None
    """To be called when the bytes are there."""


@dataclass(frozen=True)
class Arena:
    """Host memory for a range of the file: fresh, or the file's own pages."""

    begin: int
    """Of the range, in the file."""
    length: int
    memory: Union[mmap.mmap, memoryview]

    @property
    def base(self) -> int:
        """Where in the file the memory's first byte belongs: a multiple of 4096."""
        return self.begin - self.begin % PAGE_BYTES


def check_given(path: str, wanted: Mapping[str, TensorInfo], into: Mapping[str, Any]) -> None:
    """Raises TensorMismatch with the first few of what does not fit."""
    wrong = []
    for name, value in into.items():
        info = wanted.get(name)
        if info is None:
            continue
        source = describe(name, value)
        if (source.dtype, source.shape) != (info.dtype, info.shape):
            here, there = f"{source.dtype} {list(source.shape)}", f"{info.dtype} {list(info.shape)}"
            wrong.append(f"{name!r} is {here}, in the checkpoint {there}")
    if wrong:
        more = f"; and {len(wrong) - MISMATCHES_SHOWN} more" if len(wrong) > MISMATCHES_SHOWN else ""
        raise TensorMismatch(f"{path} does not fit: {'; '.join(wrong[:MISMATCHES_SHOWN])}{more}")


def given(name: str, value: Any, info: TensorInfo) -> Target:
    """The memory of a tensor (or array) that the caller has."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _given_torch(value, info)
    source = describe(name, value)
    if is_device(source):
        ordinal = source.ordinal if source.nbytes > 0 else 0
        return Target(info, source.address(), ordinal, source.stream, value)
    interface = value.__array_interface__
    address, read_only = interface["data"]
    if read_only or interface.get("strides") is not None:
        raise TensorMismatch(f"{name!r} is an array that is read-only or not contiguous")
    return Target(info, int(address), None, None, value)


def _given_torch(value: torch.Tensor, info: TensorInfo) -> Target:
    import torch

    plain = value.detach()
    if plain.is_contiguous() and not plain.is_conj() and not plain.is_neg():
        return _of_torch(plain, info, value, None)
    through = torch.empty(plain.shape, dtype=plain.dtype, device=plain.device)
    return _of_torch(through, info, value, lambda: plain.copy_(through))


def _of_torch(
    tensor: torch.Tensor, info: TensorInfo, result: torch.Tensor, finish: Optional[Callable[[], object]]
) -> Target:
    import torch

    if tensor.device.type == "cpu":
        return Target(info, tensor.data_ptr(), None, None, result, finish)
    stream = int(torch.cuda.current_stream(tensor.device).cuda_stream)
    return Target(info, tensor.data_ptr(), tensor.device.index, stream, result, finish)


def new_on_device(name: str, info: TensorInfo, device: torch.device) -> Target:
    """A new tensor in a GPU's memory."""
    import torch

    tensor = torch.empty(_torch_shape(info), dtype=_torch_dtype(name, info), device=device)
    return _of_torch(tensor, info, tensor, None)


def new_on_host(
    wanted: Mapping[str, TensorInfo], data_start: int, mapped: Optional[Mapped] = None
) -> tuple[list[Target], dict[str, Any], list[Arena]]:
    """(new CPU tensors that take reads of their own, all new tensors by name, arenas that most of them lie in).

    mapped: gives memory for a range of the file; None: fresh memory is taken.
    """
    import torch

    targets: list[Target] = []
    tensors: dict[str, Any] = {}
    arenas: list[Arena] = []
    for group in _groups(wanted):
        begin, end = data_start + group[0][1].begin, data_start + group[-1][1].end
        arena = None
        if end > begin:
            memory = _fresh_memory(end - begin + begin % PAGE_BYTES) if mapped is None else mapped(begin, end)
            arena = Arena(begin, end - begin, memory)
            arenas.append(arena)
        for name, info in group:
            dtype = _torch_dtype(name, info)
            place = data_start + info.begin
            if arena is None or info.begin == info.end:
                tensors[name] = torch.empty(_torch_shape(info), dtype=dtype)
            elif place % max(_dtypes.BITS[info.dtype] // 8, 1) != 0:
                # In a file whose writer did not align it. The CPU may not mind, but torch does not promise to work.
                tensors[name] = torch.empty(_torch_shape(info), dtype=dtype)
                targets.append(_of_torch(tensors[name], info, tensors[name], None))
            else:
                length, offset = info.end - info.begin, place - arena.base
                raw = torch.frombuffer(arena.memory, dtype=torch.uint8, count=length, offset=offset)
                tensors[name] = raw.view(dtype).reshape(_torch_shape(info))
    return targets, tensors, arenas


def _groups(wanted: Mapping[str, TensorInfo]) -> Iterator[list[tuple[str, TensorInfo]]]:
    """Runs of tensors that lie side by side in the file, of about ARENA_BYTES; larger tensors by themselves."""
    group: list[tuple[str, TensorInfo]] = []
    for name, info in sorted(wanted.items(), key=lambda item: (item[1].begin, item[1].end)):
        if group and (info.begin != group[-1][1].end or info.end - group[0][1].begin > ARENA_BYTES):
            yield group
            group = []
        group.append((name, info))
    if group:
        yield group


def _fresh_memory(length: int) -> mmap.mmap:
    return mmap.mmap(-1, -(-length // PAGE_BYTES) * PAGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _torch_dtype(name: str, info: TensorInfo) -> torch.dtype:
    dtype = _dtypes.torch_dtypes().get(info.dtype)
    if dtype is None:
        raise UnsupportedTensor(f"{name!r} is of {info.dtype}, which this release of torch does not have")
    return dtype


def _torch_shape(info: TensorInfo) -> tuple[int, ...]:
    # torch packs two F4 into one element, along the last dimension.
    return (*info.shape[:-1], info.shape[-1] // 2) if info.dtype == "F4" else info.shape


def parse_device(device: Any) -> Optional[torch.device]:
    """The GPU that is meant; None: the CPU. Raises DeviceError where there is none."""
    if device is None or str(device) == "cpu":
        return None
    import torch

    parsed = torch.device(device)
    if parsed.type != "cuda":
        raise DeviceError(f"tensors can be loaded to 'cpu' and 'cuda', not to {str(device)!r}")
    if not torch.cuda.is_available():
        raise DeviceError(f"there is no GPU that torch could use here: {str(device)!r}")
    return torch.device("cuda", torch.cuda.current_device()) if parsed.index is None else parsed


def view_of(address: int, length: int) -> memoryview:
    """Host memory as something that can be read into. Whoever has it keeps the memory alive."""
    return memoryview((ctypes.c_char * length).from_address(address)).cast("B")


def unique_results(results: Mapping[str, Any], aliases: Mapping[str, str], names: Iterable[str]) -> dict[str, Any]:
    """The result in the order asked for: tied weights are one tensor again."""
    return {name: results[name] if name in results else results[aliases[name]] for name in names}
