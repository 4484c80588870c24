#!/usr/bin/env python3
"""Checks and measures checkpoint staging on a machine with an NVIDIA GPU, in ten minutes: see README.md.

  python3 bench/gpu/run.py [--dir DIRECTORY] [--output DIRECTORY] [--gib 8] [--minutes 9.5] [--only SECTION,…]
                           [--simulated]

Exit code 1: a check has failed. 2: there is no GPU, or the command line is wrong.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict

import mounting
from bench import Bench, Options
from device import CudaError, Driver
from results import Results

#: In this order, with the seconds each may take: what matters most comes first.
SECTIONS = {
    "machine": 30,
    "correctness": 150,
    "copies": 60,
    "disks": 60,
    "transfers": 180,
    "fallbacks": 60,
    "kills": 100,
    "rings": 60,
    "baselines": 120,
    "training": 60,
}
#: The simulated driver runs these: it has no speed, so nothing is measured on it.
SIMULATED = ("correctness", "kills")


def main() -> int:
    arguments = _parse()
    if arguments.section is not None:
        return _measure_one(arguments.section, Options(**json.loads(arguments.options)))
    try:
        Driver()
    except CudaError as error:
        print(f"bench/gpu: {error}; nothing was measured", file=sys.stderr)
        return 2
    return _measure_all(arguments)


def _measure_all(arguments: argparse.Namespace) -> int:
    started = time.time()
    os.makedirs(arguments.output, exist_ok=True)
    lines = f"{arguments.output}/gpu.jsonl"
    if os.path.exists(lines):
        os.unlink(lines)
    with tempfile.TemporaryDirectory(prefix="podfs-gpu-", dir=arguments.dir, ignore_cleanup_errors=True) as scratch:
        options = Options(scratch, lines, arguments.gib, arguments.simulated)
        for section in arguments.only:
            _run_section(section, options, started + 60 * arguments.minutes - time.time())
    results = Results(lines)
    with open(f"{arguments.output}/gpu.json", "w", encoding="utf-8") as file:
        json.dump(results.document(started), file, indent=1, ensure_ascii=False)
        file.write("\n")
    title = "simulated driver: no GPU, no figures\n\n" if arguments.simulated else ""
    print(f"\n{title}{results.table()}\n\n{arguments.output}/gpu.json")
    return 0 if results.are_good else 1


def _run_section(section: str, options: Options, left: float) -> None:
    """In a process of its own: one that crashes or hangs ends itself only, and leaves a clean GPU."""
    print(f"\n# {section}", flush=True)
    results = Results(options.results)
    results.begin(section)
    limit = min(SECTIONS[section], left)
    if limit < 5:
        results.skip(section, "no time was left")
        return
    itself = [sys.executable, os.path.abspath(__file__)]
    command = [*itself, "--section", section, "--options", json.dumps(asdict(options))]
    # A session of its own, so that what it started ends with it.
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait(limit)
        failure = f"ended with {code}; its last words are above" if code != 0 else None
    except subprocess.TimeoutExpired:
        failure = f"not done after {limit:.0f} s"
    finally:
        _end_session(process)
        mounting.unmount_below(options.directory)
    if failure is not None:
        results = Results(options.results)
        results.begin(section)
        results.fail(section, failure)


def _end_session(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        pass
    process.wait()


def _measure_one(section: str, options: Options) -> int:
    importlib.import_module(section).measure(Bench(options, section))
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Checks and measures checkpoint staging on an NVIDIA GPU.")
    parser.add_argument("--dir", default=tempfile.gettempdir(), help="on the disk to measure (default: %(default)s)")
    parser.add_argument("--output", default="gpu-results", help="where gpu.json goes (default: %(default)s)")
    parser.add_argument("--gib", type=float, default=8, help="size of the large states (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=9.5, help="for everything (default: %(default)s)")
    parser.add_argument("--only", help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--simulated", action="store_true", help="the driver is the simulated one: correctness only")
    parser.add_argument("--section", help=argparse.SUPPRESS)
    parser.add_argument("--options", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.output = os.path.abspath(arguments.output)
    arguments.dir = os.path.abspath(arguments.dir)
    offered = SIMULATED if arguments.simulated else tuple(SECTIONS)
    arguments.only = offered if arguments.only is None else tuple(arguments.only.split(","))
    unknown = [name for name in arguments.only if name not in offered]
    if unknown:
        parser.error(f"there is no section {', '.join(unknown)} here; there are {', '.join(offered)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
