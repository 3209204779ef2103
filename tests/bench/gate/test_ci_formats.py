"""The files for a CI against what their readers demand, with hostile texts: SARIF 2.1.0, JUnit XML, GitHub's commands.

The rules are those parts of each format that fovbench uses, in our own words: of SARIF 2.1.0 (OASIS, 2020) sections 3.13
to 3.30, of the XML schema of Ant's JUnit task, and of the commands that the runner of GitHub Actions reads.
"""

import json
import re
import xml.etree.ElementTree as ET
from urllib.parse import urlsplit

import pytest

from bench.gate.against import Against
from bench.gate.expectations import Check
from bench.gate.output.github import github
from bench.gate.output.junit import junit
from bench.gate.output.outcome import outcome_against, outcome_of_checks
from bench.gate.output.sarif import sarif
from bench.gate.paired import Comparison

HOSTILE = (
    "plain",
    "::error file=a.py,line=1::no",
    "a:b,c%d",
    "50 %\r\nnext",
    "%0A%25",
    "<b>&\"'`]]>",
    "e\x00\x1b[31m\ufffe",
    "Ω ✓",
)
VERDICTS = ("worse", "better", "changed", "missing", "new", "renamed", "broken", "same")


def checks():
    for text in HOSTILE:
        yield Check(text, text, "macs", "broken", "1", None, f"failed: {text}")
        for verdict in VERDICTS:
            yield Check("skip", f"{text} {verdict}", "macs", verdict, "100", "120")


def timings():
    for verdict in ("pass", "regression", "win", "inconclusive", "broken"):
        error = "oops" if verdict == "broken" else ""
        yield Comparison(f"skip: {verdict}", "latency", verdict, 1.2, (1.1, 1.3), seconds=2.0, error=error)


OUTCOMES = {
    "nothing": outcome_of_checks([], 4),
    "numbers": outcome_of_checks(list(checks()), 4),
    "revisions": outcome_against(
        Against("abc", tuple(checks()), tuple(timings()), 1, tuple((f"skip: {text}", text) for text in HOSTILE))
    ),
}
outcomes = pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)


# SARIF 2.1.0: object -> (properties that are required, those that are allowed as well)
OBJECTS = {
    "log": ({"version", "runs"}, {"$schema"}),
    "run": ({"tool"}, {"results", "properties"}),
    "tool": ({"driver"}, set()),
    "driver": ({"name"}, {"version", "rules"}),
    "rule": ({"id"}, {"shortDescription"}),
    "result": ({"message"}, {"ruleId", "ruleIndex", "level", "locations", "partialFingerprints"}),
    "message": ({"text"}, set()),
    "location": (set(), {"physicalLocation"}),
    "physicalLocation": ({"artifactLocation"}, {"region"}),
    "artifactLocation": ({"uri"}, set()),
    "region": ({"startLine"}, set()),
}


def is_object(kind, value):
    required, allowed = OBJECTS[kind]
    assert isinstance(value, dict), kind
    assert required <= value.keys() <= required | allowed, kind
    return value


def is_text(value):
    assert isinstance(value, str)
    assert value


@outcomes
def test_sarif_has_what_its_schema_demands_and_nothing_else(outcome, monkeypatch, tmp_path):
    log = is_object("log", json.loads(sarif(outcome)))
    assert log["version"] == "2.1.0"
    assert urlsplit(log["$schema"]).scheme == "https"
    (run,) = log["runs"]
    driver = is_object("driver", is_object("tool", is_object("run", run)["tool"])["driver"])
    is_text(driver["name"])
    ids = [is_object("rule", rule)["id"] for rule in driver["rules"]]
    assert len(ids) == len(set(ids)), "rules are unique"
    for rule in driver["rules"]:
        is_text(is_object("message", rule["shortDescription"])["text"])
    assert len(run["results"]) == len(outcome.changed)
    for result in run["results"]:
        is_sarif_result(result, ids)


def is_sarif_result(result, ids):
    is_object("result", result)
    is_text(is_object("message", result["message"])["text"])
    assert result["level"] in ("none", "note", "warning", "error")
    assert ids[result["ruleIndex"]] == result["ruleId"]
    assert all(isinstance(value, str) for value in result["partialFingerprints"].values())
    for location in result["locations"]:
        place = is_object("physicalLocation", is_object("location", location)["physicalLocation"])
        uri = is_object("artifactLocation", place["artifactLocation"])["uri"]
        assert re.fullmatch(r"(?:[\w.~!$&'()*+,;=:@/-]|%[0-9A-F]{2})+", uri, re.ASCII), "a relative URI"
        assert not urlsplit(uri).scheme
        assert is_object("region", place["region"])["startLine"] >= 1


