# SPDX-License-Identifier: MIT
"""What the fault tests share: commands under a fault, and the two promises that every fault must leave whole.

The promises: the program never dies of a signal and says why it failed; a file under a final name is whole, which here
means equal, byte for byte, to that of an undisturbed run.
"""
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "samples" / "miller-base"
RUN = ROOT / "samples" / "miller-sft"
TEXT = ROOT / "tests" / "data" / "text" / "mill.txt"
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


@dataclass(frozen=True)
class Job:
    """A command that writes files; one thread, so that the n-th call is the same call every time."""

    name: str
    words: tuple  # command and arguments, without the folder
    n_outputs: int
    n_points: int  # of 12: how often it is tried where the sample's own job is tried 12 times
    file: str | None = None  # what -o names, in the folder; None: the folder itself

    def args(self, out):
        words = [*self.words, "--threads", "1"]
        if self.file is None:
            return [*words, "-o", out]
        Path(out).mkdir(exist_ok=True)
        return [*words, "-o", Path(out) / self.file]


SAMPLE = Job("pack", ("pack", BASE, "--run", RUN, "-t", "Q4_K_M,Q8_0,F16", "--name", "sample", "--no-check"),
             3, 12)


def write_imatrix(path, model):
    """An importance matrix of a model's layers, in the older format: names, calls, sums of squares."""
    code, out, err = quern("pack", model, "-t", "F16", "--dry-run", "--json", "-o", path.parent)
    if code != 0:
        raise Broken(f"no plan of the sample: {err.strip()}")
    tensors = [t for t in json.loads(out)["outputs"][0]["tensors"] if t["name"].startswith("blk.") and
               len(t["shape"]) == 2]
    data = struct.pack("<i", len(tensors))
    for t in tensors:
        name, n = t["name"].encode(), t["shape"][1]
        data += struct.pack("<i", len(name)) + name + struct.pack("<ii", 4, n)
        data += struct.pack(f"<{n}f", *(1.0 + i % 7 for i in range(n)))
    data += struct.pack("<ii", 4, 4) + b"text"
    path.write_bytes(data)


def jobs_of_sample(tmp):
    """The sample's jobs by the other commands; makes their inputs below tmp."""
    tmp.mkdir(exist_ok=True)
    imatrix, source, shards = tmp / "imatrix.dat", tmp / "sample-F16.gguf", tmp / "shards"
    write_imatrix(imatrix, BASE)
    for args in (("pack", BASE, "-t", "F16", "--name", "sample", "-o", tmp),
                 ("split", source, "--max-size", "2M", "-o", shards)):
        code, _, err = quern(*args)
        if code != 0:
            raise Broken(f"quern {args[0]}: exit code {code}: {err.strip()}")
    first = sorted(shards.iterdir())[0]
    return [
        Job("check", ("pack", BASE, "-t", "Q8_0", "--check", "--name", "sample"), 1, 4),
        Job("quantize", ("quantize", source, "-t", "Q4_K_M,IQ4_NL", "--imatrix", imatrix, "--no-check"), 2, 4),
        Job("quantize to a size", ("quantize", source, "--target-bpw", "5", "--imatrix", imatrix, "--no-check"), 1, 1),
        Job("export", ("export", source, "--outtype", "f16", "--max-shard-size", "3M"), 11, 4),
        Job("merge", ("merge", BASE, "--run", RUN, "--outtype", "bf16", "--max-shard-size", "3M"), 9, 3),
        Job("join", ("join", first), 1, 3),
        Job("imatrix", ("imatrix", source, "--text", TEXT, "--ctx", "32", "--batch", "32", "--chunks", "3", "--in-file",
                        imatrix, "--save-every", "1", "--force"), 1, 3, "m.gguf"),
    ]


def command(*args):
    return [str(quern_bin()), *map(str, args)]


def environment(fault=None, count_file=None):
    env = dict(os.environ, LC_ALL="C.UTF-8", HF_HOME="/nonexistent")
    if fault or count_file:
        env["LD_PRELOAD"] = str(shim())
    if fault:
        env["QN_FAULT"] = fault
    if count_file:
        env["QN_FAULT_COUNT"] = str(count_file)
    return env


def quern(*args, fault=None, count_file=None, timeout=120):
    """Runs a command; (exit code, stdout, stderr). A hang raises Broken."""
    try:
        done = subprocess.run(command(*args), capture_output=True, timeout=timeout, check=False,
                              env=environment(fault, count_file))
    except subprocess.TimeoutExpired as error:
        raise Broken(f"still running after {timeout} s") from error
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def run_quietly(*args, fault=None):
    """As quern(), without stdout."""
    code, _, err = quern(*args, fault=fault)
    return code, err


def count_calls(tmp, args):
    """How often an undisturbed run makes each kind of call."""
    path = tmp / "counts"
    code, _, err = quern(*args, count_file=path)
    if code != 0:
        raise Broken(f"an undisturbed run failed with exit code {code}: {err.strip()}")
    return {name: int(n) for name, n in (line.split() for line in path.read_text().splitlines())}


def is_unfinished(path):
    """Whether a file is one that a job goes on from."""
    return path.suffix in (".part", ".partial") or path.name.endswith(".quern-journal")


def digests(out):
    """The finished files of a folder: name to SHA-256."""
    found = {}
    for path in sorted(p for p in Path(out).glob("*") if not is_unfinished(p)):
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


def try_fault(tmp, job, fault, wanted, runs_again):
    """One run under a fault in a fresh folder: both promises; then True when it failed, False when it was harmless."""
    out = tmp / "out"
    shutil.rmtree(out, ignore_errors=True)
    code, err = run_quietly(*job.args(out), fault=fault)
    check_exit(code, err)
    check_whole(out, wanted)
    if code == 0 and digests(out) != wanted:
        raise Broken("exit code 0, but the outputs are not all there")
    check_useful(out)
    if code != 0 and runs_again:
        check_resumes(out, job.args(out), wanted)
    return code != 0


def check_useful(out):
    """What stays unfinished can be gone on from: .part files without a journal are only in the way."""
    names = [p.name for p in out.iterdir()] if out.exists() else []
    parts = [name for name in names if name.endswith(".part")]
    if parts and not any(name.endswith(".quern-journal") for name in names):
        raise Broken(f"{parts[:3]} stay without a journal")


def check_resumes(out, args, wanted):
    """A rerun without faults ends well and in the same bytes, with nothing left beside them."""
    if digests(out) == wanted and not any(is_unfinished(p) for p in Path(out).iterdir()):
        return  # it had ended: nothing is left to do, and a rerun would be asked for --force
    code, err = run_quietly(*args)
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
    if n_points == 1:
        return [(total + 1) // 2]
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
