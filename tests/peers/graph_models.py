# SPDX-License-Identifier: MIT
"""Small random models written as GGUF files, tensor by tensor: families and layouts that the engine runs, whether a
Hugging Face folder makes them or not.

`MODELS` is the table: metadata and shapes. Vocabulary keys are those of another file.
"""
from dataclasses import dataclass, field

import numpy as np
from gguf import GGUFWriter

N_VOCAB = 0  # in a shape: as many as the vocabulary has
N_LAYER, N_EMBD, N_FF, N_HEAD, N_HEAD_KV, HEAD_DIM = 3, 64, 96, 4, 2, 16


@dataclass
class GraphModel:
    """One row: keys go without the architecture's name before them."""

    name: str
    arch: str
    keys: dict
    attention: dict = field(default_factory=dict)  # shapes of a layer's tensors beside the common ones
    dense: bool = False  # layers are plain feed-forwards
    mixture: dict = field(default_factory=dict)  # shapes of a mixture's tensors
    n_dense_lead: int = 0
    ends: dict = field(default_factory=dict)
    n_head_kv: int = N_HEAD_KV
    seed: int = 1

    def shapes(self, n_vocab):
        q, kv = N_HEAD * HEAD_DIM, self.n_head_kv * HEAD_DIM
        shapes = {"token_embd.weight": (n_vocab, N_EMBD), "output_norm.weight": (N_EMBD,),
                  "output.weight": (n_vocab, N_EMBD)} | self.ends
        common = {"attn_norm.weight": (N_EMBD,), "attn_q.weight": (q, N_EMBD), "attn_k.weight": (kv, N_EMBD),
                  "attn_v.weight": (kv, N_EMBD), "attn_output.weight": (N_EMBD, q), "ffn_norm.weight": (N_EMBD,)}
        dense = {"ffn_gate.weight": (N_FF, N_EMBD), "ffn_up.weight": (N_FF, N_EMBD), "ffn_down.weight": (N_EMBD, N_FF)}
        for layer in range(N_LAYER):
            ffn = dense if self.dense or layer < self.n_dense_lead else self.mixture
            for name, shape in (common | self.attention | ffn).items():
                shapes[f"blk.{layer}.{name}"] = shape
        return {name: tuple(n_vocab if n == N_VOCAB else n for n in shape)
                for name, shape in shapes.items() if shape is not None}

    def tensors(self, n_vocab):
        rng = np.random.default_rng(self.seed)
        return {name: random_tensor(rng, name, shape) for name, shape in self.shapes(n_vocab).items()}

    def write(self, path, vocab, change=None):
        """Writes the file.

        @param vocab metadata of another file, whose tokenizer keys are taken
        @param change makes other tensors of them
        """
        n_vocab = len(vocab["tokenizer.ggml.tokens"])
        writer = GGUFWriter(str(path), self.arch)
        keys = {"block_count": N_LAYER, "context_length": 512, "embedding_length": N_EMBD,
                "feed_forward_length": N_FF, "attention.head_count": N_HEAD, "attention.head_count_kv": self.n_head_kv,
                "attention.layer_norm_rms_epsilon": 1e-2, "rope.freq_base": 10000.0, "vocab_size": n_vocab} | self.keys
        for key, value in keys.items():
            add = {bool: writer.add_bool, float: writer.add_float32, str: writer.add_string}.get(type(value),
                                                                                                 writer.add_uint32)
            add(f"{self.arch}.{key}", value)
        copy_vocab(writer, vocab)
        tensors = self.tensors(n_vocab)
        for name, x in (change(tensors) if change else tensors).items():
            writer.add_tensor(name, x)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path


def copy_vocab(writer, vocab):
    for key, value in vocab.items():
        if not key.startswith("tokenizer.") or key == "tokenizer.chat_template":
            continue
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_uint32(key, value)


def random_tensor(rng, name, shape):
    """Large enough that attention is peaked, experts are chosen clearly and activations are curved."""
    x = rng.standard_normal(shape)
    if name.endswith("bias"):
        x *= 6.0 if "gate_exps" in name or "up_exps" in name else 0.5  # gpt-oss: its limits bite
    elif len(shape) == 1 and "norm" in name:
        x = 1.0 + 0.3 * x
    elif name == "token_embd.weight":
        x *= 0.7
    else:
        x *= (1.6 if "attn_q" in name or "attn_k" in name or "gate_inp" in name else 1.0) / np.sqrt(shape[-1])
    return x.astype(np.float32)


