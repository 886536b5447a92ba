# SPDX-License-Identifier: MIT
"""Real tokenizers, packed, beside the reference vocabulary files: tokens, types, scores, merges, special ids, pre.

llama.cpp also loads each and must give the ids that stand beside the reference file. The tokenizers are in the shared
data; without them the test is skipped. What may differ, and why, is in TOLERATED.
"""
import json
import shutil
from dataclasses import dataclass, field

import numpy as np
from safetensors.numpy import save_file

import llama
from families import decoder_shapes, gpt2_shapes, small_config
from gguf_file import read_metadata
from harness import one_line, pack_one, quern, run, shared
from tiny_tokenizers import write_tokenizer

LLAMA2, LLAMA2_HF, TINYLLAMA = "tokenizer-llama2-spm/", "tokenizer-llama2-hf/", "tokenizer-tinyllama-hf/"
PHI3, QWEN3, QWEN25 = "tokenizer-phi-3-hf/", "tokenizer-qwen3/", "peft-qwen2.5/"


@dataclass
class Case:
    """A tokenizer in a model folder of some family."""

    name: str
    reference: str  # ggml-vocab-{reference}.gguf
    kind: str  # model_type of config.json
    architecture: str
    n_vocab: int
    bos: int
    eos: int
    files: list  # paths in the data folder, or (path, name in the model folder)
    options: list = field(default_factory=list)
    template: str = ""  # the file that tokenizer.chat_template must equal


LLAMA = ("llama", "LlamaForCausalLM")
CASES = [
    Case("llama-2: tokenizer.model and tokenizer.json", "llama-spm", *LLAMA, 32000, 1, 2,
         [LLAMA2 + "tokenizer.model", LLAMA2_HF + "tokenizer.json", LLAMA2_HF + "tokenizer_config.json",
          LLAMA2_HF + "special_tokens_map.json"]),
    Case("tinyllama: tokenizer.model with an added_tokens_decoder", "llama-spm", *LLAMA, 32000, 1, 2,
         [TINYLLAMA + name for name in ("tokenizer.model", "tokenizer.json", "tokenizer_config.json",
                                        "special_tokens_map.json")]),
    Case("llama-2: tokenizer.json alone", "llama-spm", *LLAMA, 32000, 1, 2,
         [LLAMA2_HF + "tokenizer.json", LLAMA2_HF + "tokenizer_config.json"]),
    Case("llama-3: tiktoken tokenizer.model", "llama-bpe", *LLAMA, 128256, 128000, 128001,
         ["tokenizer-llama3-tiktoken/tokenizer.model"]),
    Case("llama-3.2: vocab.json and merges.txt", "llama-bpe", *LLAMA, 128256, 128000, 128001,
         [("tokenizer-llama3.2-bpe/encoder.json", "vocab.json"), ("tokenizer-llama3.2-bpe/vocab.bpe", "merges.txt")],
         ["--pre", "llama-bpe"]),
    Case("gpt-2: tokenizer.json", "gpt-2", "gpt2", "GPT2LMHeadModel", 50257, 50256, 50256,
         ["tokenizer-gpt2-hf/tokenizer.json", "tokenizer-gpt2-hf/tokenizer_config.json"]),
    Case("gpt-2: vocab.json and merges.txt", "gpt-2", "gpt2", "GPT2LMHeadModel", 50257, 50256, 50256,
         ["tokenizer-gpt2-bpe/vocab.json", "tokenizer-gpt2-bpe/merges.txt",
          "tokenizer-gpt2-hf/tokenizer_config.json"]),
    Case("qwen3: vocab.json and merges.txt", "qwen2", "qwen3", "Qwen3ForCausalLM", 151936, 151643, 151645,
         [QWEN3 + name for name in ("vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json",
                                    "special_tokens_map.json", "chat_template.jinja")],
         template=QWEN3 + "chat_template.jinja"),
    Case("qwen2.5: vocab.json and merges.txt", "qwen2", "qwen2", "Qwen2ForCausalLM", 151936, 151643, 151645,
         [QWEN25 + name for name in ("vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json",
                                     "special_tokens_map.json")]),
    Case("phi-3: tokenizer.json alone", "phi-3", "phi3", "Phi3ForCausalLM", 32064, 1, 32000,
         [PHI3 + "tokenizer.json", PHI3 + "tokenizer_config.json"]),
    Case("phi-3: tokenizer.model and tokenizer.json", "phi-3", "phi3", "Phi3ForCausalLM", 32064, 1, 32000,
         [LLAMA2 + "tokenizer.model", PHI3 + "tokenizer.json", PHI3 + "tokenizer_config.json"]),
    Case("falcon: tokenizer.json", "falcon", *LLAMA, 65024, 11, 11, ["tokenizer-falcon-hf/tokenizer.json"]),
]

