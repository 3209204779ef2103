"""Small drawings for a row of a page: a difference with its interval, or values on an axis that several rows have."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from bench.display.answers import BriefAnswer
from bench.spec.characters import printable

WIDTH, HEIGHT, EDGE = 180, 24, 8
"""Pixels of a drawing; EDGE stays free on either side."""


def forest(answer: BriefAnswer) -> Markup:
    """The interval of a difference about zero, with the margin of equivalence; empty without an interval."""
    if answer.value is None or answer.ends is None:
        return Markup("")
    limit = max(map(abs, (*answer.ends, answer.value, answer.margin or 0.0)), default=0.0)
    if not limit:
        return Markup("")
    place = [_place(each, -limit, limit) for each in (*answer.ends, answer.value, 0.0)]
    band = [_place(sign * answer.margin, -limit, limit) for sign in (-1, 1)] if answer.margin else []
    return _drawing(answer.difference, [*_band(band), _line("zero", place[3]), *_mark(place[0], place[1], place[2])])


def dot(text: str, value: float, spread: float | None, low: float, high: float) -> Markup:
    """A value and plus and minus its `spread` on an axis from `low` to `high`, named by `text`."""
    ends = (value - (spread or 0.0), value + (spread or 0.0))
    left, right, middle = (_place(each, low, high) for each in (*ends, value))
    return _drawing(text, [_line("zero", _place(low, low, high)), *_mark(left, right, middle)])


def _place(value: float, low: float, high: float) -> float:
    """Pixels from the left; in the middle where the axis spans nothing."""
    part = (value - low) / (high - low) if high > low else 0.5
    return round(EDGE + (WIDTH - 2 * EDGE) * min(max(part, 0.0), 1.0), 1)


def _band(ends: Sequence[float]) -> list[str]:
    if not ends:
        return []
    return [f'<rect class="band" x="{ends[0]}" y="3" width="{round(ends[1] - ends[0], 1)}" height="18"/>']


def _line(look: str, x: float) -> str:
    return f'<line class="{look}" x1="{x}" x2="{x}" y1="1" y2="23"/>'


def _mark(left: float, right: float, middle: float) -> list[str]:
    return [
        f'<line class="interval" x1="{left}" x2="{right}" y1="12" y2="12"/>',
        f'<circle cx="{middle}" cy="12" r="4"/>',
    ]


def _drawing(text: str, parts: Sequence[str]) -> Markup:
    head = f'<svg class="forest" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(printable(text))}">'
    return Markup(f"{head}{''.join(parts)}</svg>")
