# SPDX-License-Identifier: MIT
"""The include law: a folder includes itself, folders above it in this list, and include/quern/; nothing below."""

ORDER = ["base", "dtype", "container", "recipe", "text", "arch", "model", "stream", "pack", "engine", "calib", "depot",
         "serve", "cli"]
# Neighbours on one floor, and those who may use the public API only.
NEVER = {("pack", "engine"), ("engine", "pack"), ("recipe", "text"), ("text", "recipe")}
ONLY = {"cli": {"base"}, "serve": {"base"}}


def may_include(folder, other):
    if other == folder:
        return True
    if folder in ONLY:
        return other in ONLY[folder]
    if other not in ORDER or (folder, other) in NEVER:
        return False
    return ORDER.index(other) < ORDER.index(folder)


def check(source, relative):
    """(line, message) for each #include of one file that breaks the law. relative: its path from the root."""
    parts = relative.parts
    for line, name, is_quoted in source.includes():
        if name.endswith(".c"):
            yield line, f"includes {name}: a .c file is never included"
        elif not is_quoted:
            if name.startswith("quern/"):
                yield line, f"write \"{name}\" in quotes"
        elif parts[0] == "include" or parts[0] == "examples":
            if not name.startswith("quern/"):
                yield line, f"{parts[0]}/ includes quern/ only, not {name}"
        elif parts[0] == "src" and not name.startswith("quern/"):
            folder, other = parts[1], name.split("/")[0]
            if "/" not in name:
                yield line, f"write \"{name}\" with its folder"
            elif folder not in ORDER:
                yield line, f"src/{folder} has no floor in the house (tests/lint/include_law.py)"
            elif not may_include(folder, other):
                yield line, f"{folder} must not include {other} ({name})"
