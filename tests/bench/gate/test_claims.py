"""Claims of the source as checks: a contradicted one fails, an open one does not."""

import dataclasses

import pytest

from bench.gate.claims import claim_checks
from bench.gate.expectations import exit_code
from bench.spec.claims import Comparison, Reference, Statement, Sum

LOW, HIGH, OPEN = [0.50, 0.51, 0.52], [0.70, 0.71, 0.72], [0.4, 0.5, 0.65]


def claim(operator):
    one, other = (Sum(((1.0, Reference("miou", f"net(a={a})")),)) for a in (1, 0))
    return Statement(f"a=1 {operator} a=0", "", (Comparison(one, operator, other),))


@pytest.mark.parametrize(
    ("scores", "operator", "verdicts"),
    [(HIGH, ">", ["same"]), (HIGH, "<", ["worse"]), (OPEN, ">", [])],
)
def test_only_a_contradicted_claim_fails(results_of, scores, operator, verdicts):
    results = results_of({"net(a=0)": {"miou": LOW}, "net(a=1)": {"miou": scores}})
    checks = claim_checks(dataclasses.replace(results, claims=(claim(operator),)))
    assert [check.verdict for check in checks] == verdicts
    assert not checks or exit_code(checks) == (verdicts == ["worse"])
