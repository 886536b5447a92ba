# SPDX-License-Identifier: MIT
"""Small random models of every family, as Hugging Face folders, and what their tensors must be in a GGUF file.

`FAMILIES` is the table: config.json, tokenizer, the traits that the family's graph has. Weights are scaled until logits
have a standard deviation of about 3 and soft caps bite.
"""
import json
import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from safetensors.numpy import save_file

from forward_pass import forward, head_size, llama3_factors
from tiny_tokenizers import n_tokens, write_tokenizer

LOGITS_STD = 3.0


def gpt2_shapes(config):
    width, inner = config["n_embd"], 4 * config["n_embd"]
    shapes = {"transformer.wte.weight": (config["vocab_size"], width),
              "transformer.wpe.weight": (config["n_positions"], width),
              "transformer.ln_f.weight": (width,), "transformer.ln_f.bias": (width,)}
    for layer in range(config["n_layer"]):
        prefix = f"transformer.h.{layer}."
        for name, n_in, n_out in (("attn.c_attn", width, 3 * width), ("attn.c_proj", width, width),
                                  ("mlp.c_fc", width, inner), ("mlp.c_proj", inner, width)):
            shapes |= {prefix + name + ".weight": (n_in, n_out), prefix + name + ".bias": (n_out,)}
        for name in ("ln_1", "ln_2"):
            shapes |= {prefix + name + ".weight": (width,), prefix + name + ".bias": (width,)}
    return shapes


def n_experts(config):
    return config.get("num_local_experts") or config.get("num_experts") or 0


def _granite_mixture_shapes(config):
    """Granite's: experts stacked, gate and up in one."""
    width, inner, n = config["hidden_size"], config["intermediate_size"], n_experts(config)
    shapes = {"block_sparse_moe.router.layer.weight": (n, width),
              "block_sparse_moe.input_linear.weight": (n, 2 * inner, width),
              "block_sparse_moe.output_linear.weight": (n, width, inner)}
    shared = config.get("shared_intermediate_size")
    if shared:
        shapes |= {"shared_mlp.input_linear.weight": (2 * shared, width),
                   "shared_mlp.output_linear.weight": (width, shared)}
    return shapes


def _mixture_shapes(config):
    """The feed-forward of a layer that is a mixture of experts."""
    kind, width = config["model_type"], config["hidden_size"]
    if kind.startswith("granitemoe"):
        return _granite_mixture_shapes(config)
    if kind == "mixtral":
        prefix, (gate, up, down) = "block_sparse_moe.", ("w1", "w3", "w2")
    else:
        prefix, (gate, up, down) = "mlp.", ("gate_proj", "up_proj", "down_proj")
    inner = config.get("moe_intermediate_size", config["intermediate_size"])
    shapes = {prefix + "gate.weight": (n_experts(config), width)}
    for expert in range(n_experts(config)):
        name = f"{prefix}experts.{expert}."
        shapes |= {f"{name}{gate}.weight": (inner, width), f"{name}{up}.weight": (inner, width),
                   f"{name}{down}.weight": (width, inner)}
    shared = config.get("shared_expert_intermediate_size")
    if shared:
        shapes |= {"mlp.shared_expert_gate.weight": (1, width), "mlp.shared_expert.gate_proj.weight": (shared, width),
                   "mlp.shared_expert.up_proj.weight": (shared, width),
                   "mlp.shared_expert.down_proj.weight": (width, shared)}
    return shapes


