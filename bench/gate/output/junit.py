"""The outcome of a gate as JUnit XML: one test case for each variant and metric."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from bench.gate.output.outcome import Judgement, Outcome
from bench.spec.characters import printable


def junit(outcome: Outcome, seconds_since_epoch: float | None = None) -> str:
    """A suite for each ablation. Broken and missing are errors; what else fails the gate is a failure.

    What was not timed is a skipped case. Raises nothing for names with markup or control characters: they are escaped.
    """
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds_since_epoch))
    root = ET.Element("testsuites")
    ablations = dict.fromkeys([each.ablation for each in outcome.judgements] + [each[0] for each in outcome.skipped])
    for number, ablation in enumerate(ablations or ["gate"]):
        _suite(root, number, ablation, outcome, now)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(root: ET.Element, number: int, ablation: str, outcome: Outcome, now: str) -> None:
    rows = [each for each in outcome.judgements if each.ablation == ablation]
    skipped = [(variant, why) for name, variant, why in outcome.skipped if name == ablation]
    counts = {"tests": len(rows) + len(skipped), "failures": _count(rows, 1, 3, 5), "errors": _count(rows, 4)}
    named = {"name": ablation, "package": "bench.gate", "id": number, "timestamp": now, "hostname": "localhost"}
    whole = {**named, **counts, "skipped": len(skipped), "time": f"{sum(row.seconds for row in rows):.3f}"}
    suite = ET.SubElement(root, "testsuite", {key: _text(value) for key, value in whole.items()})
    ET.SubElement(suite, "properties")
    for row in rows:
        _case(suite, row)
    for variant, why in skipped:
        ET.SubElement(_named_case(suite, ablation, f"{variant}, timing", 0.0), "skipped", {"message": _text(why)})
    ET.SubElement(suite, "system-out")
    ET.SubElement(suite, "system-err")


def _count(rows: Sequence[Judgement], *codes: int) -> int:
    return sum(row.code in codes for row in rows)


def _case(suite: ET.Element, row: Judgement) -> None:
    case = _named_case(suite, row.ablation, f"{row.variant}, {row.metric or 'variant'}", row.seconds)
    if row.code:
        message = {"type": _text(row.verdict), "message": _text(f"{row.verdict}: {row.text}")}
        ET.SubElement(case, "error" if row.code == 4 else "failure", message).text = _text(f"{row.name}: {row.text}")


def _named_case(suite: ET.Element, ablation: str, name: str, seconds: float) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", {"classname": _text(ablation), "name": _text(name), "time": f"{seconds:.3f}"}
    )


def _text(value: object) -> str:
    return printable(str(value))
