import json
from dataclasses import replace
from typing import Any

import pytest

from bench.cli import main
from bench.results.bundle import Bundle, write
from bench.results.compare import CompareError, Line, Number, compare, numbers_of, read
from bench.results.conditions import with_clock
from bench.results.measurement import Measurement, Record
from bench.results.store import Store
from bench.spec.variant import Variant
from bench.spec.workload import Workload

WORK = Workload("segmentation", "context", (), (3, 8, 8), 1)
ONE = Measurement("k", Variant("net", (("a", 1),), ("a",)), WORK, "miou", "", "higher", (0.5,), False, 0, 1.0, {})
CONDITIONS = {"recipe": {"steps": 50, "lr": 0.1}, "shape": [3, 8, 8], "fingerprint": {"train": "1a"}}


def record(value=0.5, seed=0, metric="miou", error=None, **conditions):
    samples = () if error else (value,)
    one = replace(ONE, key=f"{value}{seed}{conditions}", samples=samples, seed=seed, metric=metric, error=error)
    return Record(one, "accuracy", "2026-01-01", {**CONDITIONS, **conditions})


def lines(a, b):
    return compare(numbers_of(a), numbers_of(b))


def test_nothing_is_dropped():
    a = {
        ("x", "m", "{}"): Number(1.0),
        ("y", "m", "{}"): Number(2.0),
        ("z", "m", "{}"): Number(None, error="oom: x"),
        ("w", "m", "{}"): Number(None),
    }
    b = {
        ("x", "m", "{}"): Number(1.0),
        ("y", "m", "{}"): Number(2.5),
        ("z", "m", "{}"): Number(1.0),
        ("w", "m", "{}"): Number(None),
        ("v", "m", "{}"): Number(1.0),
    }
    by_variant = {line.variant: (line.status, line.change) for line in compare(a, b)}
    assert by_variant == {
        "x": ("same", 0.0),
        "y": ("differs", 0.5),
        "z": ("error", None),
        "w": ("not measured", None),
        "v": ("only in B", None),
    }
    assert {line.variant: line.status for line in compare(b, a)}["v"] == "only in A"


