# SPDX-License-Identifier: MIT
"""Tokenizers beside llama.cpp, PyPI tokenizers and sentencepiece: all expected ids of the shared data, and short fuzz.

test_tokenizers_full.py goes on where this stops: a million characters and every pre-tokenizer name.
"""
import tokenizer_cases as cases
from harness import run

A_RULE_A_KIND = ("gpt-2", "llama-bpe", "qwen35", "deepseek-v3", "gpt-4o", "kimi-k2", "tiny_aya", "gemma4")


def main(report, tmp):
    cases.all_vocabularies(report, 8000)
    cases.made_vocabularies(report, tmp, 8000)
    cases.all_rules(report, tmp, A_RULE_A_KIND, 4000)
    report.attempt("expected outputs", cases.expected_outputs, report, tmp)
    cases.hugging_face(report, tmp, 50000)


run(main)
