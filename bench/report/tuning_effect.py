"""What a recipe of its own changes: an ablation with `tune:` beside that of the same variants with one recipe."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.analysis.aggregate import Column
from bench.analysis.summary import Summary, summarise
from bench.analysis.verdict import Verdict
from bench.display.answers import plain_names
from bench.display.numbers import number_text, style_of
from bench.report.frontier import differing_settings
from bench.report.index import page_link
from bench.report.table import markdown_text, pipes
from bench.results.results import Results
from bench.stats.ranks import kendall

HEAD = ("variant", "its recipe", "one recipe", "place", "own recipe", "place")
DECIDED: tuple[Verdict, ...] = ("better", "worse")


@dataclass(frozen=True)
class Place:
    """A variant under one recipe for all and with its own: the numbers as text, and the places; 1 is the best."""

    variant: str
    recipe: str
    before: str
    after: str
    place_before: int
    place_after: int

    @property
    def texts(self) -> tuple[str, ...]:
        """The entries of HEAD."""
        return (self.variant, self.recipe, self.before, str(self.place_before), self.after, str(self.place_after))


@dataclass(frozen=True)
class Reversal:
    """`ahead` is better than `behind` with recipes of their own, and was not under one; the verdicts of both tables."""

    ahead: str
    behind: str
    before: Verdict | None
    after: Verdict | None

    @property
    def decided(self) -> bool:
        """Whether both tables are sure of their order."""
        return self.before in DECIDED and self.after in DECIDED

    def __str__(self) -> str:
        return f"{self.ahead} passes {self.behind} ({self.before} before, {self.after} now)"


@dataclass(frozen=True)
class TuningEffect:
    """`places` in the order with own recipes; `agreement` is Kendall's tau-b of the two orders."""

    untuned: str
    tuned: str
    metric: str
    places: tuple[Place, ...]
    agreement: float
    reversals: tuple[Reversal, ...]

    @property
    def sentence(self) -> str:
        """How many pairs of variants change their order."""
        pairs = len(self.places) * (len(self.places) - 1) // 2
        sure = sum(each.decided for each in self.reversals)
        return (
            f"With recipes of their own, {len(self.reversals)} of {pairs} pairs of variants change their order "
            f"({sure} where both tables are decided); Kendall's tau of the two orders is {self.agreement:.2f}"
        )


def tuning_effects(all_results: Iterable[Results]) -> list[TuningEffect]:
    """One for each ablation with `tune:` and each without that has its variants, data and recipe; both have scores."""
    every = list(all_results)
    pairs = itertools.product([each for each in every if each.tuning], [each for each in every if not each.tuning])
    alike = ((untuned, tuned) for tuned, untuned in pairs if _alike(untuned, tuned))
    return [effect for untuned, tuned in alike if (effect := _effect(untuned, tuned)) is not None]


def _alike(untuned: Results, tuned: Results) -> bool:
    return set(untuned.variants) == set(tuned.variants) and not differing_settings(untuned, tuned)


def _effect(untuned: Results, tuned: Results) -> TuningEffect | None:
    """None where a variant has no score in one of the two."""
    before, after = summarise(untuned), summarise(tuned)
    column = after.main()
    if column is None or before.main() != column:
        return None
    scores = [_scores(summary, column) for summary in (before, after)]
    if any(each.keys() != set(tuned.variants) for each in scores):
        return None
    places = sorted(_places(before, after, column), key=lambda place: place.place_after)
    agreement, _ = kendall(*([each[variant] for variant in tuned.variants] for each in scores))
    reversals = tuple(_reversals(before, after, column))
    return TuningEffect(untuned.name, tuned.name, column.name, tuple(places), agreement, reversals)


def _scores(summary: Summary, column: Column) -> dict[str, float]:
    """Variant -> its score, higher is better."""
    sign = -1 if column.better == "lower" else 1
    return {each.variant: sign * each.value for each in summary.of(column.metric) if each.value is not None}


def markdown_effects(effects: Iterable[TuningEffect], folder: str = "") -> str:
    """A sentence, the pairs that change, and a pipe table for each."""
    return "\n\n".join(_markdown(effect, folder) for effect in effects) + "\n"


def _markdown(effect: TuningEffect, folder: str) -> str:
    changed = f": {'; '.join(map(str, effect.reversals))}." if effect.reversals else "."
    links = " and ".join(page_link(name, folder) for name in (effect.untuned, effect.tuned))
    head = (*HEAD[:2], f"{effect.metric}, {HEAD[2]}", HEAD[3], f"{effect.metric}, {HEAD[4]}", HEAD[5])
    rows = [head, ["---"] * len(HEAD), *(list(map(markdown_text, each.texts)) for each in effect.places)]
    table = "\n".join(map(pipes, rows))
    return f"{links}: {markdown_text(effect.sentence)}{markdown_text(changed)}\n\n{table}"


def _places(before: Summary, after: Summary, column: Column) -> Iterator[Place]:
    orders = [_order(_scores(summary, column)) for summary in (before, after)]
    names, tuning = plain_names(after.results), after.results.tuning
    for variant in after.results.variants:
        chosen = tuning.by_variant[variant].texts if tuning and variant in tuning.by_variant else {}
        before_text, after_text = (
            number_text(each.aggregates[variant, column.metric], style_of(each, column)) for each in (before, after)
        )
        place_before, place_after = (order.index(variant) + 1 for order in orders)
        recipe = ", ".join(f"{setting} {value}" for setting, value in chosen.items())
        yield Place(names[variant], recipe, before_text, after_text, place_before, place_after)


def _order(scores: dict[str, float]) -> Sequence[str]:
    return sorted(scores, key=lambda variant: -scores[variant])


def _reversals(before: Summary, after: Summary, column: Column) -> Iterator[Reversal]:
    """The verdicts of all pairs of a table are corrected together."""
    old, new, names = _scores(before, column), _scores(after, column), plain_names(after.results)
    pairs = list(itertools.combinations(_order(new), 2))
    verdicts = [summary.differences(column.metric, pairs) for summary in (before, after)]
    for ahead, behind in pairs:
        if old[ahead] < old[behind] and new[ahead] > new[behind]:
            both = (each[ahead, behind].verdict for each in verdicts)
            yield Reversal(names[ahead], names[behind], *both)
