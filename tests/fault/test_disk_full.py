# SPDX-License-Identifier: MIT
"""A small tmpfs: a job that cannot fit is refused before a byte is written, saying how much is missing."""
import subprocess

import faults


def main(tmp):
    small = tmp / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], capture_output=True,
                             check=False)
    if mounted.returncode != 0:
        raise faults.Skip(f"mount is not permitted here: {mounted.stderr.decode().strip()}")
    try:
        out = small / "out"
        code, err = faults.run_quietly(*faults.SAMPLE.args(out))
        print(err.strip())
        if code != 1:
            raise faults.Broken(f"exit code {code}, expected 1")
        if not any(word in err.lower() for word in ("space", "disk", "free")):
            raise faults.Broken("the message does not speak of disk space")
        written = [p for p in small.rglob("*") if p.is_file()]
        if written:
            raise faults.Broken(f"bytes were written before the refusal: {written}")
    finally:
        subprocess.run(["umount", str(small)], check=False)
    return 0


faults.run(main)
