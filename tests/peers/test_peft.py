# SPDX-License-Identifier: MIT
"""PEFT trains, saves and merges; quern merges what it saved: the two models are the same.

torch, transformers and peft are too large for the bundled environment: without them the test is skipped. Where they
are, this holds quern's reading of PEFT's folders, and transformers' present config.json, against the programs themselves.
"""
import dataclasses
import json
import math

from harness import Skip, pack_one, quern, run
from tiny_tokenizers import N_BPE, N_SPM, write_tokenizer

try:
    import peft
    import torch
    import transformers
except ImportError as missing:
    torch = None
    WHY = str(missing)

LIMIT = 2e-6  # of a tensor's size: float32 sums in another order

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SHAPE = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 64}


def llama(tied=False):
    config = transformers.LlamaConfig(vocab_size=N_SPM, tie_word_embeddings=tied, **SHAPE)
    return transformers.LlamaForCausalLM(config), "spm"


def qwen2():
    config = transformers.Qwen2Config(vocab_size=N_BPE, tie_word_embeddings=True, **SHAPE)
    return transformers.Qwen2ForCausalLM(config), "qwen2"


def gpt2():
    config = transformers.GPT2Config(vocab_size=N_BPE, n_embd=64, n_layer=2, n_head=4, n_positions=64)
    return transformers.GPT2LMHeadModel(config), "gpt2"


# name: model, arguments of LoraConfig
CASES = {
    "LoRA": (llama, {"target_modules": LINEAR}),
    "rsLoRA": (llama, {"target_modules": LINEAR, "use_rslora": True}),
    "DoRA": (llama, {"target_modules": LINEAR, "use_dora": True}),
    "DoRA and rsLoRA": (llama, {"target_modules": LINEAR, "use_dora": True, "use_rslora": True}),
    "rank and alpha patterns": (llama, {"target_modules": LINEAR, "rank_pattern": {"q_proj": 8, "layers.1.mlp.up_proj": 2},
                                        "alpha_pattern": {"v_proj": 3, r"layers\.0\..*down_proj": 32}}),
    "embedding": (llama, {"target_modules": ["embed_tokens", "q_proj"]}),
    "embedding, DoRA": (llama, {"target_modules": ["embed_tokens"], "use_dora": True}),
    "head of a tied model, saved": (lambda: llama(tied=True), {"target_modules": ["q_proj"],
                                                               "modules_to_save": ["lm_head"]}),
    "norms saved": (llama, {"target_modules": ["q_proj"], "modules_to_save": ["input_layernorm", "norm"]}),
    "Qwen2, all biases": (qwen2, {"target_modules": ["q_proj", "v_proj"], "bias": "all"}),
    "Qwen2, biases of its layers": (qwen2, {"target_modules": ["q_proj", "k_proj"], "bias": "lora_only"}),
    "Qwen2, bias of B": (qwen2, {"target_modules": ["q_proj", "k_proj"], "lora_bias": True}),
    "GPT-2": (gpt2, {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}),
    "GPT-2, DoRA": (gpt2, {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True, "use_dora": True}),
}


def shake(model):
    """Gives every trained parameter values of its own: B begins as zeros, which would prove nothing."""
    for name, value in model.named_parameters():
        if value.requires_grad:
            with torch.no_grad():
                value.add_(torch.randn_like(value) * (0.05 if "magnitude" not in name else 0.01))


def save(model, folder, kind):
    model.save_pretrained(folder)
    write_tokenizer(folder, kind)


def size(tensor):
    """A tensor's relative RMSE; a change from nothing is told as null."""
    return math.inf if tensor["relative_rmse"] is None else tensor["relative_rmse"]


def merge(folder):
    """What PEFT makes of what it saved. (It does not save all that it trained: bias="lora_only" loses the biases.)"""
    base = transformers.AutoModelForCausalLM.from_pretrained(folder / "base")
    tuned = peft.PeftModel.from_pretrained(base, folder / "adapter")
    with torch.no_grad():
        # its merge of an embedding leaves DoRA's magnitudes out; what the layer gives is the truth
        table = tuned.get_input_embeddings()(torch.arange(base.config.vocab_size)).clone()
        merged = tuned.merge_and_unload()
        merged.get_input_embeddings().weight.copy_(table)
    return merged


def check(report, tmp, name, make, arguments):
    folder = tmp / str(len(list(tmp.iterdir())))
    folder.mkdir()
    torch.manual_seed(7)
    model, kind = make()
    save(model, folder / "base", kind)
    known = {field.name for field in dataclasses.fields(peft.LoraConfig)}
    if not known.issuperset(arguments):
        raise Skip(f"this PEFT has no {sorted(set(arguments) - known)}")
    tuned = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=12, task_type="CAUSAL_LM", **arguments))
    shake(tuned)
    tuned.save_pretrained(folder / "adapter")
    merged = merge(folder)
    if "saved" in name and make is not llama:  # the head has weights of its own now, and the config must say so
        merged.config.tie_word_embeddings = False
    save(merged, folder / "merged", kind)
    ours = pack_one(folder / "ours", folder / "base", "--adapter", folder / "adapter", "-t", "F32")
    theirs = pack_one(folder / "theirs", folder / "merged", "-t", "F32")
    code, out, err = quern("compare", ours, theirs, "--json")
    if code != 0:
        raise RuntimeError(err)
    answer = json.loads(out)
    worst = answer["tensors"][0]
    same = not answer["only_in_a"] and not answer["only_in_b"] and not answer["shape_differs"]
    report.case(name, same and size(worst) < LIMIT,
                f"worst {worst['name']}: {size(worst):.1e} of its size; {answer['n_equal']} of "
                f"{answer['n_tensors']} equal; only in ours {answer['only_in_a']}, only in theirs {answer['only_in_b']}")
    code, out, err = quern("compare", folder / "base", theirs, "--json")
    changed = size(json.loads(out)["tensors"][0]) if code == 0 else 0
    report.case(f"{name}: merging changes the base", changed > 100 * LIMIT, f"{changed:.1e}")


def main(report, tmp):
    if torch is None:
        raise Skip(WHY)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}")
    for name, (make, arguments) in CASES.items():
        report.attempt(name, check, report, tmp, name, make, arguments)


run(main)
