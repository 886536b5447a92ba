# SPDX-License-Identifier: MIT
"""Tokenizer files made of GGUF vocabularies, beside the originals: the same ids, read by other people's libraries.

Each real tokenizer of the shared data, and the sample's, goes through GGUF metadata into files; transformers and
tokenizers read both folders and must give the same ids for every text, and the same rendered chats. llama.cpp's
vocabulary files become tokenizers too, and must give the ids that stand beside them; a small vocabulary is written
under every pre-tokenizer's name. What may differ is in TOLERATED and Case.rebuilt.
"""
import json
import os
import re
import shutil
import subprocess
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from gguf import GGUFWriter

from harness import MILLER_BASE, ROOT, Skip, one_line, run, shared
from tiny_tokenizers import MERGES, SPECIAL, bpe_vocabulary

TEXTS = [
    "", " ", "  ", "\n", "\t\t", "\n\n\n  \n", "Hello world", " Hello world", "  two  spaces  within ", "a\r\nb\rc\n",
    "I've said they'll, WE'RE, don't; 'tis o'clock", "3 33 333 3333 33333 333333 1,234.5 2e10 ½ ²", "x=1;y+=2;//z",
    "def f(a, b):\n    return a[0] ** b  # note\n\n\tpass\n", "Привет, мир! Ещё раз.", "你好，世界。我想在apple工作1314151天～",
    "こんにちは世界 カタカナ", "안녕하세요 세계", "مرحبا بالعالم", "नमस्ते दुनिया", "Ω≈ç√∫˜µ≤≥÷ \u00a0no-break\u00a0", "🚀🦙 👨‍👩‍👧 ✅ 😶‍🌫️",
    "café", "cafe\u0301", "ﬁne ＦＵＬＬ", "\u200bzero\ufeffwidth", "'" * 7 + "`" * 6 + '"' * 5 + "." * 9 + "!" * 8,
    "https://example.org/a?b=c&d=%20#e", "SCREAMING_snake CamelCase kebab-case", "<not a token> </p> [INST] <<SYS>>",
    "ends in space ", "\u2581marked\u2581text", "a" * 60, "The quick brown fox jumps over the lazy dog. " * 4]
CHATS = [[{"role": "user", "content": "Hi there!"}],
         [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " What is\n2+2? "},
          {"role": "assistant", "content": "4"}, {"role": "user", "content": "Спасибо"}]]

LLAMA2, LLAMA2_HF, TINYLLAMA = "tokenizer-llama2-spm/", "tokenizer-llama2-hf/", "tokenizer-tinyllama-hf/"
PHI2, PHI3, QWEN3, QWEN25 = "tokenizer-phi-2-hf/", "tokenizer-phi-3-hf/", "tokenizer-qwen3/", "peft-qwen2.5/"
ROBERTA = "tokenizer-roberta-base-hf/"


@dataclass
class Case:
    """A tokenizer of some family."""

    name: str
    kind: str  # as vocab_files_tool names it
    model_type: str  # of config.json
    n_vocab: int
    bos: int
    eos: int
    files: list  # paths in the data folder, or (path, name in the model folder)
    # the original's class makes its own rule for the space before a text, other than tokenizer.json's and
    # SentencePiece's: texts where the two part are not compared by transformers
    rebuilt: bool = False
    # False where transformers cannot read the original, or makes of a bare tokenizer.model (release 5) what
    # SentencePiece does not
    reads_original: bool = True


