"""The words of a statement: its text taken apart, with what stands in brackets (or in a CASE) as one word of words."""

import re
from collections.abc import Iterator
from typing import Any, TypeAlias, TypeGuard

Words: TypeAlias = "tuple[Any, ...]"  # texts, and words of words

_WORD = re.compile(
    r"""(?P<skip>\s+|\[c\]|\{c\})
      |(?P<refused>--|/\*|\\|;)
      |(?P<word>'(?:[^']|'')*'
        |"[^"]*"
        |[?$]\d+
        |\{rows\}
        |[A-Za-z_]\w*(?:\.(?:[A-Za-z_]\w*|\*))*
        |\d[\w.]*
        |::
        |[<>=!|~@#&]+
        |.)""",
    re.VERBOSE | re.DOTALL,
)


def read(text: str) -> Words:
    """Take a statement apart; names and key words are small, texts keep their quotes.

    Raises ValueError for what none of our statements has: comments, several statements, brackets that do not fit.
    """
    levels: list[list[Any]] = [[]]
    for found in _WORD.finditer(text):
        if found["refused"]:
            raise ValueError(f"{found['refused']} in a statement")
        word = found["word"]
        if word is None:
            continue
        if word[0] == '"':
            word = word.strip('"')
        elif word[0] != "'":
            word = word.lower()
        if word in ("(", "case", "["):
            levels.append([] if word == "(" else [word])
        elif word in (")", "end", "]"):
            if len(levels) == 1:
                raise ValueError("a bracket too many")
            inner = levels.pop()
            levels[-1].append(tuple(inner))
        else:
            levels[-1].append(word)
    if len(levels) != 1:
        raise ValueError("a bracket too few")
    return tuple(levels[0])


def parted(words: Words, by: str) -> Iterator[Words]:
    """Part words by another one, outside of brackets; of nothing there are no parts."""
    begin = 0
    for at, word in enumerate(words):
        if word == by:
            yield words[begin:at]
            begin = at + 1
    if words:
        yield words[begin:]


def is_bracket(word: Any) -> TypeGuard[Words]:
    """Tell whether a word is what stands in brackets."""
    return isinstance(word, tuple)
