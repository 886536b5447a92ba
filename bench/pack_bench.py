#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""quern pack, all types in one pass, beside the sum of llama_model_quantize runs for the same types on the same cores.

Both read from a warm page cache and write to the same disk; each run starts with nothing left to write back. quern
starts from the Hugging Face folder, llama.cpp from the BF16 GGUF of the same model, whose making is not counted.
Ratios are quern's time over llama.cpp's: below 1 quern is faster.
"""
import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests/peers")]
import make_model  # noqa: E402
from harness import Skip, quern_bin  # noqa: E402
from llama_libs import find_libs  # noqa: E402
from measure import Measured, run_measured  # noqa: E402

BARE = ("--no-sync", "--no-verify")


@dataclass(frozen=True)
class Job:
    """A model in a work folder, and what is made of it."""

    folder: Path
    shape: make_model.Shape
    types: tuple
    threads: int
    rank: int  # of the adapter; 0: none

    @property
    def base(self):
        return self.folder / "base"

    @property
    def adapter(self):
        return self.folder / "adapter"

    @property
    def source(self):
        """The model as llama.cpp reads it."""
        return self.folder / "peer/base.gguf"

    @property
    def out(self):
        return self.folder / "out"

    def room_bytes(self):
        """Disk that the job needs: the model, the peer's copy, and outputs of at most two bytes a weight."""
        return 2 * self.shape.size_bytes() + 2 * len(self.types) * self.shape.n_weights()


def say(text):
    print(text, file=sys.stderr, flush=True)


def prepare(job):
    """Makes the model, the adapter and the peer's input, or takes those that an earlier run left in the folder."""
    job.folder.mkdir(parents=True, exist_ok=True)
    stamp = job.folder / "bench.json"
    described = json.dumps({"shape": asdict(job.shape), "rank": job.rank})
    if stamp.exists() and stamp.read_text(encoding="utf-8") == described and job.source.exists():
        return
    free = shutil.disk_usage(job.folder).free
    if free < job.room_bytes():
        raise Skip(f"{job.folder}: {free / 1e9:.1f} GB free, {job.room_bytes() / 1e9:.1f} GB needed")
    start = time.monotonic()
    make_model.make_model(job.base, job.shape)
    if job.rank:
        make_model.make_adapter(job.adapter, job.shape, job.rank)
    say(f"made {job.base}: {job.shape.n_weights() / 1e6:,.1f} million weights, {time.monotonic() - start:.1f} s")
    run_measured([quern_bin(), "pack", job.base, "--preset", "merge", "--outtype", "bf16", "--name", "base", "--force",
                  "--no-check", "--no-sync", "--threads", job.threads, "-o", job.source.parent])
    stamp.write_text(described, encoding="utf-8")


def settle(path):
    """Reads a file into the page cache, and leaves nothing for the disk to write back meanwhile."""
    os.sync()
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(1 << 20)
        while file.readinto(buffer):
            pass


def run_quern(job, flags=(), with_adapter=False):
    """Packs every type into job.out, which the caller removes. TMPDIR and HF_HOME are folders of the job's own."""
    shutil.rmtree(job.out, ignore_errors=True)
    settle(job.base / "model.safetensors")
    scratch = job.folder / "tmp"
    scratch.mkdir(exist_ok=True)
    adapter = ["--adapter", job.adapter] if with_adapter else []
    env = dict(os.environ, TMPDIR=str(scratch), HF_HOME=str(scratch))
    return run_measured([quern_bin(), "pack", job.base, *adapter, "-t", ",".join(job.types), "--threads", job.threads,
                         "--quiet", "--no-check", *flags, "-o", job.out], env)


def run_peer(job, name):
    """One type by llama_model_quantize; (Measured with the call's own times, seconds of an fsync)."""
    target = job.folder / f"peer/{name}.gguf"
    settle(job.source)
    whole = run_measured([sys.executable, HERE / "peer_quantize.py", job.source, target, name, job.threads])
    target.unlink()
    call = json.loads(whole.stdout.splitlines()[-1])
    return replace(whole, seconds=call["seconds"], cpu_seconds=call["cpu_seconds"]), call["sync_seconds"]


def run_peers(job):
    """Every type by llama_model_quantize, one after the other; (their sum, its peak the largest; seconds of fsync)."""
    runs, syncs = zip(*(run_peer(job, name) for name in job.types))
    return Measured(sum(run.seconds for run in runs), sum(run.cpu_seconds for run in runs),
                    max(run.peak_bytes for run in runs), sum(run.written_bytes for run in runs),
                    statistics.mean(run.others for run in runs)), sum(syncs)


