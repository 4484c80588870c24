"""Bytes that can be told from any others: made and checked on the GPU itself.

Byte i of pattern `seed` depends on i and the seed alone, so that a piece that is missing, stale, shifted or of another
tensor shows. On a GPU a kernel makes and counts them, at the speed of its memory; the simulated driver runs no kernels,
so there the same bytes are made here and copied.
"""

from __future__ import annotations

import ctypes
import functools
from ctypes import byref, c_uint, c_uint64, c_void_p
from typing import Protocol

from device import Gpu

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX = 0x85EBCA6B
_THREADS = 256
_BLOCKS_PER_MULTIPROCESSOR = 8


class Patterns(Protocol):
    def fill(self, address: int, size: int, seed: int) -> None:
        """Queues, on the default stream: device memory becomes pattern `seed`."""

    def differences(self, address: int, size: int, seed: int) -> int:
        """How many of these bytes are not pattern `seed`'s, once all that is queued is done."""


def byte_at(index: int, seed: int) -> int:
    """The definition that the kernel below keeps to."""
    mixed = ((((index * _GOLDEN) & _MASK) >> 32) ^ seed) * _MIX & 0xFFFFFFFF
    return (mixed >> 24) & 0xFF


@functools.lru_cache(maxsize=256)
def pattern(size: int, seed: int) -> bytes:
    return bytes(byte_at(index, seed) for index in range(size))


class HostPatterns:
    """Slow: for the simulated driver, and small tensors."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu

    def fill(self, address: int, size: int, seed: int) -> None:
        self._gpu.write(address, pattern(size, seed))

    def differences(self, address: int, size: int, seed: int) -> int:
        self._gpu.wait_all()
        found = self._gpu.read(address, size)
        return sum(a != b for a, b in zip(found, pattern(size, seed)))


class KernelPatterns:
    """One thread for every n-th byte, n being the number of threads."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        module = c_void_p()
        gpu.driver.call("cuModuleLoadData", byref(module), PTX.encode())
        self._fill, self._count = c_void_p(), c_void_p()
        gpu.driver.call("cuModuleGetFunction", byref(self._fill), module, b"fill")
        gpu.driver.call("cuModuleGetFunction", byref(self._count), module, b"count_differences")
        self._blocks = gpu.multiprocessors * _BLOCKS_PER_MULTIPROCESSOR
        self._counter = gpu.allocate(8)

    def fill(self, address: int, size: int, seed: int) -> None:
        self._launch(self._fill, address, size, seed)

    def differences(self, address: int, size: int, seed: int) -> int:
        self._gpu.wait_all()
        self._gpu.write(self._counter, bytes(8))
        self._launch(self._count, address, size, seed)
        self._gpu.wait_all()
        return int.from_bytes(self._gpu.read(self._counter, 8), "little")

    def _launch(self, function: c_void_p, address: int, size: int, seed: int) -> None:
        """Both take the same parameters: `fill` does not look at the counter."""
        values = (c_uint64(address), c_uint64(size), c_uint(seed), c_uint64(self._counter))
        parameters = (c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        grid, block = (self._blocks, 1, 1), (_THREADS, 1, 1)
        self._gpu.driver.call("cuLaunchKernel", function, *grid, *block, 0, None, parameters, None)


def _kernel(name: str, body: str) -> str:
    """Loops over this thread's bytes; `body` has their address in %address and what they should be in %expected."""
    return f"""
.visible .entry {name}(.param .u64 begin, .param .u64 size, .param .u32 seed, .param .u64 counter)
{{
  .reg .pred %done, %differs;
  .reg .b32 %block, %threads, %thread, %blocks, %seed, %expected, %found;
  .reg .b64 %begin, %size, %counter, %index, %within, %stride, %mixed, %address, %old;
  ld.param.u64 %begin, [begin];
  ld.param.u64 %size, [size];
  ld.param.u32 %seed, [seed];
  ld.param.u64 %counter, [counter];
  mov.u32 %block, %ctaid.x;
  mov.u32 %threads, %ntid.x;
  mov.u32 %thread, %tid.x;
  mov.u32 %blocks, %nctaid.x;
  mul.wide.u32 %index, %block, %threads;
  cvt.u64.u32 %within, %thread;
  add.u64 %index, %index, %within;
  mul.wide.u32 %stride, %blocks, %threads;
next:
  setp.ge.u64 %done, %index, %size;
  @%done bra end;
  mul.lo.u64 %mixed, %index, {_GOLDEN:#x};
  shr.u64 %mixed, %mixed, 32;
  cvt.u32.u64 %expected, %mixed;
  xor.b32 %expected, %expected, %seed;
  mul.lo.u32 %expected, %expected, {_MIX:#x};
  shr.u32 %expected, %expected, 24;
  add.u64 %address, %begin, %index;
{body}
  add.u64 %index, %index, %stride;
  bra next;
end:
  ret;
}}
"""


#: PTX ISA 6.4 and sm_70: any driver since 2019 compiles it for the GPU at hand.
PTX = (
    ".version 6.4\n.target sm_70\n.address_size 64\n"
    + _kernel("fill", "  st.global.u8 [%address], %expected;")
    + _kernel(
        "count_differences",
        """  ld.global.u8 %found, [%address];
  setp.ne.u32 %differs, %found, %expected;
  @%differs atom.global.add.u64 %old, [%counter], 1;""",
    )
)
