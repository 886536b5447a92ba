# SPDX-License-Identifier: MIT
"""What the peer tests share: where things are, running quern, and one line a case.

A test is `run(main)`, where main(report, tmp) makes the cases. Exit code: 0 all hold, 1 one failed,
77 nothing could be tried (the reason is printed).
"""
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"
MILLER_BASE = SAMPLES / "miller-base"
MILLER_RUN = SAMPLES / "miller-sft"
THREADS = 1  # the models are tiny: two threads would only wait for each other


class Skip(Exception):
    """Raised where a test lacks what it needs and no case can be tried."""


def shared(part):
    """A folder beside the checkout (or under QUERN_SHARED); Skip when it is not there."""
    path = Path(os.environ.get("QUERN_SHARED") or ROOT.parent / "shared") / part
    if not path.exists():
        raise Skip(f"no {path} (QUERN_SHARED says where the shared data are)")
    return path


def quern_bin():
    path = Path(os.environ.get("QUERN_BIN") or ROOT / "build/quern")
    if not path.exists():
        raise FileNotFoundError(f"{path}: not built (QUERN_BIN names another program)")
    return path.resolve()


def quern(*args, timeout=300):
    """Runs quern; (exit code, stdout, stderr)."""
    env = dict(os.environ, LC_ALL="C.UTF-8", HF_HOME="/nonexistent")
    done = subprocess.run([str(quern_bin()), *map(str, args)], capture_output=True, timeout=timeout, env=env,
                          check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def one_line(text, room=600):
    """The end of a program's message, on one line."""
    return text.strip().replace("\n", " | ")[-room:]


def pack(out, *args):
    """`quern pack ARGS -o out`; the .gguf files written, by name. Raises with quern's message when it fails."""
    code, _, err = quern("pack", *args, "-o", out)
    if code != 0:
        raise RuntimeError(f"quern pack {' '.join(map(str, args))}: exit {code}: {one_line(err)}")
    left = [p.name for p in Path(out).iterdir() if p.suffix != ".gguf"]
    if left:
        raise RuntimeError(f"quern pack left {left} beside its outputs")
    return {p.name: p for p in sorted(Path(out).glob("*.gguf"))}


def pack_one(out, *args):
    """pack() where exactly one file is expected."""
    files = pack(out, *args)
    if len(files) != 1:
        raise RuntimeError(f"quern pack {' '.join(map(str, args))}: expected one file, got {sorted(files)}")
    return next(iter(files.values()))


class Report:
    """Counts cases and prints one line each."""

    def __init__(self):
        self.n_ok = self.n_failed = self.n_skipped = 0

    def case(self, name, holds, detail=""):
        """One case; returns whether it holds."""
        holds = bool(holds)
        self.n_ok += holds
        self.n_failed += not holds
        print(f"{'ok  ' if holds else 'FAIL'} {name}{': ' if detail else ''}{detail}", flush=True)
        return holds

    def skip(self, name, why):
        self.n_skipped += 1
        print(f"SKIP {name}: {why}", flush=True)

    def attempt(self, name, function, *args):
        """Calls function(*args); an exception is a failed case (a Skip, a skipped one) and gives None."""
        try:
            return function(*args)
        except Skip as why:
            self.skip(name, str(why))
        except Exception as error:  # a crash in one case must not hide the others
            detail = f"{type(error).__name__}: {error}"
            if not isinstance(error, (RuntimeError, FileNotFoundError)):
                detail += " | " + traceback.format_exc(limit=-2).replace("\n", " / ")
            self.case(name, False, detail)
        return None


def run(main):
    """Runs a test program and exits with its code."""
    report, start = Report(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="quern-peer-") as folder:
        try:
            main(report, Path(folder))
        except Skip as why:
            print(f"SKIP: {why}")
            sys.exit(77 if report.n_failed == 0 else 1)
        except (RuntimeError, OSError) as error:  # what every case needs went wrong
            report.case("preparation", False, str(error))
    print(f"{Path(sys.argv[0]).name}: {report.n_ok} ok, {report.n_failed} failed, {report.n_skipped} skipped, "
          f"{time.monotonic() - start:.1f} s")
    if report.n_failed:
        sys.exit(1)
    sys.exit(0 if report.n_ok else 77)
