#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Time to the first token of a model that is not in memory, beside a plain read of its file, in turns.

Before each turn the file is dropped from the page cache; where that does not work (another program has it mapped) the
share that stayed is told. Figures are medians over the rounds.

    bench/make_model.py --preset 1b /tmp/llama-1b && build/quern pack /tmp/llama-1b -t Q8_0 -o /tmp --name 1b
    bench/load_time.py /tmp/1b-Q8_0.gguf --rounds 5
"""
import argparse
import json
import os
import subprocess
import time
from pathlib import Path
from statistics import median

READ_BYTES = 1 << 20


def drop(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_through(path):
    """Seconds of reading the file from one end to the other."""
    buffer, start = bytearray(READ_BYTES), time.monotonic()
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while file.readinto(buffer):
            pass
    return time.monotonic() - start


def first_token(program, path, threads):
    """(seconds from start to end of a run of one token, bytes it had read from disk)."""
    start = time.monotonic()
    done = subprocess.run([program, "run", path, "--raw", "-p", "Hi", "-n", "1", "--temp", "0", "--json", "--ctx",
                           "64", "--threads", str(threads)], stdout=subprocess.PIPE, check=True)
    return time.monotonic() - start, json.loads(done.stdout)["load"]["disk_bytes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quern", default=str(Path(__file__).resolve().parents[1] / "build/quern"))
    args = parser.parse_args()
    size = args.file.stat().st_size
    read, cold, warm, disk = [], [], [], []
    for _ in range(args.rounds):
        drop(args.file)
        read.append(read_through(args.file))
        drop(args.file)
        seconds, n_bytes = first_token(args.quern, args.file, args.threads)
        cold.append(seconds)
        disk.append(n_bytes / size)
        warm.append(first_token(args.quern, args.file, args.threads)[0])
    page_in = median(cold) - median(warm)
    print(f"{args.file.name}, {size / 1e9:.2f} GB, {args.threads} threads, {args.rounds} rounds, medians\n"
          f"  plain read of the file         {median(read):6.2f} s  {size / median(read) / 1e9:5.2f} GB/s\n"
          f"  first token, file in memory    {median(warm):6.2f} s\n"
          f"  first token, file not there    {median(cold):6.2f} s  {median(disk):.0%} of the file came from disk\n"
          f"  the difference: page-in        {page_in:6.2f} s  {size / max(page_in, 1e-3) / 1e9:5.2f} GB/s")


if __name__ == "__main__":
    main()
