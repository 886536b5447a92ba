# SPDX-License-Identifier: MIT
"""A model that runs is in memory once: what the process has is the file, keys and values, and buffers.

The model is a random one in llama2.c's own format, which is quick to write, and the same packed. The prompt fills the
context, so that every page of everything was touched.
"""
import json
import struct

import numpy as np

from harness import THREADS, one_line, pack, quern, run

DIM, FF, LAYERS, HEADS, VOCAB, CTX = 1024, 2816, 6, 8, 512, 512
N_PROMPT = CTX - 12
TOLERANCE = 0.03


def write_model(folder):
    """A legacy file and its tokenizer, of single letters mostly."""
    n_floats = 2 * VOCAB * DIM + LAYERS * (2 * DIM + 4 * DIM * DIM + 3 * DIM * FF) + DIM + CTX * DIM // HEADS
    block = np.random.default_rng(1).normal(0, 0.02, 1 << 18).astype("<f4")
    with open(folder / "random.bin", "wb") as file:
        file.write(struct.pack("<7i", DIM, FF, LAYERS, HEADS, HEADS, -VOCAB, CTX))
        for done in range(0, n_floats, len(block)):
            file.write(block[:n_floats - done].tobytes())
    texts = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)] + [" ", "a"]
    texts += [f"t{i}" for i in range(VOCAB - len(texts))]
    with open(folder / "tokenizer.bin", "wb") as file:
        file.write(struct.pack("<I", 8))
        for i, text in enumerate(texts):
            file.write(struct.pack("<fI", -i, len(text)) + text.encode())
    return folder / "random.bin"


def check(report, path):
    code, out, err = quern("run", path, "--raw", "-p", "a" * N_PROMPT, "-n", 2, "--temp", 0, "--json", "--ctx", CTX,
                           "--threads", THREADS)
    if not report.case(f"{path.name} runs", code == 0, one_line(err)):
        return
    memory = json.loads(out)["memory"]
    size = path.stat().st_size
    wanted = size + memory["kv_bytes"] + memory["compute_bytes"] + memory["vectors_bytes"]
    found = memory["resident_bytes"]
    report.case(f"{path.name} is in memory once", abs(found - wanted) <= TOLERANCE * wanted,
                f"{found / 1e6:.1f} MB resident; file, keys and values, buffers {wanted / 1e6:.1f} MB "
                f"({found / wanted - 1:+.1%})")
    report.case(f"{path.name}: all its weights are", memory["weights_resident_bytes"] == memory["weights_bytes"]
                and 0.97 * size < memory["weights_bytes"] < size, memory)
    report.case(f"{path.name}: and all keys and values", memory["kv_resident_bytes"] >= 0.97 * memory["kv_bytes"],
                memory)
    report.case(f"{path.name}: at the peak no more", memory["peak_bytes"] <= (1 + TOLERANCE) * wanted,
                memory["peak_bytes"])


def main(report, tmp):
    path = write_model(tmp)
    report.attempt("llama2.c", check, report, path)
    for name, packed in pack(tmp / "out", path, "-t", "F16").items():
        report.attempt(name, check, report, packed)


if __name__ == "__main__":
    run(main)
