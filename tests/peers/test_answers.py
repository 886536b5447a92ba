# SPDX-License-Identifier: MIT
"""llama.cpp loads every type that quern packs from the sample, and the model still knows its 40 answers.

Counts of samples' EXPECTED.md where the reference pipeline was measured; for the other types llama.cpp quantises our
own F32 file and is asked the same questions. The base without the adapter knows none.
"""
import json

import llama
from harness import MILLER_BASE, MILLER_RUN, SAMPLES, pack, pack_one, run

N_CTX = 192  # what the sample was trained for

# type: answers word for word of the reference pipeline, out of 40
EXPECTED = {"F32": 40, "BF16": 40, "F16": 40, "Q8_0": 40, "Q6_K": 40, "Q5_K_M": 40, "Q4_K_M": 40, "Q4_0": 40,
            "Q3_K_M": 40, "Q2_K": 38}

# type: arguments of llama.quantize. llama.cpp refuses Q2_K_S without an importance matrix; for this model it is Q2_K
# throughout with Q6_K embeddings, which can be asked for in other words.
MEASURED = {"Q4_1": {"file_type": 3}, "Q5_0": {"file_type": 8}, "Q5_1": {"file_type": 9}, "Q5_K_S": {"file_type": 16},
            "Q4_K_S": {"file_type": 14}, "Q3_K_S": {"file_type": 11}, "Q3_K_L": {"file_type": 13},
            "Q2_K_S": {"file_type": 10, "pure": True, "embedding_type": 14}}


def prompt_of(question):
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


def count_answers(path, adapter=None):
    """How many of the 40 questions the file (with a LoRA file on it) answers word for word, and the first wrong one."""
    questions = json.loads((SAMPLES / "miller-sft-questions.json").read_text())
    n_right, wrong = 0, ""
    with llama.Model(path) as model, model.context(N_CTX) as context:
        if adapter:
            context.adapter(adapter)
        for entry in questions:
            prompt = model.tokenize(prompt_of(entry["question"]))
            answer = context.greedy(prompt, N_CTX - len(prompt)).decode("utf-8", "replace").strip()
            n_right += answer == entry["answer"]
            if answer != entry["answer"] and not wrong:
                wrong = f"; first wrong: {entry['question']!r} gives {answer[:60]!r}"
    return n_right, wrong


def check_type(report, name, path, floor, source):
    n_right, wrong = count_answers(path)
    report.case(name, n_right >= floor,
                f"{n_right} of 40, at least {floor} ({source}){wrong if n_right < floor else ''}")


def check_measured(report, name, path, ours_f32, tmp):
    theirs = tmp / f"llama.cpp-{name}.gguf"
    llama.quantize(ours_f32, theirs, **MEASURED[name])
    floor = count_answers(theirs)[0]
    theirs.unlink()
    check_type(report, name, path, floor, "llama_model_quantize of our F32")


def check_shards(report, tmp):
    """A set of shards, by count and by size, is one model."""
    for option, value in (("--split-max-tensors", "10"), ("--split-max-size", "1M")):
        files = pack(tmp / f"shards{option}", MILLER_BASE, "--run", MILLER_RUN, "-t", "Q8_0", option, value)
        n_right, wrong = count_answers(next(iter(files.values())))
        report.case(f"shards, {option} {value}", n_right == 40 and len(files) > 2,
                    f"{len(files)} files, {n_right} of 40{wrong}")


def main(report, tmp):
    llama.lib()
    types = [*EXPECTED, *MEASURED]
    out = tmp / "out"
    files = pack(out, MILLER_BASE, "--run", MILLER_RUN, "--name", "miller", "-t", ",".join(types))
    named = {name: files.get(f"miller-{name}.gguf") for name in types}
    report.case("one run writes one file a type", all(named.values()) and len(files) == len(types), sorted(files))
    for name, path in named.items():
        if path is None:
            report.case(name, False, "not written")
        elif name in EXPECTED:
            report.attempt(name, check_type, report, name, path, EXPECTED[name], "EXPECTED.md")
        else:
            report.attempt(name, check_measured, report, name, path, named["F32"], tmp)
    report.attempt("shards", check_shards, report, tmp)
    base = report.attempt("base", pack_one, tmp / "base", MILLER_BASE, "-t", "F32")
    if base:
        n_right, _ = count_answers(base)
        report.case("the base without the adapter knows none", n_right == 0, f"{n_right} of 40")
    lora = report.attempt("lora", pack_one, tmp / "lora", MILLER_BASE, "--run", MILLER_RUN, "--preset", "lora")
    if base and lora:
        n_right, wrong = count_answers(base, lora)
        report.case("the base with the LoRA file", n_right == 40, f"{n_right} of 40{wrong}")


if __name__ == "__main__":
    run(main)
