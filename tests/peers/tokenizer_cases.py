# SPDX-License-Identifier: MIT
"""Our tokenizer beside llama.cpp's and beside PyPI tokenizers and sentencepiece, on the shared data's vocabularies."""
import ast
import base64
import ctypes as C
import json
import random
import shutil
import unicodedata

import gguf

import llama
from harness import Skip, shared
from quern_tokenizer import Tokenizer
from tokenizer_texts import texts

RAW_RULES = ("gemma4", "granite-embed-multi-311m", "sarvam-moe")
RULES_OF_A_MODEL = ("whitespace",)  # llama.cpp takes the name by tokenizer.ggml.model only

# ---- files ----

def write_gguf(path, model, tokens, types, extra=None):
    """A vocabulary alone."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if extra:
        extra(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def folder(tmp, name, files):
    """A model folder with tokenizer files only; (source, name) renames."""
    out = tmp / name
    out.mkdir()
    for file in files:
        source, target = file if isinstance(file, tuple) else (file, file.rsplit("/", 1)[1])
        if (shared("data") / source).exists():
            shutil.copyfile(shared("data") / source, out / target)
    return out


def bert_gguf(path):
    """BERT's vocab.txt as llama.cpp's converter spells it."""
    tokens, types = [], []
    for line in (shared("data") / "tokenizer-bert-uncased/vocab.txt").read_text("utf-8").split("\n")[:-1]:
        control = len(line) > 2 and line.startswith("[") and line.endswith("]")
        tokens.append(line if control else line[2:] if line.startswith("##") else "\u2581" + line)
        types.append(3 if control else 1)
    return write_gguf(path, "bert", tokens, types)


def find_charsmap(node):
    """The normaliser's blob, wherever it is nested."""
    if isinstance(node, dict):
        if "precompiled_charsmap" in node:
            return node["precompiled_charsmap"]
        node = list(node.values())
    for child in node if isinstance(node, list) else []:
        found = find_charsmap(child)
        if found:
            return found
    return None


def t5_gguf(path):
    """T5's tokenizer.json as llama.cpp's converter writes it."""
    whole = json.loads((shared("data") / "tokenizer-t5-small-hf/tokenizer.json").read_text("utf-8"))
    vocab = whole["model"]["vocab"]
    types = [1] * len(vocab)
    for token in whole["added_tokens"]:
        types[token["id"]] = 3 if token["special"] else 4
    types[whole["model"]["unk_id"]] = 2

    def extra(writer):
        writer.add_tokenizer_pre("default")
        writer.add_token_scores([score for _, score in vocab])
        writer.add_precompiled_charsmap(base64.b64decode(find_charsmap(whole["normalizer"])))
        writer.add_add_space_prefix(True)
        writer.add_remove_extra_whitespaces(True)
        writer.add_add_eos_token(True)
    return write_gguf(path, "t5", [text for text, _ in vocab], types, extra)


def rwkv_gguf(path):
    """RWKV's World vocabulary: Python literals, kept with their escapes."""
    tokens = ["<s>"]
    for line in (shared("data") / "tokenizer-rwkv-world/rwkv_vocab_v20230424.txt").read_text("utf-8").splitlines():
        literal = ast.literal_eval(line[line.index(" "):line.rindex(" ")].strip())
        data = literal.encode() if isinstance(literal, str) else literal
        tokens.append(repr(data)[2:-1])
    return write_gguf(path, "rwkv", tokens, [3] + [1] * (len(tokens) - 1))


