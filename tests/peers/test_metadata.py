# SPDX-License-Identifier: MIT
"""The packed sample beside the reference pipeline's files: metadata key by key, tensors, types and bytes.

The reference files are in samples/expected of the shared data; without them the test is skipped.
"""
import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import quantize

from gguf_file import GgufFile, close
from harness import MILLER_BASE, MILLER_RUN, pack, pack_one, run, shared

# key: why ours may say something else
ALLOWED = {
    "general.name": "the reference was named after its own folder",
    "general.basename": "follows general.name",
    "general.version": "follows general.name",
    "general.finetune": "follows general.name",
    "general.size_label": "follows the count of weights, which the two round differently at most",
}

# Merged in float32 by another order of sums: a few units in the last place of the largest weight.
MERGE_TOLERANCE = 4 * 2.0 ** -23


def is_merged(name):
    return name.startswith("blk.") and "_norm" not in name


def check_keys(report, label, ours, theirs):
    """Every key of the reference is there, of the same type and value; extra keys are listed."""
    wrong, allowed = [], []
    for key, expected in theirs.meta.items():
        found = ours.meta.get(key)
        if found == expected and ours.kinds[key] == theirs.kinds[key]:
            continue
        if key in ALLOWED:
            allowed.append(key)
        elif key not in ours.meta:
            wrong.append(f"{key} is missing")
        elif ours.kinds[key] != theirs.kinds[key]:
            wrong.append(f"{key} is {ours.kinds[key]}, expected {theirs.kinds[key]}")
        else:
            wrong.append(f"{key} is {str(found)[:40]}, expected {str(expected)[:40]}")
    extra = sorted(set(ours.meta) - set(theirs.meta))
    report.case(f"{label}: metadata", not wrong,
                "; ".join(wrong) or f"{len(theirs.meta)} keys; allowed to differ: {allowed}; extra: {extra}")


def check_shapes(report, label, ours, theirs):
    wrong = [f"{name} is missing" for name in theirs.names if name not in ours.tensors]
    wrong += [f"{name} is not in the reference" for name in ours.names if name not in theirs.tensors]
    wrong += [f"{name} is {ours.dtype(name)} {ours.shape(name)}, expected {theirs.dtype(name)} {theirs.shape(name)}"
              for name in theirs.names if name in ours.tensors
              and (ours.dtype(name), ours.shape(name)) != (theirs.dtype(name), theirs.shape(name))]
    return report.case(f"{label}: tensor names, shapes and types", not wrong,
                       "; ".join(wrong[:6]) or f"{len(theirs.names)} tensors")


def check_untouched(report, label, ours, theirs):
    # encoders of K types may choose other scales: their error is judged by encode_ratio, not their bytes
    names = [name for name in theirs.names if not is_merged(name) and theirs.dtype(name) in ("F32", "Q8_0")]
    unequal = [name for name in names if ours.raw(name) != theirs.raw(name)]
    report.case(f"{label}: unmerged tensors byte for byte", not unequal,
                f"differing: {unequal[:6]}" if unequal else f"{len(names)} tensors")


def check_merged_f32(report, ours, theirs):
    worst = 0.0
    for name in filter(is_merged, theirs.names):
        x, y = ours.f32(name).astype(np.float64), theirs.f32(name).astype(np.float64)
        worst = max(worst, np.abs(x - y).max() / np.abs(y).max())
    report.case("F32: merged tensors", worst <= MERGE_TOLERANCE,
                f"largest difference {worst:.2g} of a tensor's largest weight, allowed {MERGE_TOLERANCE:.2g}")


def check_merged_q8_0(report, ours, theirs, ours_f32):
    """Against the reference a block may differ where a merge's last bit tips a rounding; against the encoding of our
    own F32 values by PyPI's gguf it may not."""
    n_differing = n_bytes = 0
    own = []
    for name in filter(is_merged, theirs.names):
        x, y = np.frombuffer(ours.raw(name), np.uint8), np.frombuffer(theirs.raw(name), np.uint8)
        n_differing, n_bytes = n_differing + int((x != y).sum()), n_bytes + x.size
        encoded = quantize(ours_f32.f32(name), GGMLQuantizationType.Q8_0)
        if encoded.tobytes() != ours.raw(name):
            own.append(name)
    share = n_differing / n_bytes
    report.case("Q8_0: merged tensors, bytes of the reference", share < 1e-3,
                f"{n_differing} of {n_bytes} bytes differ, allowed 0.1%")
    report.case("Q8_0: merged tensors, the encoding of our F32", not own, f"differing: {own[:6]}" if own else "")


def check_adapter(report, ours, theirs):
    """The same product of A and B, by whatever share of the scaling is folded into B."""
    check_keys(report, "lora", ours, theirs)
    if not check_shapes(report, "lora", ours, theirs):
        return
    bad = []
    for name in [name for name in theirs.names if name.endswith(".lora_a")]:
        products = []
        for file in (ours, theirs):
            a, b = file.f32(name), file.f32(name[:-1] + "b")
            products.append(file.meta["adapter.lora.alpha"] / b.shape[1] * (b.astype(np.float64) @ a))
        holds, detail = close(products[0], products[1], 1e-6)
        if not holds:
            bad.append(f"{name}: {detail}")
    report.case("lora: scaled products", not bad, "; ".join(bad[:4]))
    same = all(ours.raw(name) == theirs.raw(name) for name in theirs.names)
    report.case("lora: A, B and alpha as the reference has them",
                same and ours.meta["adapter.lora.alpha"] == theirs.meta["adapter.lora.alpha"])


def main(report, tmp):
    expected = shared("samples/expected")
    theirs = {"F32": GgufFile(expected / "miller-f32.gguf"), "Q8_0": GgufFile(expected / "miller-Q8_0.gguf"),
              "Q4_K_M": GgufFile(expected / "miller-Q4_K_M.gguf")}
    files = pack(tmp / "out", MILLER_BASE, "--run", MILLER_RUN, "--name", "miller", "-t", ",".join(theirs))
    ours = {name: GgufFile(files[f"miller-{name}.gguf"]) for name in theirs}
    for name, reference in theirs.items():
        check_keys(report, name, ours[name], reference)
        if check_shapes(report, name, ours[name], reference):
            check_untouched(report, name, ours[name], reference)
    report.attempt("F32 merge", check_merged_f32, report, ours["F32"], theirs["F32"])
    report.attempt("Q8_0 merge", check_merged_q8_0, report, ours["Q8_0"], theirs["Q8_0"], ours["F32"])
    lora = report.attempt("lora", pack_one, tmp / "lora", MILLER_BASE, "--run", MILLER_RUN, "--preset", "lora")
    if lora:
        report.case("lora: output name", lora.name == "checkpoint-400-lora.gguf", lora.name)
        report.attempt("lora", check_adapter, report, GgufFile(lora), GgufFile(expected / "checkpoint-400-lora.gguf"))


if __name__ == "__main__":
    run(main)
