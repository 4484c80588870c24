"""How large a ring has to be: the same save with rings of several sizes, to nowhere and to the disk."""

from __future__ import annotations

from bench import GIB, MIB, Bench, Clock
from disks import DIRECT_WRITE
from states import State, model_shapes
from transfers import TO_HOST, null_engine

STATE_BYTES = 4 * GIB
RINGS_MIB = [64, 128, 256, 512, 1024]


def measure(bench: Bench) -> None:
    import podfs

    size = min(STATE_BYTES, bench.state_bytes)
    with State(bench.gpu, bench.patterns, model_shapes(size), seed=3) as state, bench.scratch() as directory:
        state.fill()
        for mib in RINGS_MIB:
            what, gigabytes = f"ring of {mib} MiB", state.bytes / 1e9
            with null_engine(directory, mib * MIB) as engine:
                for _ in range(2):
                    with Clock() as clock:
                        engine.save_file(directory, "nowhere", state.tensors, {}, True).wait()
            bench.results.row(f"{what}: to nowhere", gigabytes / clock.seconds, "GB/s", TO_HOST)
            with podfs.checkpoint(directory, mode="file", ring_bytes=mib * MIB) as checkpoint:
                # The first one registers the ring.
                checkpoint.save({"step": state.tensors["step"]}, "registering", overwrite=True)
                with Clock() as clock:
                    checkpoint.save(state.tensors, "swept", overwrite=True)
                    checkpoint.wait()
            bench.results.row(f"{what}: to the disk", gigabytes / clock.seconds, "GB/s", DIRECT_WRITE)
