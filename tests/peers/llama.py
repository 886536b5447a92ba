# SPDX-License-Identifier: MIT
"""llama.cpp's C interface through ctypes: load a model on the CPU, tokenise, logits, greedy answers, quantise.

The structs are those of the release that package.json pins. No header comes with the package, so the layouts are
checked at import time against the defaults that the library itself returns: another release fails here, loudly,
instead of reading the wrong field.
"""
import ctypes as C

import numpy as np

from harness import THREADS, Skip
from llama_libs import find_libs

F32 = 0  # ggml's id of the type, for the KV cache


class ModelParams(C.Structure):
    _fields_ = [("devices", C.c_void_p), ("tensor_buft_overrides", C.c_void_p), ("n_gpu_layers", C.c_int32),
                ("split_mode", C.c_int32), ("load_mode", C.c_int32), ("lazy_mode", C.c_int32),
                ("main_gpu", C.c_int32), ("tensor_split", C.c_void_p), ("progress_callback", C.c_void_p),
                ("progress_callback_user_data", C.c_void_p), ("kv_overrides", C.c_void_p),
                ("vocab_only", C.c_bool), ("check_tensors", C.c_bool), ("use_extra_bufts", C.c_bool),
                ("no_host", C.c_bool), ("no_alloc", C.c_bool), ("load_mtp", C.c_bool)]


class ContextParams(C.Structure):
    _fields_ = [("n_ctx", C.c_uint32), ("n_batch", C.c_uint32), ("n_ubatch", C.c_uint32), ("n_seq_max", C.c_uint32),
                ("n_rs_seq", C.c_uint32), ("n_outputs_max", C.c_uint32), ("n_outputs_max_per_seq", C.c_uint32),
                ("n_threads", C.c_int32), ("n_threads_batch", C.c_int32), ("ctx_type", C.c_int32),
                ("rope_scaling_type", C.c_int32), ("pooling_type", C.c_int32), ("attention_type", C.c_int32),
                ("flash_attn_type", C.c_int32), ("rope_freq_base", C.c_float), ("rope_freq_scale", C.c_float),
                ("yarn_ext_factor", C.c_float), ("yarn_attn_factor", C.c_float), ("yarn_beta_fast", C.c_float),
                ("yarn_beta_slow", C.c_float), ("yarn_orig_ctx", C.c_uint32), ("defrag_thold", C.c_float),
                ("cb_eval", C.c_void_p), ("cb_eval_user_data", C.c_void_p), ("type_k", C.c_int32),
                ("type_v", C.c_int32), ("abort_callback", C.c_void_p), ("abort_callback_data", C.c_void_p),
                ("embeddings", C.c_bool), ("offload_kqv", C.c_bool), ("no_perf", C.c_bool), ("op_offload", C.c_bool),
                ("swa_full", C.c_bool), ("kv_unified", C.c_bool), ("samplers", C.c_void_p),
                ("n_samplers", C.c_size_t), ("ctx_other", C.c_void_p)]


class QuantizeParams(C.Structure):
    _fields_ = [("nthread", C.c_int32), ("ftype", C.c_int32), ("output_tensor_type", C.c_int32),
                ("token_embedding_type", C.c_int32), ("allow_requantize", C.c_bool),
                ("quantize_output_tensor", C.c_bool), ("only_copy", C.c_bool), ("pure", C.c_bool),
                ("keep_split", C.c_bool), ("dry_run", C.c_bool), ("imatrix", C.c_void_p),
                ("kv_overrides", C.c_void_p), ("tt_overrides", C.c_void_p), ("prune_layers", C.c_void_p),
                ("reserved", C.c_int32 * 2)]


class Batch(C.Structure):
    _fields_ = [("n_tokens", C.c_int32), ("token", C.POINTER(C.c_int32)), ("embd", C.c_void_p),
                ("pos", C.POINTER(C.c_int32)), ("n_seq_id", C.POINTER(C.c_int32)),
                ("seq_id", C.POINTER(C.POINTER(C.c_int32))), ("logits", C.POINTER(C.c_int8))]


