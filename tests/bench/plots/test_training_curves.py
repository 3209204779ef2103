from __future__ import annotations

import dataclasses
import math

from figure_checks import curves, drawn, with_facts

from bench.plots.training_curves import objectives
from bench.results.results import Results
from bench.results.signature import Signature
from bench.spec.variant import Variant


def test_every_trained_variant_has_a_curve(synthetic: Results):
    lines = [*curves(drawn("training_curves", synthetic)["training_curves"])]
    assert len(lines) == len(synthetic.variants)
    assert all(math.isfinite(y) for line in lines for y in line.get_ydata())


def test_losses_of_different_objectives_have_panels_of_their_own(synthetic: Results):
    assert set(objectives(synthetic).values()) == {""}
    signatures = {signed(name): Signature(key="", objective="abc"[i % 2]) for i, name in enumerate(synthetic.variants)}
    results = dataclasses.replace(synthetic, signatures=signatures)
    figure = drawn("training_curves", results)["training_curves"]
    assert [len(axes.lines) for axes in figure.axes] == [4, 3]
    assert len({axes.get_title() for axes in figure.axes}) == 2


def test_labels_say_the_loss_in_place_of_its_axis(synthetic: Results):
    rows = [{"loss": "ab"[i % 2]} for i in range(len(synthetic.variants))]
    axes = dict(zip(synthetic.variants, rows, strict=True))
    results = dataclasses.replace(synthetic, axes=axes, varied=("loss",), labels={})
    assert {title.partition(":")[0] for title in objectives(results).values()} == {"loss=a", "loss=b"}
    labels = {variant: f"made up {number}" for number, variant in enumerate(synthetic.variants)}
    assert all(
        title.startswith("made up") for title in objectives(dataclasses.replace(results, labels=labels)).values()
    )


def signed(name: str) -> Variant:
    """A variant with this name."""
    architecture, _, inner = name.partition("(")
    pairs = tuple(tuple(part.split("=", 1)) for part in inner.removesuffix(")").split(","))
    return Variant(architecture, pairs, tuple(axis for axis, _ in pairs))


def test_the_unit_of_a_loss_tells_objectives_apart(imagined: Results):
    titles = set(objectives(imagined).values())
    assert {title.partition(":")[0] for title in titles} == {"bits/dim", "nats"}
    assert set(objectives(with_facts(imagined, loss_unit="nats")).values()) == {""}


def test_one_step_is_no_curve(synthetic: Results):
    single = {
        k: dataclasses.replace(e, curves={n: c[:1] for n, c in e.curves.items()})
        for k, e in synthetic.evaluations.items()
    }
    assert drawn("training_curves", dataclasses.replace(synthetic, evaluations=single)) == {}
