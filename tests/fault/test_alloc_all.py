# SPDX-License-Identifier: MIT
# LABEL: full
"""As test_alloc.py, for every allocation (at most 4,000 of pack's, a third of that of the others')."""
import call_faults
import faults

faults.run(lambda tmp: call_faults.try_jobs(tmp, [("malloc", "")], 4000))