def bench(job, n_repeats):
    """{name: [Measured]} of every kind of run, taken in turns because machines have moods; seconds of fsync."""
    kinds = {"quern": (), "quern --no-sync --no-verify": BARE}
    runs = {name: [] for name in kinds} | {"llama_model_quantize, sum": []}
    syncs = []
    for i in range(n_repeats):
        say(f"round {i + 1} of {n_repeats}")
        for name, flags in kinds.items():
            runs[name].append(run_quern(job, flags))
            say(f"  {name}: {runs[name][-1].seconds:.1f} s")
        total, sync = run_peers(job)
        runs["llama_model_quantize, sum"].append(total)
        syncs.append(sync)
        say(f"  llama_model_quantize, sum: {total.seconds:.1f} s")
        if job.rank:
            name = f"quern --no-sync --no-verify, rank {job.rank} merged"
            runs.setdefault(name, []).append(run_quern(job, BARE, with_adapter=True))
            say(f"  {name}: {runs[name][-1].seconds:.1f} s")
        shutil.rmtree(job.out)
    return runs, syncs


def summary(job, runs, syncs):
    """The result as one document."""
    rows = {name: {"seconds": statistics.median(run.seconds for run in taken),
                   "cpu_seconds": statistics.median(run.cpu_seconds for run in taken),
                   "peak_bytes": max(run.peak_bytes for run in taken),
                   "written_bytes": max(run.written_bytes for run in taken),
                   "others": max(run.others for run in taken),
                   "all_seconds": [round(run.seconds, 3) for run in taken]} for name, taken in runs.items()}
    peer = rows["llama_model_quantize, sum"]
    peer["sync_seconds"] = statistics.median(syncs)
    for name, row in rows.items():
        if row is not peer:
            row["time_ratio"] = row["seconds"] / peer["seconds"]
            row["cpu_ratio"] = row["cpu_seconds"] / peer["cpu_seconds"]
    rows["quern"]["time_ratio_synced"] = rows["quern"]["seconds"] / (peer["seconds"] + peer["sync_seconds"])
    return {"model": asdict(job.shape) | {"n_weights": job.shape.n_weights()}, "types": job.types,
            "threads": job.threads, "runs": rows}


def print_table(result):
    n_weights = result["model"]["n_weights"]
    print(f"{n_weights / 1e6:,.1f} million weights, {result['model']['dtype']}, to {', '.join(result['types'])}; "
          f"{result['threads']} threads\n")
    print(f"{'RUN':44}{'SECONDS':>9}{'CPU S':>9}{'PEAK MB':>9}{'WRITTEN MB':>12}{'OTHERS':>8}"
          f"{'TIME':>7}{'CPU':>7}")
    for name, row in result["runs"].items():
        ratios = row.get("time_ratio", 1), row.get("cpu_ratio", 1)
        print(f"{name:44}{row['seconds']:9.1f}{row['cpu_seconds']:9.1f}{row['peak_bytes'] / 1e6:9.0f}"
              f"{row['written_bytes'] / 1e6:12.1f}{row['others']:8.0%}{ratios[0]:7.2f}{ratios[1]:7.2f}")
    peer = result["runs"]["llama_model_quantize, sum"]
    print(f"\nOTHERS is the share of the cores that other processes had: with much of it, CPU seconds say more than "
          f"seconds.\nTIME and CPU are ratios to llama_model_quantize. It does not sync; an fsync of its files takes "
          f"{peer['sync_seconds']:.1f} s more, with\nwhich the ratio of quern, synced and verified, is "
          f"{result['runs']['quern']['time_ratio_synced']:.2f}.")


def options():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    make_model.shape_options(parser)
    parser.add_argument("-t", "--types", default="Q4_K_M,Q5_K_M,Q8_0", metavar="LIST")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of both, on as many cores (default 2)")
    parser.add_argument("--rank", type=int, default=16, metavar="N",
                        help="of an rsLoRA adapter merged in one more run (default 16; 0: no such run)")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="rounds; times are medians (default 1)")
    parser.add_argument("--dir", type=Path, metavar="DIR",
                        help="keep the model here and use it again (default: a temporary folder, removed)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def main():
    given = options()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:given.threads])
    if find_libs() is None:
        raise Skip("llama.cpp's libraries are not installed: run scripts/bootstrap --tests, or set QUERN_LLAMA_LIBS")
    with tempfile.TemporaryDirectory(prefix="quern-bench-") as temporary:
        job = Job((given.dir or Path(temporary)).resolve(), make_model.shape_of(given), tuple(given.types.split(",")),
                  given.threads, given.rank)
        prepare(job)
        result = summary(job, *bench(job, given.repeat))
    if given.json:
        print(json.dumps(result, indent=2))
    else:
        print_table(result)


if __name__ == "__main__":
    try:
        main()
    except (Skip, RuntimeError, FileNotFoundError) as error:
        sys.exit(f"bench/run: {error}")
