# SPDX-License-Identifier: MIT
"""Small tokenizers for model folders made by the tests.

`spm` is the sample's SentencePiece model. The byte-level BPE ones are made here: 256 byte tokens, a few merges, two
special tokens, and the pre-tokenizer of the family that they stand for.
"""
import json
import shutil

from harness import MILLER_BASE

MERGES = ["t h", "th e", "Ġ the", "i n", "a n", "an d", "Ġ and", "Ġ a", "e r", "o u", "Ġ t", "r e", "in g", "Ġ s",
          "o n", "l l", "o r", "Ġ w", "e n", "Ġ th"]
SPECIAL = ["<|endoftext|>", "<|im_end|>"]
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS = {"qwen2": CONTRACTIONS + r"\p{N}" + TAIL, "llama3": CONTRACTIONS + r"\p{N}{1,3}" + TAIL}

# what tokenizer.ggml.pre must say
PRE_NAMES = {"gpt2": "gpt-2", "qwen2": "qwen2", "llama3": "llama-bpe", "spm": "default"}


def byte_alphabet():
    """The 256 characters of byte-level BPE: printable Latin-1 as it is, the others from U+0100 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    table = {b: chr(b) for b in plain} | {b: chr(256 + n) for n, b in enumerate(others)}
    return [table[b] for b in range(256)]


def bpe_vocabulary():
    """{text: id} without the special tokens."""
    tokens = byte_alphabet() + [merge.replace(" ", "") for merge in MERGES]
    return {text: i for i, text in enumerate(tokens)}


N_BPE = 256 + len(MERGES) + len(SPECIAL)
N_SPM = 2048


def n_tokens(kind):
    return N_SPM if kind == "spm" else N_BPE


def _pre_tokenizer(kind):
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": kind == "gpt2"}
    if kind == "gpt2":
        return byte_level
    split = {"type": "Split", "pattern": {"Regex": SPLITS[kind]}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, byte_level]}


def _added_token(text, token_id):
    return {"id": token_id, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True}


def tokenizer_json(kind, extra_added=()):
    """The content of tokenizer.json; extra_added are further special tokens after the usual two."""
    vocabulary = bpe_vocabulary()
    added = [_added_token(text, len(vocabulary) + n) for n, text in enumerate([*SPECIAL, *extra_added])]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": {"type": "NFC"} if kind == "qwen2" else None, "pre_tokenizer": _pre_tokenizer(kind),
            "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False,
                               "use_regex": True},
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                      "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False,
                      "ignore_merges": kind == "llama3", "vocab": vocabulary, "merges": MERGES}}


def write_tokenizer(folder, kind, extra_added=()):
    """Writes the tokenizer files of one kind into a model (or adapter) folder."""
    if kind == "spm":
        for name in ("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"):
            shutil.copyfile(MILLER_BASE / name, folder / name)
        return
    content = tokenizer_json(kind, extra_added)
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    config = {"bos_token": SPECIAL[0], "eos_token": SPECIAL[0], "add_bos_token": False, "model_max_length": 512,
              "added_tokens_decoder": {str(t["id"]): {k: v for k, v in t.items() if k != "id"}
                                       for t in content["added_tokens"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
