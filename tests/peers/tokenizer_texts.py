# SPDX-License-Identifier: MIT
"""Texts for tokenizer tests: mixed scripts, signs, numbers and white space, the same for the same seed."""
import random

BLOCKS = [(0x20, 0x7E, 30), (0xA0, 0x17F, 8), (0x370, 0x3FF, 4), (0x400, 0x4FF, 6), (0x590, 0x5FF, 2),
          (0x600, 0x6FF, 4), (0x900, 0x97F, 4), (0xE00, 0xE7F, 3), (0x10A0, 0x10FF, 1), (0x1E00, 0x1EFF, 2),
          (0x2000, 0x206F, 3), (0x2070, 0x209F, 1), (0x20A0, 0x20BF, 1), (0x2150, 0x218F, 1), (0x2190, 0x22FF, 2),
          (0x2460, 0x24FF, 1), (0x3000, 0x303F, 3), (0x3040, 0x30FF, 5), (0x3130, 0x318F, 1), (0x4E00, 0x9FA5, 8),
          (0xAC00, 0xD7A3, 5), (0xFB00, 0xFB4F, 1), (0xFF00, 0xFFEF, 2), (0x1D400, 0x1D7FF, 1),
          (0x1F300, 0x1FAFF, 4), (0x20000, 0x2A6DF, 1)]
WORDS = ["the", "Hello", "world", "HELLO", "camelCase", "don't", "we'll", "I'VE", "x86_64", "naïve", "été", "Straße",
         "привет", "Мир", "你好", "世界", "こんにちは", "안녕", "नमस्ते", "مرحبا", "שלום", "ไทย", "Ελλάδα", "'s", "'LL",
         "http://a.b/c?d=e", "foo(bar);", "1", "22", "333", "4444", "1234567", "3.14", "½", "²", "Ⅷ", "١٢٣", "_x",
         "--", "...", "!?", "\"q\"", "(a)", "[b]", "{c}", "<d>", "a/b", "`", "~", "€", "🚀", "👩‍👩‍👧", "e\u0301", "\u200b"]
SPACES = [" ", " ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "\u00a0", "\u3000", "\u2028", ""]


def piece(rng):
    """A word, a run of one script, or a run of one character."""
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(WORDS)
    first, last, _ = rng.choices(BLOCKS, weights=[block[2] for block in BLOCKS])[0]
    if kind < 0.9:
        return "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, 8)))
    return chr(rng.randint(first, last)) * rng.randint(1, 9)


def texts(seed, n_chars, length=200):
    """Texts of about length characters, n_chars together."""
    rng = random.Random(seed)
    made = 0
    while made < n_chars:
        parts = []
        while sum(map(len, parts)) < length:
            parts += [piece(rng), rng.choice(SPACES)]
        text = "".join(parts)
        made += len(text)
        yield text
