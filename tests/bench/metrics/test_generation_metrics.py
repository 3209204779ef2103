"""Metrics of generation against closed forms, and against models that are perfect, broken, or cheats."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.data.sprites import sprites
from bench.registry.catalogue import declarations, live
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import frechet, kernel_distance, log_likelihood, moments

ALL = [entry.name for entry in declarations().metrics if entry.kind == "accuracy" and entry.tasks == ("generation",)]


def read(name: str, judged: Evaluation) -> Reading:
    return live(declarations().metrics.get(name)).call(judged)


def evaluation(units=None, samples=None, **facts) -> Evaluation:
    """An evaluation with these arrays by image, and these about samples."""
    usual = {"dims": 64, "levels": 2, "importance_samples": 64, "optimum": {}, "missing": {}, "features": {}}
    arrays = [{name: np.asarray(values) for name, values in (part or {}).items()} for part in (units, samples)]
    return Evaluation("generation", arrays[0], samples=arrays[1], facts={**usual, **facts})


@pytest.mark.parametrize("name", ALL)
def test_every_metric_says_which_capability_is_missing(name):
    lacks = ("log_likelihood", "elbo", "importance_bound", "encode", "decode", "sample", "modes", "inception")
    reading = read(name, evaluation({}, missing={lack: f"it has no {lack}()" for lack in lacks}))
    assert reading.value is None
    assert reading.error.startswith("it has no ")


def test_bits_are_those_of_the_mean_and_say_that_they_are_exact():
    reading = read("bits_per_dim", evaluation({"log_likelihood": [-64 * math.log(2), -128 * math.log(2)]}))
    assert reading.value == pytest.approx(1.5)
    assert reading.detail["kind"] == "exact"
    assert reading.detail["standard_error"] == pytest.approx(0.5)


def test_the_bound_is_the_elbo_of_all_and_the_gain_of_some():
    elbo = np.array([-10.0, -20.0, -30.0, -40.0])
    judged = evaluation({"elbo": elbo, "importance_bound": [-9.0, math.nan, -27.0, math.nan]})
    assert read("iwae_nats", judged).value == pytest.approx(-25 + 2)
    assert read("iwae_nats", judged).detail["gain"] == pytest.approx(2)
    bits = read("bits_per_dim", judged)
    assert bits.value == pytest.approx(23 / 64 / math.log(2))
    assert bits.detail["kind"] == "bound"


@pytest.fixture(scope="module")
def drawn():
    return sprites(None, "val", (1, 8, 8), factors=2, size=4, noise=0.1, val_count=400)


def test_the_truth_is_possible_and_less_than_the_entropy_is_not(drawn):
    true = drawn.targets["log_probability"].numpy()
    optimum = dict(drawn.optimum)
    perfect = evaluation({"log_likelihood": true, "log_probability": true}, optimum=optimum)
    assert read("bits_per_dim", perfect).value == pytest.approx(optimum["bits_per_dim"], rel=0.05)
    rng = np.random.default_rng(0)
    close = evaluation({"log_likelihood": true - rng.normal(0.02, 0.3, len(true)), "log_probability": true})
    assert read("bits_per_dim", close).error is None
    cheat = read(
        "bits_per_dim", evaluation({"log_likelihood": true + 1 + rng.normal(0, 2, 400), "log_probability": true})
    )
    assert cheat.value is None
    assert cheat.error.startswith("impossible: ")
    assert "nats an image below the entropy" in cheat.error


def test_a_bound_above_the_truth_is_impossible_too(drawn):
    true = drawn.targets["log_probability"].numpy()
    tight = np.where(np.arange(400) % 2, true + 0.5, math.nan)
    judged = evaluation(
        {
            "elbo": true - 1,
            "kl": true * 0,
            "reconstruction": true - 1,
            "importance_bound": tight,
            "log_probability": true,
        }
    )
    for name in ("bits_per_dim", "iwae_nats"):
        assert read(name, judged).error.startswith("impossible: ")
    assert read("elbo_nats", judged).value == pytest.approx(float(true.mean()) - 1)
    above = evaluation({"elbo": true + 1, "importance_bound": tight, "log_probability": true})
    assert read("elbo_nats", above).error.startswith("impossible: ")


def test_false_alarms_are_rare(drawn):
    """A perfect model whose likelihoods are known with noise of mean 0 (an importance bound's): 1000 test sets."""
    rng, true, alarms = np.random.default_rng(0), drawn.targets["log_probability"].numpy(), 0
    for _ in range(1000):
        judged = evaluation({"log_likelihood": true + rng.normal(0, 1, 400), "log_probability": true})
        alarms += read("bits_per_dim", judged).error is not None
    assert alarms <= 6  # 1 expected of 1000


def test_parts_of_the_elbo_and_the_error_of_reconstructions():
    judged = evaluation(
        {"elbo": [-3.0, -5.0], "reconstruction": [-2.0, -3.0], "kl": [1.0, 2.0], "squared_error": [0.1, 0.3]}
    )
    reading = read("elbo_nats", judged)
    assert (reading.value, reading.detail["reconstruction"], reading.detail["kl"]) == (-4, -2.5, 1.5)
    assert read("kl", judged).value == 1.5
    assert read("reconstruction_error", judged).value == pytest.approx(0.2)


def test_active_units_are_those_whose_mean_varies():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(5000, 4)) * [0.9, 0.05, 0.2, 0] + [0, 0, 1, 0]
    judged = evaluation({"code_mean": means, "code_variance": np.full_like(means, 0.19)})
    reading = read("active_units", judged)
    assert reading.value == 2
    assert reading.detail["aggregate_posterior"]["variance"] == pytest.approx([1, 0.1925, 0.23, 0.19], rel=0.05)
    assert reading.detail["aggregate_posterior"]["mean"][2] == pytest.approx(1, rel=0.01)


