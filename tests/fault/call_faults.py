# SPDX-License-Identifier: MIT
"""Fails the n-th call of one kind, for many n, while the sample is packed."""
import faults


def try_calls(tmp, kinds, n_points):
    """kinds: (call, what follows the number in QN_FAULT). n_points: how many numbers of each kind are tried."""
    tmp.mkdir(exist_ok=True)
    reference = tmp / "reference"
    totals = faults.count_calls(tmp, faults.sample_args(reference))
    wanted = faults.digests(reference)
    if len(wanted) != 3:
        raise faults.Broken(f"an undisturbed run left {sorted(wanted)}")
    n_broken = 0
    for kind, suffix in kinds:
        n_failed = n_harmless = 0
        if totals[kind] == 0:
            raise faults.Broken(f"the program makes no {kind} call: nothing can be tested")
        for n in faults.spread(totals[kind], n_points):
            fault = f"{kind}:{n}{suffix}"
            try:
                if faults.try_fault(tmp, faults.sample_args, fault, wanted):
                    n_failed += 1
                else:
                    n_harmless += 1
            except faults.NotOurs as why:
                print(f"QN_FAULT={fault}: {why}")
            except faults.Broken as why:
                n_broken += 1
                print(f"QN_FAULT={fault}: {why}")
        print(f"{kind}{suffix}: {n_failed} clean failures, {n_harmless} harmless, of {totals[kind]} calls", flush=True)
    return 1 if n_broken else 0
