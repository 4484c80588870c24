"""The types of elements that safetensors has, and what torch and NumPy call them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    import torch

#: Bits of one element. The order is the format's own (safetensors, `enum Dtype`): smallest first.
BITS: dict[str, int] = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}

_TORCH_NAMES = {
    "BOOL": "bool",
    "F4": "float4_e2m1fn_x2",
    "U8": "uint8",
    "I8": "int8",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "C64": "complex64",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
}

#: `typestr` of the array interfaces (NumPy's, and CUDA's after it), little-endian as the format is.
_BY_TYPESTR = {
    "b1": "BOOL",
    "u1": "U8",
    "i1": "I8",
    "i2": "I16",
    "u2": "U16",
    "f2": "F16",
    "i4": "I32",
    "u4": "U32",
    "f4": "F32",
    "c8": "C64",
    "f8": "F64",
    "i8": "I64",
    "u8": "U64",
}


@cache
def torch_dtypes() -> dict[str, torch.dtype]:
    """Those of the format's types that the installed torch has."""
    import torch

    found = {name: getattr(torch, attribute, None) for name, attribute in _TORCH_NAMES.items()}
    return {name: dtype for name, dtype in found.items() if dtype is not None}


@cache
def _names_of_torch_dtypes() -> dict[torch.dtype, str]:
    return {dtype: name for name, dtype in torch_dtypes().items()}


def of_torch(dtype: torch.dtype) -> Optional[str]:
    """The format's name of a torch dtype; None if it has none (complex128, quantised types)."""
    return _names_of_torch_dtypes().get(dtype)


def of_typestr(typestr: str) -> Optional[str]:
    """The format's name of an array interface's type; None if it has none, or is big-endian."""
    return None if typestr[:1] == ">" else _BY_TYPESTR.get(typestr[1:])


def byte_length(dtype: str, shape: tuple[int, ...]) -> Optional[int]:
    """Bytes of a tensor; None where elements of less than a byte do not fill the last one."""
    bits = BITS[dtype]
    for extent in shape:
        bits *= extent
    return bits // 8 if bits % 8 == 0 else None
