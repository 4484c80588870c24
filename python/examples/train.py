#!/usr/bin/env python3
"""Trains a small language model, and saves a checkpoint every few steps while training goes on.

    python3 train.py /workspace/run-1                 # start, or go on where the last run ended
    python3 train.py /workspace/run-1 --steps 500
    torchrun --nproc-per-node 2 train.py /workspace/run-1

In a podfs mount the checkpoints are written at the speed of the pod's own disk and uploaded behind it; in any other
directory they are ordinary files. Kill it whenever you like and start it again: it goes on from the newest checkpoint
that is complete, to exactly the same result as if it had never been killed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

import torch
import torch.distributed as dist

# Runs from a checkout as well as with the package installed.
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src"))

import podfs

TEXT = "The kernel moves the bytes, native code waits for them, TypeScript decides. " * 50
CONTEXT = 32


def build(width: int, device: torch.device) -> torch.nn.Module:
    """Predicts the next character from the last few."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Embedding(128, width),
        torch.nn.Flatten(),
        torch.nn.Linear(CONTEXT * width, 4 * width),
        torch.nn.GELU(),
        torch.nn.Linear(4 * width, 128),
    ).to(device)


def batch(step: int, rank: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Depends on nothing but the step and the rank, so that a run that was resumed sees the data it would have seen."""
    text = torch.tensor([ord(character) for character in TEXT])
    generator = torch.Generator().manual_seed(step * 1000 + rank)
    starts = torch.randint(len(text) - CONTEXT, (64,), generator=generator)
    return torch.stack([text[at : at + CONTEXT] for at in starts]).to(device), text[starts + CONTEXT].to(device)


def main() -> None:
    options = parse_arguments()
    rank, ranks = join_other_processes()
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", rank % torch.cuda.device_count()) if cuda else torch.device("cpu")
    say = print if rank == 0 else lambda *_, **__: None

    model = build(options.width, device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    os.makedirs(options.directory, exist_ok=True)

    # One object for the whole run: it connects to the mount, and makes its buffers known to the GPU's driver, once.
    # keep: when a new checkpoint is safe, older ones go.
    with podfs.checkpoint(options.directory, keep=options.keep) as ck:
        say(f"training on {device}, {ranks} process(es); checkpoints by way of {ck.mode!r} {ck.reason}")
        first = resume(ck, model, optimizer, device, rank, ranks, say)
        for step in range(first, options.steps):
            inputs, targets = batch(step, rank, device)
            loss = torch.nn.functional.cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            average_gradients(model, ranks)
            optimizer.step()

            done = step + 1
            if done % options.every == 0 or done == options.steps:
                # Returns when the tensors may be changed again: on a GPU, when the copies are queued. The disk is
                # written while the next steps run. With several processes, each saves what it has, and the checkpoint
                # is complete when all have; here they all have the same, so that one would do.
                start = time.perf_counter()
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": done}
                ck.save(state, f"step-{done}", metadata={"loss": f"{loss.item():.4f}"})
                blocked_ms = (time.perf_counter() - start) * 1000
                say(f"step {done}: loss {loss.item():.4f}; saving step-{done}, training waited {blocked_ms:.0f} ms")
        # Before the pod goes: everything in the volume, not only on this pod's disk.
        ck.wait(durable=True)
        say("all checkpoints are safe:", ", ".join(info.name for info in ck.list() if info.state == "complete"))
    if dist.is_initialized():
        dist.destroy_process_group()


def resume(ck, model, optimizer, device, rank: int, ranks: int, say) -> int:
    """Loads the newest complete checkpoint, if there is one. Returns the step to go on with."""
    complete = [info for info in ck.list() if info.state == "complete"]
    if not complete:
        return 0
    newest = complete[0]
    # Each process has saved its own state. The model is the same in all, so any number of them can go on from rank 0's.
    state = ck.load(newest.name, device=device, rank=0 if newest.ranks > 1 else None)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    say(f"going on from {newest.name}")
    return state["step"]


def join_other_processes() -> tuple[int, int]:
    """(rank, number of ranks); started by torchrun, they find each other by its environment."""
    if "RANK" not in os.environ:
        return 0, 1
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    if torch.cuda.is_available():
        torch.cuda.set_device(dist.get_rank() % torch.cuda.device_count())
    return dist.get_rank(), dist.get_world_size()


def average_gradients(model: torch.nn.Module, ranks: int) -> None:
    """Data parallelism in four lines. Real programs use DistributedDataParallel or FSDP."""
    if ranks > 1:
        for parameter in model.parameters():
            dist.all_reduce(parameter.grad)
            parameter.grad /= ranks


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", help="where checkpoints go: best in a podfs mount")
    parser.add_argument("--steps", type=int, default=100, help="train up to this step (default %(default)s)")
    parser.add_argument("--every", type=int, default=20, help="save every so many steps (default %(default)s)")
    parser.add_argument("--keep", type=int, default=3, help="checkpoints that stay (default %(default)s)")
    parser.add_argument("--width", type=int, default=64, help="size of the model (default %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
