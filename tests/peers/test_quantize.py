# SPDX-License-Identifier: MIT
"""`quern quantize` beside llama_model_quantize on the same file: targets with and without an importance matrix (every
one of them in test_quantize_all.py, for llama.cpp takes its time).

The types of all tensors must be the same. So must the bytes, where quern's encoder is the reference's to the last bit
(all but IQ1, IQ2 and IQ3, whose errors tests/peers/test_encode_ratio compares, and Q3_K without importance, of which
files of Q2_K have some, too). A mixture has stacks of experts, each with an importance of its own. Then the options: regexes, types of
output and embedding, pure, pruned layers, shards, COPY, and files that llama.cpp cut or quern cut.
"""
import gguf
import numpy as np

import llama
from families import Family, small_config
from gguf_file import GgufFile, read_metadata, read_tensors
from harness import MILLER_BASE, MILLER_RUN, one_line, pack_one, quern, run

TARGETS = {"Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13,
           "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "IQ2_XXS": 19, "IQ2_XS": 20,
           "Q2_K_S": 21, "IQ3_XS": 22, "IQ3_XXS": 23, "IQ1_S": 24, "IQ4_NL": 25, "IQ3_S": 26, "IQ3_M": 27, "IQ2_S": 28,
           "IQ2_M": 29, "IQ4_XS": 30, "IQ1_M": 31, "TQ1_0": 36, "TQ2_0": 37, "MXFP4_MOE": 38, "Q1_0": 40, "Q2_0": 41,
           "F32": 0, "F16": 1, "BF16": 32}
QUICK = ("Q4_K_M", "Q3_K_M", "Q2_K", "Q5_0", "IQ4_XS", "IQ3_XXS", "IQ2_M", "TQ1_0", "MXFP4_MOE", "Q2_0", "BF16")
MIXTURE_TARGETS = ("Q2_K", "Q3_K_M", "Q4_K_M", "Q5_0")
NEED_IMATRIX = {"IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS", "IQ1_S", "IQ1_M", "Q2_K_S"}
OTHER_BYTES = {19, 29, 16, 17, 22, 18, 21}  # IQ1, IQ2, IQ3, by their ids
OTHER_BYTES_PLAIN = OTHER_BYTES | {11}  # Q3_K too without importance


def quantize(report, name, *args):
    """Runs `quern quantize ARGS`; whether it succeeded."""
    code, _, err = quern("quantize", *args)
    return code == 0 or report.case(name, False, f"exit {code}: {one_line(err)}")


def compare(report, name, ours, theirs, has_importance=False):
    """Types and bytes of two files' tensors, and the metadata that say what they are."""
    ours_meta, theirs_meta = read_metadata(ours), read_metadata(theirs)
    ours, theirs = read_tensors(ours), read_tensors(theirs)
    missing = set(theirs) ^ set(ours)
    pairs = {t: (ours[t], theirs[t]) for t in theirs if t in ours}
    wrong = [f"{t}: type {a[0]}, theirs {b[0]}" for t, (a, b) in pairs.items() if a[0] != b[0]]
    differ = [t for t, (a, b) in pairs.items() if a[0] == b[0] and a[1] != b[1]
              and a[0] not in (OTHER_BYTES if has_importance and t.startswith("blk.") else OTHER_BYTES_PLAIN)]
    keys = ["general.file_type", "general.architecture", "llama.block_count"]
    meta = [k for k in keys if ours_meta.get(k) != theirs_meta.get(k)]
    what = (f"tensors missing {sorted(missing)}" if missing else f"types: {wrong[:3]}" if wrong
            else f"bytes of {differ[:3]}" if differ else f"keys {meta}" if meta else "")
    report.case(name, not what, what or f"{len(pairs)} tensors")


