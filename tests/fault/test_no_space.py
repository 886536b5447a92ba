# SPDX-License-Identifier: MIT
"""The disk fills while a job writes (by the shim): a message that says so, exit code 1, and a rerun that resumes."""
import shutil

import faults


def main(tmp):
    for job in (faults.SAMPLE, *faults.jobs_of_sample(tmp / "inputs")):
        fill_disk(tmp / job.name, job)
    return 0


def fill_disk(tmp, job):
    tmp.mkdir()
    reference, out = tmp / "reference", tmp / "out"
    total = faults.count_calls(tmp, job.args(reference))["pwrite"]
    wanted = faults.digests(reference)
    for n in faults.spread(total, max(1, job.n_points // 2)):
        shutil.rmtree(out, ignore_errors=True)
        args = job.args(out)
        code, err = faults.run_quietly(*args, fault=f"pwrite:{n}+:ENOSPC")
        if code != 1:
            raise faults.Broken(f"{job.name}: write {n} and all after it found no space: exit code {code}, expected 1")
        if "space" not in err.lower():
            raise faults.Broken(f"{job.name}: the message does not speak of space: {err.strip()[-300:]}")
        faults.check_whole(out, wanted)
        faults.check_resumes(out, args, wanted)
    print(f"{job.name}: {total} writes in an undisturbed run")


faults.run(main)
