"""The CUDA driver, loaded when it is needed: `libcuda.so.1` through ctypes, with prototypes of our own.

ctypes lets other Python threads run during a call (CDLL), so waiting here stops nobody. Names with `_v2` are the ABI's
own (cuda.h renames the functions by macros). No torch is needed: a stream, a pointer and a context are what torch has
too, and both use the device's primary context.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any, Optional

from ._errors import DeviceError

LIBRARY = "libcuda.so.1"
CUresult = int

HOST_REGISTER_PORTABLE = 0x01
STREAM_NON_BLOCKING = 0x01
# Waiting for an event of the first flag takes 1 % of a core; without it, 100 %.
EVENT_BLOCKING_SYNC, EVENT_DISABLE_TIMING = 0x01, 0x02
ATTRIBUTE_DEVICE_ORDINAL = 9
SUCCESS = 0
IPC_HANDLE_BYTES = 64

_PROTOTYPES: dict[str, list[Any]] = {
    "cuInit": [c_uint],
    "cuDriverGetVersion": [POINTER(c_int)],
    "cuDeviceGet": [POINTER(c_int), c_int],
    "cuDeviceGetPCIBusId": [c_char_p, c_int, c_int],
    "cuDeviceGetUuid_v2": [c_void_p, c_int],
    "cuDevicePrimaryCtxRetain": [POINTER(c_void_p), c_int],
    "cuCtxGetCurrent": [POINTER(c_void_p)],
    "cuCtxSetCurrent": [c_void_p],
    "cuMemHostRegister_v2": [c_void_p, c_size_t, c_uint],
    "cuMemHostUnregister": [c_void_p],
    "cuMemcpyDtoHAsync_v2": [c_void_p, c_uint64, c_size_t, c_void_p],
    "cuMemcpyHtoDAsync_v2": [c_uint64, c_void_p, c_size_t, c_void_p],
    "cuStreamCreate": [POINTER(c_void_p), c_uint],
    "cuStreamDestroy_v2": [c_void_p],
    "cuStreamSynchronize": [c_void_p],
    "cuStreamWaitEvent": [c_void_p, c_void_p, c_uint],
    "cuEventCreate": [POINTER(c_void_p), c_uint],
    "cuEventDestroy_v2": [c_void_p],
    "cuEventRecord": [c_void_p, c_void_p],
    "cuEventSynchronize": [c_void_p],
    "cuPointerGetAttribute": [c_void_p, c_int, c_uint64],
    "cuMemGetAddressRange_v2": [POINTER(c_uint64), POINTER(c_size_t), c_uint64],
    "cuIpcGetMemHandle": [c_void_p, c_uint64],
}


class Driver:
    """The functions of the driver; each raises DeviceError with what the driver calls the failure."""

    _instance: Optional[Driver] = None
    _lock = threading.Lock()

    @classmethod
    def load(cls) -> Driver:
        """The driver of this process, initialised. Raises DeviceError where there is none."""
        with cls._lock:
            if cls._instance is None:
                cls._instance = cls()
            if cls._instance._pid != os.getpid():
                raise DeviceError("CUDA cannot be used in a process that was forked after CUDA was used")
            return cls._instance

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._contexts: dict[int, Optional[int]] = {}
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as cause:
            raise DeviceError(f"there is no CUDA driver: {cause}") from cause
        self._library.cuGetErrorString.argtypes = [c_int, POINTER(c_char_p)]
        for name, arguments in _PROTOTYPES.items():
            try:
                function = getattr(self._library, name)
            except AttributeError as cause:
                raise DeviceError(f"the CUDA driver is too old: it has no {name}") from cause
            function.argtypes, function.restype = arguments, c_int
        self.call("cuInit", 0)

    def call(self, name: str, *arguments: Any) -> None:
        result = self.result(name, *arguments)
        if result != SUCCESS:
            raise DeviceError(f"{name}: {self._text(result)} (CUDA error {result})")

    def result(self, name: str, *arguments: Any) -> CUresult:
        return int(getattr(self._library, name)(*arguments))

    def _text(self, result: CUresult) -> str:
        text = c_char_p()
        self._library.cuGetErrorString(result, byref(text))
        return text.value.decode(errors="replace") if text.value else "unknown error"

    @contextmanager
    def current(self, ordinal: int) -> Iterator[None]:
        """The device's primary context is this thread's within the block; the caller's own comes back after it."""
        before = c_void_p()
        self.call("cuCtxGetCurrent", byref(before))
        context = self._context(ordinal)
        if before.value == context:
            yield
            return
        self.call("cuCtxSetCurrent", context)
        try:
            yield
        finally:
            self.result("cuCtxSetCurrent", before)

    def _context(self, ordinal: int) -> Optional[int]:
        # Kept for the life of the process: the program's own tensors live in it.
        if ordinal not in self._contexts:
            device, context = c_int(), c_void_p()
            self.call("cuDeviceGet", byref(device), ordinal)
            self.call("cuDevicePrimaryCtxRetain", byref(context), device)
            self._contexts[ordinal] = context.value
        return self._contexts[ordinal]

    def ordinal_of(self, address: int) -> int:
        """The GPU on which this memory is."""
        ordinal = c_int()
        self.call("cuPointerGetAttribute", byref(ordinal), ATTRIBUTE_DEVICE_ORDINAL, address)
        return ordinal.value

    def uuid_of(self, ordinal: int) -> str:
        """ "GPU-…", as nvidia-smi has it: the only name of a GPU that means the same in every process."""
        device, raw = c_int(), ctypes.create_string_buffer(16)
        self.call("cuDeviceGet", byref(device), ordinal)
        self.call("cuDeviceGetUuid_v2", raw, device)
        digits = raw.raw.hex()
        return "GPU-" + "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def numa_node_of(self, ordinal: int) -> Optional[int]:
        """The NUMA node that the GPU is at; None where it is not known."""
        device, address = c_int(), ctypes.create_string_buffer(32)
        self.call("cuDeviceGet", byref(device), ordinal)
        self.call("cuDeviceGetPCIBusId", address, len(address), device)
        try:
            with open(f"/sys/bus/pci/devices/{address.value.decode().lower()}/numa_node", encoding="ascii") as file:
                node = int(file.read())
        except (OSError, ValueError):
            return None
        return node if node >= 0 else None

    def ipc_handle(self, address: int) -> tuple[str, int]:
        """(handle in hexadecimal, offset of `address` in the allocation that it names). The context must be current."""
        base, size = c_uint64(), c_size_t()
        self.call("cuMemGetAddressRange_v2", byref(base), byref(size), address)
        handle = ctypes.create_string_buffer(IPC_HANDLE_BYTES)
        self.call("cuIpcGetMemHandle", handle, base)
        return handle.raw.hex(), address - base.value

    def register(self, address: int, size: int) -> None:
        """Pins host memory for all devices. 3–8 GB/s: once for each ring, never for each save."""
        self.call("cuMemHostRegister_v2", address, size, HOST_REGISTER_PORTABLE)
