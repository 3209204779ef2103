"""What the metrics of generation share: means with standard errors, missing capabilities, modes, distances of sets."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.results.measurement import Evaluation, Reading

Floats = npt.NDArray[np.float64]

CRITICAL = 3.09
"""Standard errors of a one-sided interval of 99.9 %."""
ROUNDING = 1e-5
"""Relative rounding error of a log-likelihood that was summed in single precision."""


class Lacking(LookupError):  # noqa: N818 - the name says that it is an error
    """A network or its dataset lacks something that a metric reads; the message states it."""


CODES = 1500
"""Images whose latent codes are summarised: as many as a figure can show."""


def summaries(evaluation: Evaluation) -> dict[str, Any]:
    """The small arrays that figures read; empty for a network without latents.

    `code_variances` (latents,): the variance of each posterior mean over all images. `codes` (n, 2) and `labels` (n,)
    of the first images: posterior means of the two latents with the largest variance, the largest first.
    """
    if not {"code_mean", "label"} <= evaluation.units.keys():
        return {}
    means, labels = evaluation.units["code_mean"], evaluation.units["label"]
    variances = means.var(axis=0)
    codes = means[:CODES, (-variances).argsort(kind="stable")[:2]]
    return {"codes": codes.astype("float32"), "labels": labels[:CODES], "code_variances": variances}


def error_where_lacking(read: Callable[[Evaluation], Reading]) -> Callable[[Evaluation], Reading]:
    """The metric, with an error reading where it raises Lacking."""

    @functools.wraps(read)
    def reading(evaluation: Evaluation) -> Reading:
        try:
            return read(evaluation)
        except Lacking as lacking:
            return Reading(None, error=str(lacking))

    return reading


def units(evaluation: Evaluation, name: str, needs: str) -> Floats:
    """An array with an entry for each image, in double precision.

    Raises Lacking with the reason that `missing` has for `needs`.
    """
    return _array(evaluation, evaluation.units, name, needs).astype(np.float64)


def drawn(evaluation: Evaluation, name: str, needs: str) -> npt.NDArray[Any]:
    """An array about samples, or about the real images that samples are compared with; not a unit of evaluation.

    Raises Lacking with the reason that `missing` has for `needs`.
    """
    return _array(evaluation, evaluation.samples, name, needs)


def _array(evaluation: Evaluation, arrays: Mapping[str, npt.NDArray[Any]], name: str, needs: str) -> npt.NDArray[Any]:
    if name not in arrays:
        raise Lacking(evaluation.facts.get("missing", {}).get(needs, f"this evaluation has no '{name}'"))
    return arrays[name]


def standard_error(values: Floats) -> float:
    """Of the mean of independent values; 0 for a single one."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def mean_reading(values: Floats, **detail: Any) -> Reading:
    """The mean over images, with its standard error and their number in the detail."""
    return Reading(float(values.mean()), {"standard_error": standard_error(values), "images": len(values), **detail})


@dataclass(frozen=True)
class LogLikelihood:
    """The mean log-likelihood of an image in nats and its standard error; `chosen` (N,) are the images that have one.

    `kind` is `exact`, or `bound` where it is the importance-weighted lower bound of `samples` draws. `by_image`
    holds the numbers of `chosen`.
    """

    mean: float
    standard_error: float
    kind: str
    by_image: Floats
    chosen: npt.NDArray[np.bool_]


def log_likelihood(evaluation: Evaluation) -> LogLikelihood:
    """The exact one where the network has it, else the importance-weighted bound. Raises Lacking."""
    if "log_likelihood" in evaluation.units:
        return every(units(evaluation, "log_likelihood", "log_likelihood"), "exact")
    missing = evaluation.facts.get("missing", {})
    if "importance_bound" not in evaluation.units:
        lacks = [missing[name] for name in ("log_likelihood", "importance_bound") if name in missing]
        raise Lacking("; ".join(lacks) or "this evaluation has no log-likelihood")
    return importance_bound(evaluation)


def every(by_image: Floats, kind: str) -> LogLikelihood:
    """The log-likelihood, or a bound of it, of all images."""
    return LogLikelihood(float(by_image.mean()), standard_error(by_image), kind, by_image, np.full(len(by_image), True))


def importance_bound(evaluation: Evaluation) -> LogLikelihood:
    """The bound of Burda et al. 2016: the ELBO of all images and what importance weights add to it on some.

    The gain differs little between images, so this mean has a smaller error than the bound's on those images alone.
    """
    elbo = units(evaluation, "elbo", "elbo")
    tight = units(evaluation, "importance_bound", "importance_bound")
    chosen = np.isfinite(tight)
    gain = tight[chosen] - elbo[chosen]
    error = math.hypot(standard_error(elbo), standard_error(gain))
    return LogLikelihood(float(elbo.mean() + gain.mean()), error, "bound", tight[chosen], chosen)


