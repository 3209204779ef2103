import pytest

from bench.gate.expectations import ExpectationError, compared, exit_code, read, written
from bench.gate.expectations import _text as text_of
from bench.gate.expectations import judged as judged_variants
from bench.results.measurement import Measurement
from bench.results.unreadable import settled
from bench.spec.variant import Variant
from bench.spec.workload import Workload

WORK = Workload("segmentation", "", (), (3, 8, 8), 1)


def number(value, metric="macs", better="lower", error=None, variant=1, **detail):
    samples = () if error else (value,)
    named = Variant("net", (("a", variant),), ("a",))
    return Measurement("k", named, WORK, metric, "", better, samples, True, None, 0.0, {}, error, detail)


def judged(expected, *measured):
    return {(check.metric, check.verdict) for check in compared("net", read(written(expected), "e.csv"), measured)}


def code(expected, *measured):
    return exit_code(compared("net", read(written(expected), "e.csv"), measured))


@pytest.mark.parametrize(
    ("measured", "verdict", "exit"),
    [
        ([number(100)], "same", 0),
        ([number(101)], "worse", 1),
        ([number(99)], "better", 5),
        ([], "missing", 4),
        ([number(0, error="oom: x")], "broken", 4),
    ],
)
def test_a_number_is_compared_with_its_expectation_exactly(measured, verdict, exit):
    assert judged([number(100)], *measured) == {("macs", verdict)}
    assert code([number(100)], *measured) == exit


def test_a_file_that_a_spreadsheet_saved_is_read(tmp_path):
    file = tmp_path / "net.csv"
    file.write_bytes(b"\xef\xbb\xbf" + written([number(100)]).replace("\n", "\r\n").encode())
    assert read(text_of(file), "net.csv") == read(written([number(100)]), "net.csv")


@pytest.mark.parametrize("text", ["", "variant;metric;value\n", "variant,metric,value\n<<<<<<< HEAD\n"])
def test_a_file_that_cannot_be_read_says_how_to_write_it_again(text):
    with pytest.raises(ExpectationError, match="bench accept ABLATION"):
        read(text, "net.csv")


def test_higher_is_better_where_the_metric_says_so():
    assert judged([number(1, better="higher")], number(2, better="higher")) == {("macs", "better")}
    assert judged([number(1, better=None)], number(2, better=None)) == {("macs", "changed")}


def test_parts_of_the_detail_are_compared_too():
    expected = number(404, "receptive_field", None, paths={"pool4": 100, "pool3": 44})
    actual = number(404, "receptive_field", None, paths={"pool4": 101, "new": 1})
    assert judged([expected], actual) == {
        ("receptive_field", "same"),
        ("receptive_field/paths/pool4", "changed"),
        ("receptive_field/paths/pool3", "changed"),
        ("receptive_field/paths/new", "changed"),
    }
    assert code([expected], actual) == 1


def test_the_parts_of_a_number_that_is_not_measured_are_missing():
    expected = number(404, "receptive_field", None, paths={"pool4": 100})
    assert judged([expected]) == {("receptive_field", "missing"), ("receptive_field/paths/pool4", "missing")}
    assert code([expected]) == 4


def test_renamed_is_missing_and_new_and_never_a_pass():
    assert code([number(100)], number(100, variant=2)) == 4
    assert code([number(100)], number(100), number(7, variant=2)) == 4
    assert exit_code([]) == 4


def test_the_gravest_verdict_decides():
    two = [number(100), number(100, variant=2)]
    assert code(two, number(99), number(101, variant=2)) == 1
    assert code(two, number(101)) == 4


