"""What the tests share: directories, and, where they can be had, a mount and the simulated CUDA driver."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.mounts import PodfsMount, mount_obstacle

PROJECT = Path(__file__).parents[2]
SIMULATED_DRIVER = PROJECT / "test/gpu/simulated-cuda"


@pytest.fixture(scope="session")
def podfs_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodfsMount]:
    """A volume in a directory, mounted for all tests that ask for it."""
    obstacle = mount_obstacle(PROJECT)
    if obstacle:
        pytest.skip(obstacle)
    mount = PodfsMount(PROJECT, tmp_path_factory.mktemp("podfs"))
    try:
        mount.start()
        yield mount
    finally:
        mount.dispose()


@pytest.fixture(params=["file", "shm"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """(a directory that does not exist yet, the mode in which its checkpoints are saved)."""
    if request.param == "file":
        return str(tmp_path / "ckpt"), "file"
    mount: PodfsMount = request.getfixturevalue("podfs_mount")
    return str(mount.new_directory()), "shm"


@pytest.fixture(scope="session")
def simulated_cuda(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that is to have the simulated driver instead of NVIDIA's."""
    if not SIMULATED_DRIVER.exists():
        pytest.skip("the simulated CUDA driver is not here: only the sources of podfs have it")
    directory = tmp_path_factory.mktemp("simulated-cuda")
    build = subprocess.run(
        ["make", "-s", "-C", str(SIMULATED_DRIVER), f"OUT={directory}"], capture_output=True, text=True, check=False
    )
    if build.returncode != 0:
        pytest.skip(f"the simulated CUDA driver cannot be built here: {build.stderr.strip()[-200:]}")
    path = os.pathsep.join([str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent)])
    return {**os.environ, "LD_LIBRARY_PATH": str(directory), "PYTHONPATH": path}


def run_python(code: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """Runs a program in a process of its own, and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout
