"""What the figures were measured on, and what of it they depend on."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import subprocess
from pathlib import Path

import mounting
from bench import Bench, torch_obstacle

#: io_uring_setup(2) has the same number everywhere.
IO_URING_SETUP = 425
PARAMETERS_BYTES = 120


def measure(bench: Bench) -> None:
    gpu, options = bench.gpu, bench.options
    facts = {
        "gpu": gpu.name,
        "gpus": bench.driver.device_count,
        "gpuMemoryBytes": gpu.total_bytes,
        "cuda": f"{bench.driver.version // 1000}.{bench.driver.version % 1000 // 10}",
        "kernelDriver": _kernel_driver(),
        "gpuNumaNode": _first_line(f"/sys/bus/pci/devices/{gpu.pci_address}/numa_node"),
        "numaNodes": _first_line("/sys/devices/system/node/online"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memoryBytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "memlockBytes": resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
        "ioUring": _io_uring(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "filesystem": _output("stat", "-f", "-c", "%T", options.directory),
        "device": _output("df", "--output=source", options.directory).splitlines()[-1],
        "mount": mounting.obstacle() or "podfs can be mounted",
        "torch": torch_obstacle() or _torch_version(),
    }
    bench.results.machine(**facts)


def _torch_version() -> str:
    import torch

    return str(torch.__version__)


def _kernel_driver() -> str:
    text = _first_line("/proc/driver/nvidia/version")
    return next((word for word in text.split() if word[:1].isdigit() and "." in word), text)


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _io_uring() -> str:
    """Containers often forbid it: https://github.com/moby/moby/pull/46762"""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(IO_URING_SETUP, 1, ctypes.create_string_buffer(PARAMETERS_BYTES))
    if descriptor < 0:
        return f"no: {errno.errorcode.get(ctypes.get_errno(), 'unknown')}"
    os.close(descriptor)
    return "yes"


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()
