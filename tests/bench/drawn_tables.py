"""Tables of scores over seeds with a known truth, and what fixed and adaptive seeds make of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.aggregate import Aggregate, Column
from bench.analysis.looks import Looks, taken_looks
from bench.results.results import Results


def drawn(means: Sequence[float], spread: float, seeds: int, random: np.random.Generator) -> np.ndarray:
    """(variants, seeds): scores; the baseline is first."""
    return np.asarray(means)[:, None] + spread * random.normal(size=(len(means), seeds))


def looks_of(values: np.ndarray, sizes: tuple[int, ...], unit: str = "1") -> Looks:
    """The looks at scores (variants, seeds); fixed seeds are a single look."""
    names = tuple(f"net(a={number})" for number in range(len(values)))
    aggregates = {(name, "score"): _aggregate(name, row) for name, row in zip(names, values.tolist(), strict=True)}
    results = Results(
        name="drawn",
        question="",
        source="",
        baseline=names[0],
        variants=names,
        axes={},
        varied=("a",),
        excluded=(),
        frame=pd.DataFrame(),
        evaluations={},
        provenance={},
        expected=(),
        main="score",
        looks=sizes,
    )
    return taken_looks(results, [Column("score", unit, "higher", "accuracy", "")], aggregates, {})


def _aggregate(name: str, row: Sequence[float]) -> Aggregate:
    seeds = tuple(range(len(row)))
    return Aggregate(name, "score", tuple(zip(seeds, row, strict=True)), seeds, True, (), (), ({},) * len(row))


def verdicts(looks: Looks) -> list[str]:
    """Of each variant against the baseline."""
    return [str(delta.verdict) for delta in looks.table.values()]


def is_different(verdict: str) -> bool:
    return verdict in ("better", "worse")
