"""Mode "ipc": the mount's daemon copies out of this process's device memory. The simulated driver is on both sides."""

from __future__ import annotations

import pytest

from conftest import PROJECT, run_python
from support.mounts import PodfsMount, mount_obstacle
from test_devices import FAILURE, LOAD, PRELUDE, SAVE_AND_CHANGE

pytest.importorskip("safetensors")


@pytest.fixture(scope="module")
def gpu_mount(tmp_path_factory, simulated_cuda):
    """A mount whose daemon has the simulated driver."""
    obstacle = mount_obstacle(PROJECT)
    if obstacle:
        pytest.skip(obstacle)
    mount = PodfsMount(PROJECT, tmp_path_factory.mktemp("podfs-gpu"), environment=simulated_cuda)
    try:
        mount.start()
        yield mount
    finally:
        mount.dispose()


def test_memory_may_change_when_save_has_returned(gpu_mount, simulated_cuda):
    code = PRELUDE + SAVE_AND_CHANGE.replace("KNOWN", "True")
    assert run_python(code, str(gpu_mount.new_directory()), "ipc", environment=simulated_cuda) == "ipc | \n"


def test_loading_into_device_memory(gpu_mount, simulated_cuda):
    assert "'t4'" in run_python(PRELUDE + LOAD, str(gpu_mount.new_directory()), "ipc", environment=simulated_cuda)


def test_auto_takes_it_where_the_ring_cannot_be_pinned(gpu_mount, simulated_cuda):
    code = PRELUDE + SAVE_AND_CHANGE.replace("KNOWN", "True")
    environment = {**simulated_cuda, "SIMULATED_CUDA_FAIL": "cuMemHostRegister_v2=2"}
    printed = run_python(code, str(gpu_mount.new_directory()), "auto", environment=environment)
    assert printed.startswith("ipc | the ring cannot be pinned")


def test_auto_stays_with_shm_for_memory_that_has_no_handle(gpu_mount, simulated_cuda):
    code = PRELUDE + SAVE_AND_CHANGE.replace("KNOWN", "True")
    environment = {**simulated_cuda, "SIMULATED_CUDA_FAIL": "cuMemHostRegister_v2=2,cuIpcGetMemHandle=1"}
    printed = run_python(code, str(gpu_mount.new_directory()), "auto", environment=environment)
    assert printed.startswith("shm | the ring cannot be pinned")
    assert "no CUDA IPC" in printed


@pytest.mark.parametrize("fault", ["cuIpcGetMemHandle=1", "cuIpcGetMemHandle=1@3", "cuMemcpyDtoHAsync_v2=700"])
def test_a_driver_that_fails_leaves_nothing(gpu_mount, simulated_cuda, fault):
    environment = {**simulated_cuda, "SIMULATED_CUDA_FAIL": fault}
    assert "DeviceError" in run_python(
        PRELUDE + FAILURE, str(gpu_mount.new_directory()), "ipc", environment=environment
    )


def test_without_a_driver_in_the_daemon_it_is_refused_with_the_reason(podfs_mount, simulated_cuda):
    code = """
import podfs, sys
try:
    podfs.checkpoint(sys.argv[1], mode="ipc")
except podfs.DaemonUnavailable as error:
    print(error)
"""
    assert "GPU memory" in run_python(code, str(podfs_mount.new_directory()), environment=simulated_cuda)


def test_a_failed_save_is_raised_when_nothing_is_copied_any_more(gpu_mount, simulated_cuda):
    code = """
stream = Stream()
with podfs.checkpoint(directory, mode=mode, ring_bytes=RING) as ck:
    good = {f"t{number}": DeviceArray(pattern(1 << 20, number)[:1 << 20], stream) for number in range(5)}
    class Bad:
        __array_interface__ = {"shape": (1 << 20,), "typestr": "|u1", "data": (0, False), "version": 3, "strides": (1,)}
    try:
        ck.save({**good, "z": Bad()}, "step")
    except TypeError as error:
        print("raised")
    for array in good.values():
        array.free()
    assert os.listdir(directory) == []
    ck.save({"t": DeviceArray(b"x" * 100_000, stream)}, "next").wait()
    assert stored("next") == {"t": b"x" * 100_000}
"""
    printed = run_python(PRELUDE + code, str(gpu_mount.new_directory()), "ipc", environment=simulated_cuda)
    assert printed == "raised\n"
