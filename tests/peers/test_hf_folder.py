# SPDX-License-Identifier: MIT
"""`quern export` and `quern merge` for readers of Hugging Face folders.

Every family, packed at F32 and exported in shards, is the model it was: PyPI safetensors reads the weights, bit for bit
those of the checkpoint; transformers reads config and tokenizer, and finds what it finds in the checkpoint's config;
packing the folder again gives the same GGUF tensors. The sample comes back from a file, a quantised file and shards,
in every type; a merged folder packs to what the adapter packs to. What cannot be written leaves nothing behind.
"""
import json

import numpy as np

from families import FAMILIES, gguf_name, to_gguf
from gguf_file import GgufFile
from harness import MILLER_BASE, MILLER_RUN, Skip, one_line, pack_one, quern, run

# What GGUF does not keep, or what is said in another way that means the same.
OTHERWISE = {"architectures", "model_type", "_name_or_path", "transformers_version", "dtype", "torch_dtype",
             "sliding_window_pattern", "_sliding_window_pattern", "initializer_range", "pad_token_id", "n_inner",
             "attention_dropout", "max_window_layers", "use_sliding_window"}


CHAT = [{"role": "user", "content": "Hi there!"}]


def import_all():
    try:
        import safetensors  # pylint: disable=import-outside-toplevel
        import transformers  # pylint: disable=import-outside-toplevel
    except ImportError as e:
        raise Skip(f"{e}") from e
    return safetensors, transformers


def command(*args):
    """Runs quern; its stderr. Raises when it fails."""
    code, _, err = quern(*args)
    if code != 0:
        raise RuntimeError(f"quern {' '.join(map(str, args))}: exit {code}: {one_line(err)}")
    return err


def export(source, out, *options):
    command("export", source, "-o", out, *options)
    return out


