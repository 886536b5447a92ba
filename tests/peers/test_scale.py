# SPDX-License-Identifier: MIT
# LABEL: full
# SERIAL: yes
"""A random Llama of 1.2 billion weights: three types in one pass in less than 300 MB of memory, nothing written but the
three files, which llama.cpp runs; no slower than llama_model_quantize, once for each type, on the same two cores.

The time is checked without sync (llama.cpp does not sync) both with and without reading back. With an rsLoRA adapter of
rank 16 merged on the way, the memory bound is the same.
"""
import os
import shutil
import sys
from pathlib import Path

import numpy as np

import llama
from harness import ROOT, Skip, run

sys.path.insert(0, str(ROOT / "bench"))
import make_model  # noqa: E402  (from bench/, as the line above says)
import pack_bench  # noqa: E402

TYPES = ("Q4_K_M", "Q5_K_M", "Q8_0")
PEAK_BYTES = 300e6
FREE_BYTES = 15e9
N_TOKENS = 4
# name, flags, whether the adapter is merged; what the last one wrote is loaded
RUNS = (("no sync, no verify", pack_bench.BARE, False), ("no sync", ("--no-sync",), False),
        ("rank 16 merged", pack_bench.BARE, True), ("synced and verified", (), False))
MADE = "quern-scale"  # below QUERN_SCALE_DIR or the system's temporary folder


def check_files(report, name, job):
    """Only the outputs are in the folder, and nothing is in TMPDIR."""
    expected = sorted(f"base-{kind}.gguf" for kind in TYPES)
    found = sorted(path.name for path in job.out.iterdir())
    report.case(f"{name}: the three files and nothing else", found == expected, "" if found == expected else str(found))
    left = sorted(path.name for path in (job.folder / "tmp").iterdir())
    report.case(f"{name}: nothing in TMPDIR", not left, ", ".join(left))


def check_run(report, name, job, taken):
    """Memory and bytes written of one run."""
    check_files(report, name, job)
    report.case(f"{name}: peak memory", 0 < taken.peak_bytes < PEAK_BYTES,
                f"{taken.peak_bytes / 1e6:.0f} MB, less than {PEAK_BYTES / 1e6:.0f} MB")
    size = sum(path.stat().st_size for path in job.out.iterdir())
    # The journal for a resume is written and removed; a page that two units share may be counted twice.
    most = size * 1.005 + 2e6
    report.case(f"{name}: bytes written", size <= taken.written_bytes <= most,
                f"{taken.written_bytes / 1e6:,.1f} MB for {size / 1e6:,.1f} MB of files")


def check_loads(report, path, shape):
    """llama.cpp runs a few tokens; the logits of one that was quantised well are neither constant nor NaN."""
    with llama.Model(path) as model:
        same = model.n_vocab == shape.vocab
        logits = model.logits(list(range(1000, 1000 + N_TOKENS)), 32)
    holds = same and bool(np.isfinite(logits).all()) and float(logits.std(axis=1).min()) > 1e-3
    report.case(f"llama.cpp runs {path.name}", holds,
                f"{model.n_vocab:,} tokens, logits' standard deviation {logits.std():.3f}")


def check_time(report, name, taken, peer):
    report.case(f"{name}: no slower than llama_model_quantize", taken.seconds <= peer.seconds,
                f"{taken.seconds:.1f} s and {peer.seconds:.1f} s, ratio {taken.seconds / peer.seconds:.2f}; CPU time "
                f"ratio {taken.cpu_seconds / peer.cpu_seconds:.2f}; other processes had {taken.others:.0%} and "
                f"{peer.others:.0%} of the cores")


def check_scale(report, folder):
    job = pack_bench.Job(folder, make_model.PRESETS["1b"], TYPES, threads=2, rank=16)
    pack_bench.prepare(job)
    taken = {}
    for name, flags, with_adapter in RUNS:
        taken[name] = pack_bench.run_quern(job, flags, with_adapter)
        check_run(report, name, job, taken[name])
    for path in sorted(job.out.glob("*.gguf")):
        report.attempt(f"llama.cpp runs {path.name}", check_loads, report, path, job.shape)
    shutil.rmtree(job.out)
    peer, _ = pack_bench.run_peers(job)
    for name in ("no sync, no verify", "no sync"):
        check_time(report, name, taken[name], peer)


def main(report, tmp):
    llama.lib()
    place = Path(os.environ.get("QUERN_SCALE_DIR") or tmp)
    free = shutil.disk_usage(place).free
    if free < FREE_BYTES:
        raise Skip(f"{place}: {free / 1e9:.1f} GB free, {FREE_BYTES / 1e9:.0f} GB needed")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    check_scale(report, place / MADE)


if __name__ == "__main__":
    run(main)
