# SPDX-License-Identifier: MIT
"""The engine beside llama.cpp on GGUF files that no Hugging Face folder was packed to: families and layouts of
graph_models.py, their logits within 1e-3 of the deviation, the same token by token.
"""
import numpy as np

import llama
from families import BY_NAME
from gguf_file import read_metadata
from graph_models import MODELS, fuse_experts
from harness import pack_one, run
from test_engine import HALF_LIMIT, LIMIT, LONG_PROMPT, distance, engine_logits, usual_distance


def check_graph_model(report, model, vocab, tmp):
    """One row of the table: a family that the engine runs, whether it is packed or not."""
    path, out = model.write(tmp / "model.gguf", vocab), tmp / "logits.bin"
    prompt = np.random.default_rng(model.seed).integers(3, len(vocab["tokenizer.ggml.tokens"]) - 2, LONG_PROMPT)
    with llama.Model(path) as peer:
        theirs, n_vocab = peer.logits(prompt, 256), peer.n_vocab
    ours = engine_logits(path, prompt, 256, n_vocab, out)
    worst = distance(ours, theirs)
    report.case(f"{model.name}: llama.cpp's logits", worst < LIMIT, f"{worst:.2g} of the deviation")
    steps = engine_logits(path, prompt, 256, n_vocab, out, command="steps", n_threads=2)
    report.case(f"{model.name}: token by token", np.array_equal(steps, ours), f"{distance(steps, ours):.2g}")
    half = engine_logits(path, prompt, 256, n_vocab, out, kv="F16")
    usual = usual_distance(half, ours)
    report.case(f"{model.name}: keys and values in F16", 0 < usual < HALF_LIMIT, f"{usual:.2g} in most rows")
    if "ffn_gate_exps.weight" in model.mixture:
        fused = engine_logits(model.write(tmp / "fused.gguf", vocab, fuse_experts), prompt, 256, n_vocab, out)
        report.case(f"{model.name}: gate and up in one", np.array_equal(fused, ours), f"{distance(fused, ours):.2g}")


def main(report, tmp):
    llama.lib()
    vocab = read_metadata(pack_one(tmp / "vocab", BY_NAME["mistral"].write(tmp / "vocab-base"), "-t", "F32"))
    for model in MODELS:
        report.attempt(model.name, check_graph_model, report, model, vocab, tmp)


if __name__ == "__main__":
    run(main)