MISTRAL, LLAMA3 = "tokenizer-mistral/", "tokenizer-llama3-tiktoken/"
CASES = [
    Case("llama-2", "spm", "llama", 32000, 1, 2,
         [LLAMA2 + "tokenizer.model", LLAMA2_HF + "tokenizer_config.json", LLAMA2_HF + "special_tokens_map.json"],
         reads_original=False),
    Case("llama-2: tokenizer.json alone", "spm", "llama", 32000, 1, 2,  # its merges of spaces are spoilt
         [LLAMA2_HF + "tokenizer.json", LLAMA2_HF + "tokenizer_config.json"], reads_original=False),
    Case("mistral v1", "spm", "llama", 32000, 1, 2, [(MISTRAL + "tokenizer.model.v1", "tokenizer.model")],
         reads_original=False),
    Case("mistral v2", "spm", "llama", 32768, 1, 2,
         [(MISTRAL + "mistral_instruct_tokenizer_240216.model.v2", "tokenizer.model")], reads_original=False),
    Case("llama-3: tiktoken", "plain", "llama", 128256, 128000, 128001, [LLAMA3 + "tokenizer.model"],
         reads_original=False),
    Case("tinyllama", "spm", "llama", 32000, 1, 2,
         [TINYLLAMA + name for name in ("tokenizer.model", "tokenizer.json", "tokenizer_config.json",
                                        "special_tokens_map.json")], rebuilt=True),
    Case("phi-3", "phi3", "phi3", 32064, 1, 32000, [PHI3 + "tokenizer.json", PHI3 + "tokenizer_config.json"]),
    Case("gpt-2", "plain", "gpt2", 50257, 50256, 50256,
         ["tokenizer-gpt2-hf/tokenizer.json", "tokenizer-gpt2-hf/tokenizer_config.json"]),
    Case("phi-2", "plain", "phi", 51200, 50256, 50256, [PHI2 + "tokenizer.json", PHI2 + "tokenizer_config.json"]),
    Case("falcon", "plain", "falcon", 65024, 11, 11, ["tokenizer-falcon-hf/tokenizer.json"]),
    Case("qwen3", "plain", "qwen3", 151936, 151643, 151645,
         [QWEN3 + name for name in ("vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json",
                                    "special_tokens_map.json", "chat_template.jinja")]),
    Case("qwen2.5", "plain", "qwen2", 151936, 151643, 151645,
         [QWEN25 + name for name in ("vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json",
                                     "special_tokens_map.json")]),
    Case("roberta", "plain", "roberta", 50265, 0, 2,
         [ROBERTA + name for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")]),
]
FLAGS = "what a reader would assume is spelled out"
# (case, aspect): why it may differ
TOLERATED = {
    ("phi-3", "tokenizers, with special tokens"):
        "tokenizer.json adds no BOS, tokenizer_config.json does, and GGUF has the latter's word",
    ("phi-3", "transformers, with special tokens"):
        "transformers 5 follows tokenizer.json, 4 follows tokenizer_config.json",
}
# keys that may come back otherwise; all of them, of any case
TOLERATED_KEYS = {
    "tokenizer.ggml.add_bos_token, new": FLAGS,
    "tokenizer.ggml.add_eos_token, new": FLAGS,
    "tokenizer.ggml.eos_token_ids, new": "quern's own key",
    "tokenizer.ggml.eot_token_id, new": "from the chat template, as when a folder is packed",
}
# of llama.cpp's files
TOLERATED_FILES = {
    "ggml-vocab-command-r": "token_type, 28 of 256000",  # user-defined tokens that look like control tokens
    "ggml-vocab-mpt": "tokenizer.ggml.pre, 1 of 1",  # comes back as olmo, the same rule
}


def libraries():
    """transformers and tokenizers, or a skip."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    try:
        import tokenizers  # noqa: PLC0415
        import transformers  # noqa: PLC0415
    except ImportError as why:
        raise Skip(f"{why}: pip install -r tests/peers/requirements.txt") from why
    return transformers, tokenizers


def convert(source, out, *options):
    """Makes the files; returns the lines that tell what reading them again changes."""
    tool = Path(os.environ.get("QUERN_BUILD") or ROOT / "build") / "tests/peers/vocab_files_tool"
    out.mkdir()
    done = subprocess.run([str(tool), str(source), str(out), *map(str, options)], capture_output=True, timeout=120,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(f"vocab_files_tool: exit {done.returncode}: {one_line(done.stderr.decode())}")
    return done.stdout.decode().splitlines()


def with_specials(texts, tokenizer):
    """The texts, and some with special tokens at both ends and in the middle."""
    specials = [token for token in (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) if token]
    added = [str(token) for token in tokenizer.added_tokens_decoder.values()][-40:]
    both = dict.fromkeys([*specials, *added])
    return texts + [f"{token}in front {token} behind{token}" for token in both] + ["".join(added)]


def compare(report, name, texts, ours, theirs):
    """Ids by two functions of a text."""
    wrong = [(text, a, b) for text in texts if (a := ours(text)) != (b := theirs(text))]
    detail = f"{len(texts)} texts"
    if wrong:
        text, found, expected = wrong[0]
        detail = f"{len(wrong)} of {len(texts)} differ, first {text!r}: {found[:12]}, expected {expected[:12]}"
    report.case(name, not wrong, detail)


def make_folder(case, data, folder):
    folder.mkdir()
    config = {"model_type": case.model_type, "vocab_size": case.n_vocab, "bos_token_id": case.bos,
              "eos_token_id": case.eos}
    (folder / "config.json").write_text(json.dumps(config))
    for file in case.files:
        source, name = file if isinstance(file, tuple) else (file, file.rsplit("/", 1)[1])
        shutil.copyfile(data / source, folder / name)
    return folder


def check_chats(report, name, ours, theirs):
    if not theirs.chat_template:
        return
    wrong = [chat for chat in CHATS for ask in (False, True)
             if ours.apply_chat_template(chat, tokenize=False, add_generation_prompt=ask) !=
             theirs.apply_chat_template(chat, tokenize=False, add_generation_prompt=ask)]
    report.case(f"{name}: rendered chats", not wrong, repr(wrong[0])[:100] if wrong else f"{2 * len(CHATS)} chats")


def check_ids(report, case, texts, ours, theirs, aspect):
    """compare() unless the case's aspect is tolerated."""
    reason = TOLERATED.get((case.name, aspect))
    if reason:
        print(f"     {case.name}: {aspect}: {reason}")
        return
    compare(report, f"{case.name}: {aspect}", texts, ours, theirs)


def check_tokenizers(report, case, base, plain, texts, tokenizers):
    original = tokenizers.Tokenizer.from_file(str(base / "tokenizer.json"))
    original.no_truncation()
    for special in (False, True):
        check_ids(report, case, texts, lambda text: plain.encode(text, add_special_tokens=special).ids,
                  lambda text: original.encode(text, add_special_tokens=special).ids,
                  f"tokenizers, {'with' if special else 'without'} special tokens")


def check_sentencepiece(report, case, base, out, plain):
    """SentencePiece's own ids, of the model that was and of the one that was written."""
    try:
        import sentencepiece  # noqa: PLC0415
    except ImportError as why:
        report.skip(f"{case.name}: SentencePiece", str(why))
        return
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(base / "tokenizer.model"))
    ours = sentencepiece.SentencePieceProcessor(model_file=str(out / "tokenizer.model"))
    compare(report, f"{case.name}: SentencePiece", TEXTS, ours.encode, theirs.encode)
    texts = [text for text in TEXTS if "[INST]" not in text]  # SentencePiece finds no control tokens in a text
    compare(report, f"{case.name}: tokenizers and SentencePiece", texts,
            lambda text: plain.encode(text, add_special_tokens=False).ids, theirs.encode)


def check_changes(report, name, changes, tolerated=""):
    wrong = [change for change in (line.removeprefix("differs: ") for line in changes)
             if change not in TOLERATED_KEYS and not (tolerated and tolerated in change)]
    report.case(f"{name}: comes back the same", not wrong, "; ".join(wrong))


def check_folder(report, case, base, tmp, transformers, tokenizers):
    out = tmp / "out"
    check_changes(report, case.name, convert(base, out, case.kind, case.n_vocab))
    shutil.copyfile(base / "config.json", out / "config.json")
    ours = transformers.AutoTokenizer.from_pretrained(out)
    plain = tokenizers.Tokenizer.from_file(str(out / "tokenizer.json"))
    compare(report, f"{case.name}: both libraries", TEXTS, lambda text: ours(text).input_ids,
            lambda text: plain.encode(text).ids)
    if (base / "tokenizer.model").exists() and case.kind == "spm":
        check_sentencepiece(report, case, base, out, plain)
    if not case.reads_original:
        return
    theirs = transformers.AutoTokenizer.from_pretrained(base)
    texts = with_specials(TEXTS, theirs)
    if (base / "tokenizer.json").exists():
        check_tokenizers(report, case, base, plain, texts, tokenizers)
    if case.rebuilt:
        texts = [text for text in TEXTS if not re.match("[ \u2581]", text)]
    for special in (False, True):
        check_ids(report, case, texts, lambda text: ours(text, add_special_tokens=special).input_ids,
                  lambda text: theirs(text, add_special_tokens=special).input_ids,
                  f"transformers, {'with' if special else 'without'} special tokens")
    compare(report, f"{case.name}: text of ids", texts,
            lambda text: ours.decode(ours(text).input_ids), lambda text: theirs.decode(ours(text).input_ids))
    check_chats(report, case.name, ours, theirs)


def check_gguf(report, path, tmp, transformers, tokenizers):
    """A vocabulary file of llama.cpp's, and its ids of the texts beside it."""
    out = tmp / path.stem
    check_changes(report, path.stem, convert(path, out), TOLERATED_FILES.get(path.stem, ""))
    texts = path.with_name(path.name + ".inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    lines = path.with_name(path.name + ".out").read_text().split("\n")
    expected = {text: [int(number) for number in line.split()] for text, line in zip(texts, lines, strict=True)}
    plain = tokenizers.Tokenizer.from_file(str(out / "tokenizer.json"))
    ours = transformers.AutoTokenizer.from_pretrained(out)
    compare(report, f"{path.stem}: tokenizers", texts, lambda text: plain.encode(text, add_special_tokens=False).ids,
            expected.get)
    compare(report, f"{path.stem}: transformers", texts, lambda text: ours(text, add_special_tokens=False).input_ids,
            expected.get)
    shutil.rmtree(out)


def write_small(path, pre):
    tokens = [*bpe_vocabulary(), *SPECIAL]
    writer = GGUFWriter(str(path), "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - len(SPECIAL)) + [3] * len(SPECIAL))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(len(tokens) - 2)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def known_names():
    """The names in the table of split_rules.c."""
    text = (ROOT / "src/text/split_rules.c").read_text(encoding="utf-8")
    return re.findall(r'\{\.name = "([^"]+)"', text)


# no definition of theirs in terms of the tokenizers library is known
UNDEFINED = {"afmoe", "chameleon", "default", "gemma4", "granite-embed-multi-311m", "kimi-k2", "laguna", "sarvam-moe",
             "whitespace"}


def check_name(report, pre, tmp, tokenizers):
    """The expression compiles there, and text survives."""
    write_small(tmp / f"{pre}.gguf", pre)
    try:
        convert(tmp / f"{pre}.gguf", tmp / pre)
    except RuntimeError as why:
        report.case(f"{pre}: refused", pre in UNDEFINED and "UNSUPPORTED" in str(why), str(why)[-120:])
        return
    plain = tokenizers.Tokenizer.from_file(str(tmp / pre / "tokenizer.json"))
    has_normalizer = plain.normalizer is not None
    wrong = [text for text in TEXTS if plain.decode(plain.encode(text).ids) !=
             (unicodedata.normalize("NFC", text) if has_normalizer else text)]
    report.case(f"{pre}: text survives", not wrong and pre not in UNDEFINED, repr(wrong[:1]))


def check_names(report, tmp, tokenizers):
    for pre in known_names():
        report.attempt(pre, check_name, report, pre, tmp, tokenizers)


def check_sample(report, tmp, transformers, tokenizers):
    case = Case("sample", "spm", "llama", 2048, 1, 4, [], rebuilt=True)
    base = tmp / "base"
    shutil.copytree(MILLER_BASE, base, ignore=shutil.ignore_patterns("*.safetensors"))
    check_folder(report, case, base, tmp, transformers, tokenizers)


def main(report, tmp):
    transformers, tokenizers = libraries()
    report.attempt("sample", check_sample, report, tmp, transformers, tokenizers)
    report.attempt("names", check_names, report, tmp, tokenizers)
    try:
        data = shared("data")
    except Skip as why:
        report.skip("real tokenizers", str(why))
        return
    for i, case in enumerate(CASES):
        folder = tmp / str(i)
        folder.mkdir()
        base = make_folder(case, data, folder / "base")
        report.attempt(case.name, check_folder, report, case, base, folder, transformers, tokenizers)
        shutil.rmtree(folder)
    for path in sorted((data / "vocab-gguf").glob("*.gguf")):
        if path.stem != "ggml-vocab-bert-bge":  # WordPiece
            report.attempt(path.stem, check_gguf, report, path, tmp, transformers, tokenizers)


if __name__ == "__main__":
    run(main)
