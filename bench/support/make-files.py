"""Makes what the benchmarks unpack, install and read. Always the same for the same arguments.

    make-files.py archive FILE COUNT SEED        tar of small files (1 to 15 KiB, like images): set-SEED/00/0000.bin
    make-files.py repository DIRECTORY COUNT     git repository of source files, two commits
    make-files.py package DIRECTORY COUNT        files of an npm package or Python package, modules that import nothing
    make-files.py tree DIRECTORY COUNT [BYTES]   files in folders of 1,000
"""

import io
import os
import random
import subprocess
import sys
import tarfile

FILES_PER_FOLDER = 1000


def archive(path, count, seed):
    rng = random.Random(int(seed))
    with tarfile.open(path, "w") as tar:
        for i in range(int(count)):
            info = tarfile.TarInfo(f"set-{seed}/{i % 20:02}/{i:04}.bin")
            info.size = rng.randrange(1024, 15360)
            tar.addfile(info, io.BytesIO(rng.randbytes(info.size)))


def source_text(rng):
    """Text that compresses as source does; 0.5 to 12 KiB."""
    words = ["return", "value", "index", "self", "buffer", "config", "if", "else", "import", "request"]
    lines = (" ".join(rng.choices(words, k=8)) for _ in range(rng.randrange(10, 220)))
    return "".join(f"# {line} {rng.randrange(1 << 30)}\n" for line in lines)


def package(directory, count):
    rng = random.Random(3)
    for i in range(int(count)):
        folder = os.path.join(directory, f"part_{i // 50:03}")
        if i % 50 == 0:
            os.makedirs(folder)
        name = "__init__.py" if i % 50 == 0 else f"module_{i:05}.py"
        with open(os.path.join(folder, name), "w") as file:
            file.write(f"VALUE = {i}\n{source_text(rng)}")


def repository(directory, count):
    git = ["git", "-C", directory, "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    subprocess.run(["git", "init", "-q", directory], check=True)
    package(os.path.join(directory, "src"), count)
    for message in ("first", "second"):
        with open(os.path.join(directory, "README"), "a") as file:
            file.write(f"{message}\n")
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", message], check=True)


def tree(directory, count, size="0"):
    """One system call for each step, as quickly as Python can."""
    data = os.urandom(int(size))
    for i in range(int(count)):
        folder = f"{directory}/{i // FILES_PER_FOLDER:04}"
        if i % FILES_PER_FOLDER == 0:
            os.makedirs(folder)
        fd = os.open(f"{folder}/{i % FILES_PER_FOLDER:03}", os.O_CREAT | os.O_WRONLY)
        if data:
            os.write(fd, i.to_bytes(8, "little") + data[8:])
        os.close(fd)


if __name__ == "__main__":
    kinds = {"archive": archive, "repository": repository, "package": package, "tree": tree}
    kinds[sys.argv[1]](*sys.argv[2:])
