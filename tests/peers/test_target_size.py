# SPDX-License-Identifier: MIT
"""A size instead of a type: at the size of each fixed mixture, the chosen types lose less of the model.

What is lost is measured as llama.cpp's logits see it: the mean Kullback-Leibler divergence from the F32 file over the
sample's questions and answers. Files have to keep to their size, and the same call has to choose the same types.
"""
import json
from pathlib import Path

import numpy as np

import llama
from harness import MILLER_BASE, MILLER_RUN, SAMPLES, one_line, pack, quern, run, shared

N_CTX = 192  # what the sample was trained for
TYPES = ["Q4_K_M", "IQ4_XS", "Q3_K_M", "Q2_K"]
TYPES_WITH_IMPORTANCE = ["Q4_K_M", "Q2_K"]
MOST = 0.75  # of the mixture's divergence; measured: 0.3 to 0.5


def log_probabilities(path):
    """[n_tokens, n_vocab]: what the model says after every token of the sample's questions and answers."""
    rows = []
    questions = json.loads((SAMPLES / "miller-sft-questions.json").read_text())
    with llama.Model(path) as model, model.context(N_CTX) as context:
        for entry in questions:
            text = (f"<|im_start|>user\n{entry['question']}<|im_end|>\n<|im_start|>assistant\n{entry['answer']}"
                    "<|im_end|>\n")
            context.clear()
            logits = context.decode(model.tokenize(text)[:N_CTX], 0, every=True).astype(np.float64)
            logits -= logits.max(axis=1, keepdims=True)
            rows.append(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
    return np.concatenate(rows)


def divergence(reference, path):
    found = log_probabilities(path)
    return float((np.exp(reference) * (reference - found)).sum(axis=1).mean())


def quantize(source, out, *args):
    """`quern quantize SOURCE ARGS -o out`; the one file written."""
    code, _, err = quern("quantize", source, *args, "-o", out)
    if code != 0:
        raise RuntimeError(f"quern quantize {' '.join(map(str, args))}: exit {code}: {one_line(err)}")
    files = list(Path(out).glob("*.gguf"))
    if len(files) != 1:
        raise RuntimeError(f"quern quantize {' '.join(map(str, args))}: expected one file, got {files}")
    return files[0]


def check_size(report, name, source, reference, tmp, args):
    """The mixture, and the types chosen for its size."""
    fixed = quantize(source, tmp / f"fixed-{name}", "-t", name.split()[0], *args)
    size = fixed.stat().st_size
    chosen = quantize(source, tmp / f"chosen-{name}", "--target-size", size, *args)
    again = quantize(source, tmp / f"again-{name}", "--target-size", size, *args)
    report.case(f"{name}: keeps to its size", chosen.stat().st_size <= size, f"{chosen.stat().st_size} of {size} bytes")
    report.case(f"{name}: the same call, the same file", chosen.read_bytes() == again.read_bytes())
    lost, lost_fixed = divergence(reference, chosen), divergence(reference, fixed)
    report.case(f"{name}: loses less", lost <= MOST * lost_fixed,
                f"divergence {lost:.6f}, the mixture's {lost_fixed:.6f}")


def main(report, tmp):
    llama.lib()
    source = next(iter(pack(tmp / "f32", MILLER_BASE, "--run", MILLER_RUN, "--name", "miller", "-t", "F32").values()))
    reference = log_probabilities(source)
    for name in TYPES:
        report.attempt(name, check_size, report, name, source, reference, tmp, ())
    imatrix = report.attempt("importance matrix", shared, "samples/expected")
    for name in TYPES_WITH_IMPORTANCE if imatrix else ():
        report.attempt(name, check_size, report, f"{name} with importance", source, reference, tmp,
                       ("--imatrix", imatrix / "imatrix.gguf"))


if __name__ == "__main__":
    run(main)
