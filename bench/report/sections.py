"""Which figure stands where on a page: the hero figure of the answer card, and the sections below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.report.figures import Figure

ANSWER, SEE, COST, WHERE, DETAILS = "answer", "see", "cost", "where", "details"

PLACES: Sequence[tuple[int, str]] = (
    (20, ANSWER),
    (25, COST),
    (30, WHERE),
    (40, DETAILS),
    (50, WHERE),
    (60, SEE),
    (65, DETAILS),
    (80, COST),
)
"""(end, section): a figure whose plot has an `order` below `end` stands in the section; others are details."""

HERO = "answer"
"""The figure whose form follows from the design of the ablation (`bench.display.shape`)."""


@dataclass(frozen=True)
class PlacedFigures:
    """The hero figure, None where there is no figure, and the other figures by section."""

    hero: Figure | None
    sections: Mapping[str, tuple[Figure, ...]]

    def of(self, section: str) -> tuple[Figure, ...]:
        """The figures of a section."""
        return self.sections.get(section, ())


def placed(figures: Sequence[Figure]) -> PlacedFigures:
    """Every figure in its place; the hero figure is nowhere else."""
    chosen = hero(figures)
    sections: dict[str, tuple[Figure, ...]] = {}
    for figure in figures:
        if figure is not chosen:
            sections[section_of(figure)] = (*sections.get(section_of(figure), ()), figure)
    return PlacedFigures(chosen, sections)


def section_of(figure: Figure) -> str:
    """The section of a figure by the order of its plot."""
    return next((section for end, section in PLACES if figure.order < end), DETAILS)


def hero(figures: Sequence[Figure]) -> Figure | None:
    """The figure that answers, else the first one that shows the answer, its cost or what the networks give.

    None where there is no such figure.
    """
    if figure := next((each for each in figures if each.name == HERO), None):
        return figure
    order = (ANSWER, COST, WHERE, SEE)
    candidates = sorted(figures, key=lambda figure: [*order, DETAILS].index(section_of(figure)))
    return candidates[0] if candidates and section_of(candidates[0]) in order else None
