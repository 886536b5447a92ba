# SPDX-License-Identifier: MIT
"""Killed at 10 random moments."""
import faults
import kills

faults.run(lambda tmp: kills.try_kills(tmp, 10))
