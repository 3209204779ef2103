"""Characters that must not reach a terminal, a table or an SVG file."""

from __future__ import annotations

import re

_FORBIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters of ASCII and Latin-1, except tab and line feed
    r"\u2028\u2029\u202a-\u202e\u2066-\u2069"  # line separators; marks that reverse the direction of text
    r"\ud800-\udfff\ufeff\ufffe\uffff]"  # halves of a surrogate pair, byte order mark, no characters
)


def forbidden_character(text: str) -> re.Match[str] | None:
    """The first character of `text` that a terminal, a table or an SVG file must not get; None where all are fine."""
    return _FORBIDDEN.search(text)


def character_name(character: str) -> str:
    """`U+001B`."""
    return f"U+{ord(character):04X}"


def printable(text: str) -> str:
    r"""`text` with each forbidden character as its escape (`\x1b`), for messages that quote foreign text."""
    return _FORBIDDEN.sub(lambda match: ascii(match[0])[1:-1], text)


def one_line(text: str) -> str:
    """`text` on one line: each run of white space becomes one space."""
    return " ".join(text.split())
