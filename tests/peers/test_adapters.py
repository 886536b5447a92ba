# SPDX-License-Identifier: MIT
"""Adapters of every kind, merged by quern at F32 against a NumPy merge; and adapters that must be refused."""
import json
import tempfile
from pathlib import Path

import numpy as np

import llama
from adapters import Maker
from families import BY_NAME, gguf_tensors
from forward_pass import forward
from gguf_file import GgufFile, close
from harness import pack_one, quern, run
from tiny_tokenizers import write_tokenizer

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
GPT2_LINEAR = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
TOLERANCE = 2e-6  # of a tensor's largest value: float32 sums of a rank's products
DORA_TOLERANCE = 1e-5  # norms over a row or a column, too
EMBED, HEAD = "model.embed_tokens", "lm_head"


def maker(family, seed, **config):
    return Maker(BY_NAME[family].weights, seed, **config)


def plain():
    return [(maker("llama", 1).linear(*LINEAR).adapter, 1.0)]


def half_precision_old_names():
    adapter = maker("llama", 2).linear(*LINEAR).adapter
    adapter.dtype, adapter.old_names = np.float16, True
    return [(adapter, 1.0)]


def old_name_dora():
    adapter = maker("llama", 3, use_dora=True).linear("q_proj", "up_proj").adapter
    adapter.old_names = True
    return [(adapter, 1.0)]


def patterns():
    return [(maker("llama-bias", 4, rank_pattern={"q_proj": 4, "layers.1.mlp.down_proj": 16},
                   alpha_pattern={"k_proj": 3, "layers.2.mlp.up_proj": 40.0}).linear(*LINEAR).adapter, 1.0)]


def trained_biases(form):
    make = maker("qwen2", 5, bias="all").linear("q_proj", "k_proj", "v_proj")
    for module in make.modules("q_proj", "k_proj", "v_proj"):
        make.saved(f"{module}{form}")
    return [(make.adapter, 1.0)]


def trained_head():
    make = maker("qwen2-tied", 6, modules_to_save=["lm_head"]).linear("q_proj", "v_proj")
    return [(make.saved("lm_head.weight", make.weights[EMBED + ".weight"].shape).adapter, 1.0)]


def two_in_order():
    first = maker("llama", 7, r=4, lora_alpha=8).linear("q_proj", "down_proj").adapter
    second = maker("llama", 8, use_rslora=True).linear("q_proj", "v_proj").adapter
    return [(first, 0.5), (second, 1.5)]


def one(family, seed, linear, embedding=None, **config):
    make = maker(family, seed, **config).linear(*linear)
    return [((make.embedding(embedding) if embedding else make).adapter, 1.0)]