def byte_alphabet():
    """GPT-2's: each byte one printable character."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) if byte in plain else chr(256 + rest.index(byte)) for byte in range(256)]


def rule_gguf(path, pre):
    """A vocabulary in which any two bytes merge, so that ids show where text is split."""
    if pre in RAW_RULES:
        letters = [chr(code) for code in range(0x21, 0x7F)] + ["\u2581", "\n", "\u00e9", "\u4f60", "\u597d"]
        tokens = [f"<0x{byte:02X}>" for byte in range(256)] + letters
        types = [6] * 256 + [1] * len(letters)
    else:
        letters = byte_alphabet()
        tokens, types = list(letters), [1] * 256
    pairs = [(left, right) for left in letters for right in letters]
    random.Random(1).shuffle(pairs)
    tokens += [left + right for left, right in pairs] + ["hello", "\u0120world", "Hello", "<|special|>"]
    types += [1] * (len(pairs) + 3) + [3]

    def extra(writer):
        writer.add_tokenizer_pre(pre)
        writer.add_token_merges([f"{left} {right}" for left, right in pairs])
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(0)
    return write_gguf(path, "gpt2", tokens, types, extra)


# ---- comparing ----

def compare(report, name, n_chars, ours, theirs, change=None, tolerated=0):
    """Both on the same texts; up to tolerated of them may differ."""
    n, differing, shortest = 0, 0, None
    for text in texts(11, n_chars, 120):
        text = change(text) if change else text
        n += 1
        if ours(text) != theirs(text):
            differing += 1
            shortest = text if shortest is None or len(text) < len(shortest) else shortest
    detail = f"{n} texts of mixed scripts"
    if shortest is not None:
        detail += f", {differing} differ (tolerated {tolerated}): {shortest!r}: {ours(shortest)} for {theirs(shortest)}"
    report.case(name, differing <= tolerated, detail[:900])


def detokenize(model, ids, remove_special, keep_special):
    """llama_detokenize()."""
    function = llama.lib().llama_detokenize
    function.restype = C.c_int32
    function.argtypes = [C.c_void_p, C.POINTER(C.c_int32), C.c_int32, C.c_char_p, C.c_int32, C.c_bool, C.c_bool]
    room = 64 * len(ids) + 256
    buffer = C.create_string_buffer(room)
    n = function(model.vocab, (C.c_int32 * len(ids))(*ids), len(ids), buffer, room, remove_special, keep_special)
    if n < 0:
        raise RuntimeError(f"llama_detokenize: {n}")
    return buffer.raw[:n]


def compare_decoding(report, name, ours, model):
    """Random ids, every flag; then every token's end-of-generation mark."""
    rng, wrong = random.Random(3), 0
    for _ in range(200):
        ids = [rng.randrange(model.n_vocab) for _ in range(rng.randint(1, 30))]
        ids = ([ours.role(0)] if rng.random() < 0.3 and ours.role(0) >= 0 else []) + ids
        for remove in (False, True):
            for keep in (False, True):
                wrong += ours.decode(ids, keep, remove) != detokenize(model, ids, remove, keep)
    report.case(f"{name}: decoding random ids as llama.cpp does", wrong == 0, f"{wrong} of 800 differ")
    ends = [i for i in range(model.n_vocab) if ours.is_end(i)]
    theirs = [i for i in range(model.n_vocab) if model.is_eog(i)]
    report.case(f"{name}: ends of generation", ends == theirs, f"{ends} for {theirs}")


SPECIAL_WORDS = ["<s>", "</s>", "<|im_end|>", "<|endoftext|>", "<|end|>", "<|user|>", "[CLS]", "[MASK]", "<|eot_id|>",
                 "<|begin_of_text|>", " <unk> ", "<|im_start|>", "<extra_id_1>", "<fim_prefix>", "<|assistant|>"]


def with_specials(text):
    """The text with control tokens between its words."""
    rng = random.Random(len(text))
    return "".join(word + (rng.choice(SPECIAL_WORDS) if rng.random() < 0.3 else " ") for word in text.split(" "))


def compare_with_llama(report, name, path, n_chars):
    """A vocabulary file in both programs: ids with and without special tokens, broken UTF-8, decoding."""
    ours = Tokenizer(path)
    with llama.Model(path, vocab_only=True) as model:
        compare(report, f"{name}: ids as llama.cpp's", n_chars, ours.encode, model.tokenize)
        compare(report, f"{name}: with control tokens in the text", n_chars // 2, ours.encode, model.tokenize,
                change=with_specials)
        compare(report, f"{name}: control tokens as text", n_chars // 4, lambda text: ours.encode(text, False, False),
                lambda text: model.tokenize(text, False, False), change=with_specials)
        broken = [b"\xff", b"a\x80b", b"\xe4\xbd", b"x\xf0\x9f\x9a", b"\xc3(", b"\xed\xa0\x80 a", b"\x00\x01", b""]
        wrong = [data for data in broken if ours.encode(data, False) != model.tokenize(data, False)]
        report.case(f"{name}: bytes that are no UTF-8", not wrong, f"{wrong} differ")
        compare_decoding(report, name, ours, model)


def check_pairs(report, name, path):
    """The .inp and .out files beside a vocabulary, in both directions."""
    ours = Tokenizer(path)
    inputs = path.with_name(path.name + ".inp").read_bytes().split(b"\n__ggml_vocab_test__\n")
    wanted = [[int(word) for word in line.split()]
              for line in path.with_name(path.name + ".out").read_text().split("\n")]
    wrong = [text for text, ids in zip(inputs, wanted) if ours.encode(text, False, False) != ids]
    report.case(f"{name}: ids of the .inp/.out pairs", not wrong, f"{len(inputs)} texts, {wrong} differ")
    with llama.Model(path, vocab_only=True) as model:
        wrong = [ids for ids in wanted if ids and ours.decode(ids) != detokenize(model, ids, False, False)]
    report.case(f"{name}: texts of the .inp/.out pairs", not wrong, f"{wrong} differ")


