# SPDX-License-Identifier: MIT
"""Every family: a small random model, packed at F32, gives in llama.cpp the logits of the NumPy forward pass.

Largest difference at most 1e-3 of the logits' standard deviation. For every trait of a family the NumPy pass without
it must be at least TRAIT_MARGIN away, so that a file that lost the trait would be caught.
"""
import json
from dataclasses import replace

import numpy as np
from safetensors.numpy import load_file, save_file

import llama
from adapters import Maker
from families import FAMILIES, gguf_tensors, respelled
from gguf_file import GgufFile, close
from harness import one_line, pack_one, quern, run
from tiny_tokenizers import PRE_NAMES

LIMIT = 1e-3
TRAIT_MARGIN = 2e-2  # of the standard deviation: twenty times the limit


def check_tensors(report, family, file):
    """Names, shapes and values of the file's tensors: what a difference in logits would not tell apart."""
    expected = gguf_tensors(family.config, family.weights)
    unequal = [name for name, x in expected.items()
               if name not in file.tensors or file.shape(name) != x.shape
               or not (np.array_equal(file.f32(name), x) if not name.startswith("rope_")
                       else np.allclose(file.f32(name), x, rtol=1e-6))]
    extra = sorted(set(file.names) - set(expected))
    report.case(f"{family.name}: tensors", not unequal and not extra,
                f"{len(expected)} tensors" + (f"; differing or missing: {unequal[:6]}" if unequal else "") +
                (f"; unexpected: {extra[:6]}" if extra else ""))


def check_logits(report, family, model, n_ctx):
    ours = model.logits(family.prompt, n_ctx)
    expected = family.logits(n_ctx=n_ctx)
    deviation = expected.std()
    worst = np.abs(ours - expected).max() / deviation if ours.shape == expected.shape else np.inf
    report.case(f"{family.name}: logits, context {n_ctx}", worst < LIMIT,
                f"largest difference {worst:.2g} of the standard deviation {deviation:.2f}, allowed {LIMIT}")


def check_traits(report, family, n_ctx):
    """That leaving a trait out would be seen."""
    expected = family.logits(n_ctx=n_ctx)
    deviation = expected.std()
    changes = {trait: np.abs(family.logits([trait], n_ctx) - expected).max() / deviation for trait in family.traits}
    weak = {trait: float(change) for trait, change in changes.items() if not change > TRAIT_MARGIN}
    least = min(changes, key=changes.get)
    report.case(f"{family.name}: each of {len(changes)} traits is visible", not weak,
                f"invisible: {weak}" if weak else f"least: {least}, {changes[least]:.2g}")


def check_spelling(report, family, base, file, tmp):
    """The config as newer transformers write it gives the same metadata and tensors."""
    config = respelled(family)
    if config is None:
        return
    (base / "config.json").write_text(json.dumps(config), encoding="utf-8")
    other = GgufFile(pack_one(tmp / (family.name + "-respelled"), base, "-t", "F32", "--name", "tiny"))
    keys = {key for key in file.meta.keys() | other.meta.keys() if file.meta.get(key) != other.meta.get(key)}
    same = all(file.raw(name) == other.raw(name) for name in file.names) and file.names == other.names
    report.case(f"{family.name}: config with rope_parameters", same and not keys,
                "" if same and not keys else f"differing keys {sorted(keys)}; tensors {'equal' if same else 'differ'}")


def check_fused(report, family, file, tmp):
    """The layout with a layer's experts in two tensors gives the same file; merging keeps the layout."""
    if family.config["model_type"] not in ("qwen2_moe", "qwen3_moe"):
        return
    base, weights = family.write(tmp / (family.name + "-fused")), family.fused_weights
    save_file(weights, str(base / "model.safetensors"), metadata={"format": "pt"})
    other = GgufFile(pack_one(tmp / (family.name + "-of-fused"), base, "-t", "F32", "--name", "tiny"))
    same = all(file.raw(name) == other.raw(name) for name in file.names) and file.names == other.names
    report.case(f"{family.name}: fused experts", same)
    adapter = Maker(family.weights, 31).linear("q_proj", "experts.1.up_proj", "experts.2.down_proj").adapter
    out = tmp / (family.name + "-merged")
    code, _, err = quern("merge", base, "--adapter", adapter.write(tmp / (family.name + "-adapter")), "--outtype", "f32",
                         "-o", out)
    merged = replace(family)
    merged.__dict__["weights"] = adapter.merge(family.weights)
    found = load_file(str(out / "model.safetensors")) if code == 0 else {}
    wrong = [name for name, x in merged.fused_weights.items()
             if name not in found or not close(found[name], x.astype(np.float32), 1e-6)[0]]
    report.case(f"{family.name}: fused experts, merged", code == 0 and not wrong and set(found) == set(weights),
                f"{wrong[:3]} {one_line(err)}" if wrong else f"{len(found)} tensors")


def check_family(report, family, tmp):
    check_traits(report, family, family.n_ctx)
    base = family.write(tmp / family.name)
    path = pack_one(tmp / (family.name + "-out"), base, "-t", "F32", "--name", "tiny")
    file = GgufFile(path)
    check_tensors(report, family, file)
    pre = file.meta.get("tokenizer.ggml.pre")
    report.case(f"{family.name}: pre-tokenizer", pre == PRE_NAMES[family.tokenizer], pre)
    with llama.Model(path) as model:
        for n_ctx in (family.n_ctx, *family.other_contexts):
            check_logits(report, family, model, n_ctx)
    check_spelling(report, family, base, file, tmp)
    check_fused(report, family, file, tmp)


def main(report, tmp):
    llama.lib()
    for family in FAMILIES:
        report.attempt(family.name, check_family, report, family, tmp)


if __name__ == "__main__":
    run(main)
