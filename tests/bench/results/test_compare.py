import json
import os
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


def coded(value, seed, code, torch="2.1", **conditions):
    versions = {"code": {"metric": {"bench.metrics.miou": code}}, "libraries": {"torch": torch}}
    return replace(record(value, seed, **conditions), versions=versions)


def test_numbers_of_two_versions_of_the_code_are_paired_and_the_difference_is_named():
    (line,) = lines([coded(0.5, 0, "1a")], [coded(0.6, 0, "2b", torch="2.2")])
    assert (line.status, line.change) == ("differs", pytest.approx(0.1))
    assert line.note == 'code.metric.bench.metrics.miou: "1a", not "2b"; libraries.torch: "2.1", not "2.2"'
    (line,) = lines([coded(0.5, 0, "1a")], [coded(0.5, 0, "1a")])
    assert (line.status, line.note) == ("same", "")


def test_seeds_that_different_code_measured_are_not_averaged():
    mixed = [coded(0.1, 0, "1a"), coded(0.5, 1, "2b"), coded(0.7, 2, "2b")]
    numbers = sorted((number.value, number.seeds) for number in numbers_of(mixed).values())
    assert numbers == [(0.1, (0,)), (0.6, (1, 2))]
    latest, earlier = sorted(lines(mixed, [coded(0.6, 1, "2b"), coded(0.8, 2, "2b")]), key=lambda line: line.status)
    assert (latest.status, latest.a, latest.b) == ("differs", pytest.approx(0.6), pytest.approx(0.7))
    assert (earlier.status, earlier.a) == ("only in A", 0.1)
    assert earlier.note == "code or libraries of one side are older than those of its latest number"


def test_moving_a_module_is_no_other_code():
    moved = replace(coded(0.5, 1, "1a"), versions={"code": {"metric": {"b.miou": "1a"}}, "libraries": {"torch": "2.1"}})
    ((_, number),) = numbers_of([coded(0.3, 0, "1a"), moved]).items()
    assert number.seeds == (0, 1)


@pytest.mark.parametrize(
    ("one", "other", "note"),
    [
        ({"threads": 1}, {"threads": 8}, "threads: 1, not 8"),
        ({"layout": "contiguous"}, {"layout": "channels_last"}, 'layout: "contiguous", not "channels_last"'),
        ({"compile": False}, {"compile": True}, "compile: false, not true"),
        ({"graph": False}, {"graph": True}, "graph: false, not true"),
        ({"device": "cpu"}, {"device": "cuda"}, 'device: "cpu", not "cuda"'),
        ({"dtype": "float32"}, {"dtype": "bfloat16"}, 'dtype: "float32", not "bfloat16"'),
        ({"batch": 1}, {"batch": 16}, "batch: 1, not 16"),
        (
            {"dataset": {"name": "context", "distance": 14}},
            {"dataset": {"name": "context", "distance": 20}},
            "dataset.distance: 14, not 20",
        ),
        ({"weights": {"file:a.pt": "1a"}}, {"weights": {"file:a.pt": "2b"}}, 'weights.file:a.pt: "1a", not "2b"'),
        ({"files": {"INCEPTION": "1a"}}, {"files": {"INCEPTION": "2b"}}, 'files.INCEPTION: "1a", not "2b"'),
    ],
)
def test_each_setting_of_a_key_separates_numbers_and_is_named(one, other, note):
    first, second = lines([record(0.5, **one)], [record(0.5, **other)])
    assert {first.status, second.status} == {"only in A", "only in B"}
    assert next(line.note for line in (first, second) if line.status == "only in A") == note


def test_axes_that_the_name_leaves_out_separate_numbers():
    """A default that changed in the code gives another network under the same name."""

    def wide(width):
        one = record(0.5)
        variant = Variant("net", (("a", 1), ("width", width)), ("a",))
        return replace(one, measurement=replace(one.measurement, variant=variant))

    first, second = lines([wide(64)], [wide(32)])
    assert {first.note, second.note} == {"axes.width: 64, not 32", "axes.width: 32, not 64"}


def test_a_mean_without_its_failed_seed_is_not_set_against_a_complete_one():
    (line,) = lines([record(0.5, 0), record(0.7, 1)], [record(0.5, 0), record(seed=1, error="oom: x")])
    assert (line.status, line.change, line.error) == ("error", None, "oom: x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"variant,params,params_unit\nnet,x\x00y,\n", "t.csv:2: params is 'x\x00y', and no number"),
        (b"variant,params,params_unit\nnet,seven,\n", "t.csv:2: params is 'seven', and no number"),
        (b"variant,params,params_unit\nnet,7\n", "t.csv:2: the first line has 3 fields, and this one has not"),
        (b"variant,params,params_unit\nnet,7,,9\n", "t.csv:2: the first line has 3 fields, and this one has not"),
        (b"variant,params,params_unit\nnet,7,\nnet,8,\n", "t.csv:3: the variant net is listed twice"),
        (b"variant,params,params_unit\nnet," + b"7" * 200_000 + b",\n", "field larger than field limit"),
        ("variant,params,params_unit\nnet,7,\n".encode("utf-16"), "not UTF-8"),
        (b"variant,params,params_unit\nn\xe9t,7,\n", "not UTF-8"),
        (b"", "not a table"),
    ],
)
def test_an_odd_table_is_refused_with_its_line(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(CompareError) as error:
        read(tmp_path / "t.csv")
    assert message in str(error.value)


def test_a_table_that_a_spreadsheet_saved_with_a_byte_order_mark_reads_as_any_other(tmp_path):
    (tmp_path / "t.csv").write_text("variant,params,params_unit\nnet,7,\n", encoding="utf-8-sig")
    assert read(tmp_path / "t.csv") == {("net", "params", "{}"): Number(7.0)}


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(CompareError, match="neither a file nor a folder"):
        read(tmp_path / "t.csv")
