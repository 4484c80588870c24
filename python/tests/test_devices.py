"""Device memory, with the simulated driver: it copies late, poisons what a missing wait would read, and has no GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import run_python

pytest.importorskip("safetensors")

PRELUDE = """
import os, sys
import podfs
from safetensors import deserialize
from support.devices import DeviceArray, Stream, cuda

directory, mode = sys.argv[1:3]
RING = 4 << 20

def pattern(size, seed):
    return bytes((index * 131 + (index >> 8) * 7 + seed * 29) & 255 for index in range(1 << 16)) * (size // (1 << 16) +
    1)

def stored(name):
    with open(os.path.join(directory, name + ".safetensors"), "rb") as file:
        return {name: bytes(info["data"]) for name, info in deserialize(file.read())}

def sizes():
    # Less than a page, odd, about a slot, more than the ring.
    return [0, 1, 4097, 70_001, (2 << 20) + 3, (5 << 20) + 1]
"""


def run(code: str, place: tuple[str, str], environment: dict[str, str], **extra: str) -> str:
    return run_python(PRELUDE + code, *place, environment={**environment, **extra})


SAVE_AND_CHANGE = """
stream = Stream()
expected = {f"t{n}": pattern(size, n)[:size] for n, size in enumerate(sizes())}
with podfs.checkpoint(directory, mode=mode, ring_bytes=RING) as ck:
    arrays = {name: DeviceArray(data, stream, offset=512, known=KNOWN) for name, data in expected.items()}
    for step in range(3):
        pending = ck.save(arrays, f"step-{step}")
        for array in arrays.values():
            array.fill(step)      # queued behind what the program queued; must not overtake the copies
        pending.wait()
        assert stored(f"step-{step}") == expected, step
        expected = {name: bytes([step]) * len(data) for name, data in expected.items()}
    print(ck.mode, "|", ck.reason)
"""


@pytest.mark.parametrize("known", [True, False], ids=["known stream", "unknown stream"])
def test_memory_may_change_when_save_has_returned(place, simulated_cuda, known):
    printed = run(SAVE_AND_CHANGE.replace("KNOWN", str(known)), place, simulated_cuda)
    assert printed.split("|") == [f"{place[1]} ", " \n"]


def test_a_ring_that_cannot_be_pinned_works_and_says_why(tmp_path, simulated_cuda):
    code = SAVE_AND_CHANGE.replace("KNOWN", "True")
    printed = run(code, (str(tmp_path), "file"), simulated_cuda, SIMULATED_CUDA_FAIL="cuMemHostRegister_v2=2")
    assert "cannot be pinned" in printed


LOAD = """
stream = Stream()
expected = {f"t{n}": pattern(size, n)[:size] for n, size in enumerate(sizes())}
with podfs.checkpoint(directory, mode=mode, ring_bytes=RING) as ck:
    ck.save({name: DeviceArray(data, stream) for name, data in expected.items()}, "step").wait()
    for round in range(2):
        into = {name: DeviceArray(bytes(len(data)), stream) for name, data in expected.items()}
        for array in into.values():
            array.fill(9)         # still queued when the load begins: must not win
        loaded = ck.load("step", into=into)
        assert all(loaded[name] is into[name] for name in into)
        assert {name: array.download() for name, array in into.items()} == expected
    some = {"t4": DeviceArray(bytes(len(expected["t4"])), stream)}
    ck.load("step", into=some)
    assert some["t4"].download() == expected["t4"]
    try:
        ck.load("step", into={"t4": DeviceArray(bytes(5), stream)})
    except podfs.TensorMismatch as error:
        print(error)
"""


def test_loading_into_device_memory(place, simulated_cuda):
    assert "'t4' is U8 [5]" in run(LOAD, place, simulated_cuda)


def test_two_devices_and_the_host_in_one_state(place, simulated_cuda):
    code = """
first, second = Stream(0), Stream(1)
data = {name: pattern(900_001, seed)[:900_001] for seed, name in enumerate("abcdef")}
from support.hosts import HostArray
state = {
    "a": DeviceArray(data["a"], first), "b": DeviceArray(data["b"], second, ordinal=1), "c": HostArray(data["c"]),
    "d": DeviceArray(data["d"], second, ordinal=1), "e": DeviceArray(data["e"], first), "f": HostArray(data["f"]),
}
with podfs.checkpoint(directory, mode=mode, ring_bytes=RING) as ck:
    pending = ck.save(state, "step")
    for value in state.values():
        value.fill(1)
    pending.wait()
    assert stored("step") == data
