"""What is saved: tensors of torch, and what has an array interface, as runs of bytes in host or device memory.

A source knows where its bytes are and keeps them alive. Nothing is copied here, with one exception: tensors whose
elements do not lie side by side are put in order when their turn comes, one at a time.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Optional, Protocol, Union

from . import _dtypes
from ._cuda import Driver
from ._errors import UnsupportedTensor

if TYPE_CHECKING:
    import torch
    from typing_extensions import TypeIs


class HostSource(Protocol):
    """Bytes that the CPU can read."""

    dtype: str
    shape: tuple[int, ...]
    nbytes: int

    def read_into(self, target: memoryview, begin: int, end: int) -> None:
        """Copies bytes [begin, end) into `target`, which is as long."""

    def release(self) -> None:
        """Lets go of what was only needed for copying."""


class DeviceSource(Protocol):
    """Bytes in the memory of a GPU."""

    dtype: str
    shape: tuple[int, ...]
    nbytes: int

    def address(self) -> int:
        """Where they lie side by side. Copies must be ordered after what the stream has been given by then."""

    @property
    def stream(self) -> Optional[int]:
        """Handle of the stream on which the program works with this memory; None if that is not known."""

    @property
    def owner(self) -> object:
        """Keeps the memory that `address` named."""

    @property
    def ordinal(self) -> int:
        """Of its GPU, as this process counts them. Where there are no bytes, it is not known."""

    def release(self) -> None:
        """Lets go of what was only needed for copying; `owner` stays with who took it."""


Source = Union[HostSource, DeviceSource]


def is_device(source: Source) -> TypeIs[DeviceSource]:
    return hasattr(source, "address")


class BytesSource:
    """Bytes as they are: headers, indexes."""

    dtype = "U8"

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.nbytes = len(data)
        self.shape: tuple[int, ...] = (len(data),)

    def read_into(self, target: memoryview, begin: int, end: int) -> None:
        target[:] = self._data[begin:end]

    def release(self) -> None:
        pass


class TorchHostSource:
    """A tensor of torch in host memory."""

    def __init__(self, tensor: torch.Tensor, dtype: str) -> None:
        self._tensor = tensor
        self._flat: Optional[torch.Tensor] = None
        self.dtype = dtype
        self.shape = shape_of_torch(tensor, dtype)
        self.nbytes = tensor.numel() * tensor.element_size()

    def read_into(self, target: memoryview, begin: int, end: int) -> None:
        # torch copies with all cores; memcpy, which slice assignment is, with one.
        import torch

        if self._flat is None:
            self._flat = self._tensor.contiguous().reshape(-1).view(torch.uint8)
        torch.frombuffer(target, dtype=torch.uint8).copy_(self._flat[begin:end])

    def release(self) -> None:
        self._flat = None


class ArrayHostSource:
    """An array that has NumPy's array interface (`__array_interface__`, version 3)."""

    def __init__(self, array: Any, interface: Mapping[str, Any], dtype: str) -> None:
        self._owner = array
        self._interface = interface
        self._flat: Optional[memoryview] = None
        self.dtype = dtype
        self.shape = tuple(interface["shape"])
        self.nbytes = _bytes_of(dtype, self.shape)

    def read_into(self, target: memoryview, begin: int, end: int) -> None:
        if self._flat is None:
            self._flat = self._bytes()
        target[:] = self._flat[begin:end]

    def _bytes(self) -> memoryview:
        if self._interface.get("strides") is not None:
            return memoryview(memoryview(self._owner).tobytes())
        address, _ = self._interface["data"]
        return memoryview((ctypes.c_char * self.nbytes).from_address(address)).cast("B")

    def release(self) -> None:
        self._flat = None


class TorchDeviceSource:
    """A tensor of torch in device memory."""

    def __init__(self, tensor: torch.Tensor, dtype: str) -> None:
        self._tensor = tensor
        self.dtype = dtype
        self.shape = shape_of_torch(tensor, dtype)
        self.nbytes = tensor.numel() * tensor.element_size()
        self.owner: object = tensor

    def address(self) -> int:
        contiguous = self._tensor.contiguous()
        self.owner = contiguous
        return int(contiguous.data_ptr())

    def release(self) -> None:
        self.owner = self._tensor

    @property
    def stream(self) -> Optional[int]:
        import torch

        return int(torch.cuda.current_stream(self._tensor.device).cuda_stream)

    @property
    def ordinal(self) -> int:
        return int(self._tensor.device.index)


class ArrayDeviceSource:
    """An array that has CUDA's array interface (Numba's `__cuda_array_interface__`, version 2 or 3)."""

    def __init__(self, array: Any, interface: Mapping[str, Any], dtype: str) -> None:
        self.owner: object = array
        self.dtype = dtype
        self.shape = tuple(interface["shape"])
        self.nbytes = _bytes_of(dtype, self.shape)
        self._address = int(interface["data"][0])
        self.stream: Optional[int] = interface.get("stream")

    @property
    def ordinal(self) -> int:
        return Driver.load().ordinal_of(self._address)

    def address(self) -> int:
        return self._address

    def release(self) -> None:
        pass


