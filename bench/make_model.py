#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a random Llama as training would leave it: config.json, tokenizer.json, model.safetensors; and a LoRA for it.

Weights are drawn from a table of 65,536 equally likely quantiles of a normal distribution (standard deviation 0.02,
norms about 1), which BF16 could not tell from the real thing, so that a billion of them cost seconds. The same seed
gives the same bytes.

    bench/make_model.py --preset 1b /tmp/llama-1b
    bench/make_model.py --preset small --adapter 16 /tmp/llama-small        # and /tmp/llama-small/adapter
"""
import argparse
import json
import struct
import time
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import NormalDist
from string import ascii_lowercase

import numpy as np

CHUNK = 1 << 16  # weights drawn at a time: indices and values stay in the cache
N_SPECIAL = 256
N_MERGES_MAX = 280_147  # as many as Llama 3 has
LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                r"|\s*[\r\n]+|\s+(?!\S)|\s+")
BOS, EOS, EOT = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"


@dataclass(frozen=True)
class Shape:
    """What decides the sizes; widths in elements."""

    layers: int = 16
    embd: int = 2048
    ff: int = 8192
    heads: int = 32
    kv_heads: int = 8
    vocab: int = 128_256
    tied: bool = True
    dtype: str = "BF16"
    seed: int = 1

    @property
    def head_dim(self):
        return self.embd // self.heads

    def linears(self):
        """[(module, rows, columns)] of one layer."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return [("self_attn.q_proj", q, self.embd), ("self_attn.k_proj", kv, self.embd),
                ("self_attn.v_proj", kv, self.embd), ("self_attn.o_proj", self.embd, q),
                ("mlp.gate_proj", self.ff, self.embd), ("mlp.up_proj", self.ff, self.embd),
                ("mlp.down_proj", self.embd, self.ff)]

    def tensors(self):
        """{name: (shape, mean, standard deviation)} in the file's order."""
        norm = ((self.embd,), 1.0, 0.05)
        found = {"model.embed_tokens.weight": ((self.vocab, self.embd), 0.0, 0.02)}
        for i in range(self.layers):
            layer = f"model.layers.{i}."
            found[layer + "input_layernorm.weight"] = found[layer + "post_attention_layernorm.weight"] = norm
            found |= {f"{layer}{module}.weight": ((rows, cols), 0.0, 0.02) for module, rows, cols in self.linears()}
        found["model.norm.weight"] = norm
        if not self.tied:
            found["lm_head.weight"] = ((self.vocab, self.embd), 0.0, 0.02)
        return found

    def n_weights(self):
        return sum(int(np.prod(shape)) for shape, _, _ in self.tensors().values())

    def size_bytes(self):
        return self.n_weights() * (4 if self.dtype == "F32" else 2)


PRESETS = {"1b": Shape(), "small": Shape(layers=4, embd=512, ff=1536, heads=8, kv_heads=2, vocab=32_000)}


def quantiles():
    """65,536 equally likely values of the standard normal distribution."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse((i + 0.5) / 65536) for i in range(65536)])


def as_dtype(values, dtype):
    """float64 values as the bit patterns of BF16 (rounded to nearest even), F16 or F32."""
    if dtype == "F16":
        return values.astype(np.float16)
    f32 = values.astype(np.float32)
    if dtype == "F32":
        return f32
    bits = f32.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_safetensors(path, tensors, dtype, seed):
    """Writes random tensors, {name: (shape, mean, standard deviation)}, a few at a time in memory."""
    size, offset, header = 4 if dtype == "F32" else 2, 0, {"__metadata__": {"format": "pt"}}
    for name, (shape, _, _) in tensors.items():
        end = offset + int(np.prod(shape)) * size
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng, normal, tables = np.random.Generator(np.random.SFC64(seed)), quantiles(), {}
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for shape, mean, deviation in tensors.values():
            if (mean, deviation) not in tables:
                tables[mean, deviation] = as_dtype(mean + deviation * normal, dtype)
            left = int(np.prod(shape))
            while left > 0:
                n = min(left, CHUNK)
                file.write(tables[mean, deviation].take(rng.integers(0, 65536, n, dtype=np.uint16)))
                left -= n


def byte_alphabet():
    """The 256 characters of byte-level BPE: printable Latin-1 as it is, the others from U+0100 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + n) for n in range(len(others))]


