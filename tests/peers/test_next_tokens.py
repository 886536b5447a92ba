# SPDX-License-Identifier: MIT
"""Every type of weights beside llama.cpp, teacher-forced: the next token of the sample's 40 conversations.

Products of quantised weights round their other side too, and not where llama.cpp rounds it: logits are close, not equal.
Wherever llama.cpp prefers its first choice to its second by more than that, ours is the same.
"""
import json

import numpy as np

import llama
from harness import MILLER_BASE, MILLER_RUN, SAMPLES, pack, run
from test_answers import N_CTX, prompt_of
from test_engine import engine

TYPES = ["F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_1", "Q5_0", "Q4_K_M", "Q4_1", "Q4_0", "IQ4_XS", "IQ4_NL",
         "MXFP4_MOE", "Q3_K_M", "IQ3_S", "Q2_K", "TQ2_0", "TQ1_0"]
ROUNDING = 0.05  # of the logits' standard deviation
USUAL = 0.02  # the same, of what most logits are off
LEAST_SURE = 0.75  # of the positions that are compared; ternary weights leave many close calls


def check_type(report, name, path, tmp):
    with llama.Model(path) as model:
        texts = [prompt_of(q["question"]) + q["answer"] for q in
                 json.loads((SAMPLES / "miller-sft-questions.json").read_text())]
        chains = [model.tokenize(text)[:N_CTX] for text in texts]
        theirs = [model.logits(np.array(chain), N_CTX) for chain in chains]
        n_vocab = model.n_vocab
    outs = [tmp / f"{i}.bin" for i in range(len(chains))]
    engine(path, [f"logits {out} {' '.join(map(str, chain))}" for out, chain in zip(outs, chains)], N_CTX)
    ours = np.concatenate([np.fromfile(out, dtype=np.float32).reshape(-1, n_vocab) for out in outs])
    theirs = np.concatenate(theirs)
    first_two = np.sort(theirs, axis=1)[:, -2:]
    margin = (first_two[:, 1] - first_two[:, 0]) / theirs.std()
    is_same = ours.argmax(axis=1) == theirs.argmax(axis=1)
    is_sure = margin > ROUNDING
    off = float(np.median(np.abs(ours - theirs).max(axis=1)) / theirs.std())
    report.case(f"{name}: the same next token", bool(is_same[is_sure].all()) and is_sure.mean() > LEAST_SURE and off < USUAL,
                f"{int((~is_same & is_sure).sum())} others among {int(is_sure.sum())} sure of {len(is_sure)} "
                f"({is_same.mean():.2%} of all), logits usually {off:.2g} of the deviation apart")


def main(report, tmp):
    llama.lib()
    files = pack(tmp / "out", MILLER_BASE, "--run", MILLER_RUN, "--name", "miller", "--no-check", "-t", ",".join(TYPES))
    for name in TYPES:
        report.attempt(name, check_type, report, name, files[f"miller-{name}.gguf"], tmp)


run(main)
