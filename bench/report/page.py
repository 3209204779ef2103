"""What the page of an ablation says, before it becomes Markdown or HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.analysis.summary import Summary, summarise
from bench.display.answers import AnswerText, answer_text
from bench.display.batches import batch_notes
from bench.display.factorial import EffectsTable, effects_table
from bench.display.figure import names
from bench.display.looks import LookTable, look_table
from bench.display.names import shared_words
from bench.display.shapley import ShapleyTable, shapley_table
from bench.display.tuning import TuningTable, tuning_table
from bench.display.wording import (
    ClaimText,
    FrontTable,
    claim_texts,
    front_table,
    inference_notes,
    planned_note,
    timing_notes,
    uncounted_notes,
)
from bench.report.chips import Chip, chips, claims_text
from bench.report.choice import MAIN_TABLE, layout_of
from bench.report.details import (
    Definition,
    Gap,
    command,
    completeness,
    definitions,
    failures,
    missing,
    provenance,
    side_effect_rows,
)
from bench.report.figures import FailedPlot, Figure, figures, left_out
from bench.report.main_table import MainTable, main_table
from bench.report.sections import PlacedFigures, placed
from bench.report.table import markdown
from bench.results.results import Results


@dataclass(frozen=True)
class Page:
    """Everything that a template shows. `table` and `full_table` are Markdown, with the main columns and with all."""

    results: Results
    answer: AnswerText
    headline: tuple[str, ...]
    chips: tuple[Chip, ...]
    main: MainTable
    table: str
    full_table: str
    shared: str
    inference: tuple[str, ...]
    verdicts: str
    planned: str
    effects: EffectsTable | None
    shapley: ShapleyTable | None
    claims: tuple[ClaimText, ...]
    figures: tuple[Figure, ...]
    placed: PlacedFigures
    failed_plots: tuple[FailedPlot, ...]
    left_out: str
    fronts: FrontTable | None
    failures: tuple[tuple[str, str, str, str, str], ...]
    missing: tuple[Gap, ...]
    tuning: TuningTable | None
    looks: LookTable | None
    side_effects: tuple[tuple[str, ...], ...]
    definitions: tuple[Definition, ...]
    provenance: tuple[tuple[str, str], ...]
    repair: str
    pictures: str


def page_of(results: Results, plugins: Sequence[str] = (), most: int | None = None, files: bool = False) -> Page:
    """What the report says, before it becomes text; with its first `most` figures, or all; with `files` of the figures.

    With `most`, plots are only asked until they gave so many figures; those that failed are named up to there.
    """
    summary = summarise(results)
    every = list(_first(figures(results, plugins, files), most))
    drawn = tuple(each for each in every if isinstance(each, Figure))
    return Page(
        results=results,
        answer=answer_text(summary),
        headline=tuple(headline(summary)),
        chips=tuple(chips(summary)),
        main=main_table(summary),
        table=markdown(layout_of(results, MAIN_TABLE), claims=False),
        full_table=markdown(layout_of(results), claims=False),
        shared=shared_words(results),
        inference=tuple(_number_notes(summary)),
        verdicts=claims_text(summary),
        planned=planned_note(summary.claims),
        effects=effects_table(summary),
        shapley=shapley_table(summary),
        claims=tuple(claim_texts(summary)),
        figures=drawn,
        placed=placed(drawn),
        failed_plots=tuple(each for each in every if isinstance(each, FailedPlot)),
        left_out=left_out(results, plugins),
        fronts=front_table(summary, names(results)),
        failures=tuple(failures(summary)),
        missing=tuple(missing(summary)),
        tuning=tuning_table(results.tuning, names(results)),
        looks=look_table(summary, names(results)),
        side_effects=tuple(side_effect_rows(results)),
        definitions=tuple(definitions(summary)),
        provenance=tuple(provenance(results)),
        repair=f"{command(results)} --rerun failed",
        pictures=_pictures(results),
    )


def _first(drawn: Iterator[Figure | FailedPlot], most: int | None) -> Iterator[Figure | FailedPlot]:
    count = 0
    while most is None or count < most:
        each = next(drawn, None)
        if each is None:
            return
        count += isinstance(each, Figure)
        yield each


def _number_notes(summary: Summary) -> Iterator[str]:
    """What the numbers of the table are: their clocks, what their counts leave out, how differences are judged."""
    labels = names(summary.results)
    yield from timing_notes(summary, labels)
    yield from batch_notes(summary)
    yield from uncounted_notes(summary, labels)
    yield from inference_notes(summary)


def _pictures(results: Results) -> str:
    """Why there are no pictures, where the licence of the dataset forbids them; empty where it does not."""
    allowed = [evaluation.facts.get("publishable") for evaluation in results.evaluations.values()]
    if not allowed or any(allowed):
        return ""
    dataset = results.provenance.get("dataset", {})
    licence = f" ({dataset['licence']})" if dataset.get("licence") else ""
    return f"The licence of {dataset.get('name', 'the dataset')}{licence} does not allow pictures here"


def answer_and_table(results: Results) -> str:
    """What a terminal shows when a run ends: the question, the answer in short, and the table, as Markdown."""
    summary = summarise(results)
    lines = [results.question, *(f"- {line}" for line in headline(summary))]
    return "\n".join([*lines, "", markdown(layout_of(results))])


def headline(summary: Summary) -> Iterator[str]:
    """The answer, what became of the claims, and how complete the table is."""
    answer = answer_text(summary)
    yield answer.sentence
    yield from answer.others
    if summary.claims:
        yield f"Claims of the source: {claims_text(summary)}."
    yield completeness(summary)
