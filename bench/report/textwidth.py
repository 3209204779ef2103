"""How wide a text is in LaTeX's standard font: estimates that are never too small, in points."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

TEXT_WIDTH = 345.0
"""The width of the text of LaTeX's `article` at 10 pt: the narrowest of the usual one-column classes."""

SIZES: Mapping[str, tuple[float, float]] = {
    r"\normalsize": (1.0, 12.0),
    r"\small": (0.925, 11.0),
    r"\footnotesize": (0.85, 9.5),
}
"""Font size -> (width of a letter relative to 10 pt, distance of lines in points); small fonts are a bit wider."""

BOLD = 1.2
"""The width of a bold letter relative to a plain one."""

_GROUPS = (
    (2.8, "il.,:;'`![]|"),
    (3.4, " "),
    (4.0, "fjrst()-I"),
    (5.1, '0123456789acegoz/?*"$_\\{}^~\N{UPWARDS ARROW}\N{DOWNWARDS ARROW}\N{EN DASH}'),
    (5.6, "bdhknpquvxyJS"),
    (6.9, "EFLP\N{MICRO SIGN}"),
    (7.9, "wABCDGHKNOQRTUVXYZ=+<>@&\N{MINUS SIGN}\N{PLUS-MINUS SIGN}\N{MULTIPLICATION SIGN}"),
    (8.4, "m%#\N{GREEK CAPITAL LETTER DELTA}"),
    (10.3, "MW"),
)
_WIDTHS = {sign: width for width, signs in _GROUPS for sign in signs}
WIDEST = 12.0
"""For signs that the table of widths lacks."""


def width_of(text: str) -> float:
    """Points at 10 pt. `text` is what the reader sees, without LaTeX's commands."""
    return sum(map(_WIDTHS.get, text, itertools.repeat(WIDEST)))