# name, family, adapters with their strengths, tolerance
MERGES = [
    ("LoRA", "llama", plain, TOLERANCE),
    ("LoRA, half precision, '.default' names", "llama", half_precision_old_names, TOLERANCE),
    ("LoRA of fused layers", "phi3", lambda: one("phi3", 9, ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")),
     TOLERANCE),
    ("rsLoRA", "mistral", lambda: one("mistral", 10, LINEAR, use_rslora=True), TOLERANCE),
    ("DoRA", "llama-bias", lambda: one("llama-bias", 11, LINEAR, use_dora=True), DORA_TOLERANCE),
    ("DoRA, '.weight' names", "llama", old_name_dora, DORA_TOLERANCE),
    ("rank_pattern, alpha_pattern", "llama-bias", patterns, TOLERANCE),
    ("fan_in_fan_out", "gpt2", lambda: one("gpt2", 12, GPT2_LINEAR, fan_in_fan_out=True), TOLERANCE),
    ("fan_in_fan_out, DoRA", "gpt2", lambda: one("gpt2", 13, GPT2_LINEAR, fan_in_fan_out=True, use_dora=True),
     DORA_TOLERANCE),
    ("embedding LoRA, tied", "gemma2", lambda: one("gemma2", 14, ("q_proj",), EMBED), TOLERANCE),
    ("embedding LoRA, untied", "qwen3", lambda: one("qwen3", 15, (), EMBED), TOLERANCE),
    ("embedding DoRA", "qwen2", lambda: one("qwen2", 16, ("o_proj",), EMBED, use_dora=True), DORA_TOLERANCE),
    ("LoRA of the head", "qwen2", lambda: one("qwen2", 17, ("q_proj",)) +
     [(_head_lora(), 1.0)], TOLERANCE),
    ("trained biases", "qwen2", lambda: trained_biases(".bias"), TOLERANCE),
    ("trained biases, '.base_layer' names", "qwen2", lambda: trained_biases(".base_layer.bias"), TOLERANCE),
    ("lora_bias, base has biases", "llama-bias", lambda: one("llama-bias", 18, LINEAR, lora_bias=True), TOLERANCE),
    ("lora_bias, base has none", "llama", lambda: one("llama", 19, ("q_proj", "k_proj", "o_proj"), lora_bias=True),
     TOLERANCE),
    ("modules_to_save: head of a tied model", "qwen2-tied", trained_head, TOLERANCE),
    ("two adapters with weights", "llama", two_in_order, TOLERANCE),
    ("LoRA of experts", "mixtral", lambda: one("mixtral", 22, ("q_proj", "w1", "w2", "w3")), TOLERANCE),
    ("DoRA of experts, shared expert and gates", "qwen2moe", lambda: one(
        "qwen2moe", 23, LINEAR + ("mlp.gate", "shared_expert_gate"), use_dora=True), DORA_TOLERANCE),
    ("DoRA at half strength", "llama", lambda: [(one("llama", 20, ("v_proj",), use_dora=True)[0][0], 0.5)],
     DORA_TOLERANCE),
]


def _head_lora():
    make = maker("qwen2", 21)
    n_vocab, width = make.weights[HEAD + ".weight"].shape
    make.adapter.tensors = {HEAD + ".lora_A.weight": make.random(8, width, size=width ** -0.5),
                            HEAD + ".lora_B.weight": make.random(n_vocab, 8, size=0.1)}
    return make.adapter


def merge_all(family, adapters):
    """The Hugging Face tensors after all adapters, float32."""
    weights = family.weights
    for adapter, strength in adapters:
        weights = adapter.merge(weights, strength)
    return {name: x.astype(np.float32) for name, x in weights.items()}


def adapter_options(tmp, adapters):
    options = []
    for i, (adapter, strength) in enumerate(adapters):
        folder = adapter.write(tmp / f"adapter-{i}")
        options += ["--adapter", f"{folder}:{strength}" if strength != 1.0 else folder]
    return options


def compare(file, expected, untouched, tolerance):
    """Problems of a packed file: tensors that differ from the expected ones (untouched ones must be equal)."""
    problems = [f"{x} is missing" for x in expected if x not in file.tensors]
    problems += [f"{x} is unexpected" for x in file.names if x not in expected]
    for tensor, values in expected.items():
        if tensor in file.tensors:
            holds, detail = close(file.f32(tensor), values, 0.0 if tensor in untouched else tolerance)
            problems += [] if holds else [f"{tensor}: {detail}"]
    return problems


def check_merge(report, case, tmp):
    name, family_name, build, tolerance = case
    family, adapters = BY_NAME[family_name], build()
    merged = merge_all(family, adapters)
    expected, before = (gguf_tensors(family.config, weights) for weights in (merged, family.weights))
    untouched = {x for x, values in expected.items() if x in before and np.array_equal(values, before[x])
                 and not x.startswith("rope_")}
    base = family.write(tmp / "base")
    path = pack_one(tmp / "out", base, *adapter_options(tmp, adapters), "-t", "F32", "--name", "tiny")
    file = GgufFile(path)
    problems = compare(file, expected, untouched, tolerance)
    report.case(f"{name} ({family_name})", not problems,
                "; ".join(problems[:4]) or f"{len(expected) - len(untouched)} of {len(expected)} tensors changed")
    check_logits(report, name, family, merged, path)


def check_logits(report, name, family, merged, path, adapter=None):
    """llama.cpp runs the merged file (or the base with the LoRA file) and gives the logits of the merged weights."""
    expected = forward(family.config, merged, family.prompt, n_ctx=family.n_ctx)
    with llama.Model(path) as model, model.context(family.n_ctx) as context:
        if adapter:
            context.adapter(adapter)
        logits = context.decode(family.prompt, 0, every=True)
    worst = np.abs(logits - expected).max() / expected.std()
    report.case(f"{name} ({family.name}): logits", worst < 2e-3, f"{worst:.2g} of the standard deviation")


def check_enlarged(report, kind, family_name, both, tmp):
    """A vocabulary grown by two tokens: the adapter folder has the tokenizer and the enlarged matrices."""
    name, family = f"enlarged vocabulary, {kind}", BY_NAME[family_name]
    n_old, width = family.weights[EMBED + ".weight"].shape
    added = ["<|begin|>", "<|finish|>"]
    saved = ["embed_tokens", "lm_head"] if both else ["embed_tokens"]
    make = maker(family_name, 30, modules_to_save=saved).linear("q_proj", "v_proj")
    make.saved(EMBED + ".weight", (n_old + 2, width))
    if both:
        make.saved(HEAD + ".weight", (n_old + 2, width))
    merged = merge_all(family, [(make.adapter, 1.0)])
    folder = make.adapter.write(tmp / "adapter")
    write_tokenizer(folder, kind, added)
    if kind == "spm":
        config = json.loads((folder / "tokenizer_config.json").read_text())
        for i, text in enumerate(added):
            config["added_tokens_decoder"][str(n_old + i)] = {"content": text, "special": True, "normalized": False,
                                                              "lstrip": False, "rstrip": False, "single_word": False}
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        (folder / "added_tokens.json").write_text(json.dumps({text: n_old + i for i, text in enumerate(added)}))
    base = family.write(tmp / "base")
    path = pack_one(tmp / "out", base, "--adapter", folder, "-t", "F32", "--name", "tiny")
    file = GgufFile(path)
    problems = compare(file, gguf_tensors(family.config, merged), set(), TOLERANCE)
    tokens, types = file.meta["tokenizer.ggml.tokens"], file.meta["tokenizer.ggml.token_type"]
    if tokens[n_old:] != added or list(types[n_old:]) != [3, 3]:
        problems.append(f"tokens from {n_old} on: {tokens[n_old:]} of types {types[n_old:]}, expected {added}, control")
    report.case(name, not problems, "; ".join(problems[:4]))
    check_logits(report, name, family, merged, path)
    with llama.Model(path) as model:
        ids = model.tokenize("".join(added), add_special=False)
        report.case(f"{name}: llama.cpp knows the tokens", ids == [n_old, n_old + 1], ids)


# name, family, the adapter
LORA_FILES = [
    ("lora file", "llama", lambda: plain()[0][0]),
    ("lora file, rsLoRA and alpha_pattern", "llama", lambda: one(
        "llama", 40, LINEAR, use_rslora=True, alpha_pattern={"v_proj": 5, "layers.0.mlp.down_proj": 64})[0][0]),
    ("lora file, fan_in_fan_out", "gpt2", lambda: one("gpt2", 41, GPT2_LINEAR, fan_in_fan_out=True)[0][0]),
    ("lora file, embedding", "qwen2", lambda: one("qwen2", 42, ("q_proj",), EMBED)[0][0]),
    ("lora file, fused layers", "phi3", lambda: one("phi3", 43, ("qkv_proj", "gate_up_proj"))[0][0]),
]


def check_lora_file(report, case, tmp):
    name, family_name, build = case
    family, adapter = BY_NAME[family_name], build()
    base = family.write(tmp / "base")
    model = pack_one(tmp / "model", base, "-t", "F32", "--name", "tiny")
    folder = adapter.write(tmp / "checkpoint-7")
    path = pack_one(tmp / "out", base, "--adapter", folder, "--preset", "lora")
    report.case(f"{name}: output name", path.name == "checkpoint-7-lora.gguf", path.name)
    check_logits(report, name, family, merge_all(family, [(adapter, 1.0)]), model, path)


def renamed(adapter, old, new):
    adapter.tensors = {name.replace(old, new): x for name, x in adapter.tensors.items()}
    return adapter


def reshaped(adapter, name, shape):
    adapter.tensors[name] = np.zeros(shape, dtype=np.float32)
    return adapter


def without(adapter, name):
    del adapter.tensors[name]
    return adapter


LAYER0 = "model.layers.0.self_attn."


def lora():
    return maker("llama", 50).linear("q_proj", "v_proj").adapter


# name, the adapter, further options, exit codes allowed, what the message must contain
REFUSED = [
    ("a tensor that matches nothing", lambda: renamed(lora(), LAYER0 + "q_proj", LAYER0 + "qq_proj"), [], (1,),
     ["layers.0.self_attn.qq_proj", "layers.0.self_attn.q_proj"]),
    ("a layer that the model has not", lambda: renamed(lora(), "layers.2.", "layers.7."), [], (1,), ["layers.7."]),
    ("lora_B of another height", lambda: reshaped(lora(), LAYER0 + "q_proj.lora_B.weight", (60, 8)), [], (1,),
     [LAYER0 + "q_proj", "60"]),
    ("lora_A of another width", lambda: reshaped(lora(), LAYER0 + "v_proj.lora_A.weight", (8, 32)), [], (1,),
     [LAYER0 + "v_proj", "32"]),
    ("ranks that differ", lambda: reshaped(lora(), LAYER0 + "v_proj.lora_A.weight", (4, 64)), [], (1,),
     [LAYER0 + "v_proj"]),
    ("lora_A without lora_B", lambda: without(lora(), LAYER0 + "q_proj.lora_B.weight"), [], (1,),
     [LAYER0 + "q_proj"]),
    ("a magnitude without A and B", lambda: reshaped(lora(), LAYER0 + "o_proj.lora_magnitude_vector", (64,)), [],
     (1,), [LAYER0 + "o_proj"]),
    ("another kind of adapter", lambda: maker("llama", 51, peft_type="LOHA").linear("q_proj").adapter, [], (1, 3),
     ["LOHA"]),
    ("DoRA as a lora file", lambda: maker("llama", 52, use_dora=True).linear("q_proj").adapter,
     ["--preset", "lora"], (1, 2, 3), ["q_proj"]),
]
# the same of mixtures, with the base's name
REFUSED_OF_MIXTURES = {
    "mixtral": ("an expert's LoRA as a lora file", lambda: maker("mixtral", 53).linear("w1").adapter,
                ["--preset", "lora"], (3,), ["experts.0.w1", "one expert of a mixture"]),
    "granitemoe-shared": ("a LoRA of gate and up in one",
                          lambda: maker("granitemoe-shared", 54).linear("shared_mlp.input_linear").adapter, [], (3,),
                          ["shared_mlp.input_linear", "several tensors"]),
}


def check_refused(report, case, base, tmp):
    name, build, options, codes, texts = case
    folder = build().write(tmp / "adapter")
    out = tmp / "out"
    code, _, err = quern("pack", base, "--adapter", folder, "-o", out, *(options or ["-t", "F32"]))
    missing = [text for text in texts if text not in err]
    left = sorted(path.name for path in out.glob("*")) if out.exists() else []
    report.case(f"refused: {name}", code in codes and not missing and not left,
                f"exit {code}, not in the message: {missing}, left behind: {left}; {err.strip()[-200:]!r}"
                if code not in codes or missing or left else "")


def fresh(tmp):
    """A new folder for one case."""
    return Path(tempfile.mkdtemp(dir=tmp))


def main(report, tmp):
    llama.lib()
    for case in MERGES:
        report.attempt(case[0], check_merge, report, case, fresh(tmp))
    for kind, family, both in (("qwen2", "qwen2", True), ("spm", "llama-bias", False)):
        report.attempt(f"enlarged {kind}", check_enlarged, report, kind, family, both, fresh(tmp))
    for case in LORA_FILES:
        report.attempt(case[0], check_lora_file, report, case, fresh(tmp))
    base = BY_NAME["llama"].write(tmp / "base")
    for case in REFUSED:
        report.attempt(case[0], check_refused, report, case, base, fresh(tmp))
    for name, case in REFUSED_OF_MIXTURES.items():
        report.attempt(case[0], check_refused, report, case, BY_NAME[name].write(tmp / name), fresh(tmp))


if __name__ == "__main__":
    run(main)
