"""Names of variants as text."""

from __future__ import annotations

import dataclasses

from bench.display.names import axis_text, shared_axes, shared_words, short_name
from bench.results.results import Results

AXES = {
    "net(a=1,b=[1,2],c=x)": {"a": "1", "b": "[1,2]", "c": "x"},
    "net(a=2,b=[1,2],c=x)": {"a": "2", "b": "[1,2]", "c": "x"},
}


def named(results: Results, *variants: str) -> Results:
    axes = {variant: AXES[variant] for variant in variants}
    return dataclasses.replace(results, variants=variants, baseline=variants[0], axes=axes)


def test_short_names_leave_out_what_all_share(synthetic: Results):
    pair, alone = named(synthetic, *AXES), named(synthetic, "net(a=1,b=[1,2],c=x)")
    assert [short_name(pair, name) for name in AXES] == ["net(a=1,…)", "net(a=2,…)"]
    assert shared_words(pair) == "… in a variant's name: b=[1,2], c=x"
    assert (short_name(alone, alone.baseline), shared_words(alone)) == (alone.baseline, "")
    assert short_name(synthetic, synthetic.baseline) == synthetic.baseline


def test_a_variant_without_stated_axes_keeps_its_name(synthetic: Results):
    bare = dataclasses.replace(synthetic, variants=("fcn", "unet"), axes={"fcn": {}, "unet": {}})
    assert (short_name(bare, "fcn"), shared_axes(bare)) == ("fcn", {})


def test_the_value_of_an_axis_is_the_stated_one_or_that_of_the_frame(synthetic: Results):
    variant = "fcn(stride=8,skips=[pool4])"
    assert axis_text(synthetic, variant, "skips") == "[pool4]"
    unstated = dataclasses.replace(synthetic, axes={})
    assert axis_text(unstated, variant, "stride") == "8"
    assert axis_text(synthetic, variant, "no_such_axis") == ""
