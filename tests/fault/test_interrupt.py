# SPDX-License-Identifier: MIT
"""Ctrl-C: exit code 130, nothing half done under a final name, and a rerun that ends in the same bytes."""
import signal
import subprocess
import time

import faults
import kills
import make_model


def main(tmp):
    model, reference, out = tmp / "model", tmp / "reference", tmp / "out"
    make_model.make_model(model, 10)
    began = time.monotonic()
    code, err = faults.run_quietly(*kills.pack_args(model, reference, "--check"))
    duration = time.monotonic() - began
    if code != 0:
        raise faults.Broken(f"an undisturbed run failed with exit code {code}: {err.strip()[-500:]}")
    wanted = faults.digests(reference)
    n_interrupted = 0
    for part in (0.15, 0.3, 0.5, 0.7):  # the later ones while files are checked
        args = kills.pack_args(model, out, "--check")
        process = subprocess.Popen(faults.command(*args), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   env=faults.environment())
        time.sleep(part * duration)
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise faults.Broken("still running a minute after Ctrl-C") from error
        if process.returncode == 130:
            n_interrupted += 1
        elif process.returncode != 0:
            raise faults.Broken(f"exit code {process.returncode} after Ctrl-C, expected 130: {err.decode()[-500:]}")
        faults.check_whole(out, wanted)
        if process.returncode == 130:
            faults.check_resumes(out, args, wanted)
        for path in out.iterdir():
            path.unlink()
    if n_interrupted == 0:
        raise faults.Broken("no run was interrupted before it ended")
    print(f"{n_interrupted} runs interrupted and resumed")
    return 0


faults.run(main)
