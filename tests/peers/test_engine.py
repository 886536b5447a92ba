# SPDX-License-Identifier: MIT
"""The engine beside llama.cpp, on the same files: logits of every family, and the sample's 40 answers.

Logits agree within 1e-3 of their standard deviation, on prompts longer than the sliding window, the batch and the
original context, whether tokens come in batches or one by one. llama.cpp's GELU is a table of half-precision values, so
that Gemma's and GPT-2's logits are also held, more tightly, against a float64 forward pass without that table.
"""
import json
import os
import subprocess
from pathlib import Path

import numpy as np

import forward_pass
import llama
from families import FAMILIES, Family, n_experts, small_config
from harness import MILLER_BASE, MILLER_RUN, ROOT, SAMPLES, one_line, pack, pack_one, run
from test_answers import EXPECTED, N_CTX, prompt_of
from tiny_tokenizers import n_tokens

LIMIT = 1e-3  # of the logits' standard deviation
HALF_LIMIT = 0.05  # with keys and values in F16: what rounding them makes of it in models this peaked
N_BATCH = 32
LONG_PROMPT = 150
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}

# Traits that the pack tests do not look at, because no tensor shows them. llama.cpp reads YaRN's other betas from the
# files of a few other families only, so that they have the defaults here.
MORE = [
    Family("llama-linear", small_config("llama", "LlamaForCausalLM", "spm", rope_scaling={
        "rope_type": "linear", "factor": 4.0}), "spm", (), seed=21),
    Family("qwen2-yarn", small_config("qwen2", "Qwen2ForCausalLM", "qwen2", rope_theta=10000.0, rope_scaling=YARN,
                                      max_position_embeddings=256), "qwen2", (), seed=22),
    Family("qwen3-yarn", small_config("qwen3", "Qwen3ForCausalLM", "qwen2", head_dim=32, max_position_embeddings=256,
                                      rope_scaling=YARN), "qwen2", (), seed=23),
    Family("llama-multi-query", small_config("llama", "LlamaForCausalLM", "spm", num_attention_heads=8,
                                             num_key_value_heads=1), "spm", (), seed=24),
]


def tool():
    folder = Path(os.environ.get("QUERN_BUILD") or ROOT / "build")
    return folder / "tests/peers/engine_logits"


def engine(path, lines, n_ctx, n_batch=N_BATCH, n_threads=1, kv="F32", adapters=()):
    """Runs commands of engine_logits.c; the lines it prints. adapters: (path, scale) each."""
    words = [str(word) for pair in adapters for word in pair]
    done = subprocess.run([str(tool()), str(path), str(n_ctx), str(n_batch), str(n_threads), kv, *words],
                          input="\n".join(lines) + "\n", capture_output=True, timeout=600, check=False, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"engine_logits {path}: exit {done.returncode}: {one_line(done.stderr)}")
    return done.stdout.splitlines()


def engine_logits(path, tokens, n_ctx, n_vocab, out, command="logits", **options):
    engine(path, [f"{command} {out} {' '.join(map(str, tokens))}"], n_ctx, **options)
    return np.fromfile(out, dtype=np.float32).reshape(len(tokens), n_vocab)


def distance(ours, theirs):
    """The largest difference, in standard deviations of theirs."""
    return float(np.abs(ours - theirs).max() / theirs.std()) if np.isfinite(ours).all() else np.inf


def usual_distance(ours, theirs):
    """The same of the middle row: where values are rounded, some rows go to other experts."""
    return float(np.median(np.abs(ours - theirs).max(axis=1)) / theirs.std())


def exact_logits(family, prompt, n_ctx):
    """The forward pass with GELU in float64, not in llama.cpp's table."""
    rounded = forward_pass.half_gelu
    forward_pass.half_gelu = forward_pass.gelu
    try:
        return forward_pass.forward(family.config, family.weights, prompt, (), n_ctx)
    finally:
        forward_pass.half_gelu = rounded


