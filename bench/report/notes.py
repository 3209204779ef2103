"""The sentences under a table."""

from __future__ import annotations

from bench.display.batches import batch_notes
from bench.display.looks import look_notes
from bench.display.names import short_name
from bench.display.numbers import DELTA
from bench.display.tuning import tuning_notes
from bench.display.wording import claim_text, claim_texts, inference_notes, planned_note, timing_notes, uncounted_notes
from bench.report.choice import PARTS, WHOLE, Layout

BEST = "the best number of a metric, among those whose seeds are all measured and whose counts leave nothing out"


def notes_under(layout: Layout) -> list[str]:
    """What the differences, their intervals and the bold numbers are, and the excluded variants with their reasons."""
    results, summary = layout.results, layout.summary
    named = {variant: short_name(results, variant) for variant in results.variants}
    compares = any(column.part in (WHOLE, *PARTS[1:]) for column in layout.columns)
    notes = [f"{DELTA}: difference from {named[results.baseline]}, of the means where there are seeds"] * compares
    notes += [*timing_notes(summary, named), *batch_notes(summary), *uncounted_notes(summary, named)]
    notes += inference_notes(summary) if compares else []
    notes += look_notes(summary, named)
    notes += tuning_notes(results.tuning, named)
    notes += [f"bold: {BEST}"] * bool(layout.best)
    return notes + [f"excluded: {short_name(results, name)}, because {because}" for name, because in results.excluded]


def claim_lines(layout: Layout) -> list[str]:
    """Each claim of the source with its answer."""
    lines = [f"claim {claim_text(claim)}" for claim in claim_texts(layout.every, layout.claims)]
    return [*lines, *filter(None, [planned_note(layout.claims)])]