def all_vocabularies(report, n_chars):
    """Every vocabulary file of the shared data."""
    for path in sorted((shared("data") / "vocab-gguf").glob("*.gguf")):
        name = path.stem.removeprefix("ggml-vocab-")
        if path.with_name(path.name + ".inp").exists():
            report.attempt(name, check_pairs, report, name, path)
        report.attempt(name, compare_with_llama, report, name, path, n_chars)


def made_vocabularies(report, tmp, n_chars):
    """Kinds that the shared data hold in other formats only."""
    for name, make in (("t5-small", t5_gguf), ("bert-uncased", bert_gguf), ("rwkv-world", rwkv_gguf)):
        path = report.attempt(name, make, tmp / f"{name}.gguf")
        if path:
            report.attempt(name, compare_with_llama, report, name, path, n_chars)


def all_rules(report, tmp, names, n_chars):
    """Splitting by name, as llama.cpp does it."""
    for name in names:
        if name not in RULES_OF_A_MODEL:
            path = rule_gguf(tmp / "rule.gguf", name)
            ours = Tokenizer(path)
            with llama.Model(path, vocab_only=True) as model:
                compare(report, f"pre-tokenizer {name}: ids as llama.cpp's", n_chars, ours.encode, model.tokenize)


# ---- Hugging Face ----

HF_FOLDERS = ("gpt2-hf", "falcon-hf", "phi-2-hf", "roberta-base-hf", "tinyllama-hf", "phi-3-hf")
SPM_FILES = {"llama-2": "tokenizer-llama2-spm/tokenizer.model", "mistral v1": "tokenizer-mistral/tokenizer.model.v1",
             "mistral v2": "tokenizer-mistral/mistral_instruct_tokenizer_240216.model.v2",
             "the sample": "../samples/miller-base/tokenizer.model"}
SPLITS = {
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
             r"|\s+(?!\S)|\s+",
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                 r"|\s*[\r\n]+|\s+(?!\S)|\s+",
}


def import_peers():
    try:
        import sentencepiece
        import tokenizers
    except ImportError as error:
        raise Skip(f"{error}: PyPI tokenizers and sentencepiece are not installed") from None
    return tokenizers, sentencepiece


def without_quirks(text):
    """llama.cpp's BERT reduces a Hangul syllable to its first letter and drops spacing and enclosing marks; Hugging
    Face's does not."""
    return "".join(c for c in text if not "\uac00" <= c <= "\ud7a3"
                   and unicodedata.category(c) not in ("Mc", "Me", "Cn"))


def newer_unicode(text):
    """U+061D is punctuation since Unicode 14; the Punctuation step of tokenizers knows an older one."""
    return text.replace("\u061d", "")


def hf_folders(report, tmp, n_chars):
    tokenizers, _ = import_peers()
    for name in HF_FOLDERS:
        base = f"tokenizer-{name}/"
        ours = Tokenizer(folder(tmp, name, [base + "tokenizer.json", base + "tokenizer_config.json"]))
        theirs = tokenizers.Tokenizer.from_file(str(shared("data") / base / "tokenizer.json"))
        compare(report, f"{name}: ids as tokenizers'", n_chars, lambda text: ours.encode(text, False),
                lambda text: theirs.encode(text, add_special_tokens=False).ids, change=newer_unicode)


def hf_lists(report, tmp, n_chars):
    """vocab.json and merges.txt, whose tokenizer.json is too large for the shared data."""
    tokenizers, _ = import_peers()
    cases = {"qwen2": [f"tokenizer-qwen3/{name}" for name in ("vocab.json", "merges.txt", "added_tokens.json",
                                                              "tokenizer_config.json", "special_tokens_map.json")]}
    for pre, files in cases.items():
        path = folder(tmp, f"lists-{pre}", files)
        ours = Tokenizer(path)
        theirs = tokenizers.Tokenizer(tokenizers.models.BPE.from_file(str(path / "vocab.json"),
                                                                      str(path / "merges.txt")))
        steps = tokenizers.pre_tokenizers
        theirs.pre_tokenizer = steps.Sequence([steps.Split(tokenizers.Regex(SPLITS[pre]), "isolated"),
                                               steps.ByteLevel(False, use_regex=False)])
        compare(report, f"{pre} of vocab.json and merges.txt: ids as tokenizers'", n_chars,
                lambda text: ours.encode(text, False), lambda text: theirs.encode(text).ids)


