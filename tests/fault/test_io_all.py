# SPDX-License-Identifier: MIT
# LABEL: full
"""As test_io.py, for every call (at most 1,000 of a kind, a third of that of the other commands')."""
import call_faults
import faults

KINDS = [("pread", ""), ("pwrite", ":ENOSPC"), ("fsync", ""), ("rename", "")]

faults.run(lambda tmp: call_faults.try_jobs(tmp, KINDS, 1000, always_again=True))
