"""Checkpoints of several ranks, when their mount dies, and in the next pod."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import podfs  # noqa: E402
from conftest import PROJECT  # noqa: E402
from support.mounts import PodfsMount, mount_obstacle  # noqa: E402

OBSTACLE = mount_obstacle(PROJECT)
pytestmark = pytest.mark.skipif(bool(OBSTACLE), reason=OBSTACLE)


@pytest.fixture
def start_pod():
    """Starts a mount of a new volume, or of one that another has left."""
    mounts = []

    def start(volume=None):
        # The path of a Unix socket is short: pytest's own directories are too long.
        mount = PodfsMount(PROJECT, Path(tempfile.mkdtemp(prefix="podfs-")))
        mount.volume = volume or mount.volume
        mounts.append(mount)
        mount.start()
        return mount

    try:
        yield start
    finally:
        for mount in mounts:
            mount.dispose()


def save_rank(mount, rank, name, *, durable=False):
    with podfs.checkpoint(mount.mountpoint / "ckpt", mode="shm", ring_bytes=4 << 20, rank=rank, world_size=2) as ck:
        ck.save({f"layer.{rank}": torch.full((1000,), float(rank))}, name, save_id=name)
        ck.wait(durable=durable)


def states(mount):
    with podfs.checkpoint(mount.mountpoint / "ckpt", mode="file", rank=0, world_size=1) as ck:
        return {info.name: info.state for info in ck.list()}


def test_a_mount_killed_between_two_ranks(start_pod):
    mount = start_pod()
    save_rank(mount, 0, "whole")
    save_rank(mount, 1, "whole")
    save_rank(mount, 0, "half")
    mount.kill()
    mount.start()
    assert states(mount) == {"whole": "complete", "half": "incomplete"}
    save_rank(mount, 1, "half")
    assert states(mount) == {"whole": "complete", "half": "complete"}


def test_the_next_pod_finds_what_was_durable(start_pod):
    mount = start_pod()
    save_rank(mount, 0, "whole", durable=True)
    save_rank(mount, 1, "whole", durable=True)
    save_rank(mount, 0, "half", durable=True)
    mount.unmount()
    following = start_pod(mount.volume)
    assert states(following) == {"whole": "complete", "half": "incomplete"}
    with podfs.checkpoint(following.mountpoint / "ckpt") as ck:
        loaded = ck.load("whole")
    assert sorted(loaded) == ["layer.0", "layer.1"] and torch.equal(loaded["layer.1"], torch.ones(1000))
