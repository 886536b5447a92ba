# SPDX-License-Identifier: MIT
"""Grammars beside llama.cpp's own sampler: the same tokens are allowed along texts, on the sample's vocabulary and a
byte-level BPE one, and JSON schemas' grammars are read there too.

Differences that are meant: control tokens, which print nothing (llama.cpp reads them as their spelling); bytes that are
no UTF-8 (llama.cpp takes whatever follows the first byte of a character as the rest of it); the first byte of characters
of which a negated class leaves out some only (llama.cpp refuses it); NUL, which llama.cpp takes for the end of a piece.
"""
import ctypes as C
import os
import subprocess

import llama
import numpy as np
from harness import MILLER_BASE, ROOT, one_line, pack_one, run, shared

TOOL = os.path.join(os.environ.get("QUERN_BUILD") or ROOT / "build", "tests/peers/grammar_tool")

JSON = r'''root ::= object
value ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws # a comment
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
'''
ARITHMETIC = r'''root ::= (expr "=" ws term "\n")+
expr ::= term ([-+*/] term)*
term ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num ::= [0-9]+ ws
ws ::= [ \t\n]*
'''
# Grammar, and texts whose beginnings all fit.
CASES = {
    "JSON": (JSON, ['{"name": "quern", "n": [1, -2.5e3, null], "o": {"a\\n\\u00e9": true}}', '{\n  "é你🚀": "x — y"\n}',
                    '{"a": {"b": {"c": [[[]]]}}}']),
    "arithmetic": (ARITHMETIC, ["(a +12) *b2 = c\nx=1\n", "1=1\n"]),
    "Japanese": ('root ::= jp+ ([ \\t\\n] jp+)*\njp ::= [ぁ-ゟァ-ヿ一-龯]', ["こんにちは 世界", "石臼\n粉"]),
    "negated": ('root ::= [^a-z\\n]{2,40} ("!" | "é" root)', ["AB CD 12!", "ÀÀ 🚀🚀é99!"]),
    "any": ("root ::= .{1,30}", ["Zu Ähren, 你好 🚀"]),
    "list": ('root ::= ("- " [^\\n]+ "\\n"){2,4}', ["- one\n- zwei ö\n- 3\n"]),
    "choice": ('root ::= " "? ("yes" | "yesterday" | "no"){1,3} | "no " "way" | ""', ["yesyesterdayno", "no way", ""]),
    "ambiguous": ("root ::= [a-z]* [a-z ]* ([a-z]+ | [a-z ]+ \".\")", ["the mill turns."]),
}
REFUSED = ["root ::= a", 'root ::= "a', "root ::= [a", "root ::= root", "root ::= *", "root ::= (", 'root ::= "a" )', "root",
           'root ::= "a"{', 'root ::= "a"{2,1', 'root ::= "\\q"', "a ::= root", 'root ::= a\na ::= "x"? a "y"']


class TokenData(C.Structure):
    _fields_ = [("id", C.c_int32), ("logit", C.c_float), ("p", C.c_float)]


class TokenArray(C.Structure):
    _fields_ = [("data", C.POINTER(TokenData)), ("size", C.c_size_t), ("selected", C.c_int64), ("sorted", C.c_bool)]