def fuse_experts(tensors):
    """The experts' gate and up as one tensor, gate first."""
    fused = {name.replace("gate_exps", "gate_up_exps"): np.concatenate([x, tensors[name.replace("gate", "up")]], axis=1)
             for name, x in tensors.items() if "ffn_gate_exps" in name}
    return {name: x for name, x in tensors.items() if "gate_exps" not in name and "up_exps" not in name} | fused


def experts(n_expert, n_ff):
    return {"ffn_gate_inp.weight": (n_expert, N_EMBD), "ffn_gate_exps.weight": (n_expert, n_ff, N_EMBD),
            "ffn_up_exps.weight": (n_expert, n_ff, N_EMBD), "ffn_down_exps.weight": (n_expert, N_EMBD, n_ff)}


def shared(n_ff):
    return {"ffn_gate_shexp.weight": (n_ff, N_EMBD), "ffn_up_shexp.weight": (n_ff, N_EMBD),
            "ffn_down_shexp.weight": (N_EMBD, n_ff)}


QK_NORMS = {"attn_q_norm.weight": (HEAD_DIM,), "attn_k_norm.weight": (HEAD_DIM,)}
QKV_BIASES = {"attn_q.bias": (N_HEAD * HEAD_DIM,), "attn_k.bias": (N_HEAD_KV * HEAD_DIM,),
              "attn_v.bias": (N_HEAD_KV * HEAD_DIM,)}

SIGMOID = {"expert_count": 6, "expert_used_count": 2, "expert_feed_forward_length": 40, "expert_shared_count": 2,
           "leading_dense_block_count": 1, "expert_weights_scale": 1.7, "expert_gating_func": 2}
CHOICE_BIAS = {"exp_probs_b.bias": (6,)}
GRANITE = {"embedding_scale": 3.0, "residual_scale": 0.4, "attention.scale": 0.2, "logit_scale": 5.0}

