"""The committed numbers on synthetic datasets against their known optima: the calibration of the harness."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.analysis.bounds import by_field, chance
from bench.data.chance import chance_interval
from bench.registry.catalogue import declarations, live
from bench.spec.ablation import load
from bench.stats.inference import paired_t

ROOT = Path(__file__).parents[3]


@cache
def optimum_of(ablation: str) -> Mapping[str, float]:
    """What the ablation's dataset knows of its evaluation split."""
    work = load(ROOT / "ablations" / f"{ablation}.yaml").workload
    data = live(declarations().datasets.get(work.dataset))
    return data.call(None, "val", work.shape, **dict(work.dataset_axes)).optimum


@cache
def rows_of(ablation: str) -> Mapping[tuple[str, str], Any]:
    """The rows of the committed bundle by (variant, metric)."""
    file, bundle = ROOT / "ablations" / f"{ablation}.yaml", ROOT / "results" / "reference" / ablation
    lines = bench.load(file, source=bundle).table("json").splitlines()
    return {(row["variant"], row["metric"]): row for row in map(json.loads, lines)}


def variants(ablation: str) -> list[str]:
    return [variant.name for variant in load(ROOT / "ablations" / f"{ablation}.yaml").variants]


def by_axis(ablation: str, text: str) -> str:
    """The variant whose name holds these words."""
    (name,) = [name for name in variants(ablation) if text in name]
    return name


def samples(ablation: str, variant: str, metric: str) -> dict[int, float]:
    row = rows_of(ablation)[variant, metric]
    assert row["status"] == "measured"
    return dict(zip(row["seeds"], row["samples"], strict=True))


def best_for(ablation: str, variant: str) -> float:
    """The known best pixel accuracy of a variant, by its committed receptive field."""
    field = rows_of(ablation)[variant, "receptive_field"]["value"]
    best_by_field = by_field(optimum_of(ablation), "pixel_accuracy")
    return next((best for size, best in best_by_field.items() if field is not None and size >= field), 1.0)


@pytest.mark.parametrize("variant", variants("context_field"))
def test_accuracy_steps_up_where_the_field_reaches_the_mark(variant: str):
    """Chance where no receptive field holds a mark, 0.95 of the optimum where every one does, the exact fraction between."""
    best, (low, high) = best_for("context_field", variant), chance(optimum_of("context_field"), "pixel_accuracy")
    for accuracy in samples("context_field", variant, "pixel_accuracy").values():
        if best == 0.5:
            assert low <= accuracy <= high
        assert 0.95 * best <= accuracy <= chance_interval(512, best)[1] if best < 1 else accuracy >= 0.95


def test_fields_lie_on_both_sides_of_the_step():
    best = [best_for("context_field", variant) for variant in variants("context_field")]
    assert best.count(0.5) >= 2
    assert best.count(1.0) >= 1
    assert any(0.5 < each < 1 for each in best)


def test_a_field_that_covers_the_mark_effectively_is_among_them():
    """The side of the square that holds 95 % of the effective field at initialisation, against the last step."""
    needed = max(by_field(optimum_of("context_field"), "pixel_accuracy"))
    covering = [
        variant
        for variant in variants("context_field")
        if rows_of("context_field")[variant, "effective_receptive_field"]["value"] * 2 + 1 >= needed
    ]
    assert covering
    for variant in covering:
        assert min(samples("context_field", variant, "pixel_accuracy").values()) >= 0.95


@pytest.mark.parametrize("variant", [name for name in variants("scales_pyramid") if "bins=[]" in name])
def test_without_a_pyramid_no_network_beats_the_bound_of_its_field(variant: str):
    """Up to what chance allows: a patch in its three images is one cluster, 40 triples of 3 patches."""
    best = best_for("scales_pyramid", variant)
    assert best < 1
    for accuracy in samples("scales_pyramid", variant, "pixel_accuracy").values():
        assert 0.9 * best <= accuracy <= chance_interval(120, best)[1]


