"""Published numbers: the verdict on one, whole families measured anew, and facts.csv covered by facts."""

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.registry import Fact
from bench.registry.catalogue import declarations
from bench.registry.zoo_facts import models, zoo_facts
from bench.sweep.verify import FactCheck, exit_code, judged, lines, summary, verify


@pytest.mark.parametrize(
    ("value", "digits", "scale", "measured", "status", "off"),
    [
        (404, None, 1.0, 404, "reproduced", 0),
        (404, None, 1.0, 404.0, "reproduced", 0),
        (405, None, 1.0, 404, "off", -1),
        (57, 0, 1e6, 56_954_261, "reproduced", 0),
        (56, 0, 1e6, 56_954_261, "off", 0.954261),
        (181.37, 2, 1e9, 181_365_850_000.0, "reproduced", 0),
        (181.36, 2, 1e9, 181_365_850_000.0, "off", 0.00585),
        (3, 0, 1.0, 2.5, "reproduced", 0),  # half up, as people round
        (15.47, 3, 1.0, 15.470264, "reproduced", 0),  # printed 15.470
        (1.1, 1, 1.0, 1.15, "off", 0.05),  # half up, though the float lies below 1.15
        (0.1, None, 1.0, 0.1, "reproduced", 0),
        (0.1, None, 1.0, 0.1000001, "off", 0.0000001),
    ],
)
def test_a_number_is_reproduced_to_the_printed_digit_or_off_by_the_difference(
    value, digits, scale, measured, status, off
):
    assert judged(Fact("q", value, "s", digits=digits, scale=scale), measured) == (status, off)


def test_a_disputed_number_is_not_off_but_not_reproduced_either():
    fact = Fact("q", 907, "s", disputed=True, note="misprint")
    assert judged(fact, 715) == ("disputed", -192)
    assert judged(fact, 907) == ("reproduced", 0)


def check(status, **more):
    values = {"reproduced": (404, 0.0), "off": (400, -4.0), "disputed": (400, -4.0), "broken": (None, None)}
    base = FactCheck(
        architecture="fcn",
        variant="fcn(stride=8)",
        quantity="receptive_field",
        when={"stride": 8},
        shape=None,
        published=404,
        printed="404",
        digits=None,
        scale=1.0,
        measured=values[status][0],
        status=status,
        off=values[status][1],
        source="a paper",
    )
    return replace(base, **more)


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["reproduced"], 0),
        (["reproduced", "disputed"], 0),
        (["reproduced", "off", "disputed"], 1),
        (["off", "broken"], 4),
        (["broken", "reproduced"], 4),
    ],
)
def test_the_exit_code_tells_the_worst(statuses, code):
    assert exit_code([check(s) for s in statuses]) == code


def test_the_table_has_a_line_for_each_fact_under_its_source():
    checks = [
        check("reproduced"),
        check("off", shape=(3, 520, 512), note="hand count"),
        check("reproduced", source="another paper", published=57, printed="57 M", digits=0, scale=1e6, measured=56.95),
        check("disputed", note="misprint"),
        check("broken", error="died", convention="twice_macs"),
    ]
    texts = [text for _, text in lines(checks)]
    assert [status for status, _ in lines(checks) if status] == [
        *("reproduced", "off", "disputed", "broken", "reproduced"),
    ]
    assert texts[0] == "fcn: a paper"
    assert texts[1].split() == ["network", "quantity", "published", "measured"]
    assert texts[2].split() == ["reproduced", "fcn(stride=8)", "receptive_field", "404", "404"]
    assert texts[3].endswith("400  off by -4 (-0.99%); hand count")
    assert "fcn(stride=8) at 520x512" in texts[3]
    assert texts[4].endswith("400  off by -4 (-0.99%); misprint")
    assert texts[5].endswith("404         -  died")
    assert "receptive_field (twice_macs)" in texts[5]
    assert texts[6] == "\nfcn: another paper"
    assert texts[8].split()[-4:] == ["57", "M", "56.950", "M"]
    starts = {text.index("receptive_field") for text in texts[2:6]}
    assert len(starts) == 1, "columns are not aligned"
    assert summary(checks) == "5 facts: 2 reproduced, 1 disputed, 1 off, 1 broken"


