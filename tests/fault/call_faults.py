# SPDX-License-Identifier: MIT
"""Fails the n-th call of one kind, for many n, while a job on the sample runs."""
import faults


def try_jobs(tmp, kinds, n_points, always_again=False):
    """As try_calls(), for the jobs of the other commands too; n_points of each kind for `pack`, fewer for others."""
    jobs = [faults.SAMPLE, *faults.jobs_of_sample(tmp / "inputs")]
    codes = [try_calls(tmp / job.name, job, kinds, max(1, n_points * job.n_points // 12), always_again)
             for job in jobs]
    return max(codes)


def try_calls(tmp, job, kinds, n_points, always_again=False):
    """
    kinds: (call, what follows the number in QN_FAULT). n_points: how many numbers of each kind are tried.
    always_again: every failed job is run again without a fault; else every third.
    """
    tmp.mkdir(exist_ok=True)
    reference = tmp / "reference"
    totals = faults.count_calls(tmp, job.args(reference))
    wanted = faults.digests(reference)
    if len(wanted) != job.n_outputs:
        raise faults.Broken(f"{job.name}: an undisturbed run left {sorted(wanted)}")
    n_broken = 0
    for kind, suffix in kinds:
        n_failed = n_harmless = 0
        if totals[kind] == 0:
            raise faults.Broken(f"the program makes no {kind} call: nothing can be tested")
        for i, n in enumerate(faults.spread(totals[kind], n_points)):
            fault = f"{kind}:{n}{suffix}"
            try:
                if faults.try_fault(tmp, job, fault, wanted, always_again or i % 3 == 0):
                    n_failed += 1
                else:
                    n_harmless += 1
            except faults.NotOurs as why:
                print(f"{job.name}: QN_FAULT={fault}: {why}")
            except faults.Broken as why:
                n_broken += 1
                print(f"{job.name}: QN_FAULT={fault}: {why}")
        print(f"{job.name}: {kind}{suffix}: {n_failed} clean failures, {n_harmless} harmless, of {totals[kind]} calls", flush=True)
    return 1 if n_broken else 0