def test_a_store_reads_as_means_over_seeds(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        measurements = [
            ONE,
            replace(ONE, key="k2", seed=1, samples=(0.7,)),
            replace(ONE, key="k3", seed=2, samples=(), error="oom: x"),
        ]
        store.add([(m, "accuracy", {"shape": [3, 8, 8], "seed": m.seed}) for m in measurements])
    ((place, number),) = read(tmp_path / "s.sqlite").items()
    assert place == ("net(a=1)", "miou", '{"shape": [3, 8, 8]}')
    assert number == Number(pytest.approx(0.6), (0, 1, 2), "oom: x")


def test_a_bundle_reads_as_the_store_that_it_was_written_from(tmp_path):
    records = (record(0.5, 0), record(0.7, 1), record(3.0, None, "latency"))
    write(Bundle("net", records), tmp_path / "net")
    assert read(tmp_path / "net") == numbers_of(records)
    assert {line.status for line in compare(read(tmp_path / "net"), numbers_of(records))} == {"same"}


def test_a_table_reads_back(tmp_path):
    (tmp_path / "t.csv").write_text(
        "variant,params,params_unit,params_error\nnet,7,parameters,\nbig,,parameters,oom: x\n"
    )
    assert read(tmp_path / "t.csv") == {
        ("net", "params", "{}"): Number(7.0),
        ("big", "params", "{}"): Number(None, error="oom: x"),
    }


@pytest.mark.parametrize(
    ("setting", "note"),
    [
        ({"recipe": {"steps": 20, "lr": 0.1}}, "recipe.steps: 50, not 20"),
        ({"shape": [3, 16, 16]}, "shape: [3, 8, 8], not [3, 16, 16]"),
        ({"fingerprint": {"train": "2b"}}, 'fingerprint.train: "1a", not "2b"'),
        ({"recipe": {"steps": 50, "lr": 0.1, "warmup": 5}}, "recipe.warmup: recorded on one side only"),
        ({"batch": 8}, "batch: recorded on one side only"),
    ],
)
def test_numbers_under_different_conditions_are_never_paired_and_the_difference_is_named(setting, note):
    first, second = lines([record(0.5)], [record(0.9, **setting)])
    by_status = {line.status: line for line in (first, second)}
    assert by_status["only in A"] == Line("net(a=1)", "miou", "only in A", 0.5, None, None, None, note)
    assert (by_status["only in B"].b, by_status["only in B"].change) == (0.9, None)
    assert by_status["only in B"].note


def test_speeds_of_two_machines_are_never_paired():
    slow, fast = ([record(t, None, "latency", machine={"name": name})] for t, name in ((2.0, "a"), (1.0, "b")))
    assert {line.note for line in lines(slow, fast)} == {
        'machine.name: "a", not "b"',
        'machine.name: "b", not "a"',
    }


def test_the_nearest_conditions_are_the_ones_named():
    far = record(0.1, recipe={"steps": 20, "lr": 0.2}, shape=[3, 9, 9])
    near = record(0.2, recipe={"steps": 20, "lr": 0.1})
    only_in_a = next(line for line in lines([record()], [far, near]) if line.status == "only in A")
    assert only_in_a.note == "recipe.steps: 50, not 20"


def test_seeds_measured_under_different_conditions_are_not_averaged():
    """Seed 0 at 20 steps, seeds 1 and 2 at 50: two numbers, not one mean of three."""
    mixed = [record(0.1, 0, recipe={"steps": 20, "lr": 0.1}), record(0.5, 1), record(0.7, 2)]
    numbers = {place[2]: number for place, number in numbers_of(mixed).items()}
    assert sorted((number.value, number.seeds) for number in numbers.values()) == [(0.1, (0,)), (0.6, (1, 2))]


def test_means_over_different_seeds_are_shown_and_not_subtracted():
    (line,) = lines([record(0.5, 0), record(0.7, 1)], [record(0.5, 0), record(0.9, 2)])
    assert (line.status, line.a, line.b, line.change) == ("other seeds", pytest.approx(0.6), 0.7, None)
    assert line.note == "other seeds: 0, 1 in A, 0, 2 in B"


def test_a_later_measurement_of_a_seed_replaces_an_earlier_one():
    """A change of the code gives a new key under the same conditions."""
    ((_, number),) = numbers_of([record(0.5), record(0.6)]).items()
    assert number == Number(0.6, (0,))


def test_a_table_which_records_no_conditions_is_not_paired_with_a_store():
    statuses = {
        line.status: line.note for line in compare({("net(a=1)", "miou", "{}"): Number(1.0)}, numbers_of([record()]))
    }
    assert statuses == dict.fromkeys(("only in A", "only in B"), "the conditions of one side are not recorded")


@pytest.mark.parametrize(
    ("name", "text", "message"), [("no.csv", None, "no such result set"), ("t.csv", "a,b\n1,2\n", "not a table")]
)
def test_what_is_no_result_set_is_refused(tmp_path, name, text, message):
    if text:
        (tmp_path / name).write_text(text)
    with pytest.raises(CompareError, match=message):
        read(tmp_path / name)


def test_the_command_prints_every_line_and_a_count(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("variant,params,params_unit\nnet,7,\nold,1,\n")
    (tmp_path / "b.csv").write_text("variant,params,params_unit\nnet,8,\n")
    main(["compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])
    text = capsys.readouterr().out
    assert "differs   net  params  7 -> 8 (+1)" in text
    assert "only in A old" in text
    assert text.splitlines()[-1] == "1 differs, 1 only in A"


def test_times_of_different_clocks_are_not_paired() -> None:
    elapsed = with_clock({"threads": 1}, {"clock": "elapsed"})
    cpu = with_clock({"threads": 1}, {"clock": "cpu"})
    unknown = with_clock({"threads": 1}, {})
    assert (elapsed["clock"], cpu["clock"], "clock" in unknown) == ("elapsed", "cpu", False)
    pairs = {other: compare(placed(9.7, elapsed), placed(208.9, conditions)) for other, conditions in
             {"same": elapsed, "cpu": cpu, "unknown": unknown}.items()}  # fmt: skip
    assert [line.status for line in pairs["same"]] == ["differs"]
    assert {line.status for line in pairs["cpu"]} == {"only in A", "only in B"}
    assert {line.note for line in pairs["cpu"]} == {'clock: "elapsed", not "cpu"', 'clock: "cpu", not "elapsed"'}
    assert {line.note for line in pairs["unknown"]} == {"clock: recorded on one side only"}


def placed(value: float, conditions: dict[str, Any]) -> Any:
    return {("net", "latency", json.dumps(conditions, sort_keys=True)): Number(value)}