def test_a_uri_of_sarif_is_one_whatever_the_name_of_the_file(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    (tmp_path / "ablations").mkdir()
    (tmp_path / "fovbench.toml").write_text("")
    names = ["my nets", "a%20b", "c#d?e", "ü", "x:y"]
    for name in names:
        (tmp_path / "ablations" / f"{name}.yaml").write_text("architecture: net\n")
    monkeypatch.chdir(tmp_path)
    outcome = outcome_of_checks([Check(name, "net", "macs", "worse", "1", "2") for name in names], 1)
    results = json.loads(sarif(outcome))["runs"][0]["results"]
    assert all(result["locations"] for result in results)
    for result in results:
        is_sarif_result(result, ["worse"])


# JUnit: element -> (attributes that are required, those that are allowed, children in order)
ELEMENTS = {
    "testsuites": (set(), set(), ["testsuite*"]),
    "testsuite": (
        {"name", "timestamp", "hostname", "tests", "failures", "errors", "time", "package", "id"},
        {"skipped"},
        ["properties", "testcase*", "system-out", "system-err"],
    ),
    "properties": (set(), set(), ["property*"]),
    "testcase": ({"name", "classname", "time"}, set(), ["skipped?|error?|failure?"]),
    "skipped": (set(), {"message"}, []),
    "error": ({"type"}, {"message"}, []),
    "failure": ({"type"}, {"message"}, []),
    "system-out": (set(), set(), []),
    "system-err": (set(), set(), []),
}
NUMBERS = {"tests": r"\d+", "failures": r"\d+", "errors": r"\d+", "skipped": r"\d+", "id": r"\d+", "time": r"\d+\.\d+"}


def is_element(element):
    required, allowed, children = ELEMENTS[element.tag]
    assert required <= set(element.attrib) <= required | allowed, element.tag
    tags = "".join(f"<{child.tag}>" for child in element)
    pattern = "".join("(?:" + re.sub(r"([\w-]+)", r"(?:<\1>)", part) + ")" for part in children)
    assert re.fullmatch(pattern, tags), (element.tag, tags)
    if element.tag in ("testsuite", "testcase"):
        assert all(
            re.fullmatch(pattern, element.get(name, "0.0" if name == "time" else "0"))
            for name, pattern in NUMBERS.items()
        )
    for child in element:
        is_element(child)


@outcomes
def test_junit_has_what_its_schema_demands_in_its_order(outcome):
    root = ET.fromstring(junit(outcome, 0).encode())
    assert root.tag == "testsuites"
    is_element(root)
    for suite in root:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases)
        for counted, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(counted)) == sum(case.find(tag) is not None for case in cases)
    assert len({suite.get("id") for suite in root}) == len(root)


def read_command(line):
    """(command, properties, message) of a workflow command, as the runner of GitHub Actions reads it."""
    match = re.fullmatch(r"::([^ :]+)(?: ([^\n\r]*?))?::([^\n\r]*)", line)
    assert match, line
    properties = dict(part.split("=", 1) for part in (match[2] or "").split(",") if part)
    return match[1], {k: unescaped(v, ":,") for k, v in properties.items()}, unescaped(match[3], "")


def unescaped(text, further):
    codes = {"%0D": "\r", "%0A": "\n", **{f"%{ord(char):02X}": char for char in further}}
    for code, char in codes.items():
        text = text.replace(code, char)
    return text.replace("%25", "%")


@outcomes
def test_each_annotation_is_one_command_with_the_text_it_stands_for(outcome):
    commands = [read_command(line) for line in github(outcome)]
    assert {command for command, *_ in commands} <= {"error", "warning", "notice"}
    assert all(properties.keys() <= {"file", "line", "title"} for _, properties, _ in commands)
    whole = {(f"{row.verdict}: {row.name}", row.text or row.verdict) for row in outcome.changed}
    said = [(p["title"], text) for _, p, text in commands if not text.endswith("see the summary")]
    assert len(said) == len(set(said))
    assert set(said) <= whole
    assert bool(said) == bool(whole)


@pytest.mark.parametrize("text", HOSTILE)
def test_the_text_of_an_annotation_survives_the_escaping(text):
    (line,) = github(outcome_of_checks([Check(text, text, "macs", "broken", None, None, text)], 4))
    assert read_command(line) == ("error", {"title": f"broken: {text}: {text}, macs"}, text)