MODELS = [
    GraphModel("llama, 4 experts", "llama", {"expert_count": 4, "expert_used_count": 2, "rope.dimension_count": 16},
               mixture=experts(4, N_FF), seed=1),
    GraphModel("llama, one of 8 experts", "llama", {"expert_count": 8, "expert_used_count": 1},
               mixture=experts(8, N_FF), seed=2),
    GraphModel("llama, all of 5 experts", "llama", {"expert_count": 5, "expert_used_count": 5},
               mixture=experts(5, N_FF), seed=3),
    GraphModel("qwen3moe", "qwen3moe", {"expert_count": 8, "expert_used_count": 3, "expert_feed_forward_length": 32},
               attention=QK_NORMS, mixture=experts(8, 32), seed=4),
    GraphModel("qwen2moe", "qwen2moe", {"expert_count": 6, "expert_used_count": 2, "expert_feed_forward_length": 32,
                                        "expert_shared_feed_forward_length": 160},
               attention=QKV_BIASES, mixture=experts(6, 32) | shared(160) | {"ffn_gate_inp_shexp.weight": (N_EMBD,)},
               seed=5),
    GraphModel("olmoe", "olmoe", {"expert_count": 8, "expert_used_count": 2},
               attention={"attn_q_norm.weight": (N_HEAD * HEAD_DIM,), "attn_k_norm.weight": (N_HEAD * HEAD_DIM,)},
               mixture=experts(8, N_FF), n_head_kv=N_HEAD, seed=7),
    GraphModel("phimoe", "phimoe", {"expert_count": 4, "expert_used_count": 2, "rope.dimension_count": HEAD_DIM,
                                    "rope.scaling.original_context_length": 512},
               attention=QKV_BIASES | {"attn_output.bias": (N_EMBD,), "attn_norm.bias": (N_EMBD,),
                                       "ffn_norm.bias": (N_EMBD,)},
               mixture=experts(4, N_FF), ends={"output_norm.bias": (N_EMBD,), "output.bias": (N_VOCAB,)}, seed=8),
    GraphModel("gpt-oss", "gpt-oss",
               {"expert_count": 6, "expert_used_count": 2, "expert_feed_forward_length": 40,
                "attention.sliding_window": 24, "rope.scaling.type": "yarn", "rope.scaling.factor": 8.0,
                "rope.scaling.original_context_length": 64, "attention.key_length": HEAD_DIM,
                "attention.value_length": HEAD_DIM},
               attention=QKV_BIASES | {"attn_output.bias": (N_EMBD,), "attn_sinks.weight": (N_HEAD,),
                                       "ffn_norm.weight": None, "post_attention_norm.weight": (N_EMBD,)},
               mixture=experts(6, 40) | {"ffn_gate_inp.bias": (6,), "ffn_gate_exps.bias": (6, 40),
                                         "ffn_up_exps.bias": (6, 40), "ffn_down_exps.bias": (6, N_EMBD)}, seed=12),
    GraphModel("deepseek", "deepseek",
               {"expert_count": 6, "expert_used_count": 2, "expert_feed_forward_length": 40, "expert_shared_count": 2,
                "leading_dense_block_count": 1, "expert_weights_scale": 1.0, "rope.dimension_count": HEAD_DIM},
               mixture=experts(6, 40) | shared(80), n_dense_lead=1, seed=13),
    GraphModel("dots1", "dots1", SIGMOID | {"expert_weights_norm": True}, attention=QK_NORMS,
               mixture=experts(6, 40) | shared(80) | CHOICE_BIAS, n_dense_lead=1, n_head_kv=N_HEAD, seed=14),
    GraphModel("dots1, sums kept", "dots1", SIGMOID, attention=QK_NORMS,
               mixture=experts(6, 40) | shared(80) | CHOICE_BIAS, n_dense_lead=1, n_head_kv=N_HEAD, seed=15),
    GraphModel("glm4moe", "glm4moe", SIGMOID | {"expert_weights_norm": True, "rope.dimension_count": 8},
               attention=QKV_BIASES | {"ffn_norm.weight": None, "post_attention_norm.weight": (N_EMBD,)},
               mixture=experts(6, 40) | shared(80) | CHOICE_BIAS, n_dense_lead=1, seed=16),
    GraphModel("glm4moe, norms", "glm4moe", SIGMOID | {"expert_weights_norm": True},
               attention=QKV_BIASES | QK_NORMS | {"ffn_norm.weight": None, "post_attention_norm.weight": (N_EMBD,)},
               mixture=experts(6, 40) | shared(80) | CHOICE_BIAS, n_dense_lead=1, seed=17),
    GraphModel("glm4moe, a layer for the token after next", "glm4moe",
               SIGMOID | {"expert_weights_norm": True, "nextn_predict_layers": 1},
               attention=QKV_BIASES | {"ffn_norm.weight": None, "post_attention_norm.weight": (N_EMBD,)},
               mixture=experts(6, 40) | shared(80) | CHOICE_BIAS, n_dense_lead=1,
               ends={"blk.2.nextn.eh_proj.weight": (N_EMBD, 2 * N_EMBD), "blk.2.nextn.enorm.weight": (N_EMBD,),
                     "blk.2.nextn.hnorm.weight": (N_EMBD,)}, seed=22),
    GraphModel("hunyuan-dense", "hunyuan-dense", {}, attention=QK_NORMS, dense=True, seed=18),
    GraphModel("hunyuan-moe", "hunyuan-moe",
               {"expert_count": 6, "expert_used_count": 2, "expert_feed_forward_length": N_FF,
                "expert_shared_feed_forward_length": 48}, attention=QK_NORMS, mixture=experts(6, N_FF) | shared(48),
               seed=19),
    GraphModel("ernie4_5", "ernie4_5", {}, dense=True, seed=20),
    GraphModel("ernie4_5-moe", "ernie4_5-moe",
               {"expert_count": 6, "expert_used_count": 2, "expert_feed_forward_length": 40, "expert_shared_count": 2,
                "expert_shared_feed_forward_length": 48, "interleave_moe_layer_step": 1,
                "leading_dense_block_count": 1}, mixture=experts(6, 40) | shared(48) | CHOICE_BIAS, n_dense_lead=1,
               seed=21),
    GraphModel("granite", "granite", GRANITE, dense=True, seed=9),
    GraphModel("granite, no rotation", "granite", GRANITE | {"rope.scaling.finetuned": False}, dense=True, seed=23),
    GraphModel("granitemoe", "granitemoe", GRANITE | {"expert_count": 6, "expert_used_count": 2},
               mixture=experts(6, N_FF), seed=10),
    GraphModel("granitemoe, shared expert", "granitemoe",
               GRANITE | {"expert_count": 6, "expert_used_count": 2, "expert_shared_feed_forward_length": 48},
               mixture=experts(6, N_FF) | shared(48), seed=11),
]