def test_the_pyramid_pays_beyond_what_its_seeds_leave_open():
    """The paired difference over seeds, with Student's interval, for the smallest field: above nothing."""
    plain, pyramid = (by_axis("scales_pyramid", f"rates=[1,1],bins={bins}") for bins in ("[]", "[1,2,3,6]"))
    with_it, without = (samples("scales_pyramid", name, "pixel_accuracy") for name in (pyramid, plain))
    assert with_it.keys() == without.keys()
    gain = paired_t([with_it[seed] - without[seed] for seed in with_it])
    assert gain.interval(0.95)[0] > 0
    assert min(with_it.values()) > best_for("scales_pyramid", plain)


@pytest.mark.parametrize(
    ("ablation", "axis", "level"),
    [
        ("cpm_context", "stages=1", "pck_ambiguous@limb"),
        ("cpm_context", "stages=2", "pck_ambiguous@body"),
        ("cpm_context", "stages=3", "pck_ambiguous"),
        ("hourglass_context", "stacks=1", "pck_ambiguous@body"),
        ("hourglass_context", "stacks=2", "pck_ambiguous"),
        ("hourglass_context", "stacks=3", "pck_ambiguous"),
        ("heatmap_resolutions", "banks=1", "pck_ambiguous@body"),
        ("heatmap_resolutions", "banks=2", "pck_ambiguous"),
        ("heatmap_resolutions", "banks=3", "pck_ambiguous"),
    ],
)
def test_joints_that_look_alike_climb_to_what_a_network_sees(ablation: str, axis: str, level: str):
    """One of four where the receptive field holds a limb, one of two where it holds the body, all where it holds the cue."""
    for fraction in samples(ablation, by_axis(ablation, f"{axis},"), "pck_ambiguous").values():
        assert fraction == pytest.approx(optimum_of(ablation)[level], abs=0.05)


@pytest.mark.parametrize(("springs", "level"), [("true,tree", "pck_ambiguous@body"), ("false,", "pck_ambiguous@limb")])
def test_springs_know_the_body_and_not_the_cue(springs: str, level: str):
    """Of learned part scores; those of gradients lie between."""
    learned = [name for name in variants("pictorial_springs") if "features=hog" not in name]
    for variant in (name for name in learned if f"springs={springs}" in name):
        for fraction in samples("pictorial_springs", variant, "pck_ambiguous").values():
            assert fraction == pytest.approx(optimum_of("pictorial_springs")[level], abs=0.05)


@pytest.mark.parametrize("variant", variants("pixelcnn_gating"))
def test_a_pixelcnn_comes_within_a_twentieth_of_the_entropy_and_not_below(variant: str):
    """Below it by what the pixels of the split may have: their own mean differs from the entropy by 1 %."""
    entropy = optimum_of("pixelcnn_gating")["bits_per_dim"]
    for bits in samples("pixelcnn_gating", variant, "bits_per_dim").values():
        assert 0.99 * entropy <= bits <= 1.05 * entropy


@pytest.mark.parametrize("factors", [2, 3])
def test_the_bound_of_a_vae_stops_rising_at_the_number_of_factors_and_so_do_the_latents_in_use(factors: int):
    """Each latent up to the number of factors brings more than a nat; those beyond bring nothing and stand idle."""
    names = [name for name in variants("vae_knee") if f"dataset.factors={factors}" in name]
    by_latents = {int(name.split("latent=")[1].split(",")[0]): name for name in names}
    best = {n: sum(samples("vae_knee", name, "elbo_nats").values()) / 3 for n, name in by_latents.items()}
    for n, name in by_latents.items():
        assert set(samples("vae_knee", name, "active_units").values()) == {min(n, factors)}
        assert best[n] == pytest.approx(best[factors], abs=0.5) if n >= factors else best[n] < best[factors] - 1
