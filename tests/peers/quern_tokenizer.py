# SPDX-License-Identifier: MIT
"""libquern's tokenizer through ctypes (libquern.so of the build): include/quern/tokenize.h."""
import ctypes as C
import os
from pathlib import Path

from harness import ROOT, Skip

ADD_SPECIAL, PARSE_SPECIAL = 1, 2
KEEP_SPECIAL, REMOVE_SPECIAL = 1, 2


class Error(C.Structure):
    _fields_ = [("status", C.c_int), ("message", C.c_char * 3072)]


PROTOTYPES = {
    "qn_tokenizer_open": (C.c_int, [C.c_char_p, C.c_void_p, C.POINTER(C.c_void_p), C.POINTER(Error)]),
    "qn_tokenizer_free": (None, [C.c_void_p]),
    "qn_tokenizer_encode": (C.c_int, [C.c_void_p, C.c_char_p, C.c_size_t, C.c_uint, C.POINTER(C.POINTER(C.c_int32)),
                                      C.POINTER(C.c_size_t), C.POINTER(Error)]),
    "qn_tokenizer_decode": (C.c_int, [C.c_void_p, C.POINTER(C.c_int32), C.c_size_t, C.c_uint, C.POINTER(C.c_void_p),
                                      C.POINTER(C.c_size_t), C.POINTER(Error)]),
    "qn_tokenizer_n_tokens": (C.c_size_t, [C.c_void_p]),
    "qn_tokenizer_role": (C.c_int32, [C.c_void_p, C.c_int]),
    "qn_tokenizer_is_end": (C.c_bool, [C.c_void_p, C.c_int32]),
}
LIB = None


def lib():
    """The shared library, loaded at first use."""
    global LIB
    if LIB is None:
        path = Path(os.environ.get("QUERN_BUILD") or ROOT / "build") / "libquern.so"
        if not path.exists():
            raise Skip(f"no {path}: the shared library is not built")
        LIB = C.CDLL(str(path))
        for name, (result, arguments) in PROTOTYPES.items():
            function = getattr(LIB, name)
            function.restype, function.argtypes = result, arguments
    return LIB


LIBC = C.CDLL(None)
LIBC.free.argtypes = [C.c_void_p]


class Tokenizer:
    """An opened tokenizer; lives as long as the process needs it."""

    def __init__(self, path):
        self.handle, error = C.c_void_p(), Error()
        if lib().qn_tokenizer_open(str(path).encode(), None, C.byref(self.handle), C.byref(error)):
            raise RuntimeError(error.message.decode("utf-8", "replace"))
        self.n_tokens = lib().qn_tokenizer_n_tokens(self.handle)

    def __del__(self):
        lib().qn_tokenizer_free(self.handle)

    def encode(self, text, add_special=True, parse_special=True):
        data = text if isinstance(text, bytes) else text.encode()
        ids, n, error = C.POINTER(C.c_int32)(), C.c_size_t(), Error()
        flags = ADD_SPECIAL * add_special | PARSE_SPECIAL * parse_special
        if lib().qn_tokenizer_encode(self.handle, data, len(data), flags, C.byref(ids), C.byref(n), C.byref(error)):
            raise RuntimeError(error.message.decode("utf-8", "replace"))
        found = ids[:n.value]
        LIBC.free(ids)
        return found

    def decode(self, ids, keep_special=False, remove_special=False):
        """The bytes that ids print."""
        text, n, error = C.c_void_p(), C.c_size_t(), Error()
        flags = KEEP_SPECIAL * keep_special | REMOVE_SPECIAL * remove_special
        if lib().qn_tokenizer_decode(self.handle, (C.c_int32 * len(ids))(*ids), len(ids), flags, C.byref(text),
                                     C.byref(n), C.byref(error)):
            raise RuntimeError(error.message.decode("utf-8", "replace"))
        found = C.string_at(text, n.value)
        LIBC.free(text)
        return found

    def is_end(self, token):
        return lib().qn_tokenizer_is_end(self.handle, token)

    def role(self, index):
        return lib().qn_tokenizer_role(self.handle, index)
