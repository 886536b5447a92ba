# SPDX-License-Identifier: MIT
"""peer_quantize.py SOURCE TARGET TYPE THREADS: one llama_model_quantize run, timed from inside; prints JSON.

`seconds` and `cpu_seconds` are of the call alone (no start of Python, no loading of libraries); `sync_seconds` is what
an fsync of the target took afterwards, which llama.cpp itself leaves out.
"""
import json
import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/peers"))
import llama  # noqa: E402  (the bindings of the peer tests)

# general.file_type of each type
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11,
              "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18,
              "BF16": 32}


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main():
    source, target, name, threads = sys.argv[1:]
    llama.lib()
    llama.THREADS = int(threads)
    cpu, start = cpu_seconds(), time.monotonic()
    llama.quantize(source, target, FILE_TYPES[name])
    seconds, cpu, start = time.monotonic() - start, cpu_seconds() - cpu, time.monotonic()
    with open(target, "rb") as file:
        os.fsync(file.fileno())
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "sync_seconds": time.monotonic() - start}))


if __name__ == "__main__":
    main()
