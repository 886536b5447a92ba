# SPDX-License-Identifier: MIT
"""`quern imatrix` beside llama-imatrix on the sample: GGUF and .dat, read by gguf-py, used by both quantisers."""
import struct

import gguf
import numpy as np

import llama
from gguf_file import read_tensors
from harness import one_line, quern, run, shared
from test_quantize import TARGETS, compare

CLOSE = 1e-3  # of each sum


def imatrix(out, *args):
    code, _, err = quern("imatrix", *args, "--quiet", "-o", out)
    if code != 0:
        raise RuntimeError(f"quern imatrix: exit {code}: {one_line(err)}")
    return out


def read_gguf(path):
    """({tensor: values}, {key: value}) as gguf-py reads them."""
    reader = gguf.GGUFReader(path)
    keys = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    return {t.name: np.array(t.data) for t in reader.tensors}, keys


def read_dat(path):
    """({name: (calls, values)}, chunks, data set) of the older format."""
    data, at, entries = path.read_bytes(), 4, {}
    for _ in range(struct.unpack_from("<i", data)[0]):
        n = struct.unpack_from("<i", data, at)[0]
        name = data[at + 4:at + 4 + n].decode()
        calls, n_values = struct.unpack_from("<ii", data, at + 4 + n)
        at += 12 + n
        entries[name] = calls, np.frombuffer(data, "<f4", n_values, at)
        at += 4 * n_values
    chunks, n = struct.unpack_from("<ii", data, at)
    return entries, chunks, data[at + 8:at + 8 + n].decode()


def apart(a, b):
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(b), 1e-12)))


def check_gguf(report, ours, theirs):
    found, keys = read_gguf(ours)
    wanted, their_keys = read_gguf(theirs)
    report.case("the same tensors in the same order", list(found) == list(wanted))
    report.case("the same shapes", all(found[n].shape == wanted[n].shape for n in wanted))
    for key in ("general.type", "imatrix.chunk_count", "imatrix.chunk_size"):
        report.case(key, keys[key] == their_keys[key], f"{keys[key]}")
    report.case("data sets", len(keys["imatrix.datasets"]) == 1 and "general.architecture" not in keys, str(keys))
    counts = [n for n in wanted if n.endswith(".counts")]
    report.case("the same counts", all(np.array_equal(found[n], wanted[n]) for n in counts))
    worst = max(apart(found[n], wanted[n]) for n in wanted)
    report.case("sums", worst <= CLOSE, f"at most {worst:.2g} apart")


def check_dat(report, ours, theirs):
    found, chunks, _ = read_dat(ours)
    wanted, their_chunks, _ = read_dat(theirs)
    report.case(".dat: the same entries", list(found) == list(wanted) and chunks == their_chunks)
    report.case(".dat: the same calls", all(found[n][0] == wanted[n][0] for n in wanted))
    worst = max(apart(found[n][1], wanted[n][1]) for n in wanted)
    report.case(".dat: values", worst <= CLOSE, f"at most {worst:.2g} apart")


def check_quantised(report, source, ours, tmp):
    """Both quantisers take our file, and make the same of it."""
    values, _ = read_gguf(ours)
    weights = {n.removesuffix(".in_sum2"): (v.ravel() / values[n.replace(".in_sum2", ".counts")].ravel()).astype("f4")
               for n, v in values.items() if n.endswith(".in_sum2")}
    for target in ("Q4_K_M", "IQ2_XS"):
        code, _, err = quern("quantize", source, "-t", target, "--imatrix", ours, "-o", tmp / "q", "--name", "m")
        report.case(f"quern quantize -t {target}", code == 0, one_line(err, 200))
        llama.quantize(source, tmp / f"theirs-{target}.gguf", TARGETS[target], imatrix=weights)
        compare(report, f"{target} beside llama_model_quantize", tmp / f"q/m-{target}.gguf",
                tmp / f"theirs-{target}.gguf", has_importance=True)


def check_merged(report, whole, source, text, tmp):
    """A half, and the rest on top of it, are the whole; a text twice is twice its sums."""
    twice = imatrix(tmp / "twice.gguf", "--in-file", whole, "--in-file", whole)
    found, wanted = read_tensors(twice), read_tensors(whole)
    same = [np.array_equal(np.frombuffer(found[n][1], "<f4"), 2 * np.frombuffer(wanted[n][1], "<f4")) for n in wanted]
    report.case("a matrix added to itself", all(same) and len(found) == len(wanted))
    first = imatrix(tmp / "first.gguf", source, "--text", text, "--ctx", "128", "--chunks", "8")
    more = imatrix(tmp / "more.gguf", source, "--text", text, "--ctx", "128", "--chunks", "8", "--in-file", first)
    a, b = read_gguf(first)[0], read_gguf(more)[0]
    report.case("a text on top of a file", max(apart(b[n], 2 * a[n]) for n in a) < 1e-6)


def main(report, tmp):
    folder = shared("samples/expected")
    text = shared("data/text-corpora") / "miller-calibration.txt"
    source = folder / "miller-f32.gguf"
    ours = imatrix(tmp / "ours.gguf", source, "--text", text, "--ctx", "128")
    check_gguf(report, ours, folder / "imatrix.gguf")
    dat = imatrix(tmp / "ours.dat", "--in-file", ours)
    check_dat(report, dat, folder / "imatrix.dat")
    report.attempt("merging", check_merged, report, ours, source, text, tmp)
    llama.lib()
    report.attempt("quantising", check_quantised, report, source, ours, tmp)


if __name__ == "__main__":
    run(main)
