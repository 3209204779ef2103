"""Commands that read what was kept: table, report, compare, accept, gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import EXPECTED, ablation_options, echo_error, json_option, print_json, read_plan

if TYPE_CHECKING:
    from bench.results.store import Store
    from bench.sweep.plan import Plan


@click.command()
@click.argument("name", metavar="ABLATION")
@ablation_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["md", "csv", "latex", "json"]),
    default="md",
    show_default=True,
    help="md and latex are rounded for people, csv and json exact.",
)
def table(name: str, store: Path, form: Any, **asked: Any) -> None:
    """Print the table of ABLATION.

    Mean and spread over seeds, and the difference from the baseline."""
    from bench.report.table import table as rendered
    from bench.results.loading import gather
    from bench.results.store import Store

    with Store(store) as kept:
        plan = read_plan(kept, name, **asked)
        click.echo(rendered(gather(plan.ablation, plan.requests, kept, plan.note), form), nl=False)


@click.command()
@click.argument("names", metavar="[ABLATION]...", nargs=-1)
@ablation_options
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("reports"), show_default=True, help="Folder of the reports."
)
def report(names: tuple[str, ...], store: Path, out: Path, **asked: Any) -> None:
    """Write reports/ABLATION/index.md and index.html.

    Reads what is kept. Default: every ablation that has something measured."""
    from bench.report.page import render
    from bench.results.loading import gather
    from bench.results.store import Store
    from bench.spec.ablation import names as all_names

    with Store(store) as kept:
        for name in names or all_names():
            plan = read_plan(kept, name, **asked)
            if names or plan.count("cached"):
                click.echo(render(gather(plan.ablation, plan.requests, kept, plan.note), out))


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@json_option
def compare(a: Path, b: Path, as_json: bool) -> None:
    """Compare two result sets, nothing dropped.

    A and B are results stores, or tables that `bench table --format csv` wrote.
    """
    from bench.results.compare import compare as joined
    from bench.results.compare import read

    lines = joined(read(a), read(b))
    if as_json:
        print_json(vars(line) for line in lines)
        return
    for line in lines:
        change = f"({line.change:+.6g})" if line.change else line.error or ""
        click.echo(f"{line.status:9} {line.variant}  {line.metric}  {_or_dash(line.a)} -> {_or_dash(line.b)} {change}")
    counts = {status: sum(line.status == status for line in lines) for status in dict.fromkeys(x.status for x in lines)}
    click.echo(", ".join(f"{count} {status}" for status, count in counts.items()) or "both are empty")


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.10g}"


@click.command()
@click.argument("name", metavar="ABLATION")
@ablation_options
def accept(name: str, store: Path, **asked: Any) -> None:
    """Commit to the numbers of ABLATION that `bench gate` checks."""
    from bench.gate.expectations import written
    from bench.results.store import Store

    with Store(store) as kept:
        plan = read_plan(kept, name, **asked)
        measured, missing = _deterministic(plan, kept)
    broken = [m for m in measured if m.error]
    if missing or broken:
        told = f"{len(missing)} measurements are not measured and {len(broken)} failed"
        raise click.ClickException(f"{told}; first: bench run {plan.ablation.path} --rerun failed")
    EXPECTED.mkdir(parents=True, exist_ok=True)
    file = EXPECTED / f"{plan.ablation.name}.csv"
    file.write_text(written(measured), encoding="utf-8", newline="\n")
    click.echo(file)


def _deterministic(plan: Plan, kept: Store) -> tuple[list[Any], list[Any]]:
    """(exact or failed measurements, measurements without one) of the static metrics, named as in this ablation."""
    from dataclasses import replace

    planned = {p.request.key: p.request for p in plan.planned if p.request.kind == "static"}
    found = {m.key: replace(m, variant=planned[m.key].variant) for m, _, _ in kept.measurements(planned)}
    return [m for m in found.values() if m.exact or m.error], [
        request for key, request in planned.items() if key not in found
    ]


@click.command()
@click.argument("name", metavar="ABLATION")
@ablation_options
@json_option
def gate(name: str, store: Path, as_json: bool, **asked: Any) -> None:
    """Fail when a deterministic number of ABLATION changed.

    \b
    exit 0 pass · 1 regression or change · 2 usage · 4 broken or missing · 5 unexpected win
    """
    from bench.gate.expectations import exit_code, read
    from bench.gate.expectations import gate as judged
    from bench.results.store import Store

    with Store(store) as kept:
        plan = read_plan(kept, name, **asked)
        measured, _ = _deterministic(plan, kept)
    file = EXPECTED / f"{plan.ablation.name}.csv"
    if not file.exists():
        echo_error(f"error: {file} is not there; write it with: bench accept {name}")
        raise SystemExit(4)
    verdicts = judged(read(file.read_text("utf-8"), str(file)), measured)
    code = exit_code(verdicts)
    print_json(vars(v) for v in verdicts) if as_json else _print_verdicts(verdicts)
    if code:
        missing = any(v.status == "missing" for v in verdicts)
        echo_error(f"to measure: bench run {plan.ablation.path}") if missing else None
        echo_error(f"to accept: bench accept {name}")
    raise SystemExit(code)


def _print_verdicts(verdicts: Sequence[Any]) -> None:
    for v in verdicts:
        if v.status != "same":
            change = v.error or f"expected {v.expected or 'nothing'}, measured {v.measured or 'nothing'}"
            click.echo(f"{v.status:8} {v.variant}  {v.metric}: {change}")
    same = sum(v.status == "same" for v in verdicts)
    click.echo(f"{same} of {len(verdicts)} numbers as expected")