LOG_CALLBACK = C.CFUNCTYPE(None, C.c_int, C.c_char_p, C.c_void_p)

PROTOTYPES = {
    "llama_backend_init": (None, []),
    "llama_version": (C.c_char_p, []),
    "llama_log_set": (None, [LOG_CALLBACK, C.c_void_p]),
    "llama_model_default_params": (ModelParams, []),
    "llama_context_default_params": (ContextParams, []),
    "llama_model_quantize_default_params": (QuantizeParams, []),
    "llama_model_quantize": (C.c_uint32, [C.c_char_p, C.c_char_p, C.POINTER(QuantizeParams)]),
    "llama_model_load_from_file": (C.c_void_p, [C.c_char_p, ModelParams]),
    "llama_model_free": (None, [C.c_void_p]),
    "llama_model_get_vocab": (C.c_void_p, [C.c_void_p]),
    "llama_model_meta_val_str": (C.c_int32, [C.c_void_p, C.c_char_p, C.c_char_p, C.c_size_t]),
    "llama_init_from_model": (C.c_void_p, [C.c_void_p, ContextParams]),
    "llama_free": (None, [C.c_void_p]),
    "llama_adapter_lora_init": (C.c_void_p, [C.c_void_p, C.c_char_p]),
    "llama_set_adapters_lora": (C.c_int32, [C.c_void_p, C.POINTER(C.c_void_p), C.c_size_t, C.POINTER(C.c_float)]),
    "llama_batch_init": (Batch, [C.c_int32, C.c_int32, C.c_int32]),
    "llama_batch_free": (None, [Batch]),
    "llama_decode": (C.c_int32, [C.c_void_p, Batch]),
    "llama_get_logits_ith": (C.POINTER(C.c_float), [C.c_void_p, C.c_int32]),
    "llama_get_memory": (C.c_void_p, [C.c_void_p]),
    "llama_memory_clear": (None, [C.c_void_p, C.c_bool]),
    "llama_vocab_n_tokens": (C.c_int32, [C.c_void_p]),
    "llama_vocab_is_eog": (C.c_bool, [C.c_void_p, C.c_int32]),
    "llama_tokenize": (C.c_int32, [C.c_void_p, C.c_char_p, C.c_int32, C.POINTER(C.c_int32), C.c_int32, C.c_bool,
                                   C.c_bool]),
    "llama_token_to_piece": (C.c_int32, [C.c_void_p, C.c_int32, C.c_char_p, C.c_int32, C.c_int32, C.c_bool]),
}


class Log:
    """Keeps the last lines of the library's log, for messages about what it refused."""

    def __init__(self):
        self.lines = []
        self.callback = LOG_CALLBACK(self.take)

    def take(self, level, text, _data):
        if level >= 3 or level == 5:  # warnings and errors, and what continues them
            self.lines = (self.lines + [text.decode("utf-8", "replace")])[-12:]

    def tail(self):
        return "".join(self.lines).strip().replace("\n", " | ")[-500:]


LOG = Log()


def _load():
    folder = find_libs()
    if folder is None:
        raise Skip("llama.cpp's libraries are not installed: run scripts/bootstrap, or set QUERN_LLAMA_LIBS")
    ggml = C.CDLL(str(next(iter(folder.glob("libggml.*so")))), mode=C.RTLD_GLOBAL)
    lib = C.CDLL(str(next(iter(folder.glob("libllama.*so")))))
    for name, (result, arguments) in PROTOTYPES.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.llama_log_set(LOG.callback, None)
    ggml.ggml_log_set = C.CDLL(str(folder / "libggml-base.so")).ggml_log_set
    ggml.ggml_log_set.argtypes = [LOG_CALLBACK, C.c_void_p]
    ggml.ggml_log_set(LOG.callback, None)
    ggml.ggml_backend_load_all_from_path.argtypes = [C.c_char_p]
    ggml.ggml_backend_load_all_from_path(str(folder).encode())
    lib.llama_backend_init()
    _check_layouts(lib)
    return lib


