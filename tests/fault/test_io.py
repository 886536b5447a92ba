# SPDX-License-Identifier: MIT
"""Reads, writes, syncs and renames fail in turn: a message and exit code 1, no crash, no half file."""
import call_faults
import faults

KINDS = [("pread", ""), ("pwrite", ""), ("pwrite", ":ENOSPC"), ("fsync", ""), ("rename", "")]

faults.run(lambda tmp: call_faults.try_jobs(tmp, KINDS, 12))
