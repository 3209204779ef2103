"""The index of ablations: one row each, made from its results, and the claims of all sources in one ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.aggregate import Aggregate, Column
from bench.analysis.leading import main_column
from bench.analysis.summary import Summary, summarise
from bench.display.answers import STANDINGS, BriefAnswer, brief_answer
from bench.display.figure import names
from bench.display.numbers import counted, number_text, shown_unit, style_of
from bench.display.seeds import seed_counts
from bench.display.wording import EMPTY, ClaimText, claim_texts
from bench.report.table import markdown_text, pipes
from bench.results.results import Results

HEAD = (
    "ablation", "question", "answer", "difference", "metric", "baseline", "best variant", "claims of the source",
    "seeds", "training",
)  # fmt: skip
UNRECORDED = "not recorded"
ORDER = ("contradicted", "inconclusive", "not evaluated", "reproduced")
"""The answers to claims as the ledger lists them: first what speaks against a source."""


@dataclass(frozen=True)
class LedgerRow:
    """A claim with its answer, and the ablation that made it."""

    ablation: str
    claim: ClaimText


@dataclass(frozen=True)
class IndexRow:
    """What the index says of one ablation; `training`: CPU time of its training runs, as text.

    `task`, `data` and `families` (the architectures) are what the index is filtered by.
    """

    name: str
    question: str
    answer: BriefAnswer
    metric: str
    baseline: str
    best: str
    claims: str
    seeds: str
    training: str
    task: str = ""
    data: str = ""
    families: tuple[str, ...] = ()
    ledger: tuple[LedgerRow, ...] = ()

    @property
    def verdict(self) -> str:
        """That of the difference that answers; `not answered` where there is none."""
        return self.answer.verdict or self.answer.standing

    @property
    def cells(self) -> tuple[str, ...]:
        """Everything but the name, as text."""
        stated = (self.question, self.answer.text, self.answer.difference or EMPTY)
        return (*stated, self.metric, self.baseline, self.best, self.claims, self.seeds, self.training)


def is_trained(results: Results) -> bool:
    """Whether the results have scores, or the ablation asks for none."""
    kinds = {definition["kind"] for definition in results.provenance.get("metrics", {}).values()}
    return "accuracy" not in kinds or bool((results.frame["kind"] == "accuracy").any())


def row_of(results: Results) -> IndexRow:
    """The row of an ablation; of the metric that answers its question."""
    summary = summarise(results)
    column = main_column(summary)
    return IndexRow(
        name=results.name,
        question=results.question,
        answer=brief_answer(summary),
        metric=f"{column.name} ({shown_unit(summary, column)})".replace(" ()", "") if column else EMPTY,
        baseline=_value(summary, column, results.baseline) if column else EMPTY,
        best=(_best(summary, column) if column else EMPTY) if is_trained(results) else "not trained here",
        claims=_claims(summary),
        seeds=seed_counts(results) or EMPTY,
        training=_training(results),
        task=task_of(results),
        data=str(results.provenance.get("dataset", {}).get("name", "")),
        families=tuple(sorted({variant.partition("(")[0] for variant in results.variants})),
        ledger=tuple(LedgerRow(results.name, claim) for claim in claim_texts(summary)),
    )


def task_of(results: Results) -> str:
    """The task of the measurements that depend on one; empty where none does."""
    tasks = [each for each in results.frame["task"].tolist() if isinstance(each, str) and each]
    return tasks[0] if tasks else ""


STANDING_WORDS = {each: "answered by no difference" if each == "no difference" else each for each in STANDINGS}


def overview(rows: Sequence[IndexRow]) -> str:
    """One sentence over all ablations and claims."""
    if not rows:
        return "No ablation has results."
    standings = Counter(STANDING_WORDS[row.answer.standing] for row in rows)
    claims = Counter(each.claim.answer for row in rows for each in row.ledger)
    start = f"Of {counted(len(rows), 'question')} {_counts(standings, [*STANDING_WORDS.values()])}"
    end = f"; of {counted(claims.total(), 'claim')} of the sources {_counts(claims, ORDER)}" if claims else ""
    return f"{start}{end}."


def _counts(counts: Mapping[str, int], order: Sequence[str]) -> str:
    """`3 are contradicted, 1 is inconclusive and 60 are reproduced`."""
    texts = [f"{counts[word]} {'is' if counts[word] == 1 else 'are'} {word}" for word in order if counts.get(word)]
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))


def ledger(rows: Iterable[IndexRow]) -> list[LedgerRow]:
    """The claims of all ablations: those that are contradicted first, each kind in the order of the rows."""
    return sorted((each for row in rows for each in row.ledger), key=lambda each: ORDER.index(each.claim.answer))


def _value(summary: Summary, column: Column, variant: str) -> str:
    aggregate = summary.aggregates.get((variant, column.metric))
    return number_text(aggregate, style_of(summary, column)) if aggregate and aggregate.samples else EMPTY


def _best(summary: Summary, column: Column) -> str:
    """The best variant with its number and verdict; a metric without a better direction has none."""
    best = _extreme(summary.measured(column.metric), column.better)
    if best is None:
        return EMPTY
    if best.variant == summary.results.baseline:
        return "the baseline"
    delta = summary.delta(best.variant, column.metric)
    verdict = f", {delta.verdict}" if delta and delta.verdict and best.seeded else ""
    return f"{names(summary.results)[best.variant]}: {_value(summary, column, best.variant)}{verdict}"


def _extreme(aggregates: Sequence[Aggregate], better: str | None) -> Aggregate | None:
    valued = [(each.value, i) for i, each in enumerate(aggregates) if each.value is not None]
    if not valued or better is None:
        return None
    _, place = max(valued, key=lambda pair: (pair[0] if better == "higher" else -pair[0], -pair[1]))
    return aggregates[place]


def _claims(summary: Summary) -> str:
    answers = Counter(claim.answer for claim in summary.claims)
    return ", ".join(f"{answers[answer]} {answer}" for answer in sorted(answers)) or EMPTY


def _training(results: Results) -> str:
    """`59 CPU-min`; with the number of runs that recorded their time where it is not that of all."""
    runs = {(variant, seed) for variant, _, seed in results.expected if seed is not None}
    seconds = {key: each.facts.get("cpu_seconds") for key, each in results.evaluations.items()}
    recorded = {key: each for key, each in seconds.items() if each is not None}
    if not runs:
        return EMPTY
    if not recorded:
        return UNRECORDED
    minutes = sum(recorded.values()) / 60
    part = "" if recorded.keys() >= runs else f" in {len(recorded)} of {len(runs)} runs"
    return f"{minutes:.{0 if minutes >= 1 else 1}f} CPU-min{part}"


def markdown_index(rows: Iterable[IndexRow], folder: str = "", columns: Sequence[str] = HEAD[1:]) -> str:
    """A pipe table of these columns of HEAD; the names of ablations link to `folder/NAME/index.md`."""
    lines = [pipes((HEAD[0], *columns)), pipes(["---"] * (len(columns) + 1))]
    for row in rows:
        cells = dict(zip(HEAD[1:], row.cells, strict=True))
        lines.append(pipes([page_link(row.name, folder), *(markdown_text(cells[column]) for column in columns)]))
    return "\n".join(lines) + "\n"


def markdown_ledger(claims: Iterable[LedgerRow], folder: str = "") -> str:
    """A pipe table of these claims."""
    lines = [pipes(("verdict", "ablation", "claim", "ours", "source")), pipes(["---"] * 5)]
    for each in claims:
        texts = (each.claim.answer, each.claim.says, ours(each.claim), each.claim.source or EMPTY)
        answer, *others = map(markdown_text, texts)
        lines.append(pipes([answer, page_link(each.ablation, folder), *others]))
    return "\n".join(lines) + "\n"


def ours(claim: ClaimText) -> str:
    """What was measured: both sides of each comparison and their difference, or why there is nothing."""
    pairs = zip(claim.numbers, claim.differences, strict=True)
    return "; ".join(f"{numbers}, difference {change}" for numbers, change in pairs) or claim.reason


def page_link(name: str, folder: str) -> str:
    """Markdown of a link to the committed page of an ablation."""
    return f"[{name}]({folder}{name}/index.md)"