"""
    run(code, place, simulated_cuda, SIMULATED_CUDA_DEVICES="2")


def test_names_of_types_that_array_interfaces_lack(tmp_path, simulated_cuda):
    code = """
with podfs.checkpoint(directory, mode=mode) as ck:
    ck.save({"x": DeviceArray(bytes(6), Stream(), dtype="F8_E4M3")}, "step").wait()
    print(ck.load("step", into={"x": DeviceArray(bytes(6), Stream(), dtype="F8_E4M3")}))
with open(os.path.join(directory, "step.safetensors"), "rb") as file:
    print(deserialize(file.read())[0][1]["dtype"])
"""
    assert "F8_E4M3" in run(code, (str(tmp_path), "file"), simulated_cuda)


FAILURE = """
stream = Stream()
with podfs.checkpoint(directory, mode=mode, ring_bytes=RING) as ck:
    state = {name: DeviceArray(pattern(size, 1)[:size], stream) for name, size in zip("abcdef", sizes())}
    try:
        ck.save(state, "step").wait()
    except podfs.DeviceError as error:
        print("DeviceError:", error)
    assert os.listdir(directory) == [], os.listdir(directory)
cuda.cuStreamSynchronize(stream.handle)  # what was uploaded is read late: not after the interpreter has freed it
"""


@pytest.mark.parametrize(
    "fault",
    [
        "cuMemcpyDtoHAsync_v2=700",
        "cuMemcpyDtoHAsync_v2=700@3",
        "cuEventRecord=700@4",
        "cuStreamWaitEvent=700",
        "cuStreamCreate=2@2",
    ],
)
def test_a_driver_that_fails_leaves_nothing(place, simulated_cuda, fault):
    assert "DeviceError" in run(FAILURE, place, simulated_cuda, SIMULATED_CUDA_FAIL=fault)


@pytest.mark.parametrize("fault", ["cuMemcpyDtoHAsync_v2=700", "cuMemcpyDtoHAsync_v2=700@4"])
def test_copies_that_break_later_leave_nothing(place, simulated_cuda, fault):
    assert "DeviceError" in run(FAILURE, place, simulated_cuda, SIMULATED_CUDA_FAIL_LATE=fault)


def test_a_forked_child_is_told_to_open_its_own(tmp_path, simulated_cuda):
    code = """
with podfs.checkpoint(directory, mode=mode) as ck:
    ck.save({"a": DeviceArray(bytes(6), Stream())}, "step").wait()
    child = os.fork()
    if child == 0:
        try:
            ck.save({"a": 1}, "child")
        except RuntimeError as error:
            os._exit(0 if "fork" in str(error) else 2)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
"""
    run(code, (str(tmp_path), "file"), simulated_cuda)


def test_no_driver_is_said(tmp_path):
    code = """
import sys, podfs
class Device:
    __cuda_array_interface__ = {"shape": (1,), "typestr": "|u1", "data": (4096, False), "version": 3}
with podfs.checkpoint(sys.argv[1], mode="file") as ck:
    try:
        ck.save({"a": Device()}, "step")
    except podfs.DeviceError as error:
        print(error)
"""
    import os

    source = str(Path(__file__).parents[1] / "src")
    printed = run_python(code, str(tmp_path), environment={**os.environ, "PYTHONPATH": source})
    if not printed:
        pytest.skip("this machine has a CUDA driver")
    assert "no CUDA driver" in printed


PLACEMENT = """
import builtins, io
from podfs._cuda import Driver
from podfs._daemon import _placement

# No GPU, and perhaps no NUMA: what the driver says is the simulated one's, what sysfs says this test's.
asked = []
def told(path, *args, **kwargs):
    if not str(path).startswith("/sys/bus/pci/devices/"):
        return plain(path, *args, **kwargs)
    asked.append(path)
    return io.StringIO(answers.pop(0))
plain, builtins.open = open, told
answers = ["1\\n", "-1\\n"]
assert Driver.load().numa_node_of(0) == 1
assert Driver.load().numa_node_of(0) is None
assert asked[0] == asked[0].lower() and asked[0].endswith("/numa_node"), asked
assert _placement() == {}, "nothing has begun to compute on a GPU"
class Torch:
    class cuda:
        is_initialized = staticmethod(lambda: True)
        current_device = staticmethod(lambda: 0)
sys.modules["torch"] = Torch
answers = ["1\\n"]
assert _placement() == {"numaNode": 1}
print("placed")
"""


def test_the_ring_is_to_be_at_the_gpu(tmp_path, simulated_cuda):
    assert run(PLACEMENT, (str(tmp_path), "file"), simulated_cuda) == "placed\n"
