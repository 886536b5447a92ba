# SPDX-License-Identifier: MIT
# LABEL: full
"""Every target of `quern quantize` beside llama_model_quantize, with and without an importance matrix."""
from harness import run
from test_quantize import TARGETS, check_all_targets, make_source


def main(report, tmp):
    check_all_targets(report, make_source(tmp), tmp, TARGETS)


if __name__ == "__main__":
    run(main)