def _check_layouts(lib):
    """The defaults are known numbers: found where the structs say, the structs are right."""
    model, context = lib.llama_model_default_params(), lib.llama_context_default_params()
    quant = lib.llama_model_quantize_default_params()
    found = [model.n_gpu_layers, model.split_mode, model.load_mode, model.main_gpu, model.tensor_split,
             model.vocab_only, model.use_extra_bufts, context.n_ctx, context.n_batch, context.n_ubatch,
             context.n_seq_max, context.n_threads, context.rope_scaling_type, context.flash_attn_type,
             context.yarn_ext_factor, context.defrag_thold, context.type_k, context.type_v, context.offload_kqv,
             context.swa_full, context.n_samplers, quant.ftype, quant.quantize_output_tensor, quant.pure]
    expected = [-1, 1, -1, 0, None, False, True, 512, 2048, 512, 1, 4, -1, -1, -1.0, -1.0, 1, 1, True, True, 0, 7,
                True, False]
    if found != expected:
        raise RuntimeError(f"llama.py: struct layouts do not fit libllama {lib.llama_version().decode()}: defaults "
                           f"{found}, expected {expected}")


LIB = None


def lib():
    """The library, loaded at first use (Skip when it is not installed)."""
    global LIB
    if LIB is None:
        LIB = _load()
    return LIB


class Model:
    """A loaded model; close() frees it. vocab_only loads no weights."""

    def __init__(self, path, vocab_only=False):
        params = lib().llama_model_default_params()
        params.vocab_only, params.n_gpu_layers = vocab_only, 0
        LOG.lines.clear()
        self.handle = lib().llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            raise RuntimeError(f"llama.cpp does not load {path}: {LOG.tail()}")
        self.vocab = lib().llama_model_get_vocab(self.handle)
        self.n_vocab = lib().llama_vocab_n_tokens(self.vocab)

    def close(self):
        lib().llama_model_free(self.handle)
        self.handle = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def meta(self, key):
        """A metadata value as text; None when the file has none."""
        buffer = C.create_string_buffer(1 << 16)
        n = lib().llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if n >= 0 else None

    def tokenize(self, text, add_special=True, parse_special=True):
        data = text.encode() if isinstance(text, str) else text
        room = len(data) + 16
        ids = (C.c_int32 * room)()
        n = lib().llama_tokenize(self.vocab, data, len(data), ids, room, add_special, parse_special)
        if n < 0:
            raise RuntimeError(f"llama_tokenize: {n}")
        return list(ids[:n])

    def piece(self, token, special=False):
        """The bytes of one token; control tokens are empty unless special."""
        buffer = C.create_string_buffer(512)
        n = lib().llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        return buffer.raw[:max(n, 0)]

    def is_eog(self, token):
        return lib().llama_vocab_is_eog(self.vocab, token)

    def context(self, n_ctx, n_batch=None):
        return Context(self, n_ctx, n_batch or n_ctx)

    def logits(self, tokens, n_ctx):
        """[n_tokens, n_vocab] float32: the logits after every token of a prompt."""
        with self.context(n_ctx) as context:
            return context.decode(tokens, 0, every=True)


