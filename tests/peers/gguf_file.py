# SPDX-License-Identifier: MIT
"""A GGUF file as PyPI's gguf reads it: metadata, and tensors as arrays."""
import mmap
import struct

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize


class GgufFile:
    """`meta`: {key: value}; `names`: tensor names in file order."""

    def __init__(self, path):
        reader = GGUFReader(str(path))
        self.meta = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
        self.kinds = {key: tuple(kind.name for kind in field.types) for key, field in reader.fields.items()}
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.names = [tensor.name for tensor in reader.tensors]

    def shape(self, name):
        """[out, in], as NumPy counts."""
        return tuple(int(n) for n in reversed(self.tensors[name].shape))

    def dtype(self, name):
        return self.tensors[name].tensor_type.name

    def raw(self, name):
        return self.tensors[name].data.tobytes()

    def f32(self, name):
        """The values of a tensor as float32, whatever its type."""
        tensor = self.tensors[name]
        data = tensor.data if tensor.data.dtype == np.float32 else dequantize(tensor.data, tensor.tensor_type)
        return np.asarray(data, dtype=np.float32).reshape(self.shape(name))


def close(found, expected, tolerance):
    """(whether arrays agree within tolerance times the largest value, a description of the difference)."""
    if found.shape != expected.shape:
        return False, f"shape {found.shape}, expected {expected.shape}"
    largest = float(np.abs(expected).max()) or 1.0
    worst = float(np.abs(found.astype(np.float64) - expected.astype(np.float64)).max()) / largest
    return worst <= tolerance, f"largest difference {worst:.2g} of the largest value, allowed {tolerance:.2g}"


SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


class _Cursor:
    """A place in a GGUF file's bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def scalars(self, code, n):
        values = struct.unpack_from(f"<{n}{code}", self.data, self.at)
        self.at += struct.calcsize(f"<{n}{code}")
        return list(values)

    def string(self):
        size = self.scalars("Q", 1)[0]
        self.at += size
        return bytes(self.data[self.at - size:self.at]).decode("utf-8")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            return self.scalars(SCALARS[kind], 1)[0]
        item, n = self.scalars("I", 1)[0], self.scalars("Q", 1)[0]
        return [self.string() for _ in range(n)] if item == STRING else self.scalars(SCALARS[item], n)


def read_metadata(path):
    """{key: value} of a GGUF file: the same as GgufFile.meta, for vocabularies of a hundred thousand tokens."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        cursor = _Cursor(data)
        magic, version, _, n_keys = struct.unpack_from("<4sIQQ", data)
        if magic != b"GGUF" or version < 2:
            raise RuntimeError(f"{path}: not a GGUF file of version 2 or 3")
        cursor.at = 24
        meta = {}
        for _ in range(n_keys):
            key = cursor.string()
            meta[key] = cursor.value(cursor.scalars("I", 1)[0])
        return meta


# bytes and elements a block of the element types, by id: some are younger than PyPI's gguf
BLOCKS = {0: (4, 1), 1: (2, 1), 2: (18, 32), 3: (20, 32), 6: (22, 32), 7: (24, 32), 8: (34, 32), 10: (84, 256),
          11: (110, 256), 12: (144, 256), 13: (176, 256), 14: (210, 256), 16: (66, 256), 17: (74, 256), 18: (98, 256),
          19: (50, 256), 20: (18, 32), 21: (110, 256), 22: (82, 256), 23: (136, 256), 29: (56, 256), 30: (2, 1),
          34: (54, 256), 35: (66, 256), 39: (17, 32), 40: (36, 64), 41: (18, 128), 42: (18, 64)}


def read_tensors(path):
    """{name: (type id, bytes)} of a GGUF file in the order of the file."""
    data = open(path, "rb").read()
    cursor = _Cursor(data)
    n_tensors, n_keys = struct.unpack_from("<QQ", data, 8)
    cursor.at = 24
    alignment = 32
    for _ in range(n_keys):
        key = cursor.string()
        value = cursor.value(cursor.scalars("I", 1)[0])
        alignment = value if key == "general.alignment" else alignment
    infos = []
    for _ in range(n_tensors):
        name = cursor.string()
        dims = cursor.scalars("Q", cursor.scalars("I", 1)[0])
        kind, offset = cursor.scalars("I", 1)[0], cursor.scalars("Q", 1)[0]
        n_bytes, n_elements = BLOCKS[kind]
        infos.append((name, kind, offset, int(np.prod(dims)) // n_elements * n_bytes))
    start = (cursor.at + alignment - 1) // alignment * alignment
    return {name: (kind, data[start + offset:start + offset + size]) for name, kind, offset, size in infos}
