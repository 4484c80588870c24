"""Device memory for tests of CUDA, in processes that have the simulated driver (test/gpu/simulated-cuda)."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any, Optional

cuda = ctypes.CDLL("libcuda.so.1")
cuda.cuMemcpyDtoHAsync_v2.argtypes = [c_void_p, c_uint64, c_size_t, c_void_p]
cuda.cuMemcpyHtoDAsync_v2.argtypes = [c_uint64, c_char_p, c_size_t, c_void_p]
cuda.cuMemsetD8Async.argtypes = [c_uint64, ctypes.c_ubyte, c_size_t, c_void_p]
cuda.cuMemFree_v2.argtypes = [c_uint64]
_contexts: dict[int, c_void_p] = {}


def check(result: int) -> None:
    assert result == 0, f"CUDA error {result}"


def use(ordinal: int) -> None:
    """Makes the primary context of the device this thread's, as torch does."""
    if ordinal not in _contexts:
        check(cuda.cuInit(0))
        device, context = c_int(), c_void_p()
        check(cuda.cuDeviceGet(byref(device), ordinal))
        check(cuda.cuDevicePrimaryCtxRetain(byref(context), device))
        _contexts[ordinal] = context
    check(cuda.cuCtxSetCurrent(_contexts[ordinal]))


class Stream:
    def __init__(self, ordinal: int = 0) -> None:
        use(ordinal)
        self.handle = c_void_p()
        check(cuda.cuStreamCreate(byref(self.handle), c_uint(1)))

    def synchronize(self) -> None:
        check(cuda.cuStreamSynchronize(self.handle))


class DeviceArray:
    """Device memory with `__cuda_array_interface__`. Everything is done on its stream."""

    def __init__(
        self,
        data: bytes,
        stream: Stream,
        ordinal: int = 0,
        offset: int = 0,
        dtype: Optional[str] = None,
        known: bool = True,
    ) -> None:
        use(ordinal)
        self.stream, self.nbytes, self._ordinal = stream, len(data), ordinal
        self._base = c_uint64()
        check(cuda.cuMemAlloc_v2(byref(self._base), c_size_t(len(data) + offset + 1)))
        self.address = self._base.value + offset
        if dtype is not None:
            self.safetensors_dtype = dtype
        self._known = known
        self.upload(data)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        stream = self.stream.handle.value if self._known else None
        return {
            "shape": (self.nbytes,),
            "typestr": "|u1",
            "data": (self.address, False),
            "version": 3,
            "stream": stream,
        }

    def upload(self, data: bytes) -> None:
        use(self._ordinal)
        check(cuda.cuMemcpyHtoDAsync_v2(self.address, data, len(data), self.stream.handle))
        self._source = data  # read late

    def fill(self, value: int) -> None:
        """A kernel that overwrites it, as far as ordering is concerned."""
        use(self._ordinal)
        check(cuda.cuMemsetD8Async(self.address, value, self.nbytes, self.stream.handle))

    def download(self) -> bytes:
        use(self._ordinal)
        data = ctypes.create_string_buffer(self.nbytes)
        check(cuda.cuMemcpyDtoHAsync_v2(ctypes.addressof(data), self.address, self.nbytes, self.stream.handle))
        self.stream.synchronize()
        return data.raw

    def free(self) -> None:
        use(self._ordinal)
        check(cuda.cuMemFree_v2(self._base))
