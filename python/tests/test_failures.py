"""What goes wrong leaves either a whole checkpoint or none, and says what it was."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import podfs  # noqa: E402
from conftest import PROJECT  # noqa: E402
from podfs import _reader, _temporary  # noqa: E402
from support.mounts import PodfsMount, mount_obstacle  # noqa: E402
from support.states import assert_equal, random_tensor  # noqa: E402

SMALL_RING = 4 << 20
MODULES = os.pathsep.join([str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent)])


def open_place(place, **options):
    return podfs.checkpoint(place[0], mode=place[1], **{"ring_bytes": SMALL_RING, **options})


def start(code, *arguments):
    """A process that has podfs, and neither torch nor NumPy: it starts fast."""
    environment = {**os.environ, "PYTHONPATH": MODULES}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment)


@pytest.fixture
def own_mount():
    obstacle = mount_obstacle(PROJECT)
    if obstacle:
        pytest.skip(obstacle)
    mount = PodfsMount(PROJECT, Path(tempfile.mkdtemp(prefix="podfs-")))  # short: sockets lie in it
    try:
        mount.start()
        yield mount
    finally:
        mount.dispose()


@pytest.fixture
def small_disk(tmp_path):
    """A filesystem of 16 MiB, which knows no direct writes."""
    path = tmp_path / "small"
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(path)], check=False, capture_output=True
    )
    if done.returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


# A process that kills itself at the n-th call of a function.
KILLED = """
import os, sys
import podfs
from support.dying import die_at
from support.hosts import HostArray

directory, mode, module, function, when = sys.argv[1:6]
with podfs.checkpoint(directory, mode=mode, ring_bytes=4 << 20) as ck:
    die_at(module, function, int(when))
    ck.save({"a": HostArray(b"n" * 9_000_001)}, "step", overwrite=True)
    ck.wait(durable=True)
os._exit(7)  # it was not called that often
"""

STEPS = {
    "shm": [("podfs._daemon", "DaemonSink.send", when) for when in range(8)],
    "file": [
        *(("podfs._temporary", "_open_direct", 0), ("podfs._temporary", "TemporaryFile._allocate", 0)),
        *(("os", "pwrite", when) for when in (0, 2)),
        *(("os", function, 0) for function in ("ftruncate", "fsync", "rename")),
        ("os", "fsync", 1),
    ],
}


@pytest.mark.parametrize("before", [False, True], ids=["a new one", "over an old one"])
def test_a_client_killed_at_any_step_leaves_all_or_nothing(place, before):
    old, new = b"o" * 1000, b"n" * 9_000_001
    exits = []
    for step in STEPS[place[1]]:
        with open_place(place) as ck:
            if before:
                ck.save({"a": torch.frombuffer(bytearray(old), dtype=torch.uint8)}, "step", overwrite=True).wait()
            elif ck.list():
                ck.remove("step")
        child = start(KILLED, *place, *map(str, step))
        exits.append(child.wait(600))
        with open_place(place) as ck:
            for info in ck.list():
                assert (info.name, info.state) == ("step", "complete")
                content = bytes(ck.load("step")["a"].numpy().tobytes())
                assert content in ((old, new) if before else (new,)), step
            assert not before or ck.list()
            ck.save({"a": torch.ones(3)}, "next", overwrite=True).wait()
            ck.remove("next")
        assert [name for name in os.listdir(place[0]) if name.startswith(".")] == [], step
    assert exits.count(-signal.SIGKILL) >= len(exits) - 1


MANY = """
import sys
import podfs
from support.hosts import HostArray

directory, mode, rank = sys.argv[1:4]
with podfs.checkpoint(directory, mode=mode, ring_bytes=4 << 20, rank=int(rank), world_size=8) as ck:
    for step in range(2):
        state = {f"r{rank}": HostArray(bytes([int(rank), step]) * 1_500_000)}
        ck.save(state, f"step-{step}", save_id=f"run-{step}")
        state[f"r{rank}"].fill(255)
    ck.wait(durable=True)
"""


def test_eight_processes_at_once(place):
    children = [start(MANY, *place, str(rank)) for rank in range(8)]
    assert [child.wait(600) for child in children] == [0] * 8
    with open_place(place) as ck:
        assert sorted((info.name, info.state, info.ranks) for info in ck.list()) == [
            ("step-0", "complete", 8),
            ("step-1", "complete", 8),
        ]
        for step in range(2):
            loaded = ck.load(f"step-{step}")
            assert all(loaded[f"r{rank}"][:4].tolist() == [rank, step, rank, step] for rank in range(8))


def test_a_program_that_ends_after_save_keeps_its_checkpoint(place):
    code = """
