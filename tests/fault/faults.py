# SPDX-License-Identifier: MIT
"""What the fault tests share: packing under a fault, and the two promises that every fault must leave whole.

The promises: the program never dies of a signal and says why it failed; a file under a final name is whole, which here
means equal, byte for byte, to that of an undisturbed run.
"""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "samples" / "miller-base"
RUN = ROOT / "samples" / "miller-sft"
SKIPPED = 77


class Broken(Exception):
    """A promise that did not hold."""


class Skip(Exception):
    """Why this test cannot run here."""


def build_dir():
    return Path(os.environ.get("QUERN_BUILD") or ROOT / "build")


def quern_bin():
    return Path(os.environ.get("QUERN_BIN") or build_dir() / "quern").resolve()


def shim():
    return Path(os.environ.get("QUERN_FAULT_SHIM") or build_dir() / "tests" / "libqnfault.so").resolve()


def sample_args(out):
    """The sample's own job; one thread, so that the n-th call is the same call every time."""
    return [BASE, "--run", RUN, "-t", "Q4_K_M,Q8_0,F16", "--name", "sample", "--threads", "1", "-o", out]


def command(*args):
    return [str(quern_bin()), "pack", *map(str, args)]


def environment(fault=None, count_file=None):
    env = dict(os.environ, LC_ALL="C.UTF-8", HF_HOME="/nonexistent")
    if fault or count_file:
        env["LD_PRELOAD"] = str(shim())
    if fault:
        env["QN_FAULT"] = fault
    if count_file:
        env["QN_FAULT_COUNT"] = str(count_file)
    return env


def pack(*args, fault=None, count_file=None, timeout=120):
    """Runs `quern pack`; (exit code, stderr). A hang raises Broken."""
    try:
        done = subprocess.run(command(*args), capture_output=True, timeout=timeout, check=False,
                              env=environment(fault, count_file))
    except subprocess.TimeoutExpired as error:
        raise Broken(f"still running after {timeout} s") from error
    return done.returncode, done.stderr.decode("utf-8", "replace")


def count_calls(tmp, args):
    """How often an undisturbed run makes each kind of call."""
    path = tmp / "counts"
    code, err = pack(*args, count_file=path)
    if code != 0:
        raise Broken(f"an undisturbed run failed with exit code {code}: {err.strip()}")
    return {name: int(n) for name, n in (line.split() for line in path.read_text().splitlines())}


def digests(out):
    """The finished files of a folder: name to SHA-256."""
    found = {}
    for path in sorted(Path(out).glob("*.gguf")):
        with open(path, "rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def check_whole(out, wanted):
    """Every file under a final name equals the undisturbed run's."""
    for name, digest in digests(out).items():
        if wanted.get(name) != digest:
            raise Broken(f"{name} stands under its final name and is not whole")


class NotOurs(Exception):
    """A library of others crashed on an allocation of its own."""


def check_exit(code, err):
    """0 or a clear failure, never a signal."""
    if (code < 0 or code >= 128) and "QN_FAULT: allocation of" in err and "/libjansson.so" in err:
        raise NotOurs("Jansson 2.14 crashes when the buffer of a string it scans cannot grow")
    err = "\n".join(line for line in err.splitlines() if not line.startswith("QN_FAULT:"))
    if code < 0 or code >= 128:
        raise Broken(f"died of signal {-code if code < 0 else code - 128}: {err.strip()[-500:]}")
    if code not in (0, 1):
        raise Broken(f"exit code {code}, expected 1: {err.strip()[-500:]}")
    if code == 1 and not err.strip():
        raise Broken("failed without a message")


def try_fault(tmp, args_of, fault, wanted):
    """One run under a fault in a fresh folder: both promises; then True when it failed, False when it was harmless."""
    out = tmp / "out"
    shutil.rmtree(out, ignore_errors=True)
    code, err = pack(*args_of(out), fault=fault)
    check_exit(code, err)
    check_whole(out, wanted)
    if code == 0 and digests(out) != wanted:
        raise Broken("exit code 0, but the outputs are not all there")
    return code != 0


def check_resumes(out, args, wanted):
    """A rerun without faults ends well and in the same bytes, with nothing left beside them."""
    if digests(out) == wanted and sorted(p.name for p in Path(out).iterdir()) == sorted(wanted):
        return  # it had ended: nothing is left to do, and a rerun would be asked for --force
    code, err = pack(*args)
    if code != 0:
        raise Broken(f"the rerun failed with exit code {code}: {err.strip()[-500:]}")
    if digests(out) != wanted:
        raise Broken(f"the rerun's bytes differ: {sorted(digests(out))}")
    left = sorted(p.name for p in Path(out).iterdir() if p.name not in wanted)
    if left:
        raise Broken(f"the rerun left {left}")


def spread(total, n_points):
    """Up to n_points call numbers between 1 and total: both ends, and evenly between."""
    if total <= n_points:
        return list(range(1, total + 1))
    return sorted({1 + round(i * (total - 1) / (n_points - 1)) for i in range(n_points)})


def run(main):
    """Runs main(tmp) and exits: 0 all promises held, 1 not, 77 skipped."""
    if not quern_bin().exists():
        print(f"{quern_bin()}: not built", file=sys.stderr)
        sys.exit(1)
    with tempfile.TemporaryDirectory(prefix="quern-fault-") as tmp:
        try:
            code = main(Path(tmp))
        except Skip as why:
            print(f"SKIPPED: {why}")
            code = SKIPPED
        except Broken as why:
            traceback.print_exc()
            print(f"FAILED: {why}")
            code = 1
    sys.exit(code or 0)