ALL = range(1 << 20)
SOURCE_HAS_NO_SCORES = "tokenizer.json holds merges, not scores; the ids prove that the order is the same"
NEWER_RULE = "the reference file is older than the rule that added_tokens_decoder sets type control and score -1000"
PADDING = "padding is type unused now; the reference file is older"

# (case, aspect): [(ids, why they may differ)]
TOLERATED = {
    ("tinyllama: tokenizer.model with an added_tokens_decoder", "scores"): [(range(3), NEWER_RULE)],
    ("tinyllama: tokenizer.model with an added_tokens_decoder", "types"): [(range(3), NEWER_RULE)],
    ("llama-2: tokenizer.json alone", "tokens"): [
        ((8655, 17891, 20246, 30081), "this copy of tokenizer.json has plain spaces where the model has no-break spaces")],
    ("llama-2: tokenizer.json alone", "scores"): [(ALL, SOURCE_HAS_NO_SCORES)],
    ("llama-2: tokenizer.json alone", "types"): [(range(1), "<unk> is special: control, or unknown")],
    ("llama-3: tiktoken tokenizer.model", "merges"): [
        (ALL, "recovered from ranks: only the split that the encoder reaches; the ids prove that it is enough")],
    ("llama-3: tiktoken tokenizer.model", "tokens"): [
        (range(128002, 128256), "Meta's present names of reserved tokens; the reference has those of 3.0")],
    ("llama-3.2: vocab.json and merges.txt", "tokens"): [
        (range(128000, 128256), "the two files do not hold the special tokens")],
    ("llama-3.2: vocab.json and merges.txt", "types"): [
        (range(128000, 128256), "the two files do not hold the special tokens")],
    ("gpt-2: vocab.json and merges.txt", "types"): [
        (range(50256, 50257), "vocab.json does not say that <|endoftext|> is special")],
    ("qwen3: vocab.json and merges.txt", "tokens"): [(range(151646, 151936), "tokens added since Qwen2")],
    ("qwen3: vocab.json and merges.txt", "types"): [(range(151646, 151936), "tokens added since Qwen2; " + PADDING)],
    ("qwen2.5: vocab.json and merges.txt", "tokens"): [(range(151646, 151936), "tokens added since Qwen2")],
    ("qwen2.5: vocab.json and merges.txt", "types"): [(range(151646, 151936), "tokens added since Qwen2; " + PADDING)],
    ("phi-3: tokenizer.json alone", "scores"): [(ALL, SOURCE_HAS_NO_SCORES)],
    ("phi-3: tokenizer.json alone", "types"): [
        (range(3), "special here; user-defined in the older tokenizer of the reference"),
        (range(32011, 32064), PADDING)],
    ("phi-3: tokenizer.model and tokenizer.json", "scores"): [(range(3), NEWER_RULE)],
    ("phi-3: tokenizer.model and tokenizer.json", "types"): [
        (range(3), "special here; user-defined in the older tokenizer of the reference"),
        (range(32011, 32064), PADDING)],
}

ASPECTS = {"tokens": "tokenizer.ggml.tokens", "types": "tokenizer.ggml.token_type",
           "scores": "tokenizer.ggml.scores", "merges": "tokenizer.ggml.merges"}


def write_model(folder, case, data):
    """A model of zeros in half precision around the tokenizer."""
    folder.mkdir()
    if case.kind == "gpt2":
        config = {"architectures": [case.architecture], "model_type": "gpt2", "n_embd": 32, "n_head": 2, "n_layer": 1,
                  "n_positions": 64, "n_ctx": 64, "vocab_size": case.n_vocab, "layer_norm_epsilon": 1e-5,
                  "bos_token_id": case.bos, "eos_token_id": case.eos}
    else:
        config = small_config(case.kind, case.architecture, "spm", hidden_size=32, intermediate_size=32,
                              num_hidden_layers=1, num_attention_heads=2, head_dim=16, tie_word_embeddings=True,
                              vocab_size=case.n_vocab, bos_token_id=case.bos, eos_token_id=case.eos,
                              torch_dtype="float16")
        if case.kind == "phi3":
            config |= {"original_max_position_embeddings": 512, "sliding_window": 262144}
    (folder / "config.json").write_text(json.dumps(config))
    shapes = gpt2_shapes(config) if case.kind == "gpt2" else decoder_shapes(config)
    save_file({name: np.zeros(shape, np.float16) for name, shape in shapes.items()},
              str(folder / "model.safetensors"), metadata={"format": "pt"})
    for file in case.files:
        source, name = file if isinstance(file, tuple) else (file, file.rsplit("/", 1)[1])
        shutil.copyfile(data / source, folder / name)
    return folder


