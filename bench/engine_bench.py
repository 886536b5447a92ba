#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""quern's engine beside libllama on the same files: tokens a second for a prompt and for single tokens.

Makes a random Llama of a billion weights and quantises it to each type. Then, type after type, the two engines take
turns on short pieces of work, so that what else the machine does meets both; figures are medians, and ratios are
medians of the turns' ratios: above 1 quern is faster. CPU is the same ratio in CPU seconds, which other programs
disturb less. Both engines have their defaults (keys and values in F16), and libllama chooses its own CPU variant.
"""
import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests/peers")]
import llama  # noqa: E402
import make_model  # noqa: E402
from harness import ROOT, Skip, quern_bin  # noqa: E402
from measure import run_measured  # noqa: E402

PAUSE_S = 0.05  # the other engine's threads have gone to sleep by then
PEER_BATCH = 512


@dataclass(frozen=True)
class Speed:
    """One piece of work."""

    seconds: float
    cpu_seconds: float


def cpu_clock(pid):
    """The id of a process's CPU clock."""
    clock = ctypes.c_int()
    code = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if code != 0:
        raise OSError(code, os.strerror(code))
    return clock.value


def tokens_of(n, n_vocab):
    return [i * 7919 % n_vocab for i in range(n)]


class Ours:
    """build/tests/peers/engine_logits, which waits for commands."""

    def __init__(self, path, n_ctx, threads):
        tool = Path(os.environ.get("QUERN_BUILD") or ROOT / "build") / "tests/peers/engine_logits"
        self.process = subprocess.Popen([str(tool), str(path), str(n_ctx), "512", str(threads), "F16"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)
        self.clock = cpu_clock(self.process.pid)

    def measure(self, n_prompt, n_steps):
        """A prompt, or single tokens behind one."""
        start, cpu = time.perf_counter(), time.clock_gettime(self.clock)
        self.process.stdin.write(f"time {n_prompt} {n_steps}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line.startswith("prompt"):
            raise RuntimeError(f"engine_logits: {line or 'ended'}")
        return Speed(time.perf_counter() - start, time.clock_gettime(self.clock) - cpu)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Theirs:
    """libllama in this process."""

    def __init__(self, path, n_ctx, threads):
        self.model = llama.Model(path)
        params = llama.lib().llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = n_ctx, PEER_BATCH, PEER_BATCH
        params.n_threads = params.n_threads_batch = threads
        self.context = llama.Context.__new__(llama.Context)
        self.context.model = self.model
        self.context.handle = llama.lib().llama_init_from_model(self.model.handle, params)
        if not self.context.handle:
            raise RuntimeError(f"llama.cpp makes no context: {llama.LOG.tail()}")

    def measure(self, n_prompt, n_steps):
        tokens = tokens_of(n_prompt, self.model.n_vocab)
        start, cpu = time.perf_counter(), time.process_time()
        self.context.clear()
        logits = self.context.decode(tokens, 0, every=False)[0]
        for i in range(n_steps):
            logits = self.context.decode([int(logits.argmax())], n_prompt + i, every=False)[0]
        return Speed(time.perf_counter() - start, time.process_time() - cpu)

    def close(self):
        self.context.close()
        self.model.close()


def prepare(folder, shape, types):
    """{type: file}; files that an earlier run left in the folder are taken."""
    source = folder / "llama-F16.gguf"
    stamp = folder / "engine_bench.json"
    described = json.dumps(asdict(shape))
    folder.mkdir(parents=True, exist_ok=True)
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != described:
        make_model.make_model(folder / "base", shape)
        run_measured([quern_bin(), "pack", folder / "base", "-t", "F16", "--name", "llama", "--force", "--no-sync",
                      "--no-verify", "-o", folder])
        stamp.write_text(described, encoding="utf-8")
    missing = [name for name in types if not (folder / f"llama-{name}.gguf").exists()]
    if missing:
        run_measured([quern_bin(), "quantize", source, "-t", ",".join(missing), "--name", "llama", "--no-sync",
                      "--no-verify", "-o", folder])
    return {name: folder / f"llama-{name}.gguf" for name in types}


def ratio_of(ours, theirs, attribute):
    return statistics.median(getattr(b, attribute) / getattr(a, attribute) for a, b in zip(ours, theirs, strict=True))


def bench_file(path, given):
    """Both engines in turns on one file; {work: figures}."""
    works = {"prompt": (given.prompt, 0), "generation": (1, given.steps)}
    n_ctx = max(given.prompt, given.steps + 1) + 64
    sides = Ours(path, n_ctx, given.threads), Theirs(path, n_ctx, given.threads)
    found = {name: ([], []) for name in works}
    try:
        for side in sides:
            side.measure(8, 2)  # pages in
        for turn in range(given.turns):
            for name, (n_prompt, n_steps) in works.items():
                for i in (0, 1) if turn % 2 == 0 else (1, 0):
                    time.sleep(PAUSE_S)
                    found[name][i].append(sides[i].measure(n_prompt, n_steps))
    finally:
        for side in sides:
            side.close()
    result = {"bytes": path.stat().st_size}
    for name, (ours, theirs) in found.items():
        n = max(works[name])
        result[name] = {"ours": n / statistics.median(s.seconds for s in ours),
                        "theirs": n / statistics.median(s.seconds for s in theirs),
                        "ratio": ratio_of(ours, theirs, "seconds"),
                        "cpu_ratio": ratio_of(ours, theirs, "cpu_seconds")}
    return result


def print_row(name, row):
    for work in ("prompt", "generation"):
        r = row[work]
        read = f"{row['bytes'] * r['ours'] / 1e9:8.1f}" if work == "generation" else ""
        print(f"{name:10}{work:12}{r['ours']:9.1f}{r['theirs']:10.1f}{r['ratio']:8.2f}{r['cpu_ratio']:8.2f}{read}",
              flush=True)


def options():
    parser = argparse.ArgumentParser(prog="bench/engine", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    make_model.shape_options(parser)
    parser.set_defaults(vocab=32_000, dtype="F16")
    parser.add_argument("-t", "--types", default="Q4_K_M,Q8_0,Q4_0,IQ4_XS,F16", metavar="LIST")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of each (default 2)")
    parser.add_argument("--prompt", type=int, default=256, metavar="N", help="tokens of the prompt (default 256)")
    parser.add_argument("--steps", type=int, default=32, metavar="N", help="single tokens (default 32)")
    parser.add_argument("--turns", type=int, default=5, metavar="N", help="of each side (default 5)")
    parser.add_argument("--dir", type=Path, metavar="DIR",
                        help="keep the model here and use it again (default: a temporary folder, removed)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def main():
    given = options()
    llama.lib()
    with tempfile.TemporaryDirectory(prefix="quern-bench-") as temporary:
        files = prepare((given.dir or Path(temporary)).resolve(), make_model.shape_of(given), given.types.split(","))
        if not given.json:
            print(f"{given.prompt} tokens of prompt, {given.steps} single tokens, {given.threads} threads, "
                  f"{given.turns} turns\n\n{'TYPE':10}{'WORK':12}{'quern t/s':>9}{'peer t/s':>10}{'RATIO':>8}{'CPU':>8}"
                  f"  GB/s read")
        rows = {}
        for name, path in files.items():
            rows[name] = bench_file(path, given)
            if not given.json:
                print_row(name, rows[name])
    if given.json:
        print(json.dumps({"threads": given.threads, "prompt": given.prompt, "steps": given.steps, "types": rows},
                         indent=2))


if __name__ == "__main__":
    try:
        main()
    except (Skip, RuntimeError, FileNotFoundError) as error:
        sys.exit(f"bench/engine: {error}")