def is_tensor(value: Any) -> bool:
    """Whether `describe` knows this kind of thing; it may still be one that safetensors cannot hold."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(value, torch.Tensor):
        return True
    # A scalar of NumPy's has the interface, but no memory that stays.
    if numpy is not None and isinstance(value, numpy.generic):
        return False
    return hasattr(value, "__cuda_array_interface__") or hasattr(value, "__array_interface__")


def describe(name: str, value: Any) -> Source:
    """The source of one value of a state. Raises UnsupportedTensor."""
    if not is_tensor(value):
        kind = type(value).__name__
        raise UnsupportedTensor(f"{name!r} is no tensor but {kind}: podfs.save(object, path) takes any object")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _describe_torch(name, value)
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is not None:
        if not _is_contiguous(interface, _interface_type(name, value, interface)):
            raise UnsupportedTensor(f"{name!r}: device arrays must be contiguous, unless they are torch's")
        return ArrayDeviceSource(value, interface, _interface_type(name, value, interface))
    interface = value.__array_interface__
    return ArrayHostSource(value, interface, _interface_type(name, value, interface))


def _describe_torch(name: str, tensor: torch.Tensor) -> Source:
    import torch

    tensor = tensor.detach()
    if type(tensor).__name__ == "DTensor":
        raise UnsupportedTensor(f"{name!r} is a DTensor: save it with torch.distributed.checkpoint and podfs.dcp")
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise UnsupportedTensor(f"{name!r} is sparse or quantised, which safetensors cannot hold")
    dtype = _dtypes.of_torch(tensor.dtype)
    if dtype is None:
        raise UnsupportedTensor(f"{name!r} is of {tensor.dtype}, which safetensors does not have")
    if tensor.device.type == "cuda":
        return TorchDeviceSource(_resolved(tensor), dtype)
    if tensor.device.type == "cpu":
        return TorchHostSource(_resolved(tensor), dtype)
    raise UnsupportedTensor(f"{name!r} is on the device {tensor.device}; CPU and CUDA tensors can be saved")


def _resolved(tensor: torch.Tensor) -> torch.Tensor:
    """Conjugation and negation that torch has only noted down are done."""
    return tensor.resolve_conj().resolve_neg()


def shape_of_torch(tensor: torch.Tensor, dtype: str) -> tuple[int, ...]:
    """The shape as the format counts it: torch packs two F4 into one element, along the last dimension."""
    shape = tuple(int(extent) for extent in tensor.shape)
    if dtype != "F4":
        return shape
    if not shape:
        raise UnsupportedTensor("a scalar of two 4-bit floats has no shape in safetensors")
    return (*shape[:-1], shape[-1] * 2)


def _interface_type(name: str, value: Any, interface: Mapping[str, Any]) -> str:
    # Array interfaces have no words for BF16 and smaller floats: who has them says so beside.
    named = getattr(value, "safetensors_dtype", None)
    if named in _dtypes.BITS:
        return str(named)
    dtype = _dtypes.of_typestr(str(interface["typestr"]))
    if dtype is None:
        raise UnsupportedTensor(f"{name!r} is of type {interface['typestr']!r}, which safetensors does not have")
    return dtype


def _is_contiguous(interface: Mapping[str, Any], dtype: str) -> bool:
    strides = interface.get("strides")
    if strides is None or _bytes_of(dtype, tuple(interface["shape"])) == 0:
        return True
    expected = max(_dtypes.BITS[dtype] // 8, 1)
    for extent, stride in zip(reversed(interface["shape"]), reversed(strides)):
        if extent != 1 and stride != expected:
            return False
        expected *= extent
    return True


def _bytes_of(dtype: str, shape: tuple[int, ...]) -> int:
    length = _dtypes.byte_length(dtype, shape)
    if length is None:
        raise UnsupportedTensor(f"{dtype} of shape {list(shape)} does not fill whole bytes")
    return length


def describe_all(state: Mapping[str, Any]) -> tuple[dict[str, Source], dict[str, str]]:
    """(sources by name, aliases): of tensors that are the same memory the first is stored, the others are aliases."""
    sources: dict[str, Source] = {}
    aliases: dict[str, str] = {}
    seen: dict[object, str] = {}
    for name, value in state.items():
        if not isinstance(name, str):
            raise UnsupportedTensor(f"names of tensors are strings; {name!r} is {type(name).__name__}")
        if name == "__metadata__":
            raise UnsupportedTensor("'__metadata__' cannot be the name of a tensor: the format uses it")
        source = describe(name, value)
        identity = _identity(value, source)
        stored = seen.setdefault(identity, name) if identity is not None else name
        if stored == name:
            sources[name] = source
        else:
            aliases[name] = stored
    return sources, aliases


def _identity(value: Any, source: Source) -> Optional[object]:
    """Equal for tensors of the same bytes read in the same way. None for the empty, which are not worth a name."""
    if source.nbytes == 0:
        return None
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        lazy = (value.is_conj(), value.is_neg())
        return (str(value.device), value.data_ptr(), value.dtype, tuple(value.shape), value.stride(), lazy)
    device = bool(is_device(source))
    interface = value.__cuda_array_interface__ if device else value.__array_interface__
    return (device, interface["data"][0], source.dtype, source.shape, interface.get("strides"))