PLANTED = '''
from bench.registry import Fact, architecture

@architecture(task="segmentation", source="nobody", facts=(FACTS,))
def planted(*, fail: bool = False, kernel: int = 3):
    """One convolution: 9 x 3 weights and a bias; 27 MACs for each of its outputs."""
    from torch import nn
    if fail:
        raise ValueError("no such network")
    return nn.Conv2d(3, 1, kernel)
'''
RIGHT = (
    'Fact("params", 28, "p")',
    'Fact("receptive_field", 3, "p")',
    'Fact("macs", 24300, "p", shape=(3, 32, 32))',
    'Fact("macs", 5292, "p", shape=(3, 16, 16))',  # the same network at another size in the same run
    'Fact("macs", 48.6, "p", shape=(3, 32, 32), digits=1, scale=1e3, disputed=True, note="counts twice")',
    'Fact("flops", 48600, "p", shape=(3, 32, 32), convention="twice_macs")',
    'Fact("params", 76, "p", {"kernel": 5})',
)


@pytest.fixture
def planted(tmp_path):
    """Runs `bench verify planted --json` with these facts; gives (exit code, rows)."""

    def planted(*facts):
        plug = tmp_path / "planted_facts.py"
        plug.write_text(PLANTED.replace("FACTS", ", ".join(facts)))
        command = [sys.executable, "-m", "bench.cli", "verify", "planted", "--json", "--plugin", str(plug)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert "Traceback" not in done.stderr
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    return planted


def test_right_facts_pass_and_wrong_ones_are_off_by_the_right_amount(planted):
    code, rows = planted(*RIGHT)
    assert (code, [r["status"] for r in rows]) == (0, [*4 * ["reproduced"], "disputed", *2 * ["reproduced"]])
    assert rows[4]["off"] == pytest.approx(-24.3)
    assert rows[6]["variant"] == "planted(kernel=5)"

    code, rows = planted(
        *RIGHT, 'Fact("params", 30, "p")', 'Fact("macs", 0.0259, "p", shape=(3,32,32), digits=4, scale=1e6)'
    )
    assert (code, rows[-2]["status"], rows[-2]["off"]) == (1, "off", -2)
    assert (rows[-2]["published"], rows[-2]["measured"]) == (30, 28)
    assert rows[-1]["off"] == pytest.approx(-0.0016)


def test_what_cannot_be_measured_is_broken_with_the_reason_and_spares_the_rest(planted):
    code, rows = planted(
        'Fact("params/buffer", 1, "p")',
        'Fact("params", 28, "p", {"w": 2})',
        'Fact("param", 28, "p")',
        'Fact("params", 28, "p", {"fail": True})',
        'Fact("receptive_field/box", 3, "p")',
        'Fact("latency", 3, "p")',
        'Fact("macs", 3, "p", convention="mmcv")',
        'Fact("params", 28, "p")',
    )
    assert code == 4
    assert [r["status"] for r in rows] == [*7 * ["broken"], "reproduced"]
    reasons = (
        "did you mean 'buffers'",
        "no axis 'w'",
        "did you mean 'params'",
        "no such network",
        "not a single number",
    )
    for row, reason in zip(rows, (*reasons, "depends on the machine", "did you mean 'mmcv"), strict=False):
        assert reason in row["error"]
        assert row["measured"] is None


def test_every_fact_of_fcn_is_reproduced_or_disputed_as_declared():
    checks = verify("fcn")
    assert len(checks) == len(declarations().architectures.get("fcn").facts)
    assert {c.status for c in checks} == {"reproduced", "disputed"}
    (disputed,) = [c for c in checks if c.status == "disputed"]
    assert (disputed.quantity, disputed.published, disputed.measured) == ("receptive_field", 907, 715)


@pytest.mark.parametrize("zoo", ["torchvision", "timm"])
def test_a_zoo_publishes_what_is_measured_here(zoo):
    checks = verify(zoo)
    assert [c for c in checks if c.status != "reproduced"] == []
    assert {c.architecture for c in checks} == set(models(zoo))
    printed = {(c.architecture, c.quantity) for c in checks if c.convention or c.quantity == "params"}
    assert printed == {(name, quantity) for name in models(zoo) for quantity in ("params", "macs")}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("fnc", "did you mean 'fcn'"),
        ("torchvision:resnet51", "did you mean"),
        ("timm:resnet5O", "did you mean 'resnet50"),
        ("timm:resnet18", "no published number"),
    ],
)
def test_an_unknown_name_is_an_error(target, message):
    with pytest.raises(ValueError, match=message):
        verify(target)


