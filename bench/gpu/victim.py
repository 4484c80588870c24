"""A process that saves a state from the GPU, to be killed while it does: `victim.py DIRECTORY MODE NAME BYTES`."""

from __future__ import annotations

import os
import sys

import bench  # noqa: F401  It puts podfs on the path.
from device import Driver, Gpu
from states import DeviceTensor, model_shapes


def main() -> None:
    directory, mode, name, size = sys.argv[1:]
    import podfs

    gpu = Gpu(Driver())
    state = {
        tensor: DeviceTensor(gpu.allocate(DeviceTensor(0, dtype, shape).bytes), dtype, shape)
        for tensor, (dtype, shape) in model_shapes(int(size)).items()
    }
    with podfs.checkpoint(directory, mode=mode) as checkpoint:
        print("saving", flush=True)
        checkpoint.save(state, name)
        checkpoint.wait()
    # Without the interpreter's slow end: what is timed is the save.
    os._exit(0)


if __name__ == "__main__":
    main()
