"""What each block of images contributes to a score: computed where the network was evaluated, kept with the score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.results.measurement import Evaluation, Reading
from bench.stats.inference import pseudovalues

if TYPE_CHECKING:
    import numpy as np


def contributions(metric: Callable[[Evaluation], Any], evaluation: Evaluation) -> tuple[float, ...]:
    """The metric's jackknife pseudovalues over blocks of the evaluation's images.

    Units that name their `image` (the joints of a person) stay together with the others of that image. Empty where the
    evaluation has no units, units of several lengths, or fewer than two images, or where a block is indispensable.
    """
    import numpy as np

    owner = _owners(evaluation)
    if owner is None:
        return ()

    def score(chosen: np.ndarray) -> float | None:
        rows = np.flatnonzero(np.isin(owner, chosen))
        units = {name: values[rows] for name, values in evaluation.units.items()}
        return _number(metric(replace(evaluation, units=units)))

    values = pseudovalues(score, int(owner.max()) + 1)
    return () if values is None else tuple(values.tolist())


def image_count(evaluation: Evaluation) -> int:
    """How many images the units of an evaluation are of; 0 where that is not known."""
    owner = _owners(evaluation)
    return 0 if owner is None else int(owner.max()) + 1


def _owners(evaluation: Evaluation) -> np.ndarray | None:
    """(units,): the number of the image that each unit is of; None without units, or with units of several lengths."""
    import numpy as np

    lengths = {len(values) for values in evaluation.units.values()}
    if len(lengths) != 1 or not (count := lengths.pop()):
        return None
    return np.unique(evaluation.units.get("image", np.arange(count)), return_inverse=True)[1]


def _number(result: Any) -> float | None:
    value = result.value if isinstance(result, Reading) else result
    return value if isinstance(value, (int, float)) else None