def impossible(evaluation: Evaluation, claimed: LogLikelihood) -> str:
    """Why no model can have this log-likelihood; empty where one can, or where the dataset does not state its own.

    The mean of log p(x) - log q(x) over independent images is no less than 0, whatever the model q. It is refused
    where it lies below 0 by more than CRITICAL standard errors and the rounding of sums.
    """
    if "log_probability" not in evaluation.units:
        return ""
    true = evaluation.units["log_probability"].astype(np.float64)[claimed.chosen]
    excess = true - claimed.by_image
    least = CRITICAL * standard_error(excess) + ROUNDING * float(np.abs(true).mean())
    if excess.mean() >= -least:
        return ""
    dims = evaluation.facts["dims"] * math.log(2)
    pair = f"{-claimed.by_image.mean() / dims:.6g} bits/dim where the data's own are {-true.mean() / dims:.6g}"
    return f"impossible: {pair}, {-excess.mean():.3g} nats an image below the entropy, {least:.3g} allowed for chance"


@dataclass(frozen=True)
class Modes:
    """Samples assigned to the clean images (modes) from which the data were made with noise.

    A sample is *plausible* if it differs from the nearest clean image in no more pixels than the worst evaluation image
    does from its own. `reached`: the modes that have a plausible sample; `real` (N,): the mode of each image; `count`:
    the number of modes.
    """

    plausible: npt.NDArray[np.bool_]
    reached: npt.NDArray[np.int64]
    real: npt.NDArray[np.int64]
    count: int
    allowed: int

    def detail(self) -> dict[str, Any]:
        """As JSON. `perfect_coverage` is what samples of the true distribution would cover on average."""
        samples = len(self.plausible)
        perfect = 1 - (1 - 1 / self.count) ** samples
        counts = {"found": len(self.reached), "modes": self.count, "samples": samples, "perfect_coverage": perfect}
        return {**counts, "plausible": int(self.plausible.sum()), "pixels_off_allowed": self.allowed}


def modes(evaluation: Evaluation) -> Modes:
    """The modes of an evaluation.

    Raises Lacking where the dataset has none, the split does not hold all, or the network draws no samples.
    """
    real, off = (drawn(evaluation, name, "modes") for name in ("mode", "deviation"))
    nearest, drawn_off = (drawn(evaluation, name, "sample") for name in ("sample_mode", "sample_deviation"))
    present, count = len(np.unique(real)), round(evaluation.facts["optimum"]["modes_found"])
    if present < count:
        raise Lacking(f"the evaluation split holds {present} of {count} modes: take a larger one, which holds all")
    plausible = drawn_off <= off.max()
    return Modes(plausible, np.unique(nearest[plausible]), real, count, int(off.max()))


def features(evaluation: Evaluation) -> tuple[Floats, Floats]:
    """Local features (R, F) of real images and (S, F) of samples. Raises Lacking, also for less than two of either."""
    needs = "features" if "features" in evaluation.facts.get("missing", {}) else "sample"
    real, sampled = (drawn(evaluation, name, needs) for name in ("real_features", "sample_features"))
    for rows, kind in ((real, "real images"), (sampled, "samples")):
        if len(rows) < 2:
            raise Lacking(too_few(kind, len(rows)))
    return real.astype(np.float64), sampled.astype(np.float64)


def too_few(kind: str, count: int) -> str:
    """Why a distance between sets of images has no value."""
    return f"a distance between sets of images needs at least two {kind}, not {count}: take a larger evaluation split"


def feature_detail(evaluation: Evaluation) -> dict[str, Any]:
    """The net that gave the features, and the numbers of images."""
    real, sampled = features(evaluation)
    net = {"net": "trained here on every other image of the split", **evaluation.facts["features"]}
    return {"feature_net": net, "real": len(real), "samples": len(sampled)}


def moments(values: Floats) -> tuple[Floats, Floats]:
    """Mean (F,) and covariance (F, F) of rows."""
    covariance: Floats = np.atleast_2d(np.cov(values, rowvar=False))
    mean: Floats = values.mean(axis=0)
    return mean, covariance


def frechet(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> float:
    """Squared Frechet distance of two Gaussians: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2))."""
    (m1, c1), (m2, c2) = one, other
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ c2 @ root).clip(min=0)).sum()
    return float(((m1 - m2) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * cross)


def kernel_distance(one: Floats, other: Floats) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / F + 1)^3 (Binkowski et al. 2018)."""
    within = [_off_diagonal(_kernel(x, x)) for x in (one, other)]
    return float(sum(within) - 2 * _kernel(one, other).mean())


def _kernel(x: Floats, y: Floats) -> Floats:
    values: Floats = (x @ y.T / x.shape[1] + 1) ** 3
    return values


def _off_diagonal(square: Floats) -> float:
    n = len(square)
    return float((square.sum() - np.trace(square)) / (n * (n - 1)))


def listed(values: Sequence[float] | Floats, digits: int = 4) -> list[float]:
    """Numbers as JSON, rounded to `digits` significant digits, for reading."""
    return [float(f"{value:.{digits}g}") for value in values]