class Context:
    """One sequence on the CPU: float32 KV cache, no flash attention."""

    def __init__(self, model, n_ctx, n_batch):
        params = lib().llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = n_ctx, n_batch, n_batch
        params.n_outputs_max = params.n_outputs_max_per_seq = n_batch
        params.n_threads = params.n_threads_batch = THREADS
        params.type_k = params.type_v = F32
        params.flash_attn_type = 0
        LOG.lines.clear()
        self.model = model
        self.handle = lib().llama_init_from_model(model.handle, params)
        if not self.handle:
            raise RuntimeError(f"llama.cpp makes no context: {LOG.tail()}")

    def close(self):
        lib().llama_free(self.handle)
        self.handle = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def clear(self):
        lib().llama_memory_clear(lib().llama_get_memory(self.handle), True)

    def adapter(self, path, scale=1.0):
        """Puts a LoRA file on the context."""
        LOG.lines.clear()
        adapter = lib().llama_adapter_lora_init(self.model.handle, str(path).encode())
        if not adapter:
            raise RuntimeError(f"llama.cpp does not load the adapter {path}: {LOG.tail()}")
        if lib().llama_set_adapters_lora(self.handle, (C.c_void_p * 1)(adapter), 1, (C.c_float * 1)(scale)):
            raise RuntimeError(f"llama.cpp does not use the adapter {path}: {LOG.tail()}")

    def decode(self, tokens, first_pos, every):
        """Runs tokens at positions from first_pos; logits after every token, or after the last one only."""
        batch = lib().llama_batch_init(len(tokens), 0, 1)
        try:
            batch.n_tokens = len(tokens)
            for i, token in enumerate(tokens):
                batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, first_pos + i, 1
                batch.seq_id[i][0] = 0
                batch.logits[i] = every or i == len(tokens) - 1
            code = lib().llama_decode(self.handle, batch)
            if code != 0:
                raise RuntimeError(f"llama_decode: {code}: {LOG.tail()}")
        finally:
            lib().llama_batch_free(batch)
        rows = range(len(tokens)) if every else [len(tokens) - 1]
        n_vocab = self.model.n_vocab
        return np.stack([np.ctypeslib.as_array(lib().llama_get_logits_ith(self.handle, i), (n_vocab,)).copy()
                         for i in rows])

    def greedy(self, prompt, n_max):
        """The bytes that follow a prompt, most likely token each time, up to an end-of-generation token."""
        self.clear()
        text, position = b"", len(prompt)
        token = int(self.decode(prompt, 0, every=False)[0].argmax())
        for _ in range(n_max):
            if self.model.is_eog(token):
                break
            text += self.model.piece(token)
            token = int(self.decode([token], position, every=False)[0].argmax())
            position += 1
        return text


class ImatrixData(C.Structure):
    _fields_ = [("name", C.c_char_p), ("data", C.POINTER(C.c_float)), ("size", C.c_size_t)]


class TensorOverride(C.Structure):
    _fields_ = [("pattern", C.c_char_p), ("type", C.c_int32)]


def quantize(source, target, file_type, pure=False, embedding_type=None, output_type=None, leave_output=False,
             requantize=False, copy=False, keep_split=False, imatrix=None, tensor_types=(), pruned=()):
    """llama.cpp's own quantisation of a file.

    file_type is general.file_type's number; pure leaves its mixture rules out; embedding_type and output_type (ggml
    type ids) override those tensors' types; imatrix is {tensor name: float32 array}; tensor_types [(regex, type id)].
    """
    params = lib().llama_model_quantize_default_params()
    params.ftype, params.nthread, params.pure = file_type, THREADS, pure
    params.allow_requantize, params.only_copy, params.keep_split = requantize, copy, keep_split
    params.quantize_output_tensor = not leave_output
    if embedding_type is not None:
        params.token_embedding_type = embedding_type
    if output_type is not None:
        params.output_tensor_type = output_type
    if imatrix:
        data = (ImatrixData * (len(imatrix) + 1))()
        for row, (name, values) in zip(data, imatrix.items()):
            row.name, row.size = name.encode(), values.size
            row.data = values.ctypes.data_as(C.POINTER(C.c_float))
        params.imatrix = C.cast(data, C.c_void_p)
    if tensor_types:
        rules = (TensorOverride * (len(tensor_types) + 1))()
        for row, (pattern, kind) in zip(rules, tensor_types):
            row.pattern, row.type = pattern.encode(), kind
        params.tt_overrides = C.cast(rules, C.c_void_p)
    if pruned:
        layers = (C.c_int32 * (len(pruned) + 1))(*pruned, -1)
        params.prune_layers = C.cast(layers, C.c_void_p)
    LOG.lines.clear()
    if lib().llama_model_quantize(str(source).encode(), str(target).encode(), C.byref(params)) != 0:
        raise RuntimeError(f"llama_model_quantize {source}: {LOG.tail()}")
