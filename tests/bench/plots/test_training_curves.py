from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from figure_checks import curves, drawn, with_facts

from bench.display.figure import in_order, names
from bench.plots.training_curves import objectives
from bench.results.results import Results
from bench.results.signature import Signature
from bench.spec.variant import Variant

Losses = np.ndarray[Any, Any]


def test_every_trained_variant_has_a_curve(synthetic: Results):
    lines = [*curves(drawn("training_curves", synthetic)["training_curves"])]
    assert len(lines) == len(synthetic.variants)
    assert all(math.isfinite(y) for line in lines for y in line.get_ydata())


def test_losses_of_different_objectives_have_panels_of_their_own(synthetic: Results):
    assert set(objectives(synthetic).values()) == {""}
    signatures = {signed(name): Signature(key="", objective="abc"[i % 2]) for i, name in enumerate(synthetic.variants)}
    results = dataclasses.replace(synthetic, signatures=signatures)
    figure = drawn("training_curves", results)["training_curves"]
    assert [len(axes.lines) for axes in figure.axes] == [3, 4]
    assert len({axes.get_title() for axes in figure.axes}) == 2


def test_labels_say_the_loss_in_place_of_its_axis(synthetic: Results):
    rows = [{"loss": "ab"[i % 2]} for i in range(len(synthetic.variants))]
    axes = dict(zip(synthetic.variants, rows, strict=True))
    results = dataclasses.replace(synthetic, axes=axes, varied=("loss",), labels={})
    assert {title.partition(",")[0] for title in objectives(results).values()} == {"loss=a", "loss=b"}
    labels = {variant: f"made up {number}" for number, variant in enumerate(synthetic.variants)}
    titles = objectives(dataclasses.replace(results, labels=labels)).values()
    assert all("made up" in title and "loss=" not in title for title in titles)


def signed(name: str) -> Variant:
    """A variant with this name."""
    architecture, _, inner = name.partition("(")
    pairs = tuple(tuple(part.split("=", 1)) for part in inner.removesuffix(")").split(","))
    return Variant(architecture, pairs, tuple(axis for axis, _ in pairs))


def test_the_unit_of_a_loss_tells_objectives_apart(imagined: Results):
    titles = set(objectives(imagined).values())
    assert titles == {"bits/dim", "nats"}
    assert set(objectives(with_facts(imagined, loss_unit="nats")).values()) == {""}


def test_one_step_is_no_curve(synthetic: Results):
    single = {
        k: dataclasses.replace(e, curves={n: c[:1] for n, c in e.curves.items()})
        for k, e in synthetic.evaluations.items()
    }
    assert drawn("training_curves", dataclasses.replace(synthetic, evaluations=single)) == {}


def with_digests(results: Results, digests: str) -> Results:
    """The results whose variants' own losses have these digests, in turn."""
    signatures = {
        signed(name): Signature(key="", objective=digests[i % len(digests)]) for i, name in enumerate(results.variants)
    }
    return dataclasses.replace(results, signatures=signatures)


def test_likelihoods_in_one_unit_are_compared_whatever_the_digest_of_the_loss_is(imagined: Results):
    """The loss of a VAE reads its latents, so that its digest differs between numbers of latents."""
    bits = with_digests(with_facts(imagined, loss_unit="bits/dim"), "abcdefg")
    assert set(objectives(bits).values()) == {""}
    assert len(set(objectives(with_facts(bits, loss_unit="")).values())) == len(imagined.variants)


def test_equal_digests_do_not_make_losses_of_poses_comparable(posed: Results):
    """Without a loss of its own a network has the task's, whose value depends on what the network gives."""
    assert set(objectives(posed).values()) == {""}
    variant, other = posed.variants[:2]
    evaluations = dict(posed.evaluations)
    for seed in (0, 1, 2):
        summaries = {k: v for k, v in evaluations[variant, seed].summaries.items() if k != "people:dark"}
        evaluations[variant, seed] = dataclasses.replace(evaluations[variant, seed], summaries=summaries)
    assert "people:dark" in posed.evaluations[variant, 0].summaries
    titles = objectives(dataclasses.replace(posed, evaluations=evaluations))
    assert titles[variant] != titles[other]
    assert [*titles.values()].count(titles[other]) == len(posed.variants) - 1


def test_titles_name_every_variant_and_panels_are_in_the_order_of_figures(imagined: Results):
    results = with_digests(with_facts(imagined, loss_unit=""), "abcdefg")
    figure = drawn("training_curves", results)["training_curves"]
    in_turn = [names(results)[variant] for variant in in_order(results)]
    assert [" ".join(axes.get_title().split()) for axes in figure.axes] == in_turn
    several = set(objectives(with_digests(results, "ab")).values())
    assert len(several) == 2
    assert all(any(name in title for title in several) for name in in_turn)


def with_loss(results: Results, variant: str, seed: int, change: Callable[[Losses], Losses]) -> Results:
    evaluation = results.evaluations[variant, seed]
    curves = {**evaluation.curves, "loss": change(evaluation.curves["loss"])}
    evaluations = {**results.evaluations, (variant, seed): dataclasses.replace(evaluation, curves=curves)}
    return dataclasses.replace(results, evaluations=evaluations)


def test_a_run_that_ends_far_above_the_others_is_a_line_of_its_own_and_named(synthetic: Results):
    usual = drawn("training_curves", synthetic)["training_curves"]
    results = with_loss(synthetic, synthetic.baseline, 1, lambda loss: loss + 40)
    figure = drawn("training_curves", results)["training_curves"]
    (axes,) = figure.axes
    thin = [line for line in axes.lines if line.get_linewidth() == 0.8]
    assert [float(np.asarray(line.get_ydata())[-1]) > 40 for line in thin] == [True]
    assert axes.get_ylim()[1] == pytest.approx(usual.axes[0].get_ylim()[1], rel=0.1)
    assert "in neither mean nor band: seed 1 of" in str(figure.get_label())
    assert "thin lines" not in str(usual.get_label())


def test_a_peak_of_one_block_is_cut_and_the_caption_says_how_high_it_is(synthetic: Results):
    def peaked(loss: Losses) -> Losses:
        return np.where((np.arange(loss.size) // 4) == 100, 9000, loss)

    figure = drawn("training_curves", with_loss(synthetic, synthetic.baseline, 1, peaked))["training_curves"]
    assert figure.axes[0].get_ylim()[1] < 10
    peak = re.search(r"peaks above the axis: .*\(baseline\) up to ([\d.e+]+)", str(figure.get_label()))
    assert peak is not None
    assert float(peak[1]) == pytest.approx(4 * 9000 / 14, rel=0.1)  # blocks of 13 or 14 steps