def check_aspect(report, case, aspect, ours, theirs):
    """One array, value by value; ids that TOLERATED names may differ."""
    key = ASPECTS[aspect]
    found, expected = list(ours.get(key, [])), list(theirs.get(key, []))
    if not found and not expected:
        return
    allowed = TOLERATED.get((case.name, aspect), [])
    differing = [i for i in range(max(len(found), len(expected)))
                 if i >= len(found) or i >= len(expected) or found[i] != expected[i]]
    wrong = [i for i in differing if not any(i in ids for ids, _ in allowed)]
    detail = f"{len(expected)} equal"
    if wrong:
        i = wrong[0]
        detail = (f"{len(wrong)} of {len(expected)} differ ({len(found)} in ours), first {i}: "
                  f"{found[i] if i < len(found) else None!r}, expected {expected[i] if i < len(expected) else None!r}")
    elif differing:
        detail = f"{len(differing)} of {len(expected)} differ: " + "; ".join(why for _, why in allowed)
    report.case(f"{case.name}: {aspect}", not wrong, detail)


def check_names(report, case, ours, theirs):
    """Model and pre-tokenizer names as in the reference, special ids as in the folder, flags where both say them."""
    expected = {key: theirs[key] for key in ("tokenizer.ggml.model", "tokenizer.ggml.pre")}
    expected |= {"tokenizer.ggml.bos_token_id": case.bos, "tokenizer.ggml.eos_token_id": case.eos}
    expected |= {key: theirs[key] for key in ("tokenizer.ggml.unknown_token_id", "tokenizer.ggml.padding_token_id",
                                              "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token")
                 if key in theirs and key in ours}
    if case.reference == "qwen2":  # Qwen2's base padded with <|endoftext|>, Qwen3 pads with <|vision_pad|>
        expected.pop("tokenizer.ggml.padding_token_id", None)
    if case.name.startswith("tinyllama"):
        expected["tokenizer.ggml.padding_token_id"] = 2
    wrong = [f"{key} is {ours.get(key)!r}, expected {value!r}" for key, value in expected.items()
             if ours.get(key) != value]
    report.case(f"{case.name}: model, pre and special ids", not wrong,
                "; ".join(wrong) or f"{ours['tokenizer.ggml.model']}, {ours['tokenizer.ggml.pre']}")


def check_ids(report, case, path, reference):
    """llama.cpp's ids for the texts beside the reference file."""
    texts = reference.with_name(reference.name + ".inp").read_bytes().split(b"\n__ggml_vocab_test__\n")
    lines = reference.with_name(reference.name + ".out").read_text().split("\n")
    with llama.Model(path, vocab_only=True) as model:
        wrong = [(text, ids) for text, line in zip(texts, lines, strict=True)
                 if (ids := model.tokenize(text, False, False)) != [int(number) for number in line.split()]]
    report.case(f"{case.name}: ids of {len(texts)} texts", not wrong,
                f"{len(wrong)} differ, first {wrong[0][0]!r}: {wrong[0][1][:12]}" if wrong else "")


def check_case(report, case, data, tmp):
    reference = data / f"vocab-gguf/ggml-vocab-{case.reference}.gguf"
    base = write_model(tmp / "base", case, data)
    path = pack_one(tmp / "out", base, "-t", "F16", "--name", "tiny", *case.options)
    ours, theirs = read_metadata(path), read_metadata(reference)
    check_names(report, case, ours, theirs)
    for aspect in ASPECTS:
        check_aspect(report, case, aspect, ours, theirs)
    if case.template:
        report.case(f"{case.name}: chat template", ours.get("tokenizer.chat_template") ==
                    (data / case.template).read_text(encoding="utf-8"))
    check_ids(report, case, path, reference)


def check_unknown_regex(report, tmp):
    """A pre-tokenizer that no name fits: the message shows it and names --pre, which then decides."""
    config = small_config("qwen2", "Qwen2ForCausalLM", "qwen2", num_hidden_layers=1)
    folder = tmp / "unknown"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: np.zeros(shape, np.float16) for name, shape in decoder_shapes(config).items()},
              str(folder / "model.safetensors"), metadata={"format": "pt"})
    write_tokenizer(folder, "qwen2")
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"[aeiou]{7}|\s+"
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    code, _, err = quern("pack", folder, "-t", "F16", "-o", tmp / "unknown-out")
    report.case("unknown pre-tokenizer: refused", code in (1, 3) and "[aeiou]{7}" in err and "--pre" in err,
                f"exit {code}: {one_line(err, 200)}")
    path = pack_one(tmp / "named-out", folder, "-t", "F16", "--pre", "qwen2")
    pre = read_metadata(path)["tokenizer.ggml.pre"]
    report.case("unknown pre-tokenizer: --pre decides", pre == "qwen2", pre)


def main(report, tmp):
    llama.lib()
    data = shared("data")
    for i, case in enumerate(CASES):
        folder = tmp / str(i)
        folder.mkdir()
        report.attempt(case.name, check_case, report, case, data, folder)
        shutil.rmtree(folder)
    report.attempt("unknown pre-tokenizer", check_unknown_regex, report, tmp)


if __name__ == "__main__":
    run(main)
