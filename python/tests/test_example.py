"""The example works as a new user would try it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import podfs  # noqa: E402
from support.waiting import await_value  # noqa: E402

EXAMPLE = os.path.join(os.path.dirname(__file__), "..", "examples", "train.py")
TIMEOUT_SECONDS = 600


def start(directory, *arguments, **environment):
    ours = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, "-u", EXAMPLE, str(directory), "--width", "8", *arguments],
        env={**os.environ, **ours, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, output
    return output


def run_two_ranks(directory, *arguments):
    while True:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
        first, second = (start(directory, *arguments, RANK=str(rank), **rendezvous) for rank in range(2))
        output, _ = first.communicate(timeout=TIMEOUT_SECONDS)
        if "EADDRINUSE" not in output:
            break
        # Somebody else was given the port meanwhile.
        second.kill()
        second.communicate()
    assert first.returncode == 0, output
    return output, finish(second)


def weights(directory, name):
    with podfs.checkpoint(directory) as ck:
        return ck.load(name)["model"]


def test_it_goes_on_after_being_killed_as_if_it_had_not_been(place, tmp_path):
    run = Path(place[0])
    killed = start(run, "--steps", "100000", "--every", "1")
    assert killed.stdout is not None
    for line in killed.stdout:
        if line.startswith("step 5:"):
            break
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=TIMEOUT_SECONDS)
    with podfs.checkpoint(run) as ck:
        assert ck.list() and all(info.state == "complete" for info in ck.list())
        newest = int(ck.list()[0].name[len("step-") :])

    last = newest + 3
    output = finish(start(run, "--steps", str(last), "--every", "1", "--keep", "2"))
    assert f"by way of {place[1]!r}" in output and f"going on from step-{newest}" in output
    assert f"all checkpoints are safe: step-{last}, step-{last - 1}" in output
    await_value(lambda: sorted(os.listdir(run)), sorted(f"step-{step}.safetensors" for step in (last - 1, last)))

    finish(start(tmp_path / "at once", "--steps", str(last), "--every", "100000"))
    interrupted, at_once = weights(run, f"step-{last}"), weights(tmp_path / "at once", f"step-{last}")
    assert all(torch.equal(tensor, at_once[name]) for name, tensor in interrupted.items())


def test_two_processes_save_one_checkpoint_and_one_goes_on_with_it(tmp_path):
    outputs = run_two_ranks(tmp_path, "--steps", "20", "--every", "10")
    assert "all checkpoints are safe" in outputs[0] and outputs[1] == ""
    assert "step-20.safetensors.index.json" in os.listdir(tmp_path)
    assert "going on from step-20" in finish(start(tmp_path, "--steps", "21"))
