# SPDX-License-Identifier: MIT
"""The disk fills while a job writes (by the shim): a message that says so, exit code 1, and a rerun that resumes."""
import shutil

import faults


def main(tmp):
    reference, out = tmp / "reference", tmp / "out"
    total = faults.count_calls(tmp, faults.sample_args(reference))["pwrite"]
    wanted = faults.digests(reference)
    for n in faults.spread(total, 6):
        shutil.rmtree(out, ignore_errors=True)
        args = faults.sample_args(out)
        code, err = faults.pack(*args, fault=f"pwrite:{n}+:ENOSPC")
        if code != 1:
            raise faults.Broken(f"write {n} and all after it found no space: exit code {code}, expected 1")
        if "space" not in err.lower():
            raise faults.Broken(f"the message does not speak of space: {err.strip()[-300:]}")
        faults.check_whole(out, wanted)
        faults.check_resumes(out, args, wanted)
    print(f"{total} writes in an undisturbed run")
    return 0


faults.run(main)
