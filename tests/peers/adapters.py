# SPDX-License-Identifier: MIT
"""PEFT adapters made by the tests, and what merging them must give: NumPy, in float64, on Hugging Face tensors."""
import json
import math
import re
from dataclasses import dataclass, field

import numpy as np
from safetensors.numpy import save_file

PREFIX = "base_model.model."
CONFIG = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "tiny", "inference_mode": True,
          "r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": False,
          "use_rslora": False, "use_dora": False, "lora_bias": False, "modules_to_save": None, "rank_pattern": {},
          "alpha_pattern": {}, "init_lora_weights": True}


def by_pattern(patterns, module, default):
    """The value of the first pattern that is the module's path or the end of it after a dot."""
    return next((value for key, value in patterns.items() if re.match(rf"^(.*\.)?{key}$", module)), default)


@dataclass
class Adapter:
    """adapter_config.json's changes to CONFIG, and the tensors by their name without the prefix."""

    config: dict = field(default_factory=dict)
    tensors: dict = field(default_factory=dict)
    old_names: bool = False  # '.lora_A.default.weight', '.lora_magnitude_vector.weight', as older releases save
    dtype: type = np.float32

    @property
    def full_config(self):
        return CONFIG | self.config

    def saved_name(self, name):
        if self.old_names:
            name = re.sub(r"\.(lora_[AB])\.weight$", r".\1.default.weight", name)
            name = re.sub(r"\.lora_magnitude_vector$", r".lora_magnitude_vector.weight", name)
        return PREFIX + name

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "adapter_config.json").write_text(json.dumps(self.full_config), encoding="utf-8")
        tensors = {self.saved_name(name): np.ascontiguousarray(x.astype(self.dtype))
                   for name, x in self.tensors.items()}
        save_file(tensors, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})
        return folder

    def scaling(self, module, rank):
        alpha = by_pattern(self.full_config["alpha_pattern"], module, self.full_config["lora_alpha"])
        return alpha / (math.sqrt(rank) if self.full_config["use_rslora"] else rank)

    def values(self):
        """{name: float64}, as the file holds them."""
        return {name: x.astype(self.dtype).astype(np.float64) for name, x in self.tensors.items()}

    def merge(self, weights, strength=1.0):
        """New Hugging Face tensors (float64): the adapter merged into `weights`, times the user's strength."""
        merged = {name: x.astype(np.float64) for name, x in weights.items()}
        values = self.values()
        for name, x in values.items():
            if name.endswith(".lora_A.weight"):
                self._merge_linear(merged, values, name.removesuffix(".lora_A.weight"), strength)
            elif name.endswith(".lora_embedding_A"):
                self._merge_embedding(merged, values, name.removesuffix(".lora_embedding_A"), strength)
            elif ".lora_" not in name:
                merged[name.replace(".base_layer.", ".")] = x
        return merged

    def _merge_linear(self, merged, values, module, strength):
        a, b = values[module + ".lora_A.weight"], values[module + ".lora_B.weight"]
        scale, flipped = self.scaling(module, len(a)), self.full_config["fan_in_fan_out"]
        weight = merged[module + ".weight"].T if flipped else merged[module + ".weight"]
        full = weight + scale * (b @ a)
        magnitude = values.get(module + ".lora_magnitude_vector")
        if magnitude is not None:
            full = full * (magnitude / np.linalg.norm(full, axis=1))[:, None]
        full = weight + strength * (full - weight)
        merged[module + ".weight"] = full.T if flipped else full
        if module + ".lora_B.bias" in values:
            change = strength * scale * values[module + ".lora_B.bias"]
            merged[module + ".bias"] = merged.get(module + ".bias", 0.0) + change

    def _merge_embedding(self, merged, values, module, strength):
        a, b = values[module + ".lora_embedding_A"], values[module + ".lora_embedding_B"]
        weight = merged[module + ".weight"]
        full = weight + self.scaling(module, len(a)) * (b @ a).T
        magnitude = values.get(module + ".lora_magnitude_vector")
        if magnitude is not None:
            full = full * (magnitude / np.linalg.norm(full, axis=0))[None, :]
        merged[module + ".weight"] = weight + strength * (full - weight)


class Maker:
    """Random adapters for one model's tensors; deltas about a fifth of the weights."""

    def __init__(self, weights, seed, **config):
        self.weights, self.rng = weights, np.random.default_rng(seed)
        self.adapter = Adapter(config=config)

    def random(self, *shape, size=1.0):
        return (size * self.rng.standard_normal(shape)).astype(np.float32)

    def modules(self, *suffixes):
        return [name.removesuffix(".weight") for name in self.weights if name.endswith(".weight")
                and any(name.endswith("." + suffix + ".weight") for suffix in suffixes)]

    def linear(self, *suffixes):
        """A and B for every module whose path ends so; magnitudes with use_dora, B's bias with lora_bias."""
        full, tensors = self.adapter.full_config, self.adapter.tensors
        for module in self.modules(*suffixes):
            shape = self.weights[module + ".weight"].shape
            n_out, n_in = shape[::-1] if full["fan_in_fan_out"] else shape
            rank = by_pattern(full["rank_pattern"], module, full["r"])
            tensors[module + ".lora_A.weight"] = self.random(rank, n_in, size=n_in ** -0.5)
            tensors[module + ".lora_B.weight"] = self.random(n_out, rank, size=0.1)
            if full["use_dora"]:
                tensors[module + ".lora_magnitude_vector"] = 0.5 + np.abs(self.random(n_out))
            if full["lora_bias"]:
                tensors[module + ".lora_B.bias"] = self.random(n_out, size=0.2)
        return self

    def embedding(self, module):
        full, tensors = self.adapter.full_config, self.adapter.tensors
        n_vocab, width = self.weights[module + ".weight"].shape
        tensors[module + ".lora_embedding_A"] = self.random(full["r"], n_vocab, size=0.1)
        tensors[module + ".lora_embedding_B"] = self.random(width, full["r"], size=0.5)
        if full["use_dora"]:
            tensors[module + ".lora_magnitude_vector"] = 5.0 + np.abs(self.random(width))
        return self

    def saved(self, name, shape=None):
        """A tensor saved whole."""
        shape = shape or self.weights[name.replace(".base_layer.", ".")].shape
        self.adapter.tensors[name] = self.random(*shape, size=0.5)
        return self