import podfs, sys
from support.hosts import HostArray
ck = podfs.checkpoint(sys.argv[1], mode=sys.argv[2], ring_bytes=4 << 20)
ck.save({"a": HostArray(b"x" * 5_000_000)}, "step")
"""
    assert start(code, *place).wait(600) == 0
    with open_place(place) as ck:
        assert ck.load("step")["a"].numel() == 5_000_000


def test_a_daemon_that_dies_fails_saves_and_is_found_again(own_mount):
    state = {"a": random_tensor((3_000_001,), torch.float32)}
    with podfs.checkpoint(own_mount.new_directory(), mode="shm", ring_bytes=SMALL_RING) as ck:
        ck.save(state, "before").wait()
        pending = ck.save(state, "during")
        own_mount.kill()
        try:
            pending.wait(timeout=300)
        except podfs.ConnectionLost:
            pass
        with pytest.raises(podfs.DaemonUnavailable):
            ck.save(state, "without")
        own_mount.start()
        for info in ck.list():
            assert_equal(ck.load(info.name), state)
        ck.save(state, "after").wait(durable=True)
        assert {"before", "after"} <= {info.name for info in ck.list()} <= {"before", "during", "after"}


def test_an_unmount_ends_what_is_not_committed(own_mount):
    with podfs.checkpoint(own_mount.new_directory(), mode="shm", ring_bytes=SMALL_RING) as ck:
        ck.save({"a": torch.ones(1000)}, "step").wait()
        own_mount.unmount()
        with pytest.raises((podfs.PodfsError, OSError)):
            ck.save({"a": torch.ones(1000)}, "later")
    own_mount.start()
    with podfs.checkpoint(own_mount.mountpoint / "ckpt-1", mode="shm", ring_bytes=SMALL_RING) as ck:
        assert [info.name for info in ck.list()] == ["step"]


def test_no_mount_is_said_and_auto_goes_on_without(tmp_path):
    with pytest.raises(podfs.DaemonUnavailable, match="not in a podfs mount"):
        podfs.checkpoint(tmp_path, mode="shm")
    with pytest.raises(ConnectionError):
        podfs.checkpoint(tmp_path, mode="ipc")
    with podfs.checkpoint(tmp_path) as ck:
        assert ck.mode == "file"
        assert "not in a podfs mount" in ck.reason
    with pytest.raises(ValueError, match="auto, shm, ipc, file"):
        podfs.checkpoint(tmp_path, mode="fast")  # type: ignore[arg-type]


def test_an_attribute_that_somebody_else_has_set_is_not_followed(tmp_path):
    trap = tmp_path / "trap"
    trap.write_text("")
    try:
        os.setxattr(tmp_path, "user.podfs.staging", os.fsencode(trap))
    except OSError:
        pytest.skip("no extended attributes here")
    with pytest.raises(podfs.DaemonUnavailable, match="not a socket"):
        podfs.checkpoint(tmp_path, mode="shm")


def test_a_directory_that_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(podfs.CheckpointExists, match="not a directory"):
        podfs.checkpoint(tmp_path / "file")
    (tmp_path / "step.safetensors").mkdir()
    with podfs.checkpoint(tmp_path, mode="file") as ck, pytest.raises(podfs.CheckpointExists, match="is a directory"):
        ck.save({"a": torch.zeros(1)}, "step", overwrite=True)


def test_a_directory_that_is_removed_meanwhile(place):
    with open_place(place) as ck:
        os.rmdir(place[0])
        with pytest.raises(podfs.CheckpointNotFound):
            ck.save({"a": torch.zeros(1)}, "step")


def test_a_full_disk_is_known_before_anything_is_copied(small_disk):
    with podfs.checkpoint(small_disk, mode="file", ring_bytes=SMALL_RING) as ck:
        with pytest.raises(podfs.NoSpace) as caught:
            ck.save({"a": torch.zeros(20 << 20, dtype=torch.uint8)}, "step")
        assert caught.value.errno == errno.ENOSPC
        assert os.listdir(small_disk) == []
        ck.save({"a": torch.zeros(3)}, "small").wait()


def test_a_disk_that_fills_up_meanwhile(small_disk, monkeypatch):
    monkeypatch.setattr(_temporary.TemporaryFile, "_allocate", lambda self, size: None)
    with podfs.checkpoint(small_disk, mode="file", ring_bytes=SMALL_RING) as ck:
        with pytest.raises(podfs.NoSpace):
            ck.save({"a": torch.zeros(30 << 20, dtype=torch.uint8)}, "step").wait()
        assert os.listdir(small_disk) == []
        ck.save({"a": torch.zeros(3)}, "small").wait()


@pytest.mark.parametrize("most", [1, 4096, 5000, 1 << 20])
def test_short_writes_and_reads(tmp_path, monkeypatch, most):
    state = {"a": random_tensor((2000 if most == 1 else 5_000_001,), torch.uint8), "b": torch.arange(3)}
    pwrite, preadv = os.pwrite, os.preadv
    monkeypatch.setattr(_temporary.os, "pwrite", lambda fd, data, at: pwrite(fd, data[:most], at))
    monkeypatch.setattr(
        _reader.os, "preadv", lambda fd, buffers, at, *flags: preadv(fd, [buffers[0][: max(most, 2)]], at, *flags)
    )
    with podfs.checkpoint(tmp_path, mode="file", ring_bytes=SMALL_RING) as ck:
        ck.save(state, "step").wait()
        assert_equal(ck.load("step"), state)
        into = {"a": torch.zeros_like(state["a"]), "b": torch.zeros(3, dtype=torch.int64)}
        ck.load("step", into=into)
        assert_equal(into, state)


def test_a_disk_that_fails(tmp_path, monkeypatch):
    def failing(*_):
        raise OSError(errno.EIO, "Input/output error")

    with podfs.checkpoint(tmp_path, mode="file", ring_bytes=SMALL_RING) as ck:
        ck.save({"a": torch.zeros(3000)}, "good").wait()
        monkeypatch.setattr(_reader.os, "preadv", failing)
        with pytest.raises(podfs.StorageError):
            ck.load("good")
        monkeypatch.setattr(_temporary.os, "fsync", failing)
        with pytest.raises(podfs.StorageError):
            ck.save({"a": torch.zeros(3)}, "bad").wait()
        assert os.listdir(tmp_path) == ["good.safetensors"]


def test_damaged_files_are_refused(place):
    state = {"a": random_tensor((100_000,), torch.uint8)}
    with open_place(place) as ck:
        ck.save(state, "step").wait()
        path = os.path.join(place[0], "step.safetensors")
        with open(path, "rb") as file:
            whole = file.read()
        for content in (whole[:-1], whole[:5000], whole[:100], b"", whole + b"x", b"PK" + whole[2:]):
            with open(path, "wb") as file:
                file.write(content)
            with pytest.raises(podfs.DamagedCheckpoint):
                ck.load("step")
            assert [info.state for info in ck.list()] == ["damaged"]


def test_what_dead_writers_left_goes_and_what_living_ones_write_stays(tmp_path):
    (tmp_path / ".step.safetensors.podfs-0123456789abcdef").write_bytes(b"left")
    with podfs.checkpoint(tmp_path, mode="file") as first, podfs.checkpoint(tmp_path, mode="file") as second:
        running = _temporary.TemporaryFile(_temporary.Target(str(tmp_path), "other.safetensors", 10, False))
        first.save({"a": torch.zeros(3)}, "step").wait()
        second.save({"a": torch.zeros(3)}, "more").wait()
        assert len([name for name in os.listdir(tmp_path) if name.startswith(".other")]) == 1
        running.discard()
    assert sorted(os.listdir(tmp_path)) == ["more.safetensors", "step.safetensors"]


def test_waiting_has_an_end(tmp_path, monkeypatch):
    import threading

    go_on = threading.Event()
    publish = _temporary.TemporaryFile.publish
    monkeypatch.setattr(_temporary.TemporaryFile, "publish", lambda self: (go_on.wait(300), publish(self)))
    with podfs.checkpoint(tmp_path, mode="file") as ck:
        pending = ck.save({"a": torch.zeros(3)}, "step")
        with pytest.raises(podfs.WaitTimeout):
            pending.wait(timeout=0.05)
        with pytest.raises(TimeoutError):
            ck.wait(timeout=0.05)
        assert not pending.committed
        go_on.set()
        ck.wait()
        assert pending.committed
