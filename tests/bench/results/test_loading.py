"""From the store and the results bundle to the results that tables read: which numbers come from where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analysis.summary import summarise
from bench.report.table import table
from bench.results.bundle import BundleError, write
from bench.results.keys import requests
from bench.results.loading import load_results, stored_of
from bench.results.store import Store
from bench.sweep.plan import dataset_name, fingerprint_text
from bench.sweep.reading import read_results
from tests.bench.bundled import FINGERPRINT, ablation_in, bundle_of, fill, shifted


@pytest.fixture
def ablation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FOVBENCH_DATA", raising=False)
    return ablation_in(tmp_path)


@pytest.fixture
def every_request(ablation: Any) -> list[Any]:
    return list(requests(ablation, FINGERPRINT))


def place(ablation: Any) -> Path:
    return Path("results") / "reference" / ablation.name


def test_every_number_that_a_table_shows_is_the_same_from_the_store_and_from_its_bundle(ablation, every_request, store):
    fill(store, ablation)
    local = load_results(ablation, every_request, store)
    bundle = write(bundle_of(ablation), place(ablation))
    committed = load_results(ablation, every_request, None, bundle)
    assert table(committed, "json") == table(local, "json")
    assert '"interval_of_evaluation": [' in table(local, "json")
    assert table(committed, "md") == table(local, "md")
    assert local.notes == ()
    assert committed.notes == (
        "static, speed and accuracy measurements read from results/reference/absent (measured 2026-01-02)",
    )
    assert committed.missing == local.missing == 0
    assert summarise(committed).claims[0].answer == summarise(local).claims[0].answer == "reproduced"


@pytest.mark.parametrize("kinds", [("static",), ("speed",), ("accuracy",), ("static", "speed"), ()])
def test_each_kind_of_metric_comes_from_one_place(ablation, every_request, store, kinds):
    fill(store, ablation, kinds)
    write(shifted(bundle_of(ablation), 1000.0), place(ablation))
    frame = load_results(ablation, every_request, store).frame
    by_kind = frame.groupby("kind")["value"].apply(lambda values: bool((values > 999).all()))
    assert by_kind.to_dict() == {kind: kind not in kinds for kind in ("static", "speed", "accuracy")}


@pytest.mark.parametrize("kinds", [("static", "speed", "accuracy"), ("static",), ()])
def test_results_say_which_kinds_come_from_a_bundle_whatever_people_remark(ablation, every_request, store, kinds):
    fill(store, ablation, kinds)
    store.add_note(ablation.name, "allowed: the paper's numbers are read from a plot")
    write(bundle_of(ablation), place(ablation))
    expected = {k: "results/reference/absent" for k in ("static", "speed", "accuracy") if k not in kinds}
    assert load_results(ablation, every_request, store).bundled == expected


def test_a_remark_that_speaks_of_reading_does_not_hide_that_the_data_are_absent(ablation, store):
    fill(store, ablation)
    store.remember_fingerprint(dataset_name(ablation.workload), fingerprint_text(FINGERPRINT))
    store.add_note(ablation.name, "allowed: the paper's numbers are read from a plot")
    assert read_results(ablation, store).notes[-1] == "the dataset camvid is not here; read as it was last used"


def test_without_evaluations_a_table_is_the_same(ablation, store):
    fill(store, ablation)
    store.remember_fingerprint(dataset_name(ablation.workload), fingerprint_text(FINGERPRINT))
    whole, light = (read_results(ablation, store, evaluations=each) for each in (True, False))
    assert (len(whole.evaluations), len(light.evaluations)) == (6, 0)
    assert all(table(light, form) == table(whole, form) for form in ("md", "csv", "json", "latex"))


def test_one_measurement_in_the_store_keeps_the_bundle_s_measurements_of_its_kind_out(ablation, every_request, store):
    """Times of two machines never share a column."""
    fill(store, ablation)
    with store.database.transaction() as connection:
        connection.execute("DELETE FROM measurement WHERE kind = 'speed' AND variant LIKE '%stride=16%'")
    write(shifted(bundle_of(ablation), 1000.0), place(ablation))
    results = load_results(ablation, every_request, store)
    speeds = results.frame[results.frame["kind"] == "speed"]
    assert (speeds["value"] < 1).all()
    assert speeds["variant"].nunique() == 1
    assert results.missing == 1
    assert results.notes == ()


@pytest.mark.parametrize(
    ("setting", "stated"),
    [
        ("train.steps=7", "recipe.steps: 7, not 5"),
        ("workload.shape=[3, 96, 96]", "shape: [3, 96, 96], not [3, 64, 64]"),
    ],
)
def test_a_bundle_measured_under_other_settings_is_not_used_and_the_setting_is_named(
    ablation, store, tmp_path, setting, stated
):
    write(bundle_of(ablation), place(ablation))
    other = ablation_in(tmp_path, setting)
    results = load_results(other, list(requests(other, {})), store)
    assert "accuracy" not in set(results.frame["kind"])
    assert results.evaluations == {}
    assert results.notes[-1].endswith(f"of results/reference/absent are not used: other settings ({stated})")
    assert results.notes[-1].startswith("12 " if "steps" in setting else "18 ")


def test_without_the_data_the_scores_of_a_bundle_are_read_though_their_fingerprint_is_unknown(ablation, store):
    write(bundle_of(ablation), place(ablation))
    results = load_results(ablation, list(requests(ablation, {})), store)
    assert results.missing == 0
    assert {len(run.curves["loss"]) for run in results.evaluations.values()} == {200}
    assert all(len(parts) == 9 for parts in results.contributions.values())
    assert results.contributions.keys() == {(v, m, s) for v, m, s in results.expected if s is not None}


def test_variants_are_named_as_the_ablation_names_them(ablation, every_request, store):
    renamed = [replace(r, measurement=replace(m, variant=replace(m.variant, stated=())))
               for r in bundle_of(ablation).records for m in [r.measurement]]  # fmt: skip
    write(replace(bundle_of(ablation), records=tuple(renamed), evaluations={}), place(ablation))
    assert set(load_results(ablation, every_request, store).frame["variant"]) == {v.name for v in ablation.variants}


def test_a_named_folder_that_is_not_a_bundle_is_refused_and_an_absent_default_is_not(
    ablation, every_request, store, tmp_path
):
    assert load_results(ablation, every_request, store).frame.empty
    with pytest.raises(BundleError, match="not a results bundle"):
        load_results(ablation, every_request, None, tmp_path)


def test_remarks_on_the_runs_come_with_the_numbers(ablation, every_request, store):
    store.add_note(ablation.name, "variants that are the same network were allowed: a control")
    write(replace(bundle_of(ablation), notes=("twins of the bundle",)), place(ablation))
    assert load_results(ablation, every_request, store).notes[:2] == (
        "variants that are the same network were allowed: a control",
        "twins of the bundle",
    )
    fill(store, ablation)
    assert "twins of the bundle" not in load_results(ablation, every_request, store).notes


def test_contributions_that_do_not_vary_say_nothing_of_the_noise(ablation, every_request):
    flat = [replace(r, measurement=replace(m, contributions=(0.5,) * 9 if m.metric == "miou" else m.contributions))
            for r in bundle_of(ablation).records for m in [r.measurement]]  # fmt: skip
    write(replace(bundle_of(ablation), records=tuple(flat)), place(ablation))
    parts = load_results(ablation, every_request, None, place(ablation)).contributions
    assert {metric for _, metric, _ in parts} == {"pixel_accuracy"}
    np.testing.assert_array_equal([len(values) for values in parts.values()], 9)


def test_the_store_reads_alone_where_it_lacks_nothing_even_beside_a_damaged_bundle(ablation, every_request, store):
    fill(store, ablation)
    folder = write(bundle_of(ablation), place(ablation))
    (folder / "meta.json").write_text("{")
    assert len(stored_of(ablation, every_request, store, None).records) == len(every_request)
    with Store(folder.parent / "empty.sqlite") as empty, pytest.raises(BundleError, match="damaged"):
        stored_of(ablation, every_request, empty, None)