def shards_of(folder):
    """Which file has which tensors, by the index if there is one."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return {"model.safetensors": None}
    shards = {}
    for name, file in json.loads(index.read_text())["weight_map"].items():
        shards.setdefault(file, set()).add(name)
    return shards


def widen(kind, data):
    """Bytes as safetensors gives them, as float32."""
    if kind == "BF16":
        return (np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, dtype={"F32": "<f4", "F16": "<f2"}[kind]).astype(np.float32)


def load_folder(folder, safetensors):
    """({name: float32 array}, types found, files), read by PyPI safetensors; the index must be the truth."""
    found, kinds, shards = {}, set(), shards_of(folder)
    for file, names in shards.items():
        tensors = dict(safetensors.deserialize((folder / file).read_bytes()))
        if names is not None and names != set(tensors):
            raise RuntimeError(f"{file}: the index names other tensors than the file has")
        for name, t in tensors.items():
            kinds.add(t["dtype"])
            found[name] = widen(t["dtype"], bytes(t["data"])).reshape(t["shape"])
    on_disk = {p.name for p in folder.glob("*.safetensors")}
    if on_disk != set(shards):
        raise RuntimeError(f"files {sorted(on_disk)}, the index names {sorted(shards)}")
    return found, kinds, sorted(shards)


def same_weight(family, name, x, y):
    """Norms stored less one come back as far as the sum in float32 kept them."""
    if family.config["model_type"].startswith("gemma") and name.endswith("norm.weight"):
        x, y = x + np.float32(1), y + np.float32(1)
    return x.dtype == y.dtype == np.float32 and x.shape == y.shape and np.array_equal(x, y)


def check_weights(report, family, out, safetensors):
    found, _, files = load_folder(out, safetensors)
    wanted = {k: v for k, v in family.weights.items()
              if not (k == "lm_head.weight" and family.config.get("tie_word_embeddings"))}
    wrong = [k for k in wanted if k not in found or not same_weight(family, k, wanted[k], found[k])]
    report.case(f"{family.name}: weights", not wrong and set(found) == set(wanted),
                f"{len(wanted)} tensors in {len(files)} files" + (f"; wrong or missing: {wrong[:4]}; extra: {set(found) - set(wanted)}"
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
    out = export(path, tmp / (family.name + "-hf"), "--outtype", "f32", "--max-shard-size", "200K")
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


# ---- the sample ----

def rounded(kind, x):
    """float32 as a type keeps it, as float32."""
    if kind == "f16":
        return x.astype(np.float16).astype(np.float32)
    if kind == "bf16":
        bits = x.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    return x


def check_sample_weights(report, name, folder, source, kind, safetensors):
    config = json.loads((MILLER_BASE / "config.json").read_text())
    found, kinds, files = load_folder(folder, safetensors)
    wanted = {gguf_name(config, n): n for n in found}
    wrong = [n for n in source.names if n not in wanted or not np.array_equal(
        to_gguf(config, wanted[n], found[wanted[n]]), rounded(kind, source.f32(n)))]
    report.case(f"{name}: weights", not wrong and len(found) == len(source.names) and kinds == {kind.upper()} and
                len(files) > 1, f"{len(found)} tensors, {sorted(kinds)}, {len(files)} files; wrong {wrong[:3]}")


def check_sample_files(report, name, folder, kind, transformers):
    config = transformers.AutoConfig.from_pretrained(folder)
    long_name = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}[kind]
    told = json.loads((folder / "config.json").read_text())
    ours = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(MILLER_BASE)
    generation = transformers.GenerationConfig.from_pretrained(folder)
    original = transformers.GenerationConfig.from_pretrained(MILLER_BASE)
    text = "The miller said: 12 sacks, no more."
    parts = {
        "type": long_name in (told.get("torch_dtype"), told.get("dtype")),
        "model_type": config.model_type == "llama" and config.vocab_size == len(ours),
        "ids": ours(text).input_ids == theirs(text).input_ids,
        "chat": ours.apply_chat_template(CHAT, tokenize=False) == theirs.apply_chat_template(CHAT, tokenize=False),
        "generation": generation.eos_token_id == original.eos_token_id,
    }
    report.case(f"{name}: config, tokenizer, chat, generation", all(parts.values()),
                ", ".join(part for part, holds in parts.items() if not holds))


def check_sample(report, tmp, safetensors, transformers):
    """Sources times types, in shards."""
    single = pack_one(tmp / "f32", MILLER_BASE, "-t", "F32", "--name", "sample")
    quantised = pack_one(tmp / "q4", MILLER_BASE, "-t", "Q4_K_M", "--name", "sample")
    command("split", quantised, "--max-size", "800K", "-o", tmp / "shards")
    shard = sorted((tmp / "shards").iterdir())[1]
    for name, path, whole in (("F32", single, single), ("Q4_K_M", quantised, quantised), ("shards", shard, quantised)):
        source = GgufFile(whole)
        for kind in ("f32", "f16", "bf16"):
            out = export(path, tmp / f"{name}-{kind}", "--outtype", kind, "--max-shard-size", "3M")
            check_sample_weights(report, f"{name} to {kind}", out, source, kind, safetensors)
            check_sample_files(report, f"{name} to {kind}", out, kind, transformers)


def check_merge(report, tmp):
    """The merged folder packs to what base and adapter pack to."""
    out = tmp / "merged"
    command("merge", MILLER_BASE, "--run", MILLER_RUN, "--outtype", "f32", "--max-shard-size", "4M", "-o", out)
    ours = GgufFile(pack_one(tmp / "of-merged", out, "-t", "F32", "--name", "same"))
    theirs = GgufFile(pack_one(tmp / "of-run", MILLER_BASE, "--run", MILLER_RUN, "-t", "F32", "--name", "same"))
    differing = [n for n in theirs.names if n not in ours.tensors or ours.raw(n) != theirs.raw(n)]
    keys = sorted(k for k in ours.meta.keys() | theirs.meta.keys() if ours.meta.get(k) != theirs.meta.get(k))
    report.case("merged folder: packed", not differing and ours.names == theirs.names and not keys,
                f"{len(ours.names)} tensors; differing {differing[:4]}, keys {keys}")


# ---- refusals ----

def check_unknown(report, tmp):
    path = pack_one(tmp / "known", MILLER_BASE, "-t", "F16", "--name", "sample")
    data = path.read_bytes()
    at = data.index(b"llama", data.index(b"general.architecture"))
    path.write_bytes(data[:at] + b"other" + data[at + 5:])
    code, _, err = quern("export", path, "-o", tmp / "of-unknown")
    report.case("unknown family", code == 3 and "'other'" in err and not (tmp / "of-unknown").exists(),
                f"exit {code}: {one_line(err, 160)}")


def check_in_the_way(report, tmp):
    """A file of the folder's is there: nothing is written without --force."""
    source = pack_one(tmp / "in-the-way", MILLER_BASE, "-t", "F16", "--name", "sample")
    commands = {"merge": ("merge", MILLER_BASE, "--run", MILLER_RUN), "export": ("export", source)}
    for name, args in commands.items():
        for file in ("config.json", "model.safetensors", "tokenizer_config.json"):
            out = tmp / f"{name}-{file}"
            out.mkdir()
            (out / file).write_text("mine")
            code, _, err = quern(*args, "-o", out)
            left = {p.name: p.read_text() for p in out.iterdir()}
            report.case(f"{name}: {file} in the way", code == 1 and left == {file: "mine"} and "--force" in err,
                        f"exit {code}, {sorted(left)}: {one_line(err, 120)}")
        command(*args, "-o", out, "--force")
        report.case(f"{name}: --force", (out / file).read_text() != "mine" and (out / "config.json").exists())


def main(report, tmp):
    safetensors, transformers = import_all()
    report.attempt("sample", check_sample, report, tmp, safetensors, transformers)
    report.attempt("merge", check_merge, report, tmp)
    report.attempt("unknown family", check_unknown, report, tmp)
    report.attempt("in the way", check_in_the_way, report, tmp)
    for family in FAMILIES:
        report.attempt(family.name, check_family, report, family, tmp, safetensors, transformers)


if __name__ == "__main__":
    run(main)