def hf_spm(report, tmp, n_chars):
    _, sentencepiece = import_peers()
    for name, file in SPM_FILES.items():
        ours = Tokenizer(folder(tmp, "spm-" + name.replace(" ", "-"), [(file, "tokenizer.model")]))
        theirs = sentencepiece.SentencePieceProcessor(model_file=str(shared("data") / file))
        compare(report, f"{name}: ids as sentencepiece's", n_chars, lambda text: ours.encode(text, False), theirs.encode)


def hf_others(report, tmp, n_chars):
    tokenizers, _ = import_peers()
    vocab = shared("data") / "tokenizer-bert-uncased/vocab.txt"
    bert, t5 = Tokenizer(bert_gguf(tmp / "hf-bert.gguf")), Tokenizer(t5_gguf(tmp / "hf-t5.gguf"))
    theirs = tokenizers.BertWordPieceTokenizer(str(vocab), lowercase=True)
    compare(report, "bert: ids as tokenizers', without Hangul and marks, but for characters new in Unicode", n_chars,
            lambda text: bert.encode(text, False), lambda text: theirs.encode(text, add_special_tokens=False).ids,
            change=without_quirks, tolerated=max(2, n_chars // 10000))
    hf_t5 = tokenizers.Tokenizer.from_file(str(shared("data") / "tokenizer-t5-small-hf/tokenizer.json"))
    compare(report, "t5: ids as tokenizers', but for ties", n_chars, lambda text: t5.encode(text, False),
            lambda text: hf_t5.encode(text, add_special_tokens=False).ids, tolerated=max(2, n_chars // 10000))


def hugging_face(report, tmp, n_chars):
    for part in (hf_folders, hf_lists, hf_spm, hf_others):
        report.attempt(part.__name__, part, report, tmp, n_chars)


# ---- expected outputs ----

EXPECTED = {  # in tokenizer_tests.json: (the vocabulary, the file with a long text)
    "distilgpt2": ("gpt-2", "gpt2_encoded_tokens.json"),
    "tiiuae/falcon-7b": ("falcon", "falcon_encoded.json"),
    "coreml-projects/Llama-2-7b-chat-coreml": ("llama-spm", "llama_encoded.json"),
    "pcuenq/Llama-3.2-1B-Instruct-tokenizer": ("llama-bpe", "llama_3.2_encoded.json"),
    "bert-base-uncased": ("bert", "bert_uncased_encoded.json"),
    "google-bert/bert-base-uncased": ("bert", None),
    "t5-base": ("t5", "t5_base_encoded.json"),
}


def expected_outputs(report, tmp):
    """Ids that Hugging Face's tokenizers gave, without and with special tokens around them."""
    base = shared("data") / "tokenizer-expected-outputs"
    tests = json.loads((base / "tokenizer_tests.json").read_text("utf-8"))
    made = {"bert": bert_gguf(tmp / "expected-bert.gguf"), "t5": t5_gguf(tmp / "expected-t5.gguf")}
    for key, (name, file) in EXPECTED.items():
        ours = Tokenizer(made.get(name) or shared("data") / f"vocab-gguf/ggml-vocab-{name}.gguf")
        cases = [(case["input"], case["encoded"]["input_ids"]) for case in tests[key]]
        if file:
            long = json.loads((base / file).read_text("utf-8"))
            cases.append((long["text"], long["token_ids"]))
        wrong = [(text, ours.encode(text), ids) for text, ids in cases
                 if ids not in (ours.encode(text), ours.encode(text, False))]
        report.case(f"expected outputs of {key}", not wrong, f"{len(cases)} texts; differ: {wrong[:3]}"[:900])
    left = sorted(set(tests) - set(EXPECTED))
    report.skip("expected outputs of " + ", ".join(left), "their vocabularies are not in the shared data")
    words = json.loads((base / "question_tokens.json").read_text("utf-8"))
    bert = Tokenizer(made["bert"])
    vocab = {text: i for i, text in enumerate(
        (shared("data") / "tokenizer-bert-uncased/vocab.txt").read_text("utf-8").split("\n"))}
    wrong = [case["original"] for case in words
             if bert.encode(case["original"], False) != [vocab[piece] for piece in case["wordpiece"]]]
    report.case("WordPiece of the questions", not wrong, f"{len(words)} questions, {len(wrong)} differ: {wrong[:3]}")