# --- facts.csv: the published numbers that were checked by hand

SYSTEMS = ("FCN", "torchvision segmentation", "torchvision backbone", "timm backbone")
QUANTITIES = {
    "parameters": "params",
    "params(M)": "params",
    "MACs": "macs",
    "GMACs": "macs",
    "receptive field": "receptive_field",
    "max stride": "output_stride/coarsest",
    "conv layers": "depth",
    "dense deconv weights": "params/buffers",
}
UNANSWERED = {
    ("seg11valid", "images"): "a dataset",
    ("FCN-16s", "blob shapes"): "shapes of maps: tests/architectures/test_fcn.py",
    ("FCN-8s", "blob shapes"): "shapes of maps: tests/architectures/test_fcn.py",
}


def csv_rows():
    file_path = os.environ.get("FOVBENCH_FACTS") or Path(os.environ.get("FOVBENCH_DATA", "none")).parent / "facts.csv"
    if not Path(file_path).is_file():
        return []
    with open(file_path, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["system"] in SYSTEMS]
    checked = ("reproduced independently", "computed by us only")
    return [r for r in rows if r["checked"] in checked or r["system"] == "timm backbone"]


def claims(row):
    """(facts that may answer, quantity, number, input) for each number of a row."""
    quantities, values = row["quantity"].split(" / "), row["value"].split(" / ")
    if len(values) > len(quantities):
        quantities *= len(values)
    for number, (quantity, value) in enumerate(zip(quantities, values, strict=True)):
        for facts in answering(row, number):
            yield facts, QUANTITIES[quantity], float(re.match(r"[\d.]+", value)[0]), row["input"]


def answering(row, number):
    """The facts of each network that a row is about, `number` being the place of the value in it."""
    zoo, variant = row["system"].partition(" ")[0], row["variant"]
    if zoo == "FCN" and not variant.startswith("torchvision"):
        every = declarations().architectures.get("fcn").facts
        for axis, value in fcn_axes(variant, number):
            yield [f for f in every if f.when.get(axis) == value]
    else:
        zoo, name = "torchvision" if zoo == "FCN" else zoo, variant.removeprefix("torchvision ").split(" ")[0]
        yield zoo_facts(f"{zoo}:{name}")


def fcn_axes(variant, number):
    if variant == "all three":
        return [("backbone", b) for b in ("alexnet", "vgg16", "googlenet")]
    if variant.startswith("FCN-32s/"):
        return [("stride", (32, 16, 8)[number])]
    name = variant.removeprefix("FCN-").lower()
    return [("stride", int(name[:-1])) if name.endswith("s") else ("backbone", name)]


@pytest.mark.parametrize("row", csv_rows() or [None], ids=lambda r: f"{r['variant']} {r['quantity']}" if r else "none")
def test_every_checked_row_of_facts_csv_has_its_fact(row):
    if row is None:
        pytest.skip("FOVBENCH_FACTS names no facts.csv, and none lies beside FOVBENCH_DATA")
    if (row["variant"], row["quantity"]) in UNANSWERED:
        pytest.skip(UNANSWERED[row["variant"], row["quantity"]])
    for facts, quantity, number, size in claims(row):
        matching = [f for f in facts if f.quantity == quantity and f.value == number]
        assert matching, (row["variant"], quantity, number)
        if quantity == "macs":
            assert matching[0].shape == (3, *map(int, size.split("x")))
