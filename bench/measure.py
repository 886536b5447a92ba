# SPDX-License-Identifier: MIT
"""Runs a program and says what it took: time, CPU time, peak memory, bytes written, and how busy others kept the same
cores meanwhile (Linux, through /proc)."""
import os
import re
import select
import subprocess
import tempfile
import time
from dataclasses import dataclass

POLL_MS = 5


@dataclass(frozen=True)
class Measured:
    """One run of one program."""

    seconds: float
    cpu_seconds: float  # user and system, all threads
    peak_bytes: int  # VmHWM
    written_bytes: int  # by calls, or as dirtied pages where that is more
    others: float  # share of the cores' time that other processes and the kernel's own threads had
    stdout: str = ""


def _number(path, key):
    """The number behind `key:` in a file of /proc; 0 when the process has left it already."""
    try:
        with open(path, encoding="ascii") as file:
            found = re.search(rf"^{key}:\s*(\d+)", file.read(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def _busy_seconds():
    """Seconds that the cores we may use have worked so far, for anybody."""
    cores, ticks = os.sched_getaffinity(0), os.sysconf("SC_CLK_TCK")
    with open("/proc/stat", encoding="ascii") as file:
        rows = [line.split() for line in file if re.match(r"cpu\d", line)]
    times = [list(map(int, row[1:9])) for row in rows if int(row[0][3:]) in cores]
    return sum(sum(row) - row[3] - row[4] for row in times) / ticks  # all but idle and waiting for the disk


def run_measured(argv, env=None):
    """Runs argv to its end. VmHWM only grows, so its last reading before the end is the peak (to POLL_MS). Raises
    RuntimeError with the end of what was said when the exit code is not 0."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        start, busy = time.monotonic(), _busy_seconds()
        child = subprocess.Popen([str(word) for word in argv], stdout=said, stderr=complained, env=env)
        ended = os.pidfd_open(child.pid)
        proc, peak_kb = f"/proc/{child.pid}/", 0
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        while not poller.poll(POLL_MS):
            peak_kb = max(peak_kb, _number(proc + "status", "VmHWM"))
        seconds, busy = time.monotonic() - start, _busy_seconds() - busy
        os.close(ended)
        written = max(_number(proc + "io", "wchar"), _number(proc + "io", "write_bytes"))  # it is not reaped yet
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        complained.seek(0)
        if child.returncode != 0:
            words = complained.read().decode("utf-8", "replace").strip().replace("\n", " | ")
            raise RuntimeError(f"{' '.join(map(str, argv))}: exit {child.returncode}: {words[-800:]}")
        cpu = usage.ru_utime + usage.ru_stime
        others = max(0.0, busy - cpu) / (seconds * len(os.sched_getaffinity(0)))
        return Measured(seconds, cpu, peak_kb * 1024, written, others, said.read().decode("utf-8", "replace"))
