# SPDX-License-Identifier: MIT
"""A C file as the lint rules see it: text without comments and strings, functions with their lines, declarations."""
import re
from dataclasses import dataclass, field
from pathlib import Path


def blank_out(text, keep_comments=False):
    """The text with comments and the insides of string and character literals turned to spaces; newlines stay."""
    out = []
    i = 0
    while i < len(text):
        two = text[i:i + 2]
        if two in ("/*", "//"):
            end = text.find("*/", i + 2) + 2 if two == "/*" else text.find("\n", i)
            if end < 2:
                end = len(text)
            piece = text[i:end]
            out.append(piece if keep_comments else re.sub(r"[^\n]", " ", piece))
            i = end
        elif text[i] in "\"'":
            quote, end = text[i], i + 1
            while end < len(text) and text[end] != quote and text[end] != "\n":
                end += 2 if text[end] == "\\" else 1
            out.append(quote + " " * (min(end, len(text)) - i - 1) + text[end:end + 1])
            i = end + 1
        else:
            out.append(text[i])
            i += 1
    return "".join(out)


@dataclass
class Function:
    name: str
    first_line: int  # 1-based, of the signature
    n_lines: int  # from the signature to the closing brace
    is_kernel: bool  # marked /* lint: kernel */ on the line before


@dataclass
class Declaration:
    name: str
    first_line: int
    is_documented: bool


@dataclass
class CSource:
    path: Path
    text: str
    lines: list = field(init=False)
    bare: str = field(init=False)
    bare_lines: list = field(init=False)

    def __post_init__(self):
        self.lines = self.text.splitlines()
        self.bare = blank_out(self.text)
        self.bare_lines = self.bare.splitlines()

    @classmethod
    def load(cls, path):
        return cls(path, path.read_text(encoding="utf-8"))

    def includes(self):
        """(line, name, is_quoted) of each #include."""
        for i, line in enumerate(self.lines, 1):
            match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if match:
                yield i, match.group(2), match.group(1) == '"'

    def functions(self):
        """Function definitions: in our layout a body opens at the end of a line that began in column 1."""
        start = None
        i = 0
        while i < len(self.bare_lines):
            line = self.bare_lines[i]
            if start is None and re.match(r"[A-Za-z_]", line) and not line.startswith(("typedef", "struct {", "enum")):
                start = i
            if start is not None:
                signature = " ".join(self.bare_lines[start:i + 1])
                if ";" in line or line.startswith("#"):
                    start = None
                elif line.rstrip().endswith("{"):
                    end = self._closing(i)
                    match = re.search(r"([A-Za-z_]\w*)\s*\(", signature)
                    if match and "=" not in signature:
                        before = self.lines[start - 1] if start > 0 else ""
                        yield Function(match.group(1), start + 1, end - start + 1, "lint: kernel" in before)
                    start = None
                    i = end
                elif not line.strip():
                    start = None
            i += 1

    def _closing(self, i):
        while i < len(self.bare_lines) and not self.bare_lines[i].startswith("}"):
            i += 1
        return i

    def declarations(self):
        """Extern functions declared in a header, and whether a comment stands above or behind each."""
        depth = 0
        group_documented = False
        start = None
        for i, line in enumerate(self.bare_lines):
            code = line.strip()
            if line.lstrip().startswith("#") or not code:
                if not self.lines[i].strip():
                    group_documented = False
                continue
            if re.match(r'extern " *C?"? *\{?', code) or code == "{":
                continue
            if start is None and depth == 0:
                start = i
            depth += line.count("{") - line.count("}")
            if depth > 0 or start is None:
                continue
            if ";" in line or line.rstrip().endswith("}"):
                statement = " ".join(self.bare_lines[start:i + 1]).strip()
                documented = self._is_documented(start, i) or (group_documented and self._follows(start))
                group_documented = documented
                match = re.search(r"([A-Za-z_]\w*)\s*\(", statement)
                if match and not re.match(r"(typedef|static|struct|enum|union|_Static_assert|extern [^(]*;)\b", statement) \
                        and "{" not in statement:
                    yield Declaration(match.group(1), start + 1, documented)
                start = None

    def _is_documented(self, start, end):
        if "/**<" in self.lines[end]:
            return True
        i = start - 1
        if i < 0 or not self.lines[i].rstrip().endswith("*/") or self.bare_lines[i].strip():
            return False
        while i > 0 and "/*" not in self.lines[i]:
            i -= 1
        return self.lines[i].lstrip().startswith("/**")

    def _follows(self, start):
        """Whether a declaration stands directly beneath another one, sharing its comment."""
        return start > 0 and self.lines[start - 1].strip() != ""
