# SPDX-License-Identifier: MIT
"""Where llama.cpp's shared libraries lie; run as a program it prints that folder.

They come with the npm package pinned in package.json; QUERN_LLAMA_LIBS names another folder.
"""
import os
import sys
from pathlib import Path

PACKAGED = Path(__file__).resolve().parent / "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"


def find_libs():
    """The folder with libllama, or None when it is not installed."""
    folder = Path(os.environ.get("QUERN_LLAMA_LIBS") or PACKAGED)
    return folder if list(folder.glob("libllama.*so")) else None


if __name__ == "__main__":
    found = find_libs()
    if found is None:
        sys.exit(f"llama_libs.py: no libllama in {os.environ.get('QUERN_LLAMA_LIBS') or PACKAGED}: "
                 "run scripts/bootstrap, or set QUERN_LLAMA_LIBS")
    print(found)
