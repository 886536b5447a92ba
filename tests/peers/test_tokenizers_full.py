# SPDX-License-Identifier: MIT
# LABEL: full
"""Tokenizers, at length: a million characters of mixed scripts against each peer, and every pre-tokenizer name."""
import re

import tokenizer_cases as cases
from harness import ROOT, run


def main(report, tmp):
    rules = re.findall(r'\{\.name = "([^"]+)"', (ROOT / "src/text/split_rules.c").read_text("utf-8"))
    report.case("names of pre-tokenizers", len(rules) == 90, f"{len(rules)}, 90 expected")
    cases.all_rules(report, tmp, rules, 20000)
    cases.all_vocabularies(report, 1000000)
    cases.made_vocabularies(report, tmp, 1000000)
    cases.hugging_face(report, tmp, 1000000)


run(main)