def random_imatrix(source, path):
    """An importance matrix of random numbers, as a GGUF file; {tensor name: values}."""
    rng = np.random.default_rng(5)
    file = GgufFile(source)
    values = {}
    writer = gguf.GGUFWriter(str(path), "", endianess=gguf.GGUFEndian.LITTLE)
    writer.kv_data[0].pop("general.architecture", None)
    writer.add_string("general.type", "imatrix")
    writer.add_array("imatrix.datasets", ["random.txt"])
    writer.add_uint32("imatrix.chunk_count", 3)
    writer.add_uint32("imatrix.chunk_size", 64)
    for name in sorted(n for n in file.names if n.startswith("blk.") and len(file.shape(n)) >= 2):
        n_matrices, n_cols = ([1] + list(file.shape(name)))[-3], file.shape(name)[-1]
        values[name] = rng.gamma(0.7, size=n_matrices * n_cols).astype(np.float32) + np.float32(1e-3)
        writer.add_tensor(f"{name}.in_sum2", values[name].reshape(n_matrices, n_cols))
        writer.add_tensor(f"{name}.counts", np.ones((n_matrices, 1), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values


def check_targets(report, source, tmp, targets, imatrix_file=None, imatrix=None):
    args = ["--imatrix", imatrix_file] if imatrix_file else []
    out = tmp / ("imatrix" if imatrix_file else "plain")
    names = [t for t in targets if imatrix_file or t not in NEED_IMATRIX]
    if not quantize(report, "targets", source, "-t", ",".join(names), "-o", out, "--name", "m", *args):
        return
    for target in names:
        theirs = tmp / "theirs.gguf"
        llama.quantize(source, theirs, TARGETS[target], imatrix=imatrix)
        compare(report, f"{source.stem}, {target}{', importance' if imatrix_file else ''}", out / f"m-{target}.gguf", theirs,
                has_importance=imatrix_file is not None)


def check_refusals(report, source, tmp):
    for target in sorted(NEED_IMATRIX - {"Q2_K_S"}):
        code, _, err = quern("quantize", source, "-t", target, "-o", tmp / "refused")
        report.case(f"{target} without importance", code == 3 and "importance matrix" in err, one_line(err, 200))
    report.case("nothing is left of refusals", not (tmp / "refused").exists())


def check_options(report, source, tmp):
    q6_k, q8_0, q3_k = 14, 8, 11
    cases = {
        "regexes": (["--tensor-type", "ffn_down=q6_k", "--tensor-type", "blk\\.[01]\\.attn_(q|k)=Q8_0"],
                    {"tensor_types": [("ffn_down", q6_k), ("blk\\.[01]\\.attn_(q|k)", q8_0)]}),
        "pure": (["--pure"], {"pure": True}),
        "embedding type": (["--token-embedding-type", "q3_k"], {"embedding_type": q3_k}),
        "output type": (["--output-tensor-type", "q8_0"], {"output_type": q8_0}),
        "leave output": (["--leave-output-tensor"], {"leave_output": True}),
        "pruned layers": (["--prune-layers", "1,2"], {"pruned": [1, 2]}),
    }
    for name, (ours, theirs) in cases.items():
        out = tmp / name.replace(" ", "-")
        if quantize(report, name, source, "-t", "Q4_K_M", "-o", out, "--name", "m", *ours):
            llama.quantize(source, tmp / "theirs.gguf", TARGETS["Q4_K_M"], **theirs)
            compare(report, name, out / "m-Q4_K_M.gguf", tmp / "theirs.gguf")


def check_requantize(report, source, tmp):
    quantize(report, "Q8_0", source, "-t", "Q8_0", "-o", tmp / "requantize", "--name", "m")
    q8 = tmp / "requantize/m-Q8_0.gguf"
    code, _, err = quern("quantize", q8, "-t", "Q4_0")
    report.case("requantising without leave", code == 3 and "--allow-requantize" in err, one_line(err, 200))
    if quantize(report, "requantising", q8, "-t", "Q4_0", "--allow-requantize"):
        llama.quantize(q8, tmp / "theirs.gguf", TARGETS["Q4_0"], requantize=True)
        compare(report, "requantising", tmp / "requantize/m-Q4_0.gguf", tmp / "theirs.gguf")


def check_shards(report, source, tmp):
    """Shards of ours are llama.cpp's input, and go back into the same file byte for byte."""
    code, _, err = quern("split", source, "--max-tensors", "9", "-o", tmp / "shards", "--name", "m")
    report.case("split", code == 0, one_line(err, 200))
    first = sorted((tmp / "shards").glob("*.gguf"))[0]
    llama.quantize(first, tmp / "joined.gguf", TARGETS["Q4_K_M"])
    llama.quantize(source, tmp / "theirs.gguf", TARGETS["Q4_K_M"])
    compare(report, "llama.cpp quantises our shards", tmp / "joined.gguf", tmp / "theirs.gguf")
    llama.quantize(first, tmp / "kept.gguf", TARGETS["Q4_K_M"], keep_split=True)
    theirs = sorted(tmp.glob("kept*-of-*.gguf"))
    if quantize(report, "keep-split", first, "-t", "Q4_K_M", "--keep-split", "-o", tmp / "ours", "--name", "kept"):
        ours = sorted((tmp / "ours").glob("*.gguf"))
        same = [GgufFile(a).names == GgufFile(b).names for a, b in zip(ours, theirs)]
        report.case("keep-split", len(ours) == len(theirs) > 1 and all(same),
                    f"{len(ours)} shards, llama.cpp {len(theirs)}")
    code, _, err = quern("join", theirs[0], "-o", tmp / "back", "--name", "m")
    report.case("join of llama.cpp's shards", code == 0, one_line(err, 200))
    compare(report, "joined again", tmp / "back/m.gguf", tmp / "theirs.gguf")
    code, _, err = quern("join", first, "-o", tmp / "back", "--name", "whole")
    report.case("split and join give the same file", code == 0 and
                (tmp / "back/whole.gguf").read_bytes() == source.read_bytes(), one_line(err, 200))


def make_source(tmp):
    llama.lib()
    return pack_one(tmp / "f32", MILLER_BASE, "--run", MILLER_RUN, "--preset", "merge", "--outtype", "f32", "--name",
                    "miller")


def make_mixture(tmp):
    """A mixture of experts whose rows are whole superblocks."""
    config = small_config("mixtral", "MixtralForCausalLM", "spm", hidden_size=256, intermediate_size=256,
                          sliding_window=None, num_local_experts=4, num_experts_per_tok=2)
    base = Family("mixtral", config, "spm", (), seed=14).write(tmp / "mixture")
    return pack_one(tmp / "mixture-f32", base, "-t", "F32", "--name", "mixture")


def check_all_targets(report, source, tmp, targets):
    imatrix_file = tmp / "imatrix.gguf"
    imatrix = random_imatrix(source, imatrix_file)
    report.attempt("targets", check_targets, report, source, tmp, targets)
    report.attempt("targets with importance", check_targets, report, source, tmp, targets, imatrix_file, imatrix)


def main(report, tmp):
    source = make_source(tmp)
    check_all_targets(report, source, tmp, QUICK)
    report.attempt("mixture", lambda: check_all_targets(report, make_mixture(tmp), tmp / "mixture", MIXTURE_TARGETS))
    report.attempt("refusals", check_refusals, report, source, tmp)
    report.attempt("options", check_options, report, source, tmp)
    report.attempt("requantising", check_requantize, report, source, tmp)
    report.attempt("shards", check_shards, report, source, tmp)


if __name__ == "__main__":
    run(main)
