# SPDX-License-Identifier: MIT
"""The rules of the house that a script can hold: includes, names, lengths, banned functions, file heads, docstrings.

    house_rules.py [ROOT]      prints `file:line: message` for each broken rule; exit code 1 when there is one
"""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import include_law  # noqa: E402
from csource import CSource  # noqa: E402

MAX_FUNCTION_LINES = 80
MAX_FILE_LINES = 999
MAX_COLUMNS = 120
C_FOLDERS = ("include", "src", "tests", "examples", "bench")
SKIPPED = {"node_modules", "__pycache__", ".venv"}
BANNED = ("strcpy", "strcat", "sprintf", "vsprintf", "gets", "atoi", "atol", "atof", "strtok", "system", "popen", "alloca")
# Library code never exits, aborts or prints.
BANNED_IN_LIBRARY = ("abort", "exit", "_exit", "printf", "fprintf", "vprintf", "vfprintf", "puts", "fputs", "putchar",
                     "perror")


def c_files(root):
    for folder in C_FOLDERS:
        for path in sorted((root / folder).rglob("*.[ch]")):
            if not SKIPPED.intersection(path.parts):
                yield path


def check_head(source):
    name = source.path.name
    if not source.lines or source.lines[0] != "/* SPDX-License-Identifier: MIT */":
        yield 1, "the first line must be /* SPDX-License-Identifier: MIT */"
    opening = "\n".join(source.lines[1:3])
    if not opening.startswith((f"/* {name}: ", f"/*\n * {name}: ")):
        yield 2, f"the second line must be /* {name}: one sentence */"


def check_lengths(source):
    is_table = any("lint: table" in line for line in source.lines[:10])
    if len(source.lines) > MAX_FILE_LINES and not is_table:
        yield len(source.lines), f"{len(source.lines)} lines: a file has under {MAX_FILE_LINES + 1}"
    for function in source.functions():
        if function.n_lines > MAX_FUNCTION_LINES and not function.is_kernel:
            yield function.first_line, (f"{function.name}() has {function.n_lines} lines, the end is {MAX_FUNCTION_LINES}"
                                        " (kernels say /* lint: kernel */ on the line before)")
    for i, line in enumerate(source.lines, 1):
        if len(line) > MAX_COLUMNS:
            yield i, f"{len(line)} columns, the end is {MAX_COLUMNS}"


def check_banned(source, relative):
    in_library = relative.parts[0] in ("src", "include") and relative.parts[:2] != ("src", "cli")
    names = BANNED + (BANNED_IN_LIBRARY if in_library else ())
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(names) + r")\s*\(")
    for i, line in enumerate(source.bare_lines, 1):
        for match in pattern.finditer(line):
            why = "library code never exits, aborts or prints" if match.group(1) in BANNED_IN_LIBRARY else "unsafe"
            yield i, f"{match.group(1)}() is banned: {why}"


def check_docstrings(source):
    if source.path.suffix == ".h":
        for declaration in source.declarations():
            if not declaration.is_documented:
                yield declaration.first_line, f"{declaration.name}() has no docstring above it"


def check_file(path, relative):
    source = CSource.load(path)
    yield from check_head(source)
    yield from include_law.check(source, relative)
    yield from check_lengths(source)
    yield from check_banned(source, relative)
    yield from check_docstrings(source)


def check_names(paths, root):
    seen = {}
    for path in paths:
        first = seen.setdefault(path.name, path)
        if first != path:
            yield path, 1, f"the name is taken by {first.relative_to(root)}: file names are unique across the tree"


def check_script_heads(root):
    patterns = ("scripts/*", "cmake/*", "CMakeLists.txt", "Makefile", "src/**/CMakeLists.txt", "tests/**/*.py",
                "tests/cli/run_case.sh", "bench/*.py")
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            if path.is_file() and not SKIPPED.intersection(path.parts) and path.suffix != ".in":
                head = path.read_text(encoding="utf-8").splitlines()[:3]
                if not any("SPDX-License-Identifier: MIT" in line for line in head):
                    yield path, 1, "no SPDX-License-Identifier: MIT in the first lines"


def check_tree(root):
    """All findings of a tree, as (path, line, message)."""
    paths = list(c_files(root))
    for path in paths:
        for line, message in check_file(path, path.relative_to(root)):
            yield path, line, message
    yield from check_names(paths, root)
    yield from check_script_heads(root)


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2])
    findings = list(check_tree(root))
    for path, line, message in findings:
        print(f"{path.relative_to(root)}:{line}: {message}")
    n_files = sum(1 for _ in c_files(root))
    print(f"house rules: {n_files} files, {len(findings)} findings")
    if n_files == 0:
        print("no C files found: nothing was checked", file=sys.stderr)
        return 1
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