class PeerGrammar:
    """llama.cpp's sampler of a grammar; None as handle where it refuses it."""

    def __init__(self, model, text):
        lib = llama.lib()
        lib.llama_sampler_init_grammar.restype = C.c_void_p
        lib.llama_sampler_init_grammar.argtypes = [C.c_void_p, C.c_char_p, C.c_char_p]
        lib.llama_sampler_apply.argtypes = [C.c_void_p, C.POINTER(TokenArray)]
        lib.llama_sampler_accept.argtypes = [C.c_void_p, C.c_int32]
        lib.llama_sampler_free.argtypes = [C.c_void_p]
        self.n = model.n_vocab
        self.handle = lib.llama_sampler_init_grammar(model.vocab, text.encode(), b"root")

    def mask(self):
        items = np.zeros(self.n, dtype=[("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])
        items["id"], items["logit"] = np.arange(self.n), 1.0
        array = TokenArray(items.ctypes.data_as(C.POINTER(TokenData)), self.n, -1, False)
        llama.lib().llama_sampler_apply(self.handle, C.byref(array))
        allowed = np.zeros(self.n, dtype=bool)
        allowed[items["id"][:array.size]] = items["logit"][:array.size] > -np.inf
        return allowed

    def accept(self, token):
        llama.lib().llama_sampler_accept(self.handle, token)

    def close(self):
        llama.lib().llama_sampler_free(self.handle)


def is_plain(piece):
    """Whether bytes begin and end between or within characters of UTF-8: cut ends are allowed, nonsense is not."""
    try:
        piece.decode()
        return True
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            return True
        return False


def comparable(model):
    """Tokens that both read alike: those that end a generation, and those that print what they spell."""
    n = model.n_vocab
    eog = np.array([model.is_eog(i) for i in range(n)])
    plain = [model.piece(i) for i in range(n)]
    return np.array([eog[i] or (len(plain[i]) > 0 and plain[i] == model.piece(i, special=True) and is_plain(plain[i])
                                 and b"\0" not in plain[i])
                     for i in range(n)])


def our_masks(path, grammar, ids, n_vocab, tmp):
    (tmp / "grammar.gbnf").write_text(grammar)
    done = subprocess.run([TOOL, str(path), str(tmp / "grammar.gbnf"), str(tmp / "masks")], input=" ".join(map(str, ids)),
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"grammar_tool: exit {done.returncode}: {one_line(done.stderr)}")
    steps, seconds = done.stdout.split()
    return np.fromfile(tmp / "masks", dtype=np.uint8).reshape(int(steps), n_vocab) > 0, float(seconds)


def compare(report, name, model, path, tokens, grammar, text, tmp):
    ids = model.tokenize(text, add_special=False, parse_special=False)
    if ids and model.piece(ids[0]).decode(errors="replace").startswith(" ") and not text.startswith(" "):
        ids = model.tokenize("\n" + text, add_special=False, parse_special=False)
        while ids and b"".join(map(model.piece, ids)).lstrip(b" ") != text.encode():
            ids = ids[1:]
        if b"".join(map(model.piece, ids)) != text.encode():
            report.skip(name, "the vocabulary does not spell the text without a blank in front")
            return
    ours, seconds = our_masks(path, grammar, ids, model.n_vocab, tmp)
    peer = PeerGrammar(model, grammar)
    whole, different = b"", []
    for step, token in enumerate([*ids, None]):
        # Within a character the two differ by intention; between characters they may not.
        if is_plain(whole) and (not whole or not cut(whole)):
            wrong = np.flatnonzero((ours[step] != peer.mask()) & tokens)
            different += [(step, int(i), model.piece(int(i))) for i in wrong[:3]]
        if token is not None:
            peer.accept(token)
            whole += model.piece(token)
    peer.close()
    report.case(name, not different, f"{len(ids) + 1} steps, {seconds * 1e3:.1f} ms a mask"
                + (f"; differ at {different[:4]}" if different else ""))


def cut(data):
    """Whether bytes end within a character."""
    try:
        data.decode()
        return False
    except UnicodeDecodeError:
        return True


def refused(report, model, path, tmp):
    for text in REFUSED:
        (tmp / "grammar.gbnf").write_text(text)
        done = subprocess.run([TOOL, str(path), str(tmp / "grammar.gbnf"), str(tmp / "masks")], input="",
                              capture_output=True, text=True, check=False)
        peer = PeerGrammar(model, text)
        report.case(f"both refuse {text!r}", done.returncode == 1 and not peer.handle, one_line(done.stderr))
        if peer.handle:
            peer.close()


def vocabulary(report, label, path, tmp):
    with llama.Model(path, vocab_only=True) as model:
        tokens = comparable(model)
        for name, (grammar, texts) in CASES.items():
            for i, text in enumerate(texts if label == "sample" else texts[:1]):
                report.attempt(f"{label}, {name} {i}", compare, report, f"{label}, {name} {i}", model, path, tokens, grammar,
                               text, tmp)
        if label == "sample":
            refused(report, model, path, tmp)


def main(report, tmp):
    llama.lib()
    vocabulary(report, "sample", pack_one(tmp / "out", MILLER_BASE, "-t", "Q8_0"), tmp)
    vocabulary(report, "qwen2", shared("data/vocab-gguf/ggml-vocab-qwen2.gguf"), tmp)


run(main)