def test_expectations_are_sorted_text_that_reads_back_exactly():
    text = written([number(2.5, variant=2), number(0.1 + 0.2, variant=1)])
    assert text == "variant,metric,value\nnet(a=1),macs,0.30000000000000004\nnet(a=2),macs,2.5\n"
    assert compared("net", read(text, "e.csv"), [number(0.3, variant=1), number(2.5, variant=2)])[0].verdict == "better"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "e.csv:1"),
        ("a,b\n", "e.csv:1"),
        ("variant,metric,value\nx,y\n", "e.csv:2"),
        ("variant,metric,value\nx,y,1\nx,y,2\n", "e.csv:3.*listed twice"),
    ],
)
def test_a_spoilt_file_is_refused_with_its_line(text, message):
    with pytest.raises(ExpectationError, match=message):
        read(text, "e.csv")


def test_a_number_that_is_not_finite_is_a_change_and_never_a_win():
    assert judged([number(3.0)], number(float("nan"))) == {("macs", "changed")}
    assert judged([number(float("inf"))], number(1.0)) == {("macs", "changed")}


@pytest.mark.parametrize("better", ["lower", "higher", None])
@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        (36, 36.0, True),
        (36.0, 36, True),
        (1e6, 1_000_000, True),
        (36, 36.000001, False),
        (2**53, 2**53 + 1, False),
        ([36, 1], [36.0, 1.0], True),
        ([36, 1], [36, 1, 1], False),
        ([36], 36, False),
        ("36", "36.0", False),
        ("a 36 b", "a 36.0 b", False),
        (True, 1, False),
        (None, 0, False),
    ],
)
def test_a_whole_number_is_the_same_with_and_without_a_point(expected, actual, same, better):
    verdicts = dict(judged([number(1, better=better, part=expected)], number(1, better=better, part=actual)))
    assert verdicts == {"macs": "same", "macs/part": "same" if same else "changed"}
    if type(expected) in (int, float) and type(actual) in (int, float):
        ((_, verdict),) = judged([number(expected, better=better)], number(actual, better=better))
        assert (verdict == "same") is same
        assert same or (verdict == "changed") is (better is None)


def named(name, value, graph="'aa'", error=None):
    """MACs, which the ablation names, and the hash of the graph, which it does not, of one variant."""
    variant = Variant("net", (("a", name),), ("a",))
    macs = number(value, variant=name, error=error)
    return [
        macs,
        Measurement("g", variant, WORK, "graph_hash", "", None, (1,), True, None, 0.0, {}, error, {"hash": graph}),
    ]


def of_ablation(expected, measured):
    checks = judged_variants("net", read(written(expected), "e.csv"), measured, {"macs"})
    return {(c.variant, c.metric, c.verdict) for c in checks if c.verdict != "same"}, exit_code(checks)


def test_a_variant_with_another_name_and_the_same_graph_is_renamed():
    assert of_ablation(named(1, 100), named(2, 100)) == ({("net(a=2)", "", "renamed")}, 0)
    changes, code = of_ablation(named(1, 100), named(2, 100, graph="'bb'"))
    assert {verdict for *_, verdict in changes} == {"missing", "new"}
    assert code == 4
    changes, code = of_ablation(named(1, 100), [*named(1, 100, error="failed: oops"), *named(2, 100)])
    assert ("net(a=2)", "", "renamed") not in changes
    assert code == 4


def test_a_network_that_no_longer_runs_is_broken_though_its_expected_numbers_are_as_expected():
    crash = "failed: StructureError: the network cannot be recorded: ValueError: oops"
    ops = number(0, "op_counts", error=crash)
    assert of_ablation([number(100)], [number(100), ops]) == ({("net(a=1)", "op_counts", "broken")}, 4)
    checks = judged_variants("net", {("net(a=1)", "macs"): "100"}, [number(100), ops], {"macs"})
    assert [c.error for c in checks if c.verdict == "broken"] == [crash]


def test_a_network_that_a_recording_cannot_follow_is_not_broken():
    follows = number(0, "op_counts", error="failed: StructureError: the control flow asks for data")
    rows = settled([number(100), follows], {"macs"})
    assert of_ablation([number(100)], rows) == (set(), 0)
    assert of_ablation(rows, rows) == (set(), 0)
    assert settled([follows], {"op_counts"}) == [follows]
