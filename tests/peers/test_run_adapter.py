# SPDX-License-Identifier: MIT
"""Adapters at run time: beside llama.cpp with the same GGUF adapter, beside the merged file, and on the sample.

A PEFT folder and the GGUF adapter made of it give the same logits within rounding, whatever their scaling.
"""
import numpy as np

import llama
from families import BY_NAME, FAMILIES, n_experts
from harness import MILLER_BASE, MILLER_RUN, Skip, pack_one, run, shared
from test_adapters import EMBED, LINEAR, LORA_FILES, fresh, one
from test_engine import count_answers, distance, engine_logits

LIMIT = 1e-3  # of the logits' standard deviation
ATTENTION = LINEAR[:4]
MERGED_LIMIT = 1e-4  # the same arithmetic in another order


def theirs_with(path, adapter, scale, prompt, n_ctx):
    with llama.Model(path) as model, model.context(n_ctx) as context:
        context.adapter(adapter, scale)
        return context.decode(prompt, 0, every=True), model.n_vocab


def check_family(report, case, tmp):
    name, family_name, build = case
    family = BY_NAME[family_name]
    base, folder = family.write(tmp / "base"), build().write(tmp / "checkpoint-7")
    model = pack_one(tmp / "model", base, "-t", "F32", "--name", "tiny")
    lora = pack_one(tmp / "lora", base, "--adapter", folder, "--preset", "lora")
    out = tmp / "logits.bin"
    for scale in (1.0, -0.5):
        place = f"{name} ({family.name}), scale {scale}"
        merged = pack_one(tmp / f"merged{scale}", base, "--adapter", f"{folder}:{scale}", "-t", "F32")
        theirs, n_vocab = theirs_with(model, lora, scale, family.prompt, family.n_ctx)
        expected = engine_logits(merged, family.prompt, family.n_ctx, n_vocab, out)
        plain = engine_logits(model, family.prompt, family.n_ctx, n_vocab, out)
        report.case(f"{place}: the adapter matters", distance(plain, expected) > 0.1)
        for kind, adapter in (("folder", folder), ("file", lora)):
            ours = engine_logits(model, family.prompt, family.n_ctx, n_vocab, out, adapters=[(adapter, scale)])
            worst = distance(ours, theirs)
            report.case(f"{place}: {kind}, llama.cpp's logits", worst < LIMIT, f"{worst:.2g} of the deviation")
            worst = distance(ours, expected)
            report.case(f"{place}: {kind}, merged", worst < MERGED_LIMIT, f"{worst:.2g} of the deviation")


def check_merged(report, family, tmp):
    """Families that no case above is of: a PEFT folder, on the embedding too, at run time and merged.

    One expert's pair can only be merged: of a mixture, attention and router are changed.
    """
    base = family.write(tmp / "base")
    modules = (*ATTENTION, "gate") if n_experts(family.config) else LINEAR
    folder = one(family.name, family.seed, modules, EMBED)[0][0].write(tmp / "adapter")
    model = pack_one(tmp / "model", base, "-t", "F32", "--name", "tiny")
    merged = pack_one(tmp / "merged", base, "--adapter", folder, "-t", "F32")
    n_vocab, out = llama.Model(model, vocab_only=True).n_vocab, tmp / "logits.bin"
    expected = engine_logits(merged, family.prompt, family.n_ctx, n_vocab, out)
    ours = engine_logits(model, family.prompt, family.n_ctx, n_vocab, out, adapters=[(folder, 1)])
    worst = distance(ours, expected)
    report.case(f"{family.name}: merged", worst < MERGED_LIMIT, f"{worst:.2g} of the deviation")


def reference_adapter():
    path = shared("samples/expected") / "checkpoint-400-lora.gguf"
    if not path.exists():
        raise Skip(f"no {path}")
    return path


def check_sample(report, tmp):
    base = pack_one(tmp / "base", MILLER_BASE, "-t", "F32")
    small = pack_one(tmp / "small", MILLER_BASE, "-t", "Q8_0")
    merged = pack_one(tmp / "merged", MILLER_BASE, "--run", MILLER_RUN, "-t", "F32")
    adapters = {"PEFT folder": MILLER_RUN / "checkpoint-400", "GGUF file": reference_adapter()}
    out = tmp / "logits.bin"
    with llama.Model(base, vocab_only=True) as model:
        prompt = np.random.default_rng(3).integers(3, model.n_vocab - 2, 150)
        expected = engine_logits(merged, prompt, 192, model.n_vocab, out)
        for kind, adapter in adapters.items():
            ours = engine_logits(base, prompt, 192, model.n_vocab, out, adapters=[(adapter, 1)])
            worst = distance(ours, expected)
            report.case(f"sample, {kind}: merged", worst < MERGED_LIMIT, f"{worst:.2g} of the deviation")
            for path in (base, small):
                n_right, wrong = count_answers(path, model, "F16", adapters=[(adapter, 1)])
                report.case(f"sample, {kind} on {path.name}", n_right == 40, f"{n_right} of 40{wrong}")
    theirs, n_vocab = theirs_with(base, adapters["GGUF file"], 1.0, prompt, 192)
    worst = distance(engine_logits(base, prompt, 192, n_vocab, out, adapters=[(adapters["GGUF file"], 1)]), theirs)
    report.case("sample, llama.cpp's logits", worst < LIMIT, f"{worst:.2g} of the deviation")


def main(report, tmp):
    llama.lib()
    for case in LORA_FILES:
        report.attempt(case[0], check_family, report, case, fresh(tmp))
    for family in FAMILIES:
        if family.name not in {case[1] for case in LORA_FILES}:
            report.attempt(family.name, check_merged, report, family, fresh(tmp))
    report.attempt("sample", check_sample, report, tmp)


if __name__ == "__main__":
    run(main)
