"""What tables, figures and reports read: the kept measurements of one ablation, and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.results.measurement import Evaluation
from bench.results.signature import Signature
from bench.spec.claims import Statement
from bench.spec.variant import Variant

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Results:
    """One ablation's kept results.

    `variants` are names in the ablation's order, the baseline first; `varied` the axes that vary;
    `excluded` pairs of (variant, because); `expected` every (variant, metric, seed or None) that the
    ablation asks for, so that what has no row can be shown as not measured.

    `frame` is tidy, one row per sample, with the columns architecture, variant, one per axis, metric,
    unit, better, kind, seed (nullable), sample, value (NaN on error), exact, error, task, dataset,
    device, dtype, mode, duration (s), created (ISO text), key, detail (a mapping).

    `evaluations` maps (variant, seed) to what the trained network did; it may be empty.

    `provenance`: `command` (what was run), `file` (the ablation's path), and the mappings `environment`,
    `recipe`, `dataset` (`name`, `licence`, ...) and `metrics`
    (name -> {`doc`, `unit`, `better`, `kind`}; read where a metric has no row yet, and for definitions).

    `units` maps (variant, metric, seed) to what each block of evaluation units contributes to that score
    (jackknife pseudovalues, an array); what it lacks has no noise of evaluation that is known.

    `signatures` are what the no-op check read of the networks. `claims` are
    the source's; `notes` what a person said when running it.
    """

    name: str
    question: str
    source: str
    baseline: str
    variants: tuple[str, ...]
    varied: tuple[str, ...]
    excluded: tuple[tuple[str, str], ...]
    frame: pd.DataFrame
    evaluations: Mapping[tuple[str, int], Evaluation]
    provenance: Mapping[str, Any]
    expected: tuple[tuple[str, str, int | None], ...]
    signatures: Mapping[Variant, Signature] = field(default_factory=dict)
    claims: tuple[Statement, ...] = ()
    notes: tuple[str, ...] = ()
    units: Mapping[tuple[str, str, int], np.ndarray[Any, np.dtype[np.float64]]] = field(default_factory=dict)