def long_prompt(family, n_ctx):
    config = family.config
    original = config.get("original_max_position_embeddings", 0)
    n = min(n_ctx, max(LONG_PROMPT, original + 50)) if n_ctx > original else LONG_PROMPT
    n = min(n, config.get("n_positions", n) - 1)
    return np.random.default_rng(family.seed + 7).integers(3, n_tokens(family.tokenizer) - 2, n)


def check_family(report, family, tmp):
    base = family.write(tmp / family.name)
    path = pack_one(tmp / (family.name + "-out"), base, "-t", "F32", "--name", "tiny")
    uses_gelu = family.config["model_type"] == "gpt2" or family.config["model_type"].startswith("gemma")
    with llama.Model(path) as model:
        for n_ctx in (family.n_ctx, *family.other_contexts):
            prompt = long_prompt(family, n_ctx)
            theirs = model.logits(prompt, n_ctx)
            out, n_vocab = tmp / "logits.bin", model.n_vocab
            ours = engine_logits(path, prompt, n_ctx, n_vocab, out)
            worst, place = distance(ours, theirs), f"{family.name}: context {n_ctx}, {len(prompt)} tokens"
            report.case(f"{place}: llama.cpp's logits", worst < LIMIT, f"{worst:.2g} of the deviation")
            if uses_gelu:
                worst = distance(ours, exact_logits(family, prompt, n_ctx))
                report.case(f"{place}: logits in float64", worst < LIMIT / 10, f"{worst:.2g}")
            steps = engine_logits(path, prompt, n_ctx, n_vocab, out, command="steps", n_threads=2)
            report.case(f"{place}: token by token", np.array_equal(steps, ours), f"{distance(steps, ours):.2g}")
            half = engine_logits(path, prompt, n_ctx, n_vocab, out, kv="F16")
            usual = usual_distance(half, ours) if n_experts(family.config) else distance(half, ours)
            report.case(f"{place}: keys and values in F16", 0 < usual < HALF_LIMIT, f"{usual:.2g}")


def count_answers(path, model, kv, adapters=()):
    """How many of the 40 questions the engine answers word for word; and the first wrong one."""
    questions = json.loads((SAMPLES / "miller-sft-questions.json").read_text())
    eog = ",".join(str(i) for i in range(model.n_vocab) if model.is_eog(i))
    prompts = [model.tokenize(prompt_of(entry["question"])) for entry in questions]
    lines = [f"greedy {N_CTX - len(prompt)} {eog} {' '.join(map(str, prompt))}" for prompt in prompts]
    n_right, wrong = 0, ""
    for entry, line in zip(questions, engine(path, lines, N_CTX, kv=kv, adapters=adapters), strict=True):
        answer = b"".join(model.piece(int(token)) for token in line.split()).decode("utf-8", "replace").strip()
        n_right += answer == entry["answer"]
        if answer != entry["answer"] and not wrong:
            wrong = f"; first wrong: {entry['question']!r} gives {answer[:60]!r}"
    return n_right, wrong


def check_answers(report, name, path):
    with llama.Model(path, vocab_only=True) as model:
        for kv in ("F32", "F16"):
            n_right, wrong = count_answers(path, model, kv)
            report.case(f"sample, {name}, keys and values in {kv}", n_right >= EXPECTED[name],
                        f"{n_right} of 40, at least {EXPECTED[name]}{wrong}")


def main(report, tmp):
    llama.lib()
    for family in FAMILIES + MORE:
        report.attempt(family.name, check_family, report, family, tmp)
    files = pack(tmp / "out", MILLER_BASE, "--run", MILLER_RUN, "--name", "miller", "-t", ",".join(EXPECTED))
    for name in EXPECTED:
        report.attempt(name, check_answers, report, name, files[f"miller-{name}.gguf"])


if __name__ == "__main__":
    run(main)
