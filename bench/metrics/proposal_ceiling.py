"""The best mIoU that any labelling of a network's region proposals can have.

The input is the number of pixels h[r, c] of class c in region r, over all images of the split; n[r] is their sum over
the classes (void pixels do not count), t[c] that over the regions. A labelling gives each region one class, and scores
the mean over the classes of IoU_c = TP_c / (t[c] + FP_c), where TP_c is the sum of h[r, c] and FP_c that of n[r] - h[r,
c] over the regions labelled c. Giving each region the class that most of its pixels have (`majority`) maximises the
pixels that are right, not this mean: a rare class may be worth the loss of some pixels of a frequent one.

**Lower bound**: the better of two labellings that ascent reaches from two starts. IoU_c grows by

    g[r, c] = (h[r, c] - IoU_c (n[r] - h[r, c])) / (t[c] + FP_c)

to first order where region r is labelled c. Regions are relabelled to the class of their largest g, all at once,
and where that does not help, those that gain most: half of them, a quarter, ..., one. The value is the score of
a labelling, so it can be reached.

**Upper bound**: each class by itself, as if a region could have several labels. The best IoU_c over all
sets of regions is u where max over sets of TP - u (t + FP) is 0 (Dinkelbach 1967); that maximum takes exactly the
regions with h - u (n - h) > 0, so iterating u = IoU of that set ends at it after finitely many steps. A labelling
gives each class some set of regions, so none of its IoU_c is larger, nor is their mean: a class that the truth does
not have can only lower it.

The two meet where no region is worth taking for two classes at once; between them lies the best labelling.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.confusion import Floats, class_iou

Labels = np.ndarray[Any, np.dtype[np.int64]]


@metric(
    unit="",
    better="higher",
    kind="accuracy",
    tasks=("segmentation",),
    display_name="proposal ceiling (mIoU)",
    reads_units=True,
    bounds=(0, 1),
)
def proposal_ceiling(evaluation: Evaluation) -> Reading:
    """mIoU of the best labelling of the proposals that ascent reaches; the best of all is between it and `upper`.

    Detail: `upper`, the bound from above; `majority`, the mIoU of each region's most frequent class; `regions`, how
    many an image has on average; `oracle` and `oracle_upper`, the same two for proposals drawn on the truth, as many
    as the network may make; `per_class_upper`. No output of the network can score better than `upper`.
    """
    if "proposals" not in evaluation.units:
        reason = evaluation.facts.get("evaluation_units", {}).get("error")
        return Reading(None, error=reason or "the network proposes no regions (it has no `evaluation_units`)")
    counts, oracle = (filled(evaluation.units[name]) for name in ("proposals", "oracle"))
    if not len(counts):
        return Reading(None, error="no labelled pixel in the evaluation split")
    upper, of_oracle = best_alone(counts), best_alone(oracle)
    images = len(evaluation.units["proposals"])
    return Reading(
        mean_iou(counts, best_labelling(counts)),
        {
            "upper": mean(upper),
            "majority": mean_iou(counts, counts.argmax(1)),
            "regions": len(counts) / images,
            "oracle": mean_iou(oracle, best_labelling(oracle)),
            "oracle_upper": mean(of_oracle),
            "per_class_upper": {n: float(u) for n, u in zip(evaluation.names, upper, strict=True) if not np.isnan(u)},
        },
    )


def filled(units: np.ndarray[Any, Any]) -> Floats:
    """(N, regions, C) pixels -> (R, C): the regions of all images, those without labelled pixels left out."""
    counts = units.reshape(-1, units.shape[-1]).astype(np.float64)
    labelled: Floats = counts[counts.sum(1) > 0]
    return labelled


def mean(values: Floats) -> float:
    return float(np.nanmean(values))


def confusion(counts: Floats, labels: Labels) -> Floats:
    """(C, C), rows truth, columns label, of the regions (R, C) labelled (R,)."""
    columns = [counts[labels == label].sum(0) for label in range(counts.shape[1])]
    return np.stack(columns, 1)


def mean_iou(counts: Floats, labels: Labels) -> float:
    """The mIoU, as the metric of this name has it, of regions (R, C) labelled (R,)."""
    return mean(class_iou(confusion(counts, labels)))


def best_alone(counts: Floats) -> Floats:
    """The largest IoU of each class (C,) over all sets of regions (R, C); NaN where the truth does not have it."""
    return np.array([_dinkelbach(hits, counts.sum(1) - hits) for hits in counts.T])


def _dinkelbach(hits: Floats, misses: Floats) -> float:
    total, best = hits.sum(), 0.0
    if not total:
        return float("nan")
    while True:
        chosen = hits - best * misses > 0
        iou = float(hits[chosen].sum() / (total + misses[chosen].sum()))
        if iou <= best:
            return best
        best = iou


def best_labelling(counts: Floats) -> Labels:
    """The better of the labellings (R,) that ascent finds from the majority, and from each class's best alone."""
    alone = np.nan_to_num(best_alone(counts))
    starts = (counts.argmax(1), gains(counts, alone, counts.sum(0) / np.maximum(alone, 1e-12)).argmax(1))
    return max((_ascended(counts, start) for start in starts), key=lambda labels: mean_iou(counts, labels))


def gains(counts: Floats, iou: Floats, union: Floats) -> Floats:
    """By how much the IoU of each class grows, to first order, with each region: (R, C); never for an absent class."""
    misses = counts.sum(1, keepdims=True) - counts
    growth: Floats = np.where(counts.sum(0) > 0, (counts - iou * misses) / np.maximum(union, 1.0), -np.inf)
    return growth


def _ascended(counts: Floats, labels: Labels) -> Labels:
    score = mean_iou(counts, labels)
    while True:
        better = _step(counts, labels, score)
        if better is None:
            return labels
        labels, score = better


def _step(counts: Floats, labels: Labels, score: float) -> tuple[Labels, float] | None:
    """A labelling that scores more, and its score: the steepest regions relabelled, as many of them as help."""
    matrix = confusion(counts, labels)
    hits = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - hits
    gain = gains(counts, np.divide(hits, union, out=np.zeros_like(hits), where=union > 0), union)
    best, rows = gain.argmax(1), np.arange(len(counts))
    rise = gain[rows, best] - gain[rows, labels]
    moves = np.argsort(-rise, kind="stable")[: int((rise > 0).sum())]
    while len(moves):
        tried = labels.copy()
        tried[moves] = best[moves]
        tried_score = mean_iou(counts, tried)
        if tried_score > score:
            return tried, tried_score
        moves = moves[: len(moves) // 2]
    return None