def vocabulary(n_vocab):
    """(tokens, merges, special tokens): the byte alphabet, then words of two, three and four letters, every one with
    the merges that lead to it, then the special ones."""
    if n_vocab < 256 + N_SPECIAL:
        raise SystemExit(f"make_model: --vocab {n_vocab}: at least {256 + N_SPECIAL}")
    tokens, n_plain = byte_alphabet(), n_vocab - N_SPECIAL
    for length in (2, 3, 4):
        words = product(ascii_lowercase, repeat=length)
        tokens += ["".join(word) for word, _ in zip(words, range(n_plain - len(tokens)))]
    if len(tokens) < n_plain:
        raise SystemExit(f"make_model: --vocab {n_vocab}: at most {len(tokens) + N_SPECIAL}")
    known = set(tokens)
    merges = [(token[:cut], token[cut:]) for cut in (1, 2, 3) for token in tokens
              if cut < len(token) and token[:cut] in known and token[cut:] in known]
    special = [f"<|reserved_special_token_{i}|>" for i in range(N_SPECIAL)]
    special[0], special[1], special[9] = BOS, EOS, EOT
    return tokens, [f"{a} {b}" for a, b in merges[:N_MERGES_MAX]], special


def write_tokenizer(folder, n_vocab):
    tokens, merges, special = vocabulary(n_vocab)
    added = [{"id": len(tokens) + i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for i, text in enumerate(special)]
    split = {"type": "Split", "pattern": {"Regex": LLAMA3_SPLIT}, "behavior": "Isolated", "invert": False}
    levels = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
             "vocab": {text: i for i, text in enumerate(tokens)}, "merges": merges}
    content = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
               "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, levels]},
               "post_processor": levels | {"trim_offsets": False}, "decoder": levels, "model": model}
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    config = {"bos_token": BOS, "eos_token": EOT, "model_max_length": 131072, "clean_up_tokenization_spaces": True,
              "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def config_json(shape):
    first_special = shape.vocab - N_SPECIAL
    dtype = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[shape.dtype]
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": dtype,
            "hidden_size": shape.embd, "intermediate_size": shape.ff, "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads, "head_dim": shape.head_dim,
            "vocab_size": shape.vocab, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "hidden_act": "silu",
            "rope_theta": 500000.0, "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": shape.tied,
            "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                             "original_max_position_embeddings": 8192},
            "bos_token_id": first_special, "eos_token_id": first_special + 9}


def make_model(folder, shape):
    """Writes the model; config.json comes last, so that a folder which has it is whole. Returns the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder, shape.vocab)
    write_safetensors(folder / "model.safetensors", shape.tensors(), shape.dtype, shape.seed)
    (folder / "config.json").write_text(json.dumps(config_json(shape), indent=2), encoding="utf-8")
    return folder


def make_adapter(folder, shape, rank):
    """Writes an rsLoRA adapter on all seven linear layers, as PEFT saves it. Returns the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for i in range(shape.layers):
        for module, rows, cols in shape.linears():
            name = f"base_model.model.model.layers.{i}.{module}.lora_"
            tensors[name + "A.weight"] = ((rank, cols), 0.0, cols ** -0.5)
            tensors[name + "B.weight"] = ((rows, rank), 0.0, 0.002)
    write_safetensors(folder / "adapter_model.safetensors", tensors, "F32", shape.seed + 1)
    modules = [module.split(".")[1] for module, _, _ in shape.linears()]
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "random-llama", "r": rank,
              "lora_alpha": 2 * rank, "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": False, "use_rslora": True,
              "use_dora": False, "inference_mode": True, "target_modules": modules, "modules_to_save": None,
              "rank_pattern": {}, "alpha_pattern": {}}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return folder


def shape_options(parser):
    """Adds --preset and the sizes that change it."""
    parser.add_argument("--preset", choices=PRESETS, default="1b", help="sizes to start from (default 1b)")
    for name, meaning in (("layers", "layers"), ("embd", "width"), ("ff", "width of the MLP"),
                          ("heads", "attention heads"), ("kv-heads", "key and value heads"), ("vocab", "tokens"),
                          ("seed", "of the random numbers")):
        parser.add_argument(f"--{name}", type=int, metavar="N", help=meaning)
    parser.add_argument("--dtype", choices=["BF16", "F16", "F32"], help="type of the weights (default BF16)")


def shape_of(options):
    """The shape that shape_options() describe."""
    given = {name: getattr(options, name) for name in asdict(Shape()) if getattr(options, name, None) is not None}
    return replace(PRESETS[options.preset], **given)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    shape_options(parser)
    parser.add_argument("--adapter", type=int, metavar="RANK", help="also write an rsLoRA adapter to FOLDER/adapter")
    options = parser.parse_args()
    shape, start = shape_of(options), time.monotonic()
    make_model(options.folder, shape)
    if options.adapter:
        make_adapter(options.folder / "adapter", shape, options.adapter)
    print(f"{options.folder}: {shape.n_weights() / 1e6:,.1f} million weights, {shape.size_bytes() / 1e6:,.0f} MB, "
          f"{time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