def _layer_shapes(config, prefix):
    kind, width, inner, d = config["model_type"], config["hidden_size"], config["intermediate_size"], head_size(config)
    q, kv = config["num_attention_heads"] * d, config["num_key_value_heads"] * d
    if kind == "phi3":
        shapes = {"self_attn.qkv_proj.weight": (q + 2 * kv, width), "mlp.gate_up_proj.weight": (2 * inner, width)}
    else:
        shapes = {"self_attn.q_proj.weight": (q, width), "self_attn.k_proj.weight": (kv, width),
                  "self_attn.v_proj.weight": (kv, width), "mlp.gate_proj.weight": (inner, width),
                  "mlp.up_proj.weight": (inner, width)}
    shapes |= {"self_attn.o_proj.weight": (width, q), "mlp.down_proj.weight": (width, inner),
               "input_layernorm.weight": (width,), "post_attention_layernorm.weight": (width,)}
    if n_experts(config):
        shapes = {name: shape for name, shape in shapes.items() if "mlp." not in name} | _mixture_shapes(config)
    if kind in ("gemma2", "gemma3_text"):
        shapes |= {"pre_feedforward_layernorm.weight": (width,), "post_feedforward_layernorm.weight": (width,)}
    if kind in ("qwen3", "qwen3_moe", "gemma3_text"):
        shapes |= {"self_attn.q_norm.weight": (d,), "self_attn.k_norm.weight": (d,)}
    if kind == "olmoe":
        shapes |= {"self_attn.q_norm.weight": (q,), "self_attn.k_norm.weight": (kv,)}
    biased = [f"self_attn.{part}_proj" for part in "qkv"] if kind in ("qwen2", "qwen2_moe") else []
    if config.get("attention_bias"):
        biased = [f"self_attn.{part}_proj" for part in "qkvo"]
    if config.get("mlp_bias"):
        biased = biased + [f"mlp.{part}_proj" for part in ("gate", "up", "down")]
    shapes |= {name + ".bias": shapes[name + ".weight"][:1] for name in biased}
    return {prefix + name: shape for name, shape in shapes.items()}


