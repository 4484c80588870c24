"""The CUDA driver by ctypes, with nothing of podfs in it: what is measured and what measures must not share mistakes.

Needs neither torch nor a CUDA toolkit, only the driver's libcuda.so.1.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

#: cuStreamCreate, CU_STREAM_NON_BLOCKING: does not wait for the default stream.
STREAM_NON_BLOCKING = 1
#: cuDeviceGetAttribute
MULTIPROCESSOR_COUNT = 16

POINTER = c_uint64
_PROTOTYPES: dict[str, list[Any]] = {
    "cuInit": [c_uint],
    "cuDriverGetVersion": [ctypes.POINTER(c_int)],
    "cuDeviceGetCount": [ctypes.POINTER(c_int)],
    "cuDeviceGet": [ctypes.POINTER(c_int), c_int],
    "cuDeviceGetName": [ctypes.c_char_p, c_int, c_int],
    "cuDeviceGetUuid_v2": [ctypes.POINTER(c_char * 16), c_int],
    "cuDeviceGetPCIBusId": [ctypes.c_char_p, c_int, c_int],
    "cuDeviceTotalMem_v2": [ctypes.POINTER(c_size_t), c_int],
    "cuDeviceGetAttribute": [ctypes.POINTER(c_int), c_int, c_int],
    "cuDevicePrimaryCtxRetain": [ctypes.POINTER(c_void_p), c_int],
    "cuCtxSetCurrent": [c_void_p],
    "cuCtxSynchronize": [],
    "cuMemGetInfo_v2": [ctypes.POINTER(c_size_t), ctypes.POINTER(c_size_t)],
    "cuMemAlloc_v2": [ctypes.POINTER(POINTER), c_size_t],
    "cuMemFree_v2": [POINTER],
    "cuMemHostAlloc": [ctypes.POINTER(c_void_p), c_size_t, c_uint],
    "cuMemFreeHost": [c_void_p],
    "cuMemHostRegister_v2": [c_void_p, c_size_t, c_uint],
    "cuMemHostUnregister": [c_void_p],
    "cuMemcpyDtoH_v2": [c_void_p, POINTER, c_size_t],
    "cuMemcpyHtoD_v2": [POINTER, c_void_p, c_size_t],
    "cuMemcpyDtoHAsync_v2": [c_void_p, POINTER, c_size_t, c_void_p],
    "cuMemcpyHtoDAsync_v2": [POINTER, c_void_p, c_size_t, c_void_p],
    "cuStreamCreate": [ctypes.POINTER(c_void_p), c_uint],
    "cuStreamSynchronize": [c_void_p],
    "cuModuleLoadData": [ctypes.POINTER(c_void_p), ctypes.c_char_p],
    "cuModuleGetFunction": [ctypes.POINTER(c_void_p), c_void_p, ctypes.c_char_p],
    "cuLaunchKernel": [c_void_p, *[c_uint] * 7, c_void_p, c_void_p, c_void_p],
}


class CudaError(Exception):
    """A call of the driver that failed."""


class Driver:
    """libcuda.so.1, initialised."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise CudaError(f"no NVIDIA driver here: {error}") from None
        self.call("cuInit", 0)
        version, count = c_int(), c_int()
        self.call("cuDriverGetVersion", byref(version))
        self.call("cuDeviceGetCount", byref(count))
        self.version: int = version.value
        self.device_count: int = count.value
        if self.device_count == 0:
            raise CudaError("the NVIDIA driver sees no GPU")

    def call(self, name: str, *arguments: Any) -> None:
        """Raises CudaError with the driver's own words."""
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise CudaError(f"this driver has no {name}") from None
        function.argtypes = _PROTOTYPES[name]
        result = function(*arguments)
        if result != 0:
            raise CudaError(f"{name}: {result} {self._words(result)}")

    def _words(self, result: int) -> str:
        text = ctypes.c_char_p()
        self._library.cuGetErrorString(c_int(result), byref(text))
        return (text.value or b"").decode()


class Gpu:
    """One GPU: its primary context, which torch and podfs use too, current on the thread that made this."""

    def __init__(self, driver: Driver, ordinal: int = 0) -> None:
        self.driver = driver
        self.ordinal = ordinal
        self._device = c_int()
        driver.call("cuDeviceGet", byref(self._device), ordinal)
        context = c_void_p()
        driver.call("cuDevicePrimaryCtxRetain", byref(context), self._device)
        driver.call("cuCtxSetCurrent", context)
        #: Of this GPU's copies. What changes tensors runs on the default stream, as in most programs.
        self.stream = c_void_p()
        driver.call("cuStreamCreate", byref(self.stream), STREAM_NON_BLOCKING)

    @property
    def name(self) -> str:
        name = ctypes.create_string_buffer(256)
        self.driver.call("cuDeviceGetName", name, len(name), self._device)
        return name.value.decode()

    @property
    def pci_address(self) -> str:
        address = ctypes.create_string_buffer(32)
        self.driver.call("cuDeviceGetPCIBusId", address, len(address), self._device)
        return address.value.decode().lower()

    @property
    def total_bytes(self) -> int:
        total = c_size_t()
        self.driver.call("cuDeviceTotalMem_v2", byref(total), self._device)
        return total.value

    @property
    def free_bytes(self) -> int:
        free, total = c_size_t(), c_size_t()
        self.driver.call("cuMemGetInfo_v2", byref(free), byref(total))
        return free.value

    @property
    def multiprocessors(self) -> int:
        count = c_int()
        self.driver.call("cuDeviceGetAttribute", byref(count), MULTIPROCESSOR_COUNT, self._device)
        return count.value

    def allocate(self, size: int) -> int:
        """Device memory, at least one byte."""
        address = POINTER()
        self.driver.call("cuMemAlloc_v2", byref(address), max(size, 1))
        return address.value

    def free(self, address: int) -> None:
        self.driver.call("cuMemFree_v2", address)

    def pinned(self, size: int) -> int:
        """Host memory that the GPU copies to and from at full speed. Give it to `free_pinned`."""
        address = c_void_p()
        self.driver.call("cuMemHostAlloc", byref(address), size, 0)
        return int(address.value or 0)

    def free_pinned(self, address: int) -> None:
        self.driver.call("cuMemFreeHost", address)

    def to_host(self, host: int, device: int, size: int) -> None:
        """Queues a copy on this GPU's stream."""
        self.driver.call("cuMemcpyDtoHAsync_v2", host, device, size, self.stream)

    def to_device(self, device: int, host: int, size: int) -> None:
        self.driver.call("cuMemcpyHtoDAsync_v2", device, host, size, self.stream)

    def read(self, device: int, size: int) -> bytes:
        """Bytes of device memory, now."""
        buffer = ctypes.create_string_buffer(max(size, 1))
        self.driver.call("cuMemcpyDtoH_v2", ctypes.addressof(buffer), device, size)
        return buffer.raw[:size]

    def write(self, device: int, data: bytes) -> None:
        self.driver.call("cuMemcpyHtoD_v2", device, ctypes.cast(ctypes.c_char_p(data), c_void_p), len(data))

    def wait(self) -> None:
        """Until all copies are done."""
        self.driver.call("cuStreamSynchronize", self.stream)

    def wait_all(self) -> None:
        """Until everything queued on the GPU, by whomever in this process, is done."""
        self.driver.call("cuCtxSynchronize")
