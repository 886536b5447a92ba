# SPDX-License-Identifier: MIT
"""Allocations fail in turn: a message and exit code 1 (or no harm), no crash, no half file."""
import call_faults
import faults

faults.run(lambda tmp: call_faults.try_jobs(tmp, [("malloc", "")], 40) or
           call_faults.try_calls(tmp / "lasting", faults.SAMPLE, [("malloc", "+")], 8))
