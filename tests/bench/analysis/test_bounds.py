from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from bench.analysis.bounds import Bound, bound, by_field, chance, optimum
from bench.analysis.summary import summarise
from bench.results.results import Results

OPTIMA = {"miou": 1.0, "miou@8": 0.9, "miou@16": 0.6, "miou@field1": 0.25, "miou@field99": 0.5, "miou@field405": 0.7}
OPTIMA |= {"miou@chance_from": 0.2, "miou@chance_to": 0.3, "boundary_iou@8": 0.4}


def with_optima(results: Results, optima: dict[str, float]) -> Results:
    evaluations = {
        k: dataclasses.replace(e, facts={**e.facts, "optimum": optima}) for k, e in results.evaluations.items()
    }
    return dataclasses.replace(results, evaluations=evaluations)


def with_strides(results: Results, strides: dict[str, int]) -> Results:
    rows = results.frame[results.frame["metric"] == "params"]
    rows = rows[rows["variant"].isin(strides)]
    of = {"metric": "output_stride", "unit": "px", "better": None, "value": [strides[v] for v in rows["variant"]]}
    return dataclasses.replace(results, frame=pd.concat([results.frame, rows.assign(**of, key=rows["key"] + "/s")]))


def test_the_optimum_is_that_of_the_dataset_on_which_a_variant_was_evaluated(synthetic: Results):
    assert optimum(synthetic, "fcn(stride=8,skips=true)") == {"miou": 0.61}
    assert optimum(synthetic, synthetic.baseline) == {"miou": 0.55}
    assert optimum(dataclasses.replace(synthetic, evaluations={}), synthetic.baseline) == {}


def test_the_bound_of_a_variant_is_the_least_that_holds_for_it(synthetic: Results):
    first, second, third = synthetic.variants[:3]
    results = with_strides(with_optima(synthetic, OPTIMA), {first: 32, second: 16, third: 1})
    summary = summarise(results)
    assert bound(summary, first, "miou") == Bound(
        1.0
    )  # no optimum for stride 32, and its receptive field is off centre
    assert bound(summary, second, "miou") == Bound(0.6, "stride 16")
    assert bound(summary, third, "miou") == Bound(0.7, "receptive field of 404 px")
    assert bound(summary, third, "pixel_accuracy") is None
    assert bound(summarise(synthetic), first, "miou") == Bound(0.55)


def test_a_receptive_field_that_was_not_measured_or_is_global_bounds_nothing(synthetic: Results):
    results = with_optima(synthetic, OPTIMA)
    unmeasured = "fcn(stride=8,skips=false)"
    assert bound(summarise(results), unmeasured, "miou") == Bound(1.0)
    frame = results.frame.copy()
    frame.loc[frame["metric"] == "receptive_field", "value"] = float("nan")
    summary = summarise(dataclasses.replace(results, frame=frame))
    assert bound(summary, results.baseline, "miou") == Bound(1.0)


def test_the_optima_by_receptive_field_are_sorted_by_size():
    assert by_field(OPTIMA, "miou") == {1: 0.25, 99: 0.5, 405: 0.7}
    assert [*by_field({"m@field11": 1.0, "m@field9": 0.5}, "m")] == [9, 11]
    assert by_field(OPTIMA, "boundary_iou") == {}


@pytest.mark.parametrize(("metric", "interval"), [("miou", (0.2, 0.3)), ("boundary_iou", None)])
def test_chance_is_an_interval_or_nothing(metric: str, interval: tuple[float, float] | None):
    assert chance(OPTIMA, metric) == interval
