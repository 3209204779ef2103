from __future__ import annotations

import dataclasses

from bench.analysis.bounds import Bound
from bench.analysis.summary import summarise
from bench.display.metric_names import axis_label, best_possible, display_name
from bench.results.results import Results


def named(results: Results, **names: str) -> Results:
    metrics = {metric: {"display_name": name} for metric, name in names.items()}
    return dataclasses.replace(results, provenance={**results.provenance, "metrics": metrics})


def test_a_metric_without_a_display_name_has_its_own(synthetic: Results):
    results = named(synthetic, miou="mIoU", macs="")
    assert [display_name(results, metric) for metric in ("miou", "macs", "params")] == ["mIoU", "macs", "params"]
    assert display_name(dataclasses.replace(synthetic, provenance={}), "miou") == "miou"


def test_an_axis_has_the_unit_once(synthetic: Results):
    summary = summarise(named(synthetic, miou="mIoU", macs="MACs", params="parameters"))
    labels = [axis_label(summary, summary.column(metric)) for metric in ("miou", "macs", "params", "latency")]
    assert labels == ["mIoU ↑", "MACs (G) ↓", "parameters (M) ↓", "latency (ms) ↓"]


def test_the_best_score_is_of_any_network_where_nothing_is_known_of_these():
    assert best_possible([Bound(1.0), Bound(1.0)]) == "best of any network"
    assert best_possible([Bound(0.98, "stride 8"), Bound(1.0)]) == "best that the output stride allows"
    field = Bound(0.7, "receptive field of 25 px")
    assert best_possible([field]) == "best that the receptive field allows"
    assert best_possible([field, Bound(0.9, "stride 4")]) == "best that the receptive field or the output stride allows"
