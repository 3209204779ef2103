"""What tables, figures and pages read: the measurements of one ablation, and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench.results.failures import Failure
from bench.results.measurement import Evaluation
from bench.results.signature import Signature
from bench.results.tuned import Tuning
from bench.spec.claims import Statement
from bench.spec.variant import Variant

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Results:
    """One ablation's results.

    `variants`       names in the ablation's order, the baseline first
    `axes`           variant -> stated axis -> its value as text, of the excluded variants too
    `varied`         the axes that vary
    `labels`         variant -> the name that people read, of those to which the ablation gives one
    `main`           the metric that the ablation calls its main one; empty where it names none
    `excluded`       (variant, because)
    `expected`       every (variant, metric, seed or None) that the ablation asks for; what has no row is not measured
    `frame`          one row per sample, columns as in `bench.results.frame.frame_of`
    `evaluations`    (variant, seed) -> what the trained network did; may be empty
    `contributions`  (variant, metric, seed) -> what each block of images contributes to that score (jackknife
                     pseudovalues); a score without them has no known noise of evaluation
    `provenance`     `command`, `file`, `seeds`, and the mappings `environment`, `recipe`, `dataset`, `workload` and
                     `metrics` (name -> doc, display_name, unit, better, kind)
    `signatures`     what the no-op check recorded of each network
    `claims`         the claims of the source
    `answers`        the pairs of variants whose difference answers the question, in order
    `failures`       the failed measurements with their tracebacks
    `plugins`        the plug-ins of the ablation, which may bring figures
    `bundled`        kind of metric -> the bundle's folder, of the kinds whose numbers do not come from the local store
    `looks`          the numbers of seeds at which adaptive seeds are looked at; empty where the seeds are fixed
    `steps`          the answers that are steps of a path: each of its variants and the one before
    `raced`          variant -> the seeds that a step of a greedy path gave it; its comparisons ask for no others
    `tuning`         what the search over the recipe gave by variant; None where the ablation has none
    `notes`          remarks on this reading: what does not come from the local store, what a person allowed
    """

    name: str
    question: str
    source: str
    baseline: str
    variants: tuple[str, ...]
    axes: Mapping[str, Mapping[str, str]]
    varied: tuple[str, ...]
    excluded: tuple[tuple[str, str], ...]
    frame: pd.DataFrame
    evaluations: Mapping[tuple[str, int], Evaluation]
    provenance: Mapping[str, Any]
    expected: tuple[tuple[str, str, int | None], ...]
    signatures: Mapping[Variant, Signature] = field(default_factory=dict)
    claims: tuple[Statement, ...] = ()
    notes: tuple[str, ...] = ()
    bundled: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    main: str = ""
    answers: tuple[tuple[str, str], ...] = ()
    failures: tuple[Failure, ...] = ()
    plugins: tuple[str, ...] = ()
    contributions: Mapping[tuple[str, str, int], np.ndarray[Any, np.dtype[np.float64]]] = field(default_factory=dict)
    tuning: Tuning | None = None
    looks: tuple[int, ...] = ()
    steps: tuple[tuple[str, str], ...] = ()
    raced: Mapping[str, int] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The axes and settings that have a column in tables: those that vary, and those that a search chose."""
        return tuple(dict.fromkeys((*self.varied, *(self.tuning.names if self.tuning else ()))))

    def with_seeds(self, counts: Mapping[str, int]) -> Results:
        """The results of the first seeds of each variant alone: of scores below that number, and of all else."""
        seeds = zip(self.frame["variant"].tolist(), self.frame["seed"].tolist(), strict=True)
        rows = [(number := _seed(seed)) is None or number < counts[variant] for variant, seed in seeds]
        return replace(
            self,
            frame=self.frame[rows].reset_index(drop=True),
            expected=tuple(each for each in self.expected if each[2] is None or each[2] < counts[each[0]]),
            evaluations={run: each for run, each in self.evaluations.items() if run[1] < counts[run[0]]},
            contributions={run: each for run, each in self.contributions.items() if run[2] < counts[run[0]]},
        )

    @property
    def missing(self) -> int:
        """How many of the expected measurements have no row."""
        columns = (self.frame[name].tolist() for name in ("variant", "metric", "seed"))
        present = {(variant, metric, _seed(seed)) for variant, metric, seed in zip(*columns, strict=True)}
        return len(set(self.expected) - present)


def _seed(value: Any) -> int | None:
    """The seed of a row; pandas has NA where none plays a part."""
    return int(value) if isinstance(value, int) else None
