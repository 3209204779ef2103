"""Characters that must not reach a terminal, a table or an SVG file."""

from __future__ import annotations

import re
from typing import Any

_FORBIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters of ASCII and Latin-1, except tab and line feed
    r"\u2028\u2029\u202a-\u202e\u2066-\u2069"  # line separators; marks that reverse the direction of text
    r"\u061c\u200e\u200f"  # invisible marks that set a direction
    r"\ud800-\udfff\ufeff\ufffe\uffff]"  # halves of a surrogate pair, byte order mark, no characters
)

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|nan)")


def forbidden_character(text: str) -> re.Match[str] | None:
    """The first character of `text` that a terminal, a table or an SVG file must not get; None where all are fine."""
    return _FORBIDDEN.search(text)


def character_name(character: str) -> str:
    """`U+001B`."""
    return f"U+{ord(character):04X}"


def printable(text: str, keep: str = "") -> str:
    r"""`text` with each forbidden character, except those of `keep`, as its escape (`\x1b`)."""
    return _FORBIDDEN.sub(lambda match: match[0] if match[0] in keep else ascii(match[0])[1:-1], text)


def one_line(text: str) -> str:
    """`text` on one line: each run of white space becomes one space."""
    return " ".join(text.split())


def csv_field(value: Any) -> Any:
    """A value as a field of a CSV file: text that a spreadsheet would run as a formula begins with an apostrophe.

    Forbidden characters, except carriage returns, are escaped. Numbers stay, also those that are text.
    """
    if not isinstance(value, str):
        return value
    text = printable(value, keep="\r")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def from_csv_field(text: str) -> str:
    """The text that `csv_field` was given; what it escaped stays escaped."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
