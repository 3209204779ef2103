"""`bench verify`: measures every published number again, and says by how much it is off."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Literal

from bench.registry import PREFIXES, Architecture, Fact, Metric, RegistryError, suggestion, targets
from bench.registry.catalogue import declarations
from bench.registry.zoo_facts import models, zoo_facts
from bench.results.keys import requests
from bench.results.measurement import Measurement
from bench.results.store import Store
from bench.spec.ablation import Ablation
from bench.spec.recipe import Recipe
from bench.spec.variant import Variant
from bench.spec.workload import Workload
from bench.sweep.driver import refuse_stale, run
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.plan import Plan, Planned
from bench.sweep.preloading import preload
from bench.sweep.progress import Reporter
from bench.sweep.running import workers_for
from bench.sweep.settings import Options

Status = Literal["reproduced", "disputed", "off", "broken"]
SHAPE = (3, 224, 224)
TIMEOUT = 600.0


@dataclass(frozen=True)
class FactCheck:
    """A published number and what was measured. `published`, `measured` and `off` are in units of `scale`, not rounded.

    `off` is measured - published, or 0 where all printed digits are reproduced. `variant` is the canonical name; `when`
    holds the axis values that the source states. `error` says why nothing was measured (`broken`).
    """

    architecture: str
    variant: str
    quantity: str
    when: Mapping[str, Any] = field(hash=False)
    shape: tuple[int, ...] | None
    published: float
    printed: str
    digits: int | None
    scale: float
    measured: float | None
    status: Status
    off: float | None
    source: str
    convention: str = ""
    note: str = ""
    error: str = ""


@dataclass(frozen=True)
class _Question:
    """A published number and the metric that measures it; `error` says why no metric can."""

    entry: Architecture
    fact: Fact
    variant: Variant
    metric: Metric | None = None
    part: str = ""
    error: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.fact.shape or SHAPE


Measurements = dict[tuple[Variant, tuple[int, ...], str], Measurement]


def verify(target: str = "", plugins: Sequence[str] = ()) -> list[FactCheck]:
    """Check the published numbers of one architecture, of a zoo (`timm`, `torchvision`), or of all architectures.

    Raises RegistryError for an unknown name, or one without published numbers.
    """
    questions = [_question(entry, fact, tuple(plugins)) for entry, fact in _published(target, plugins)]
    if not questions:
        raise RegistryError(f"there is no published number for {target or 'any architecture'}")
    answerable = [q for q in questions if q.metric is not None]
    measurements = _measured(answerable, tuple(plugins)) if answerable else {}
    return [_answer(question, measurements) for question in questions]


def exit_code(checks: Iterable[FactCheck]) -> int:
    """0 all reproduced (or disputed, as declared), 1 something is off, 4 something could not be measured."""
    statuses = {check.status for check in checks}
    return 4 if "broken" in statuses else 1 if "off" in statuses else 0


def judged(fact: Fact, measured: float) -> tuple[Status, float]:
    """(status, measured - published in units of the fact's scale), compared by the digits that were printed."""
    exact = Decimal(str(measured)) / Decimal(str(fact.scale))
    published = Decimal(str(fact.value))
    if _to_digits(exact, fact.digits) == _to_digits(published, fact.digits):
        return "reproduced", 0.0
    return "disputed" if fact.disputed else "off", float(exact - published)


def _to_digits(number: Decimal, digits: int | None) -> Decimal:
    return number if digits is None else number.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def _published(target: str, plugins: Sequence[str]) -> Iterator[tuple[Architecture, Fact]]:
    for name in _names(target, plugins):
        entry = targets.declared(name, plugins)
        for fact in zoo_facts(name) if entry.module in targets.ZOOS else entry.facts:
            yield entry, fact


def _names(target: str, plugins: Sequence[str]) -> Iterator[str]:
    if target and target not in targets.ZOOS:
        yield target
        return
    if not target:
        yield from declarations(tuple(plugins)).architectures.names()
    for zoo in [target] if target else targets.ZOOS:
        yield from models(zoo)


def _question(entry: Architecture, fact: Fact, plugins: tuple[str, ...]) -> _Question:
    name, _, part = fact.quantity.partition("/")
    if fact.convention:
        name, part = "conventions", fact.convention
    try:
        axes = entry.resolve(fact.when)
        metric = declarations(plugins).metrics.get(name)
    except RegistryError as error:
        return _Question(entry, fact, Variant(entry.name, tuple(fact.when.items()), tuple(fact.when)), error=str(error))
    variant = Variant(entry.name, tuple(axes.items()), tuple(axis for axis in axes if axis in fact.when))
    if metric.kind != "static":
        return _Question(entry, fact, variant, error=f"'{name}' depends on the machine or on training")
    return _Question(entry, fact, variant, metric, part)


def _measured(questions: Sequence[_Question], plugins: tuple[str, ...]) -> Measurements:
    """All measurements in one run on all cores, in a temporary store."""
    whole = _plan(questions, plugins)
    workers = workers_for([whole])
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        executor, reporter = LocalExecutor(workers, preload([whole])), Reporter("verify")
        try:
            refuse_stale(run(whole, store, executor, Options(workers=workers, notify=reporter)))
        finally:
            executor.stop()
            reporter.close()
        measurements = [record.measurement for record in store.records(whole.keys)]
    return {(m.variant, m.workload.shape, m.metric): m for m in measurements}


def _plan(questions: Sequence[_Question], plugins: tuple[str, ...]) -> Plan:
    """One plan of all measurements, over all architectures and input sizes.

    The plan has measurements but no variants, so that two facts of the same network pass the no-op check.
    """
    needed = {(q.variant, q.shape, q.metric.name) for q in questions if q.metric is not None}
    shapes = dict.fromkeys(question.shape for question in questions)
    ablations = [_ablation([q for q in questions if q.shape == shape], shape, plugins) for shape in shapes]
    due = [
        Planned(request, "due")
        for ablation in ablations
        for request in requests(ablation, {})
        if (request.variant, request.workload.shape, request.metric) in needed
    ]
    return Plan(_ablation([], SHAPE, plugins), tuple(due), None)


def _ablation(questions: Sequence[_Question], shape: tuple[int, ...], plugins: tuple[str, ...]) -> Ablation:
    metrics = dict.fromkeys(q.metric for q in questions if q.metric is not None)
    return Ablation(
        name="verify",
        path="verify",
        question="",
        source="",
        variants=tuple(dict.fromkeys(q.variant for q in questions)),
        excluded=(),
        varied=(),
        metrics=tuple(metrics),
        workload=Workload("", "", (), shape, 1),
        recipe=Recipe(),
        seeds=(0,),
        timeout=TIMEOUT,
        claims=(),
        plugins=plugins,
    )


def _answer(question: _Question, measurements: Measurements) -> FactCheck:
    fact, value, error = question.fact, None, question.error
    if question.metric is not None:
        value, error = _value(question, measurements.get((question.variant, question.shape, question.metric.name)))
    status: Status = "broken"
    off = None
    if value is not None:
        status, off = judged(fact, value)
    return FactCheck(
        architecture=question.entry.name,
        variant=question.variant.name,
        quantity=fact.quantity,
        when=dict(fact.when),
        shape=fact.shape,
        published=fact.value,
        printed=fact.printed,
        digits=fact.digits,
        scale=fact.scale,
        measured=None if value is None else value if fact.scale == 1 else value / fact.scale,
        status=status,
        off=off,
        source=fact.source,
        convention=fact.convention,
        note=fact.note,
        error=error,
    )


def _value(question: _Question, measurement: Measurement | None) -> tuple[float | None, str]:
    """(the number that answers the question, "") or (None, why there is none)."""
    if measurement is None:
        return None, "not measured: the run ended before"
    if measurement.error:
        return None, measurement.error
    if question.part and question.part not in measurement.detail:
        return None, f"'{measurement.metric}' has no part '{question.part}'{_near(question.part, measurement.detail)}"
    value = measurement.detail[question.part] if question.part else measurement.value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None, f"'{question.fact.quantity}' is {value}, not a single number"
    return value, ""


def _near(part: str, detail: Mapping[str, Any]) -> str:
    return suggestion(part, [name for name, value in detail.items() if isinstance(value, (int, float))])


def lines(checks: Sequence[FactCheck]) -> Iterator[tuple[Status | None, str]]:
    """(status, text) of a table for each architecture and source: title (None), columns (None), a line a check."""
    groups: dict[str, list[FactCheck]] = {}
    for check in checks:
        groups.setdefault(f"{check.architecture.partition(':')[0]}: {check.source}", []).append(check)
    for title, group in groups.items():
        rows = [_COLUMNS, *map(_row, group)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        yield None, ("\n" if title != next(iter(groups)) else "") + title
        for status, row in zip([None, *(check.status for check in group)], rows, strict=True):
            yield status, "  " + _aligned(row, widths)


_COLUMNS = ("", "network", "quantity", "published", "measured", "")


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    sides = ("<", "<", "<", ">", ">", "<")
    return "  ".join(f"{text:{side}{width}}" for text, side, width in zip(row, sides, widths, strict=True)).rstrip()


def _row(check: FactCheck) -> tuple[str, ...]:
    """Status, network and input size, quantity, published, measured, remarks."""
    size = "" if check.shape in (None, SHAPE) else " at " + "x".join(map(str, check.shape[1:]))
    quantity = f"{check.quantity} ({check.convention})" if check.convention else check.quantity
    remarks = [check.error] if check.error else []
    if check.off:
        remarks += [f"off by {_off_text(check)}", *([check.note] if check.note else [])]
    return check.status, check.variant + size, quantity, check.printed, _measured_text(check), "; ".join(remarks)


def _measured_text(check: FactCheck) -> str:
    return "-" if check.measured is None else f"{_number(check.measured, check, ',')} {PREFIXES[check.scale]}".rstrip()


def _off_text(check: FactCheck) -> str:
    assert check.off is not None
    return _number(check.off, check, "+,") + (f" ({check.off / check.published:+.2%})" if check.published else "")


def _number(value: float, check: FactCheck, form: str) -> str:
    """With three digits more than the source prints, so that small differences show; whole numbers as they are."""
    if check.digits is None:
        return f"{int(value) if float(value).is_integer() else value:{form}}"
    return f"{value:{form}.{check.digits + 3}f}"


def summary(checks: Iterable[FactCheck]) -> str:
    """`75 facts: 74 reproduced, 1 disputed`."""
    counted = Counter(check.status for check in checks)
    statuses = ", ".join(f"{counted[s]} {s}" for s in ("reproduced", "disputed", "off", "broken") if counted[s])
    return f"{counted.total()} facts: {statuses}"