def decoder_shapes(config):
    width, n_vocab = config["hidden_size"], config["vocab_size"]
    shapes = {"model.embed_tokens.weight": (n_vocab, width), "model.norm.weight": (width,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (n_vocab, width)
    for layer in range(config["num_hidden_layers"]):
        shapes |= _layer_shapes(config, f"model.layers.{layer}.")
    return shapes


def random_weights(config, seed):
    """Hugging Face tensors by name, float32: rows large enough that attention is peaked and activations are curved."""
    rng = np.random.default_rng(seed)
    is_gpt2, is_gemma = config["model_type"] == "gpt2", config["model_type"].startswith("gemma")
    weights = {}
    for name, shape in (gpt2_shapes(config) if is_gpt2 else decoder_shapes(config)).items():
        x = rng.standard_normal(shape)
        if name.endswith("bias"):
            x *= 0.5
        elif len(shape) == 1:
            gain = 1.4 if "q_norm" in name or "k_norm" in name else 1.0
            if "post_feedforward" in name:  # GELU's rounding enters here: kept small beside the limit
                gain = 0.5 / config["num_hidden_layers"]
            x = gain * (1.0 + 0.3 * x) - (1.0 if is_gemma else 0.0)
        elif "embed_tokens" in name or "wte" in name or "wpe" in name:
            x *= 0.25 if is_gemma else 0.7
        else:
            sharp = any(part in name for part in ("q_proj", "k_proj", "qkv_proj", "c_attn", ".gate.weight", "router"))
            small = config["model_type"] == "gemma" and "down_proj" in name  # for GELU's rounding, too
            x *= (1.6 if sharp else 0.3 if small else 1.0) / math.sqrt(shape[0] if is_gpt2 else shape[-1])
        weights[name] = x.astype(np.float32)
    return weights


@dataclass
class Family:
    """One row of the table."""

    name: str
    config: dict
    tokenizer: str
    traits: tuple  # what forward() can leave out; every one must be visible in the logits
    n_ctx: int = 256  # context that llama.cpp is given
    seed: int = 1
    n_shards: int = 1
    other_contexts: tuple = field(default=())  # further context sizes to compare at

    @cached_property
    def weights(self):
        """Random tensors, the last norm scaled so that logits before any cap have the wanted deviation."""
        weights = random_weights(self.config, self.seed)
        is_gpt2 = self.config["model_type"] == "gpt2"
        wanted = LOGITS_STD * (1.5 if self.config.get("final_logit_softcapping") else 1.0)
        factor = wanted / forward(self.config, weights, self.prompt, ["final cap"], self.n_ctx).std()
        if is_gpt2:
            for part in ("weight", "bias"):
                weights[f"transformer.ln_f.{part}"] = weights[f"transformer.ln_f.{part}"] * np.float32(factor)
        else:
            offset = 1.0 if self.config["model_type"].startswith("gemma") else 0.0
            scaled = (weights["model.norm.weight"] + offset) * factor - offset
            weights["model.norm.weight"] = scaled.astype(np.float32)
        return weights

    @property
    def prompt(self):
        """48 token ids: longer than any window of the table."""
        return np.random.default_rng(self.seed + 99).integers(3, n_tokens(self.tokenizer) - 2, 48)

    def logits(self, off=(), n_ctx=None):
        return forward(self.config, self.weights, self.prompt, off, n_ctx or self.n_ctx)

    @property
    def fused_weights(self):
        """The weights with each layer's experts as two tensors, as newer transformers keep them."""
        weights = {name: x for name, x in self.weights.items() if ".experts." not in name}
        for layer in range(self.config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}.mlp.experts."
            gate, up, down = (np.stack([self.weights[f"{prefix}{e}.{part}.weight"]
                                        for e in range(n_experts(self.config))])
                              for part in ("gate_proj", "up_proj", "down_proj"))
            weights |= {prefix + "gate_up_proj": np.concatenate([gate, up], axis=1), prefix + "down_proj": down}
        return weights

    def write(self, folder):
        """Writes the Hugging Face folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=1), encoding="utf-8")
        write_tokenizer(folder, self.tokenizer)
        names = sorted(self.weights)
        if self.n_shards == 1:
            save_file(self.weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
            return folder
        weight_map = {}
        for shard in range(self.n_shards):
            file = f"model-{shard + 1:05d}-of-{self.n_shards:05d}.safetensors"
            part = {name: self.weights[name] for name in names[shard::self.n_shards]}
            save_file(part, str(folder / file), metadata={"format": "pt"})
            weight_map |= {name: file for name in part}
        index = {"metadata": {"total_size": sum(t.nbytes for t in self.weights.values())}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
        return folder


def small_config(kind, architecture, tokenizer, **other):
    """config.json of a small decoder; `other` adds and overrides."""
    base = {"architectures": [architecture], "model_type": kind, "hidden_size": 64, "intermediate_size": 96,
            "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-2,
            "rope_theta": 10000.0, "max_position_embeddings": 512, "tie_word_embeddings": False,
            "vocab_size": n_tokens(tokenizer), "hidden_act": "silu", "torch_dtype": "float32",
            "bos_token_id": 1 if tokenizer == "spm" else 276, "eos_token_id": 2 if tokenizer == "spm" else 276}
    return {key: value for key, value in (base | other).items() if value is not None}


LLAMA3_ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64}
GEMMA = {"rms_norm_eps": 5e-2, "tie_word_embeddings": True, "head_dim": 32, "hidden_act": "gelu_pytorch_tanh",
         "hidden_activation": "gelu_pytorch_tanh"}
GEMMA2 = GEMMA | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 5.0, "sliding_window": 8,
                  "query_pre_attn_scalar": 32}
GEMMA3 = GEMMA | {"num_hidden_layers": 7, "sliding_window": 8, "sliding_window_pattern": 6, "rope_theta": 1000000.0,
                  "rope_local_base_freq": 10000.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
                  "query_pre_attn_scalar": 32, "attn_logit_softcapping": None}
COMMON = ("norm epsilon", "rope base", "grouped heads", "half-split heads", "query scale")
GRANITE = {"attention_multiplier": 0.2, "embedding_multiplier": 3.0, "residual_multiplier": 0.4,
           "logits_scaling": 5.0, "rms_norm_eps": 0.3}
SCALES = ("embedding multiplier", "residual multiplier", "logits scaling")
MIXTURE = ("untied output", "experts by score", "weights by score", "sums of weights")
GEMMA_TRAITS = COMMON + ("norm offset", "embedding scale", "gelu")
GEMMA2_TRAITS = GEMMA_TRAITS + ("attention cap", "final cap", "sliding window", "post-attention norm", "post-ffn norm")
GEMMA3_TRAITS = GEMMA_TRAITS + ("sliding window", "post-attention norm", "post-ffn norm", "q norm", "k norm",
                                "local rope base", "linear rope factor")

FAMILIES = [
    Family("llama", small_config("llama", "LlamaForCausalLM", "llama3", rope_scaling=LLAMA3_ROPE, rope_theta=10000.0),
           "llama3", COMMON + ("rope factors", "untied output"), n_shards=2),
    Family("llama-bias", small_config("llama", "LlamaForCausalLM", "spm", attention_bias=True, mlp_bias=True,
                                      head_dim=24, tie_word_embeddings=True), "spm",
           COMMON + ("qkv bias", "output bias", "feed-forward bias"), seed=2),
    Family("mistral", small_config("mistral", "MistralForCausalLM", "spm", head_dim=32, sliding_window=None,
                                   rope_theta=1000000.0), "spm", COMMON + ("untied output",), seed=3),
    Family("qwen2", small_config("qwen2", "Qwen2ForCausalLM", "qwen2", rope_theta=1000000.0, use_sliding_window=False),
           "qwen2", COMMON + ("qkv bias", "untied output"), seed=4),
    Family("qwen2-tied", small_config("qwen2", "Qwen2ForCausalLM", "qwen2", tie_word_embeddings=True,
                                      vocab_size=n_tokens("qwen2") + 10), "qwen2", COMMON + ("qkv bias",), seed=5),
    Family("qwen3", small_config("qwen3", "Qwen3ForCausalLM", "qwen2", head_dim=32, rope_theta=1000000.0), "qwen2",
           COMMON + ("q norm", "k norm", "untied output"), seed=6),
    Family("gemma", small_config("gemma", "GemmaForCausalLM", "spm", **GEMMA), "spm", GEMMA_TRAITS, seed=7),
    Family("gemma2", small_config("gemma2", "Gemma2ForCausalLM", "spm", **GEMMA2), "spm", GEMMA2_TRAITS, seed=8),
    Family("gemma2-27b", small_config("gemma2", "Gemma2ForCausalLM", "spm",
                                      **GEMMA2 | {"num_hidden_layers": 46, "query_pre_attn_scalar": 16}), "spm",
           ("27B query scale",), seed=9),
    Family("gemma3", small_config("gemma3_text", "Gemma3ForCausalLM", "spm", **GEMMA3), "spm", GEMMA3_TRAITS, seed=10),
    Family("gemma3-cap", small_config("gemma3_text", "Gemma3ForCausalLM", "spm",
                                      **GEMMA3 | {"final_logit_softcapping": 5.0}), "spm",
           ("final cap", "sliding window"), seed=11),
    Family("phi3", small_config("phi3", "Phi3ForCausalLM", "spm", partial_rotary_factor=0.75, sliding_window=262144,
                                max_position_embeddings=1024, original_max_position_embeddings=256,
                                rope_scaling={"type": "longrope", "short_factor": [1.0, 1.1, 1.3, 1.7, 2.1, 2.6],
                                              "long_factor": [1.5, 2.0, 3.0, 5.0, 8.0, 12.0]}), "spm",
           COMMON + ("rope factors", "attention factor", "partial rotary", "gate first", "untied output"), seed=12,
           n_ctx=256, other_contexts=(512,)),
    Family("gpt2", {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 64, "n_head": 4,
                    "n_layer": 3, "n_positions": 128, "n_ctx": 128, "vocab_size": n_tokens("gpt2"),
                    "layer_norm_epsilon": 5e-2, "activation_function": "gelu_new", "bos_token_id": 276,
                    "eos_token_id": 276, "torch_dtype": "float32"}, "gpt2",
           ("norm epsilon", "mean removal", "norm bias", "linear bias", "transposed weights", "positions",
            "query scale", "gelu"), seed=13, n_ctx=128),
    Family("mixtral", small_config("mixtral", "MixtralForCausalLM", "spm", sliding_window=None, num_local_experts=4,
                                   num_experts_per_tok=2, rope_theta=1000000.0), "spm", COMMON + MIXTURE, seed=14,
           n_shards=2),
    Family("qwen2moe", small_config("qwen2_moe", "Qwen2MoeForCausalLM", "qwen2", num_experts=6, num_experts_per_tok=2,
                                    moe_intermediate_size=32, shared_expert_intermediate_size=160,
                                    norm_topk_prob=False), "qwen2",
           COMMON + MIXTURE + ("qkv bias", "shared expert", "shared expert's gate"), seed=15),
    Family("qwen3moe", small_config("qwen3_moe", "Qwen3MoeForCausalLM", "qwen2", head_dim=32, num_experts=8,
                                    num_experts_per_tok=3, moe_intermediate_size=32, norm_topk_prob=True), "qwen2",
           COMMON + MIXTURE + ("q norm", "k norm"), seed=16),
    Family("granite", small_config("granite", "GraniteForCausalLM", "llama3", attention_bias=False, mlp_bias=False,
                                   **GRANITE), "llama3", COMMON + SCALES + ("untied output",), seed=17),
    Family("granitemoe", small_config("granitemoe", "GraniteMoeForCausalLM", "llama3", num_local_experts=4,
                                      num_experts_per_tok=2, **GRANITE), "llama3",
           COMMON + SCALES + MIXTURE, seed=18),
    Family("granitemoe-shared", small_config("granitemoeshared", "GraniteMoeSharedForCausalLM", "llama3",
                                             num_local_experts=4, num_experts_per_tok=2, shared_intermediate_size=48,
                                             **GRANITE | {"tie_word_embeddings": True}), "llama3",
           COMMON + SCALES + MIXTURE[1:] + ("shared expert",), seed=19),
    Family("olmoe", small_config("olmoe", "OlmoeForCausalLM", "qwen2", num_experts=8, num_experts_per_tok=2,
                                 num_key_value_heads=4, norm_topk_prob=False), "qwen2",
           ("norm epsilon", "rope base", "half-split heads", "query scale", "q norm", "k norm") + MIXTURE, seed=20),
]
BY_NAME = {family.name: family for family in FAMILIES}



def respelled(family):
    """config.json as transformers 5 writes it, with rope_parameters and layer_types; None where that is no other."""
    config = {key: value for key, value in family.config.items()
              if key not in ("rope_theta", "rope_scaling", "rope_local_base_freq", "sliding_window_pattern")}
    rope = {"rope_type": "default", "rope_theta": family.config.get("rope_theta")} | \
        family.config.get("rope_scaling", {})
    if family.config["model_type"] == "gemma3_text":
        pattern = family.config["sliding_window_pattern"]
        local = {"rope_type": "default", "rope_theta": family.config["rope_local_base_freq"]}
        kinds = ["full_attention" if (i + 1) % pattern == 0 else "sliding_attention"
                 for i in range(config["num_hidden_layers"])]
        return config | {"rope_parameters": {"full_attention": rope, "sliding_attention": local}, "layer_types": kinds}
    return config | {"rope_parameters": rope} if family.config["model_type"] in ("llama", "qwen3") else None


PARTS = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "self_attn.qkv_proj": "attn_qkv", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "mlp.gate_up_proj": "ffn_up", "input_layernorm": "attn_norm",
         "post_attention_layernorm": "ffn_norm", "ln_1": "attn_norm", "ln_2": "ffn_norm", "attn.c_attn": "attn_qkv",
         "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
MIXTURE_PARTS = {"block_sparse_moe.router.layer": "ffn_gate_inp", "shared_mlp.output_linear": "ffn_down_shexp",
                 "block_sparse_moe.output_linear": "ffn_down_exps",
                 "block_sparse_moe.gate": "ffn_gate_inp", "mlp.gate": "ffn_gate_inp",
                 "mlp.shared_expert_gate": "ffn_gate_inp_shexp", "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
                 "mlp.shared_expert.up_proj": "ffn_up_shexp", "mlp.shared_expert.down_proj": "ffn_down_shexp"}
EXPERT_PARTS = {"w1": "ffn_gate_exps", "w2": "ffn_down_exps", "w3": "ffn_up_exps", "gate_proj": "ffn_gate_exps",
                "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps"}
GEMMA_PARTS = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
               "post_feedforward_layernorm": "post_ffw_norm"}
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
         "transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm"}


def gguf_name(config, name):
    """The GGUF name of a Hugging Face tensor of these families."""
    stem, tail = name.rsplit(".", 1)
    if stem in WHOLE:
        return f"{WHOLE[stem]}.{tail}"
    block, part = stem.removeprefix("model.layers.").removeprefix("transformer.h.").split(".", 1)
    if config["model_type"] in ("gemma2", "gemma3_text") and part in GEMMA_PARTS:
        return f"blk.{block}.{GEMMA_PARTS[part]}.{tail}"
    if ".experts." in part:  # a part of the stack
        return f"blk.{block}.{EXPERT_PARTS[part.rsplit('.', 1)[1]]}.{tail}"
    return f"blk.{block}.{(PARTS | MIXTURE_PARTS)[part]}.{tail}"


def permute_heads(x, n_head):
    """Rows from half-split to interleaved pairs, head by head."""
    rows = x.reshape(n_head, 2, x.shape[0] // n_head // 2, *x.shape[1:])
    return rows.swapaxes(1, 2).reshape(x.shape)


def to_gguf(config, name, x):
    """One Hugging Face tensor as the GGUF file must hold it."""
    kind = config["model_type"]
    if (kind in ("llama", "mistral", "mixtral") or kind.startswith("granite")) and (".q_proj." in name or ".k_proj." in name):
        return permute_heads(x, config["num_attention_heads" if ".q_proj." in name else "num_key_value_heads"])
    if kind.startswith("gemma") and name.endswith("norm.weight"):
        return x + np.float32(1.0)
    if kind == "gpt2" and any(part in name for part in ("c_attn.weight", "c_proj.weight", "c_fc.weight")):
        return np.ascontiguousarray(x.T)
    return x[0] if name.endswith("shared_expert_gate.weight") else x


def gguf_tensors(config, weights):
    """All tensors of the GGUF file, [out, in] as NumPy reads them, from the Hugging Face ones; experts stacked."""
    tensors, weights = {}, weights.copy()
    for name in [name for name in weights if name.endswith(".input_linear.weight")]:  # gate and up in one
        layer, kind = name.split(".")[2], "exps" if "moe" in name else "shexp"
        for part, x in zip(("gate", "up"), np.split(weights.pop(name), 2, axis=-2)):
            tensors[f"blk.{layer}.ffn_{part}_{kind}.weight"] = [x]
    for name, x in weights.items():
        tensors.setdefault(gguf_name(config, name), []).append(to_gguf(config, name, x))
    tensors = {name: np.stack(parts) if len(parts) > 1 else parts[0] for name, parts in tensors.items()}
    scaling = config.get("rope_scaling") or {}
    if scaling.get("rope_type") == "llama3":
        tensors["rope_freqs.weight"] = llama3_factors(config, head_size(config)).astype(np.float32)
    if scaling.get("type") == "longrope":
        for which in ("long", "short"):
            tensors[f"rope_factors_{which}.weight"] = np.array(scaling[which + "_factor"], dtype=np.float32)
    return tensors
