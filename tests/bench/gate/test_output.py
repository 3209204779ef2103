"""What a CI reads of a gate, of made-up outcomes."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from bench.gate.against import Against
from bench.gate.expectations import Check
from bench.gate.hints import Hint
from bench.gate.output.badge import badge
from bench.gate.output.github import github
from bench.gate.output.junit import junit
from bench.gate.output.markdown import markdown
from bench.gate.output.outcome import outcome_against, outcome_of_checks
from bench.gate.output.sarif import sarif
from bench.gate.paired import Comparison

EVIL = "net(act='<b>&\"a|b`',x=1)"


def check(verdict, metric="macs", variant="net", expected="100", measured="120", error=None):
    return Check("skip", variant, metric, verdict, expected, measured, error)


def slower(name="skip: net", verdict="regression"):
    return Comparison(
        name,
        "latency",
        verdict,
        1.2,
        (1.1, 1.3),
        rounds=5,
        false_alarm_rate=0.0,
        smallest_detectable=0.04,
        seconds=2.0,
        tolerance=0.03,
    )


ROWS = (
    check("worse"),
    check("worse", "macs/layers/0"),
    check("same", "params", expected="7", measured="7"),
    check("broken", "params", EVIL, measured=None, error="failed: ValueError: 100 %,\noops"),
)
MIXED = outcome_of_checks(ROWS, 4)
LIVE = outcome_against(
    Against("abc123", (check("worse"),), (slower(), slower("skip: b", "pass")), 1, (("skip: c", "with the same code"),))
)


def test_a_metric_and_its_detail_are_one_judgement():
    assert [(j.variant, j.metric, j.verdict, j.text) for j in MIXED.judgements] == [
        ("net", "macs", "worse", "100 -> 120 (+20.0 %) and 1 more of its detail"),
        ("net", "params", "same", "7"),
        (EVIL, "params", "broken", "failed: ValueError: 100 %,\noops"),
    ]
    assert [j.verdict for j in MIXED.changed] == ["broken", "worse"]


def test_a_detail_that_changed_alone_is_named():
    outcome = outcome_of_checks(
        [check("same", measured="100"), check("changed", "macs/by/conv", expected="1", measured="2")], 1
    )
    assert [(j.metric, j.verdict, j.text) for j in outcome.judgements] == [
        ("macs", "changed", "by/conv: 1 -> 2 (+100.0 %)")
    ]


def test_the_summary_begins_with_the_verdict_and_escapes_names():
    lines = markdown(MIXED).splitlines()
    assert lines[0] == "## 💥 bench gate: broken or missing"
    assert lines[2] == "Exit code 4. 1 broken, 1 worse, 1 same."
    assert "| worse | `skip: net` | macs | 100 -\\> 120 (+20.0 %) and 1 more of its detail |" in lines
    (row,) = [line for line in lines if line.startswith("| broken")]
    assert "`` skip: net(act='<b>&\"a\\|b`',x=1) ``" in row


def test_the_summary_has_the_commands_that_help():
    text = markdown(outcome_of_checks([check("worse")], 1, [Hint("to accept what is right", "bench accept 'a b'")]))
    assert text.splitlines()[-1] == "To accept what is right: `bench accept 'a b'`"


def test_a_graph_says_what_came_and_went_and_no_percentage_of_a_hash():
    rows = [
        check("changed", "graph_hash", expected="633", measured="142"),
        check("changed", "graph_hash/hash", expected="'a'", measured="'b'"),
        check("changed", "module_operators", expected="9", measured="10"),
        check("changed", "module_operators/modules", expected="'up: conv'", measured="'up: conv, clone'"),
        check("worse", "op_counts", expected="9", measured="10"),
        check("changed", "op_counts/clone", expected=None, measured="1"),
    ]
    assert [j.text for j in outcome_of_checks(rows, 1).judgements] == [
        "another graph",
        "9 -> 10 (+11.1 %): +1 clone in up",
        "9 -> 10 (+11.1 %): +1 clone",
    ]


def test_an_error_is_the_whole_text_so_that_its_line_is_named():
    error = "failed: ValueError: oops (network.py:5)"
    rows = [check("broken", metric, error=error) for metric in ("macs", "macs/live")]
    assert [j.text for j in outcome_of_checks(rows, 4).judgements] == [error]


def test_what_is_inconclusive_says_what_would_decide():
    seen = replace(slower(verdict="inconclusive"), rounds_needed=25, left_out=1)
    early = Comparison("skip: b", "latency", "inconclusive", rounds=1)
    outcome = outcome_against(Against("abc", (), (seen, early)))
    assert [j.text for j in outcome.judgements] == [
        "+20.0 % [+10.0, +30.0]; about 20 more rounds would decide at this noise: give a longer --budget",
        "not measured; the time was up after 1 round, before the first look: give a longer --budget",
    ]
    assert "| 5, 1 left out | 4.0 % |" in markdown(outcome)


def test_an_ablation_that_is_gone_has_no_line_of_a_network(tmp_path, monkeypatch):
    (tmp_path / "fovbench.toml").write_text('plugins = ["network.py"]\n')
    (tmp_path / "network.py").write_text("class Net:\n    pass\n")
    monkeypatch.chdir(tmp_path)
    outcome = outcome_of_checks([check("missing", "", "", "skip", None)], 4)
    assert list(github(outcome)) == ["::error title=missing%3A skip::skip -> nothing"]
    assert "| missing | `skip` |  | skip" in markdown(outcome)


def test_the_summary_of_two_revisions_has_timings_and_what_was_skipped():
    text = markdown(LIVE)
    assert text.startswith("## ❌ bench gate: regression\n\nExit code 1 against `abc123`. ")
    assert "| regression | `skip: net` | latency | +20.0 % \\[+10.0, +30.0\\] | 5 | 4.0 % |" in text
    assert "| pass | `skip: b` | latency |" in text
    assert "- 1 with the same code: `skip: c`" in text


def test_a_summary_of_many_changes_has_fewer_than_sixty_lines():
    names = [f"n{i}" for i in range(200)]
    checks = tuple(check("worse", variant=name) for name in names)
    reasons = tuple((f"skip: {n}", why) for n in names for why in ("same code", "broken", "in one revision only"))
    text = markdown(outcome_against(Against("a", checks, tuple(slower(f"skip: {n}") for n in names), 0, reasons)))
    assert len(text.splitlines()) < 60
    assert "and 185 more" in text


def test_nothing_to_say_is_a_pass():
    text = markdown(outcome_of_checks([check("same")], 0))
    assert text.splitlines() == ["## ✅ bench gate: pass", "", "Exit code 0. 1 same."]


def test_junit_has_a_case_for_each_variant_and_metric():
    root = ET.fromstring(junit(MIXED, 0))
    (suite,) = root
    assert {k: suite.get(k) for k in ("name", "tests", "failures", "errors", "skipped", "timestamp")} == {
        "name": "skip",
        "tests": "3",
        "failures": "1",
        "errors": "1",
        "skipped": "0",
        "timestamp": "1970-01-01T00:00:00",
    }
    assert [child.tag for child in suite] == ["properties", *["testcase"] * 3, "system-out", "system-err"]
    cases = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert cases == {"net, macs": ["failure"], "net, params": [], f"{EVIL}, params": ["error"]}
    assert all({"classname", "name", "time"} == set(case.attrib) for case in suite.iter("testcase"))


def test_junit_says_what_was_not_timed_and_how_long_timing_took():
    (suite,) = ET.fromstring(junit(LIVE, 0))
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert cases["c, timing"].find("skipped").get("message") == "with the same code"
    assert cases["net, latency"].get("time") == "2.000"
    assert cases["net, latency"].find("failure").get("type") == "regression"
    assert len(cases["b, latency"]) == 0


@pytest.mark.parametrize("text", ["\x00", "\x1b[31m", "]]>", "\ud800", "\ufffe"])
def test_junit_is_xml_whatever_an_error_holds(text):
    written = junit(outcome_of_checks([check("broken", error=text, variant=text)], 4), 0)
    assert ET.fromstring(written.encode()).find(".//error") is not None


def test_annotations_escape_what_ends_a_line_or_a_property():
    assert list(github(MIXED)) == [
        "::error title=broken%3A skip%3A net(act='<b>&\"a|b`'%2Cx=1)%2C params::failed: ValueError: 100 %25,%0Aoops",
        "::error title=worse%3A skip%3A net%2C macs::100 -> 120 (+20.0 %25) and 1 more of its detail",
    ]


def test_annotations_that_would_be_dropped_are_counted():
    lines = list(github(outcome_of_checks([check("worse", variant=f"n{i}") for i in range(25)], 1)))
    assert len(lines) == 10
    assert lines[-1] == "::error title=bench gate::16 more; see the summary"


def test_annotations_and_sarif_name_the_line_of_the_network(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    folder = tmp_path / "my nets"
    (folder / "ablations").mkdir(parents=True)
    (folder / "fovbench.toml").write_text('plugins = ["network.py"]\n')
    (folder / "network.py").write_text("import os\n\n\ndef net():\n    pass\n")
    (folder / "ablations" / "skip.yaml").write_text("question: q\narchitecture: other\n")
    monkeypatch.chdir(folder)
    rows = [
        check("worse", variant="net(width=2)"),
        check("worse", variant="other"),
        check("broken", error="oops (network.py:5)"),
    ]
    outcome = outcome_of_checks(rows, 4)
    places = [("my nets/network.py", 5), ("my nets/network.py", 4), ("my nets/ablations/skip.yaml", 2)]
    assert [line.split(",title")[0] for line in github(outcome)] == [f"::error file={f},line={n}" for f, n in places]
    results = json.loads(sarif(outcome))["runs"][0]["results"]
    where = [result["locations"][0]["physicalLocation"] for result in results]
    assert [(w["artifactLocation"]["uri"], w["region"]["startLine"]) for w in where] == [
        (file.replace(" ", "%20"), line) for file, line in places
    ]


def test_sarif_names_a_rule_for_each_result():
    log = json.loads(sarif(LIVE))
    (run,) = log["runs"]
    assert log["version"] == "2.1.0"
    rules = run["tool"]["driver"]["rules"]
    assert [(r["ruleId"], r["level"], rules[r["ruleIndex"]]["id"]) for r in run["results"]] == [
        ("worse", "error", "worse"),
        ("regression", "error", "regression"),
    ]
    assert len({r["partialFingerprints"]["fovbench/v1"] for r in run["results"]}) == 2


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "pass"), (1, "regression"), (3, "inconclusive"), (4, "broken or missing"), (5, "unexpected win")],
)
def test_the_badge_says_the_verdict(code, words):
    root = ET.fromstring(badge(outcome_of_checks([], code)))
    space = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{space}title").text == f"bench gate: {words}"
    assert [text.text for text in root.iter(f"{space}text")] == ["bench gate", words]
