# SPDX-License-Identifier: MIT
"""Every family: packed at F32 and taken back to a Hugging Face folder, it is the model it was.

PyPI safetensors reads the weights, bit for bit those of the checkpoint; transformers reads config and tokenizer, and
finds what it finds in the checkpoint's config; packing the folder again gives the same GGUF tensors.
"""
import os
import subprocess
from pathlib import Path

import numpy as np

from families import FAMILIES
from gguf_file import GgufFile
from harness import ROOT, Skip, one_line, pack_one, run

# What GGUF does not keep, or what is said in another way that means the same.
OTHERWISE = {"architectures", "model_type", "_name_or_path", "transformers_version", "dtype", "torch_dtype",
             "sliding_window_pattern", "_sliding_window_pattern", "initializer_range", "pad_token_id", "n_inner",
             "attention_dropout", "max_window_layers", "use_sliding_window"}


def import_all():
    try:
        import safetensors.numpy  # pylint: disable=import-outside-toplevel
        import transformers  # pylint: disable=import-outside-toplevel
    except ImportError as e:
        raise Skip(f"{e}") from e
    return safetensors.numpy, transformers


def tool(source, out, *more):
    out.mkdir()
    path = Path(os.environ.get("QUERN_BUILD") or ROOT / "build") / "tests/peers/hf_folder_tool"
    done = subprocess.run([str(path), str(source), str(out), *map(str, more)], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(f"hf_folder_tool: {one_line(done.stderr)}")
    return out


def same_weight(family, name, x, y):
    """Norms stored less one come back as far as the sum in float32 kept them."""
    if family.config["model_type"].startswith("gemma") and name.endswith("norm.weight"):
        x, y = x + np.float32(1), y + np.float32(1)
    return x.dtype == y.dtype == np.float32 and x.shape == y.shape and np.array_equal(x, y)


def check_weights(report, family, out, safetensors):
    found = safetensors.load_file(out / "model.safetensors")
    wanted = {k: v for k, v in family.weights.items()
              if not (k == "lm_head.weight" and family.config.get("tie_word_embeddings"))}
    wrong = [k for k in wanted if k not in found or not same_weight(family, k, wanted[k], found[k])]
    report.case(f"{family.name}: weights", not wrong and set(found) == set(wanted),
                f"{len(wanted)} tensors" + (f"; wrong or missing: {wrong[:4]}; extra: {set(found) - set(wanted)}"
                                            if wrong or set(found) != set(wanted) else ""))


def check_config(report, family, base, out, transformers):
    ours = transformers.AutoConfig.from_pretrained(out).to_dict()
    theirs = transformers.AutoConfig.from_pretrained(base).to_dict()
    differ = {k: (theirs.get(k), ours.get(k)) for k in (ours.keys() & theirs.keys()) - OTHERWISE
              if ours.get(k) != theirs.get(k)}
    missing = theirs.keys() - ours.keys() - OTHERWISE if theirs["model_type"] == ours["model_type"] else set()
    report.case(f"{family.name}: config", not differ and not missing,
                f"{len(ours)} members" if not differ and not missing else f"(theirs, ours): {differ}; missing {missing}")


def check_family(report, family, tmp, safetensors, transformers):
    base = family.write(tmp / family.name)
    path = pack_one(tmp / (family.name + "-gguf"), base, "-t", "F32", "--name", "tiny")
    out = tool(path, tmp / (family.name + "-hf"))
    check_weights(report, family, out, safetensors)
    check_config(report, family, base, out, transformers)
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    text = "Hello world 12"
    report.case(f"{family.name}: tokenizer", tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"],
                                                              skip_special_tokens=True).strip() == text,
                f"{len(tokenizer)} tokens")
    first = GgufFile(path)
    second = GgufFile(pack_one(tmp / (family.name + "-again"), out, "-t", "F32", "--name", "tiny"))
    differing = [n for n in first.names if n not in second.tensors or first.raw(n) != second.raw(n)]
    keys = sorted(k for k in first.meta.keys() | second.meta.keys() if first.meta.get(k) != second.meta.get(k))
    report.case(f"{family.name}: packed again", not differing and first.names == second.names and not keys,
                f"differing tensors {differing[:4]}, keys {keys}" if differing or keys else "")


def main(report, tmp):
    safetensors, transformers = import_all()
    for family in FAMILIES:
        report.attempt(family.name, check_family, report, family, tmp, safetensors, transformers)


if __name__ == "__main__":
    run(main)
