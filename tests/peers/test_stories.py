# SPDX-License-Identifier: MIT
"""The stories260K model, in llama2.c's own file, tells its known story: there, packed, and in llama.cpp.

GREEDY_CHECK.txt beside the model has the first 60 tokens of the most likely story, computed in float64.
"""
import re

import llama
from harness import THREADS, one_line, pack, quern, run, shared

N_TOKENS = 60


def known_story(folder):
    """(text, ids) of the check file; the first id is the BOS that the story begins with."""
    lines = (folder / "GREEDY_CHECK.txt").read_text().splitlines()
    ids = next(line for line in lines if re.fullmatch(r"[0-9 ]+", line))
    return lines[1], [int(part) for part in ids.split()]


def told_by_quern(path):
    code, out, err = quern("run", path, "--raw", "-p", "", "--temp", "0", "-n", N_TOKENS, "-q", "--threads", THREADS)
    return out.removesuffix("\n") if code == 0 else f"exit {code}: {one_line(err)}"


def ids_by_llama(path):
    with llama.Model(path) as model, model.context(N_TOKENS + 1) as context:
        ids = [1]
        while len(ids) <= N_TOKENS:
            ids.append(int(context.decode(ids[-1:], len(ids) - 1, every=False)[0].argmax()))
        return ids[:N_TOKENS + 1], model.is_eog(2)


def check_vocabulary(report, path, folder):
    """Ids of a text from the packed file and from the .bin, by quern and by llama.cpp."""
    texts = ["Once upon a time, Lily", " a  b\n", "naïve 日", "", "<s> x"]
    with llama.Model(path, vocab_only=True) as model:
        for text in texts:
            theirs = model.tokenize(text)
            for file in (path, folder / "stories260K.bin"):
                code, out, err = quern("tokenize", file, "--ids", text)
                report.case(f"ids of {text!r} by {file.name}", code == 0 and out.strip() == str(theirs),
                            f"{out.strip() or one_line(err)}; llama.cpp {theirs}")


def main(report, tmp):
    folder = shared("data/stories260K-llama2c")
    text, ids = known_story(folder)
    for name in ("stories260K.bin", "stories260K_v1.bin"):
        report.case(f"{name} as it is", told_by_quern(folder / name) == text, told_by_quern(folder / name))
    files = pack(tmp / "out", folder / "stories260K.bin", "-t", "F32,Q8_0")
    same = pack(tmp / "v1", folder / "stories260K_v1.bin", "-t", "F32", "--name", "stories260K")
    f32 = files["stories260K-F32.gguf"]
    report.case("packed in F32", told_by_quern(f32) == text, told_by_quern(f32))
    q8 = told_by_quern(files["stories260K-Q8_0.gguf"])
    report.case("packed in Q8_0", q8 == text, q8)
    code, out, _ = quern("compare", f32, same["stories260K-F32.gguf"])
    report.case("both versions of the format hold the same weights", code == 0 and "47 in both, all equal" in out, one_line(out))
    code, out, err = quern("detokenize", folder / "stories260K.bin", *ids[1:])
    report.case("the story's ids are its text", code == 0 and out.removesuffix("\n").strip() == text.strip(),
                out or one_line(err))
    llama.lib()
    theirs, ends = ids_by_llama(f32)
    report.case("llama.cpp tells it from the packed file", theirs[:len(ids)] == ids and ends, theirs)
    check_vocabulary(report, f32, folder)


if __name__ == "__main__":
    run(main)
