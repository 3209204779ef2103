"""The outcome of a gate as SARIF 2.1.0, which code scanning reads."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote

from bench.gate.output.outcome import Judgement, Outcome
from bench.gate.output.places import Place, place_of
from bench.registry.versions import __version__

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {1: "error", 4: "error", 3: "warning", 5: "warning", 0: "note"}
RULES = {
    "worse": "A deterministic number got worse",
    "better": "A deterministic number got better than what is expected",
    "changed": "A deterministic number or a graph changed",
    "missing": "A variant or a number is missing",
    "new": "A variant or a number is new",
    "renamed": "A variant has another name",
    "broken": "A network does not run",
    "regression": "A timed metric got worse",
    "win": "A timed metric got better",
    "inconclusive": "A timed metric is not decided",
}
"""Verdict -> what it says."""


def sarif(outcome: Outcome) -> str:
    """A log with one run: a rule for each verdict that occurs, a result for each change."""
    rows = outcome.changed
    verdicts = list(dict.fromkeys(row.verdict for row in rows))
    rules = [{"id": v, "shortDescription": {"text": RULES.get(v, v)}} for v in verdicts]
    driver = {"name": "fovbench", "version": __version__, "rules": rules}
    results = [_result(row, verdicts.index(row.verdict)) for row in rows]
    run = {"tool": {"driver": driver}, "results": results, "properties": {"exit_code": outcome.exit_code}}
    return f"{json.dumps({'$schema': SCHEMA, 'version': '2.1.0', 'runs': [run]}, indent=2)}\n"


def _result(row: Judgement, rule: int) -> dict[str, Any]:
    place = place_of(row)
    identity = f"{row.name}\n{row.verdict}"
    return {
        "ruleId": row.verdict,
        "ruleIndex": rule,
        "level": LEVELS[row.code],
        "message": {"text": f"{row.name}: {row.text}"},
        "locations": [_location(place)] if place else [],
        "partialFingerprints": {"fovbench/v1": hashlib.sha256(identity.encode()).hexdigest()},
    }


def _location(place: Place) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": {"uri": quote(place.file)}, "region": {"startLine": place.line}}}
