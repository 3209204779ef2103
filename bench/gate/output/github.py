"""The outcome of a gate as annotations of GitHub Actions: lines `::error file=...,line=...::message`."""

from __future__ import annotations

from collections.abc import Iterator

from bench.gate.output.outcome import Judgement, Outcome
from bench.gate.output.places import place_of

MOST = 10
"""How many annotations of one level GitHub shows of a step."""

LEVELS = {1: "error", 4: "error", 3: "warning", 5: "warning", 0: "notice"}


def github(outcome: Outcome) -> Iterator[str]:
    """One line for each change, the gravest first; those that GitHub would drop are counted in the last of a level."""
    for level in dict.fromkeys(LEVELS.values()):
        rows = [row for row in outcome.changed if LEVELS[row.code] == level]
        shown = rows if len(rows) <= MOST else rows[: MOST - 1]
        yield from (_line(level, row) for row in shown)
        if len(rows) > len(shown):
            yield f"::{level} title=bench gate::{len(rows) - len(shown)} more; see the summary"


def _line(level: str, row: Judgement) -> str:
    place = place_of(row)
    properties = {"file": place.file, "line": str(place.line)} if place else {}
    properties["title"] = f"{row.verdict}: {row.name}"
    fields = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{level} {fields}::{_data(row.text or row.verdict)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
