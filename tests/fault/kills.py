# SPDX-License-Identifier: MIT
"""Kills jobs at random moments: no half file under a final name, and the rerun ends in the same bytes."""
import os
import random
import shutil
import subprocess
import time

import faults
import make_model


def pack_args(model, out, check="--no-check"):
    return ["pack", model, "-t", "Q4_K_M,Q8_0,BF16", "--name", "big", check, "-o", out]


def quantize_args(model, out):
    return ["quantize", model, "-t", "Q5_K_M,IQ4_NL", "--no-check", "-o", out]


def export_args(model, out):
    return ["export", model, "--outtype", "f32", "--max-shard-size", "20M", "-o", out]


def kill_after(args, delay_s):
    """Starts a job and kills it; False when it had ended before."""
    process = subprocess.Popen(faults.command(*args), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               env=faults.environment())
    try:
        _, err = process.communicate(timeout=delay_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    if process.returncode != 0:
        raise faults.Broken(f"failed before it was killed: {err.decode('utf-8', 'replace')[-500:]}")
    return False


def try_kills(tmp, n_kills):
    """Moments are spread over an undisturbed run's time; QN_SEED repeats an old draw."""
    seed = int(os.environ.get("QN_SEED") or time.time_ns() % 1_000_000)
    rng = random.Random(seed)
    model = tmp / "model"
    size = make_model.make_model(model, 10)
    print(f"seed {seed}, {size} bytes of weights", flush=True)
    kill_jobs(tmp, lambda out: pack_args(model, out), rng, n_kills)
    packed = tmp / "big-BF16.gguf"
    (tmp / "reference" / packed.name).rename(packed)
    for args_of in (quantize_args, export_args):
        kill_jobs(tmp, lambda out, args_of=args_of: args_of(packed, out), rng, max(2, n_kills // 5))
    return 0


def kill_jobs(tmp, args_of, rng, n_kills):
    """Kills one job n_kills times; the undisturbed run's files stay in tmp/reference."""
    reference = tmp / "reference"
    shutil.rmtree(reference, ignore_errors=True)
    began = time.monotonic()
    code, err = faults.run_quietly(*args_of(reference))
    duration = time.monotonic() - began
    if code != 0:
        raise faults.Broken(f"an undisturbed run failed with exit code {code}: {err.strip()[-500:]}")
    wanted = faults.digests(reference)
    out = tmp / "out"
    args = args_of(out)
    print(f"{args[0]}: an undisturbed run takes {duration:.2f} s", flush=True)
    n_done = n_early = 0
    while n_done < n_kills:
        shutil.rmtree(out, ignore_errors=True)
        delay_s = rng.uniform(0.0, duration)
        if not kill_after(args, delay_s):
            n_early += 1
            if n_early > 10 * n_kills:
                raise faults.Broken("the program ends before it can be killed")
            continue
        n_done += 1
        finished = sorted(faults.digests(out))
        print(f"kill {n_done} after {delay_s:.3f} s: under final names {finished}", flush=True)
        faults.check_whole(out, wanted)
        faults.check_resumes(out, args, wanted)
