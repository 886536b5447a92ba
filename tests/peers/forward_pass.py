# SPDX-License-Identifier: MIT
"""A plain NumPy forward pass of every family, in float64, over Hugging Face tensors and config.json's keys.

A trait named in `off` is left out, which is how the tests know that they would see it missing. Only GELU is rounded as
llama.cpp rounds it, because that is the peer's precision and no trait of a file.
"""
import math

import numpy as np


def rms(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def layer_norm(x, weight, bias, eps):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps) * weight + bias


def silu(x):
    return x / (1.0 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x ** 3)))


def half_gelu(x):
    """GELU as llama.cpp's CPU computes it: between -10 and 10 from a table of half-precision arguments and values."""
    with np.errstate(over="ignore"):
        looked_up = gelu(x.astype(np.float16).astype(np.float64)).astype(np.float16).astype(np.float64)
    return np.where(x <= -10.0, 0.0, np.where(x >= 10.0, x, looked_up))


def soft_cap(x, cap):
    return cap * np.tanh(x / cap) if cap else x


def rotate(x, angles, magnitude=1.0, interleaved=False):
    """Rotary embedding of x [n, heads, d] by angles [n, n_rot / 2]; the rest of each head is copied.

    Pairs are (i, i + n_rot / 2), as Hugging Face stores heads; interleaved pairs are (2 i, 2 i + 1).
    """
    n_rot = 2 * angles.shape[1]
    first, second = (x[..., 0:n_rot:2], x[..., 1:n_rot:2]) if interleaved else \
        (x[..., :n_rot // 2], x[..., n_rot // 2:n_rot])
    cos, sin = magnitude * np.cos(angles)[:, None, :], magnitude * np.sin(angles)[:, None, :]
    out = x.copy()
    turned = (first * cos - second * sin, second * cos + first * sin)
    if interleaved:
        out[..., 0:n_rot:2], out[..., 1:n_rot:2] = turned
    else:
        out[..., :n_rot // 2], out[..., n_rot // 2:n_rot] = turned
    return out


def attend(q, k, v, scale, cap=0.0, window=0, grouped=True):
    """Causal attention; q [n, H, d], k and v [n, K, d]; gives [n, H * d]. Query head h reads K/V head h * K / H."""
    n, n_head, _ = q.shape
    heads = np.arange(n_head) * k.shape[1] // n_head if grouped else np.arange(n_head) % k.shape[1]
    scores = soft_cap(np.einsum("ihd,jhd->hij", q, k[:, heads]) * scale, cap)
    i, j = np.arange(n)[:, None], np.arange(n)[None, :]
    hidden = (j > i) | ((i - j >= window) if window else False)
    scores = np.where(hidden, -np.inf, scores)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("hij,jhd->ihd", weights, v[:, heads]).reshape(n, -1)


def llama3_factors(config, n_rot):
    """Divisors of the rope angles for rope_type llama3, [n_rot / 2]."""
    scaling = config["rope_scaling"]
    wave = 2.0 * math.pi * config["rope_theta"] ** (2.0 * np.arange(n_rot // 2) / n_rot)
    context, factor = scaling["original_max_position_embeddings"], scaling["factor"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    smooth = (context / wave - low) / (high - low)
    between = 1.0 / ((1.0 - smooth) / factor + smooth)
    return np.where(wave < context / high, 1.0, np.where(wave > context / low, factor, between))


def head_size(config):
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


class Graph:
    """One decoder of the Llama, Qwen, Gemma, Phi-3, Granite and OLMo families, from its config; `off` names traits to leave out."""

    def __init__(self, config, weights, off, n_ctx):
        self.config, self.off, self.n_ctx = config, frozenset(off), n_ctx
        self.w = {name: tensor.astype(np.float64) for name, tensor in weights.items()}
        self.kind = config["model_type"]
        self.is_gemma = self.kind.startswith("gemma")
        self.n_head, self.n_head_kv, self.d = (config["num_attention_heads"], config["num_key_value_heads"],
                                               head_size(config))
        self.eps = config["rms_norm_eps"] if self.on("norm epsilon") else 1e-12

    def on(self, trait):
        return trait not in self.off

    def norm(self, x, name):
        weight = self.w[name]
        return rms(x, weight + 1.0 if self.is_gemma and self.on("norm offset") else weight, self.eps)

    def linear(self, x, name, bias_trait):
        y = x @ self.w[name + ".weight"].T
        bias = self.w.get(name + ".bias")
        return y if bias is None or not self.on(bias_trait) else y + bias

    def is_sliding(self, layer):
        if self.kind == "gemma2":
            return layer % 2 == 0
        return self.kind == "gemma3_text" and layer % self.config["sliding_window_pattern"] < \
            self.config["sliding_window_pattern"] - 1

    def angles(self, n, layer):
        """Rope angles [n, n_rot / 2] of a layer, and the factor on cos and sin."""
        config, scaling, magnitude = self.config, self.config.get("rope_scaling") or {}, 1.0
        n_rot = self.d
        base = config["rope_theta"] if self.on("rope base") else 500.0
        divisor = 1.0
        if self.kind == "phi3":
            if self.on("partial rotary"):
                n_rot = int(config["partial_rotary_factor"] * config["hidden_size"]) // self.n_head
            divisor, magnitude = self.long_rope(n_rot)
        elif scaling.get("rope_type") == "llama3" and self.on("rope factors"):
            divisor = llama3_factors(config, n_rot)
        elif self.kind == "gemma3_text":
            if self.is_sliding(layer) and self.on("local rope base"):
                base = config["rope_local_base_freq"]
            elif not self.is_sliding(layer) and self.on("linear rope factor"):
                divisor = scaling["factor"]
        frequency = base ** (-2.0 * np.arange(n_rot // 2) / n_rot)
        return np.arange(n)[:, None] * (frequency / divisor)[None, :], magnitude

    def long_rope(self, n_rot):
        config = self.config
        original = config["original_max_position_embeddings"]
        which = "long_factor" if self.n_ctx > original else "short_factor"
        divisor = np.array(config["rope_scaling"][which])[:n_rot // 2] if self.on("rope factors") else 1.0
        if np.ndim(divisor) and len(divisor) < n_rot // 2:
            divisor = np.resize(divisor, n_rot // 2)
        ratio = config["max_position_embeddings"] / original
        magnitude = math.sqrt(1.0 + math.log(ratio) / math.log(original)) if self.on("attention factor") else 1.0
        return divisor, magnitude

    def query_scale(self):
        if not self.on("query scale"):
            return 1.0
        if "attention_multiplier" in self.config:
            return self.config["attention_multiplier"]
        width = self.config["hidden_size"] // self.n_head
        is_27b = (self.kind, self.config["num_hidden_layers"]) in (("gemma2", 46), ("gemma3_text", 62))
        return 1.0 / math.sqrt(width if is_27b and self.on("27B query scale") else self.d)

    def qkv(self, x, prefix):
        n = len(x)
        if self.kind == "phi3":
            fused = x @ self.w[prefix + "qkv_proj.weight"].T
            q, k, v = np.split(fused, [self.n_head * self.d, (self.n_head + self.n_head_kv) * self.d], axis=1)
        else:
            q, k, v = (self.linear(x, prefix + part, "qkv bias") for part in ("q_proj", "k_proj", "v_proj"))
        if self.kind == "olmoe":  # over all heads
            q = self.norm(q, prefix + "q_norm.weight") if self.on("q norm") else q
            k = self.norm(k, prefix + "k_norm.weight") if self.on("k norm") else k
        q, k, v = q.reshape(n, -1, self.d), k.reshape(n, -1, self.d), v.reshape(n, -1, self.d)
        has_head_norms = self.kind != "olmoe" and prefix + "q_norm.weight" in self.w
        if has_head_norms and self.on("q norm"):
            q = self.norm(q, prefix + "q_norm.weight")
        if has_head_norms and self.on("k norm"):
            k = self.norm(k, prefix + "k_norm.weight")
        return q, k, v

    def attention(self, x, layer):
        prefix = f"model.layers.{layer}.self_attn."
        q, k, v = self.qkv(x, prefix)
        angles, magnitude = self.angles(len(x), layer)
        interleaved = not self.on("half-split heads")
        q, k = rotate(q, angles, magnitude, interleaved), rotate(k, angles, magnitude, interleaved)
        cap = self.config.get("attn_logit_softcapping") or 0.0
        window = self.config["sliding_window"] if self.is_sliding(layer) and self.on("sliding window") else 0
        mixed = attend(q, k, v, self.query_scale(), cap if self.on("attention cap") else 0.0, window,
                       self.on("grouped heads"))
        return self.linear(mixed, prefix + "o_proj", "output bias")

    def gated(self, x, prefix, names=("gate_proj", "up_proj", "down_proj")):
        """A feed-forward of SiLU without biases."""
        gate, up, down = (self.w[prefix + name + ".weight"] for name in names)
        return (silu(x @ gate.T) * (x @ up.T)) @ down.T

    def expert_weights(self, scores):
        """[n, n_expert]: how much of each expert a row gets; 0 for those that are not chosen."""
        config = self.config
        n_used = config["num_experts_per_tok"]
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        order = np.argsort(-p if self.on("experts by score") else p, axis=1)[:, :n_used]
        weights = np.zeros_like(p)
        np.put_along_axis(weights, order, np.take_along_axis(p, order, axis=1), axis=1)
        if not self.on("weights by score"):
            weights = np.where(weights > 0, weights.sum(axis=1, keepdims=True) / n_used, 0.0)
        divides = config.get("norm_topk_prob", True) == self.on("sums of weights")
        return weights / weights.sum(axis=1, keepdims=True) if divides else weights

    def granite_mixture(self, x, prefix):
        def gated(w_in, w_out):
            gate, up = np.split(x @ w_in.T, 2, axis=1)
            return (silu(gate) * up) @ w_out.T

        moe = prefix + "block_sparse_moe."
        w_in, w_out = self.w[moe + "input_linear.weight"], self.w[moe + "output_linear.weight"]
        weights = self.expert_weights(x @ self.w[moe + "router.layer.weight"].T)
        y = sum(weights[:, e:e + 1] * gated(w_in[e], w_out[e]) for e in range(len(w_in)))
        shared = prefix + "shared_mlp."
        if shared + "input_linear.weight" in self.w and self.on("shared expert"):
            y = y + gated(self.w[shared + "input_linear.weight"], self.w[shared + "output_linear.weight"])
        return y

    def mixture(self, x, layer):
        """A layer of experts, and the shared one."""
        if self.kind.startswith("granitemoe"):
            return self.granite_mixture(x, f"model.layers.{layer}.")
        is_mixtral = self.kind == "mixtral"
        prefix = f"model.layers.{layer}.{'block_sparse_moe' if is_mixtral else 'mlp'}."
        names = ("w1", "w3", "w2") if is_mixtral else ("gate_proj", "up_proj", "down_proj")
        weights = self.expert_weights(x @ self.w[prefix + "gate.weight"].T)
        y = sum(weights[:, e:e + 1] * self.gated(x, f"{prefix}experts.{e}.", names) for e in range(weights.shape[1]))
        if prefix + "shared_expert_gate.weight" in self.w and self.on("shared expert"):
            gate = 1.0 / (1.0 + np.exp(-x @ self.w[prefix + "shared_expert_gate.weight"].T))
            y = y + (gate if self.on("shared expert's gate") else 1.0) * self.gated(x, prefix + "shared_expert.")
        return y

    def feed_forward(self, x, layer):
        prefix = f"model.layers.{layer}.mlp."
        if "num_experts_per_tok" in self.config:
            return self.mixture(x, layer)
        if self.kind == "phi3":
            fused = x @ self.w[prefix + "gate_up_proj.weight"].T
            gate, up = np.split(fused, 2, axis=1) if self.on("gate first") else np.split(fused, 2, axis=1)[::-1]
        else:
            gate, up = (self.linear(x, prefix + part, "feed-forward bias") for part in ("gate_proj", "up_proj"))
        activation = half_gelu if self.is_gemma and self.on("gelu") else silu
        return self.linear(activation(gate) * up, prefix + "down_proj", "feed-forward bias")

    def block(self, x, layer):
        prefix = f"model.layers.{layer}."
        a = self.attention(self.norm(x, prefix + "input_layernorm.weight"), layer)
        if prefix + "pre_feedforward_layernorm.weight" not in self.w:
            scale = self.config.get("residual_multiplier", 1.0) if self.on("residual multiplier") else 1.0
            h = x + scale * a
            return h + scale * self.feed_forward(self.norm(h, prefix + "post_attention_layernorm.weight"), layer)
        h = x + (self.norm(a, prefix + "post_attention_layernorm.weight") if self.on("post-attention norm") else a)
        f = self.feed_forward(self.norm(h, prefix + "pre_feedforward_layernorm.weight"), layer)
        return h + (self.norm(f, prefix + "post_feedforward_layernorm.weight") if self.on("post-ffn norm") else f)

    def logits(self, tokens):
        embedding = self.w["model.embed_tokens.weight"]
        x = embedding[tokens]
        if self.is_gemma and self.on("embedding scale"):
            x = x * math.sqrt(self.config["hidden_size"])
        if self.on("embedding multiplier"):
            x = x * self.config.get("embedding_multiplier", 1.0)
        for layer in range(self.config["num_hidden_layers"]):
            x = self.block(x, layer)
        head = self.w.get("lm_head.weight", embedding) if self.on("untied output") else embedding
        z = self.norm(x, "model.norm.weight") @ head.T
        if self.on("logits scaling"):
            z = z / self.config.get("logits_scaling", 1.0)
        return soft_cap(z, self.config.get("final_logit_softcapping")) if self.on("final cap") else z


def gpt2_logits(config, weights, tokens, off):
    """GPT-2: learned positions, LayerNorm with bias, fused qkv, weights stored [in, out]."""
    w = {name.removeprefix("transformer."): tensor.astype(np.float64) for name, tensor in weights.items()}
    eps = config["layer_norm_epsilon"] if "norm epsilon" not in off else 1e-12
    n, n_head, width = len(tokens), config["n_head"], config["n_embd"]

    def norm(x, name):
        if "mean removal" in off:
            return rms(x, w[name + ".weight"], eps) + w[name + ".bias"]
        return layer_norm(x, w[name + ".weight"], 0.0 if "norm bias" in off else w[name + ".bias"], eps)

    def linear(x, name):
        matrix = w[name + ".weight"]
        if "transposed weights" in off and matrix.shape[0] == matrix.shape[1]:
            matrix = matrix.T
        return x @ matrix + (0.0 if "linear bias" in off else w[name + ".bias"])

    x = w["wte.weight"][tokens] + (0.0 if "positions" in off else w["wpe.weight"][:n])
    for layer in range(config["n_layer"]):
        prefix = f"h.{layer}."
        q, k, v = (part.reshape(n, n_head, -1)
                   for part in np.split(linear(norm(x, prefix + "ln_1"), prefix + "attn.c_attn"), 3, axis=1))
        scale = 1.0 if "query scale" in off else math.sqrt(n_head / width)
        x = x + linear(attend(q, k, v, scale), prefix + "attn.c_proj")
        up = linear(norm(x, prefix + "ln_2"), prefix + "mlp.c_fc")
        x = x + linear(silu(up) if "gelu" in off else half_gelu(up), prefix + "mlp.c_proj")
    return norm(x, "ln_f") @ w["wte.weight"].T


def forward(config, weights, tokens, off=(), n_ctx=0):
    """Logits [n, n_vocab] in float64."""
    if config["model_type"] == "gpt2":
        return gpt2_logits(config, weights, tokens, frozenset(off))
    return Graph(config, weights, off, n_ctx).logits(tokens)
