# SPDX-License-Identifier: MIT
"""The lint rules themselves: a table of small trees, each with the one finding it must give, or none."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import house_rules  # noqa: E402

HEAD = "/* SPDX-License-Identifier: MIT */\n/* {name}: a test. */\n"

# (what, path, body, part of the one message or None)
CASES = [
    ("a clean file", "src/base/a.c", '#include "base/b.h"\nint f(int x) {\n    return x;\n}\n', None),
    ("upwards", "src/pack/a.c", '#include "model/b.h"\n#include "quern/c.h"\n', None),
    ("downwards", "src/base/a.c", '#include "dtype/b.h"\n', "base must not include dtype"),
    ("text and recipe", "src/text/a.c", '#include "recipe/b.h"\n', "text must not include recipe"),
    ("engine and pack", "src/engine/a.c", '#include "pack/b.h"\n', "engine must not include pack"),
    ("cli is public only", "src/cli/a.c", '#include "model/b.h"\n', "cli must not include model"),
    ("cli may use base", "src/cli/a.c", '#include "base/b.h"\n', None),
    ("example", "examples/a.c", '#include "base/b.h"\n', "examples/ includes quern/ only"),
    ("public header", "include/quern/a.h", '#include "base/b.h"\n', "include/ includes quern/ only"),
    ("no folder", "src/base/a.c", '#include "b.h"\n', "with its folder"),
    ("a .c file", "tests/unit/a.c", '#include "base/b.c"\n', "never included"),
    ("unknown folder", "src/attic/a.c", '#include "base/b.h"\n', "no floor"),
    ("strcpy", "tests/unit/a.c", "void f(char *d) {\n    strcpy(d, d);\n}\n", "strcpy() is banned"),
    ("printf in the library", "src/base/a.c", 'void f(void) {\n    printf("x");\n}\n', "never exits, aborts or prints"),
    ("printf in the program", "src/cli/a.c", 'void f(void) {\n    printf("x");\n}\n', None),
    ("exit in a comment", "src/base/a.c", "/* exit(1) would be wrong */\n", None),
    ("exit in a string", "src/base/a.c", 'const char *f(void) {\n    return "exit(1)";\n}\n', None),
    ("snprintf is fine", "src/base/a.c", "void f(char *d) {\n    (void)snprintf(d, 1, d);\n}\n", None),
    ("a member called exit", "src/base/a.c", "void f(t *p) {\n    p->exit(1);\n}\n", None),
    ("80 lines", "src/base/a.c", "int f(void) {\n" + "    g();\n" * 78 + "}\n", None),
    ("81 lines", "src/base/a.c", "int f(void) {\n" + "    g();\n" * 79 + "}\n", "f() has 81 lines"),
    ("81 lines, kernel", "src/base/a.c", "/* lint: kernel */\nint f(void) {\n" + "    g();\n" * 79 + "}\n", None),
    ("81 lines, two-line signature", "src/base/a.c", "int f(int a,\n      int b) {\n" + "    g();\n" * 78 + "}\n",
     "f() has 81 lines"),
    ("a long table", "src/base/a.c", "static const int t[] = {\n" + "    1,\n" * 200 + "};\n", None),
    ("a long file", "src/base/a.c", "int x;\n" * 998, "under 1000"),
    ("a long file of tables", "src/base/a.c", "/* lint: table */\n" + "int x;\n" * 1100, None),
    ("a long line", "src/base/a.c", "/* " + "x" * 120 + " */\n", "126 columns"),
    ("docstring", "src/base/a.h", "/** Does. */\nint f(void);\n", None),
    ("docstring behind", "src/base/a.h", "int f(void); /**< Does. */\n", None),
    ("one docstring for neighbours", "src/base/a.h", "/** Do. */\nint f(void);\nint g(void);\n", None),
    ("no docstring", "src/base/a.h", "int f(void);\n", "f() has no docstring"),
    ("no docstring after a blank line", "src/base/a.h", "/** Does. */\nint f(void);\n\nint g(void);\n", "g() has no"),
    ("no docstring after a type", "src/base/a.h", "/** A. */\ntypedef struct a {\n    int x;\n} a;\n\nint g(a *p,\n      int y);\n",
     "g() has no"),
    ("callback type", "src/base/a.h", "typedef int (*f)(int x);\n", None),
    ("inline needs none", "src/base/a.h", "static inline int f(void) {\n    return 1;\n}\n", None),
]


class Rules(unittest.TestCase):
    def findings(self, files):
        with tempfile.TemporaryDirectory() as tmp:
            root = Path(tmp)
            for relative, text in files.items():
                path = root / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return [message for _, _, message in house_rules.check_tree(root)]

    def test_cases(self):
        for what, path, body, wanted in CASES:
            with self.subTest(what):
                found = self.findings({path: HEAD.format(name=Path(path).name) + body})
                if wanted is None:
                    self.assertEqual(found, [])
                else:
                    self.assertEqual(len(found), 1, found)
                    self.assertIn(wanted, found[0])

    def test_heads(self):
        self.assertIn("first line", self.findings({"src/base/a.c": "/* a.c: x */\n/* a.c: x */\n"})[0])
        self.assertIn("second line", self.findings({"src/base/a.c": HEAD.format(name="b.c")})[0])
        self.assertEqual([], self.findings({"src/base/a.c": HEAD.format(name="a.c").replace("/* a.c", "/*\n * a.c")}))
        self.assertIn("SPDX", self.findings({"scripts/x": "#!/bin/sh\n"})[0])

    def test_names(self):
        head = HEAD.format(name="a.c")
        self.assertIn("taken by", self.findings({"src/base/a.c": head, "src/text/a.c": head})[0])


if __name__ == "__main__":
    unittest.main()
