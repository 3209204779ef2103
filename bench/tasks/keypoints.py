"""Errors of joints in px, and fractions of joints within a limit, from an evaluation of poses. No torch.

The units of the evaluation are the joints of images: arrays `image`, `joint`, `visible` (M,), `truth`
and a place for each decoding (M, 2), and lengths (M,). Joints that are not annotated are left out of every score.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.data.skeleton import UNKNOWN
from bench.results.measurement import Evaluation, Reading

Floats = np.ndarray[Any, np.dtype[np.float64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

DECODING = "dark"
"""The decoding that accuracy is read from; metrics of their own read the other decodings."""
REGRESSED = "regressed"
"""The name of the places of a network that gives coordinates."""

DECODING_NAMES = ("argmax", "quarter", "dark", "soft_argmax")
"""The ways to read a position off a heatmap."""
LENGTHS = {"torso": 0.2, "head": 0.5}
"""The lengths that thresholds are fractions of, and the thresholds of PCK@0.2 and PCKh@0.5."""
ALPHAS = np.linspace(0, 0.5, 51)
"""The thresholds of a PCK curve, as fractions of a length."""

NO_JOINTS = "no joint of this kind is annotated in the evaluation split"


def decoding_of(evaluation: Evaluation) -> str:
    """The decoding that accuracy is read from."""
    return REGRESSED if REGRESSED in evaluation.units else DECODING


def summaries(evaluation: Evaluation) -> dict[str, np.ndarray[Any, Any]]:
    """The small arrays that figures read: `pck:LENGTH:DECODING` (51,) at ALPHAS, and `people:UNIT` of the people shown.

    The people shown are those of `samples["numbers"]`; UNIT is `image`, `visible`, `truth` or a decoding.
    """
    decodings = [name for name in (*DECODING_NAMES, REGRESSED) if name in evaluation.units]
    curves = {(length, name): pck_curve(evaluation, length, name) for length in LENGTHS for name in decodings}
    arrays = {f"pck:{length}:{name}": values for (length, name), values in curves.items() if values is not None}
    rows = np.isin(evaluation.units["image"], evaluation.samples.get("numbers", ()))
    units = [name for name in ("image", "visible", "truth", *decodings) if rows.any()]
    return arrays | {f"people:{name}": evaluation.units[name][rows] for name in units}


def pck_curve(evaluation: Evaluation, length: str, decoding: str) -> Floats | None:
    """PCK (51,) at each of ALPHAS, over annotated joints of people with the length; None where there are none."""
    if length not in evaluation.units:
        return None
    scale = evaluation.units[length]
    rows = is_annotated(evaluation) & has_length(scale)
    relative = np.sort(errors(evaluation, decoding)[rows] / scale[rows])
    return np.searchsorted(relative, ALPHAS, side="right") / len(relative) if len(relative) else None


def is_annotated(evaluation: Evaluation) -> Mask:
    """Which joints (M,) are annotated."""
    annotated: Mask = evaluation.units["visible"] != UNKNOWN
    return annotated


def errors(evaluation: Evaluation, decoding: str = "") -> Floats:
    """Distance (M,) in px of each joint's predicted place from the truth; `decoding` is DECODING where it is empty."""
    places = evaluation.units[decoding or decoding_of(evaluation)].astype(np.float64)
    distance: Floats = np.linalg.norm(places - evaluation.units["truth"], axis=-1)
    return distance


def has_length(scale: Floats) -> Mask:
    """Which joints (M,) are of a person whose length is measured and above 0."""
    measured: Mask = np.isfinite(scale) & (scale > 0)
    return measured


def of_joints(evaluation: Evaluation, joints: tuple[int, ...]) -> Mask:
    """Which of the joints (M,) are of these kinds."""
    chosen: Mask = np.isin(evaluation.units["joint"], joints)
    return chosen


def mean_over_joints(evaluation: Evaluation, values: Floats, chosen: Mask, **facts: Any) -> Reading:
    """The mean of `values` (M,) over the joints `chosen` (M,), and by kind of joint as `per_class`.

    `left_out` in the detail counts the annotations that the dataset's loader left out, by reason."""
    if not chosen.any():
        return Reading(None, error=NO_JOINTS)
    kinds = {name: chosen & (evaluation.units["joint"] == i) for i, name in enumerate(evaluation.names)}
    per_class: Mapping[str, float] = {n: float(values[rows].mean()) for n, rows in kinds.items() if rows.any()}
    detail = {"per_class": per_class, "joints": int(chosen.sum()), "decoding": decoding_of(evaluation), **facts}
    left_out = {reason: count for reason, count in evaluation.facts.get("left_out", {}).items() if count}
    return Reading(float(values[chosen].mean()), {**detail, **({"left_out": left_out} if left_out else {})})


def mean_error_of(evaluation: Evaluation, decoding: str) -> Reading:
    """The mean distance in px by one decoding; an error where the network gives no maps."""
    if decoding not in evaluation.units:
        return Reading(None, error=f"the network gives coordinates, not maps, which '{decoding}' needs")
    return mean_over_joints(evaluation, errors(evaluation, decoding), is_annotated(evaluation), decoding=decoding)


def correct_fraction(evaluation: Evaluation, length: str, alpha: float, chosen: Mask | None = None) -> Reading:
    """PCK: the fraction of joints no farther from the truth than `alpha` times the person's `length` (torso, head).

    Of the annotated joints, or of those among them that are `chosen` (M,). People without the length, or for whom
    it is 0, are left out, and `without_length` counts their joints. An error where the dataset has no such length.
    """
    scale = evaluation.units.get(length)
    if scale is None:
        return Reading(None, error=f"the dataset states no {length} length, which this metric is relative to")
    rows = is_annotated(evaluation) if chosen is None else is_annotated(evaluation) & chosen
    scaled = rows & has_length(scale)
    values = (errors(evaluation) <= alpha * np.where(scaled, scale, 0.0)).astype(np.float64)
    if rows.any() and not scaled.any():
        return Reading(None, error=f"no person whose joints are annotated has a {length} length")
    facts = {"alpha": alpha, "length": length, "without_length": int((rows & ~scaled).sum())}
    return mean_over_joints(evaluation, values, scaled, **facts)


def partners(evaluation: Evaluation, joint: int, other: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the joints of kind `joint`, and of the same person's `other`, where both are annotated."""
    units = evaluation.units
    rows = np.flatnonzero(is_annotated(evaluation) & (units["joint"] == joint))
    others = np.flatnonzero(is_annotated(evaluation) & (units["joint"] == other))
    place = {int(image): row for image, row in zip(units["image"][others], others, strict=True)}
    pairs = [(row, place[int(image)]) for image, row in zip(units["image"][rows], rows, strict=True) if image in place]
    both = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return both[:, 0], both[:, 1]
