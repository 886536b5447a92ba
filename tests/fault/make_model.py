# SPDX-License-Identifier: MIT
"""Writes a random Llama of a few tens of megabytes (BF16 safetensors) with the bundled sample's tokenizer.

    make_model.py DIR [N_LAYERS]     standard library only; the same bytes every time
"""
import json
import random
import shutil
import struct
import sys
from pathlib import Path

BASE = Path(__file__).resolve().parents[2] / "samples" / "miller-base"
N_EMBD, N_FF, N_HEAD, N_HEAD_KV = 512, 1536, 8, 4


def shapes(n_layers, n_vocab):
    yield "model.embed_tokens.weight", (n_vocab, N_EMBD)
    n_kv = N_EMBD * N_HEAD_KV // N_HEAD
    for i in range(n_layers):
        prefix = f"model.layers.{i}."
        yield prefix + "input_layernorm.weight", (N_EMBD,)
        yield prefix + "self_attn.q_proj.weight", (N_EMBD, N_EMBD)
        yield prefix + "self_attn.k_proj.weight", (n_kv, N_EMBD)
        yield prefix + "self_attn.v_proj.weight", (n_kv, N_EMBD)
        yield prefix + "self_attn.o_proj.weight", (N_EMBD, N_EMBD)
        yield prefix + "post_attention_layernorm.weight", (N_EMBD,)
        yield prefix + "mlp.gate_proj.weight", (N_FF, N_EMBD)
        yield prefix + "mlp.up_proj.weight", (N_FF, N_EMBD)
        yield prefix + "mlp.down_proj.weight", (N_EMBD, N_FF)
    yield "model.norm.weight", (N_EMBD,)
    yield "lm_head.weight", (n_vocab, N_EMBD)


def random_bf16(rng, n):
    """n finite values between 2^-8 and 2^0 in size, either sign: an exponent byte from a small range."""
    low = rng.randbytes(n)
    high = rng.randbytes(n).translate(bytes((0x80 if b & 1 else 0) | 0x3C | (b >> 1) % 3 for b in range(256)))
    out = bytearray(2 * n)
    out[0::2] = low
    out[1::2] = high
    return out


def make_model(folder, n_layers):
    """Makes the folder; returns the bytes of its weights."""
    rng = random.Random(20260101)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = json.loads((BASE / "config.json").read_text())
    config.update(hidden_size=N_EMBD, intermediate_size=N_FF, num_hidden_layers=n_layers, num_attention_heads=N_HEAD,
                  num_key_value_heads=N_HEAD_KV, head_dim=N_EMBD // N_HEAD, tie_word_embeddings=False,
                  torch_dtype="bfloat16")
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    for path in BASE.iterdir():
        if path.name not in ("config.json", "model.safetensors"):
            shutil.copyfile(path, folder / path.name)

    header, offset = {}, 0
    for name, shape in shapes(n_layers, config["vocab_size"]):
        n = 2 * shape[0] * (shape[1] if len(shape) == 2 else 1)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + n]}
        offset += n
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for entry in header.values():
            begin, end = entry["data_offsets"]
            file.write(random_bf16(rng, (end - begin) // 2))
    return offset


if __name__ == "__main__":
    size = make_model(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10)
    print(f"{sys.argv[1]}: {size} bytes of weights")
