# SPDX-License-Identifier: MIT
# LABEL: full
"""Killed at 200 random moments."""
import faults
import kills

faults.run(lambda tmp: kills.try_kills(tmp, 200))
