# SPDX-License-Identifier: MIT
"""`quern perplexity` and `quern kld` beside the figures that llama-perplexity gave for the sample (EXPECTED.md).

Same chunks, same formulas: perplexities within a tenth of their standard error, divergences within a tenth of theirs
and FLIPS. Products of 8-bit weights round their inputs to 8 bits, and which way a value goes hangs on the last bits of
what was before it. So a run is one draw of many: llama.cpp itself gives 0.000367 to 0.000371 for Q8_0, as keys and
values are F16 or F32 and flash attention is on or off, quern 0.000364 with keys and values in F32 and 0.000375 in F16;
both have a mean of 0.000369. Two such draws, of one program or of both, are 0.00019 apart.
"""
import json
import re

from harness import MILLER_BASE, MILLER_RUN, one_line, pack, quern, run, shared

FLIPS = 5e-6
TYPES = ("Q8_0", "Q4_K_M")


def figures(text):
    """{type: (mean KLD, 99% KLD, perplexity)} of EXPECTED.md's table."""
    rows = re.findall(r"^\| (\w+) \|[^|]*\|[^|]*\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", text, re.M)
    return {name: tuple(map(float, numbers)) for name, *numbers in rows}


def measure(command, *args):
    code, out, err = quern(command, *args, "--ctx", "128", "--json", "--quiet")
    if code != 0:
        raise RuntimeError(f"quern {command}: exit {code}: {one_line(err)}")
    return json.loads(out)


def check_near(report, name, estimate, wanted, share, room=0.0):
    apart = abs(estimate["value"] - wanted)
    report.case(name, apart <= share * estimate["error"] + room,
                f"{estimate['value']:.6f}, theirs {wanted}, error {estimate['error']:.6f}")


def check_expected(report, name, folder, text, wanted):
    found = measure("kld", folder / "miller-f32.gguf", folder / f"miller-{name}.gguf", "--text", text)
    kld, p99, ppl = wanted[name]
    check_near(report, f"{name}: mean divergence", found["kld"]["mean"], kld, 0.1, FLIPS)
    check_near(report, f"{name}: perplexity", found["perplexity"]["model"], ppl, 0.1)
    check_near(report, f"{name}: perplexity of F32", found["perplexity"]["base"], wanted["F32"][2], 0.1)
    found_p99 = found["kld"]["percentiles"]["p99"]
    report.case(f"{name}: 99% of positions", abs(found_p99 / p99 - 1) < 0.1, f"{found_p99:.6f}, theirs {p99}")
    report.case(f"{name}: positions", found["n_compared"] == 126 * 63, f"{found['n_compared']}")


def check_packed(report, name, files, folder, text, wanted):
    """Our own file of a type: another file, so within a standard error."""
    found = measure("kld", folder / "miller-f32.gguf", files[f"miller-{name}.gguf"], "--text", text)
    check_near(report, f"{name}, packed by quern", found["kld"]["mean"], wanted[name][0], 1)


def main(report, tmp):
    folder = shared("samples/expected")
    text = shared("data/text-corpora") / "miller-eval.txt"
    wanted = figures((shared("samples") / "EXPECTED.md").read_text())
    for name in TYPES:
        report.attempt(name, check_expected, report, name, folder, text, wanted)
    found = measure("perplexity", folder / "miller-Q8_0.gguf", "--text", text)
    check_near(report, "Q8_0: perplexity alone", found["perplexity"], wanted["Q8_0"][2], 0.1)
    files = pack(tmp / "packed", MILLER_BASE, "--run", MILLER_RUN, "--name", "miller", "-t", "Q4_K_M")
    report.attempt("packed", check_packed, report, "Q4_K_M", files, folder, text, wanted)


if __name__ == "__main__":
    run(main)