def modal(sample_mode, sample_deviation, count=4, real=(0, 1, 2, 3)):
    units = {"mode": real, "deviation": [0, 3, 1, 2], "sample_mode": sample_mode, "sample_deviation": sample_deviation}
    return evaluation(samples=units, optimum={"modes_found": float(count)})


def test_modes_count_where_a_sample_is_plausible():
    judged = modal([0, 0, 1, 2], [0, 3, 4, 1])  # the third is one pixel worse than any image
    assert read("modes_found", judged).value == 2
    assert read("mode_coverage", judged).value == 0.5
    assert read("mode_precision", judged).value == 0.75
    assert read("mode_recall", judged).value == 0.5
    assert read("mode_coverage", judged).detail["perfect_coverage"] == pytest.approx(1 - 0.75**4)


def test_modes_that_the_split_does_not_hold_cannot_be_counted():
    assert "holds 4 of 9 modes" in read("mode_coverage", modal([0], [0], count=9)).error


def test_true_samples_score_as_such(drawn):
    other = sprites(None, "val", (1, 8, 8), factors=2, size=4, noise=0.1, val_count=400, seed=1)
    off = (other.targets["pixels"] != other.targets["clean"]).flatten(1).sum(dim=1).numpy()
    mine = (drawn.targets["pixels"] != drawn.targets["clean"]).flatten(1).sum(dim=1).numpy()
    units = {"mode": drawn.targets["mode"], "deviation": mine, "sample_mode": other.targets["mode"]}
    judged = evaluation(samples={**units, "sample_deviation": off}, optimum=dict(drawn.optimum))
    assert read("mode_coverage", judged).value == 1
    assert read("mode_precision", judged).value > 0.98


def test_frechet_distance_of_gaussians_in_closed_form():
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    one = np.array([1.0, 2.0, 3.0]), rotation @ np.diag([1.0, 4.0, 9.0]) @ rotation.T
    other = np.array([0.0, 2.0, 5.0]), rotation @ np.diag([4.0, 4.0, 1.0]) @ rotation.T
    assert frechet(one, other) == pytest.approx(1 + 4 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2)  # they commute
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)
    apart = np.zeros(3), np.cov(rng.normal(size=(50, 3)), rowvar=False)  # these don't
    from scipy.linalg import sqrtm

    expected = 14 + np.trace(one[1] + apart[1] - 2 * sqrtm(one[1] @ apart[1]).real)
    assert frechet(one, apart) == pytest.approx(expected)


def test_kernel_distance_is_unbiased_and_sees_a_shift():
    rng = np.random.default_rng(0)
    same = [kernel_distance(rng.normal(size=(50, 4)), rng.normal(size=(40, 4))) for _ in range(400)]
    assert abs(np.mean(same)) < 4 * np.std(same) / 20
    shifted = [kernel_distance(rng.normal(size=(50, 4)), rng.normal(1, 1, size=(40, 4))) for _ in range(20)]
    assert min(shifted) > max(same)
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(2, 2))
    kernel = lambda a, b: (a @ b / 2 + 1) ** 3  # noqa: E731
    within_x = np.mean([kernel(x[i], x[j]) for i in range(3) for j in range(3) if i != j])
    between = np.mean([kernel(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(within_x + kernel(y[0], y[1]) - 2 * between)


def test_distances_and_diversity_of_features():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(2000, 5))
    judged = evaluation(
        samples={"real_features": real, "sample_features": real * 0.5}, features={"weights": "ab", "accuracy": 0.9}
    )
    assert read("diversity", judged).value == pytest.approx(0.25)
    assert read("fid_local", judged).value == pytest.approx(frechet(moments(real), moments(real * 0.5)))
    detail = read("kid_local", judged).detail
    assert detail["feature_net"]["weights"] == "ab"
    assert (detail["real"], detail["samples"]) == (2000, 2000)


def test_the_exact_likelihood_goes_before_the_bound():
    both = evaluation({"log_likelihood": [-2.0], "elbo": [-3.0], "importance_bound": [-2.5]})
    assert log_likelihood(both).mean == -2


@pytest.mark.parametrize("name", ["fid_local", "kid_local", "diversity"])
@pytest.mark.parametrize(
    ("real", "drawn", "kind"), [(1, 9, "real images, not 1"), (0, 9, "real images, not 0"), (9, 1, "samples, not 1")]
)
def test_a_distance_between_sets_needs_two_images_of_each(name, real, drawn, kind):
    rng = np.random.default_rng(0)
    sets = {"real_features": rng.normal(size=(real, 5)), "sample_features": rng.normal(size=(drawn, 5))}
    reading = read(name, evaluation(samples=sets))
    assert reading.value is None
    assert f"needs at least two {kind}" in reading.error


def test_the_latents_in_use_need_two_images():
    single = evaluation({"code_mean": [[1.0, 2.0]], "code_variance": [[1.0, 1.0]]})
    assert "needs at least two images, not 1" in read("active_units", single).error
