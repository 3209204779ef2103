"""Commands that plan and measure an ablation: plan, run, why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import (
    Seconds,
    ablation_options,
    check_error_kinds,
    check_metrics,
    echo,
    echo_error,
    force_option,
    json_option,
    load_ablation,
    only_option,
    print_json,
    read_plan,
    rerun_option,
)

if TYPE_CHECKING:
    from bench.results.store import Store
    from bench.sweep.plan import Plan
    from bench.sweep.running import Job


def _described(plan: Plan) -> str:
    from bench.sweep.progress import seconds_text

    counts = {status: plan.count(status) for status in ("due", "cached", "failed")}
    text = ", ".join(f"{n} {status}" for status, n in counts.items() if n or status != "failed")
    training_runs = len({p.request.training_run for p in plan.planned if p.request.training_run and p.status == "due"})
    if training_runs:
        text += f", {training_runs} trainings"
    if counts["due"]:
        forecast = f"about {seconds_text(plan.seconds)} on one worker" if plan.seconds else "time unknown"
        text += f"; {forecast}" + (f", {plan.unknown} without precedent" if plan.unknown and plan.seconds else "")
    excluded = len(plan.ablation.excluded)
    return f"{plan.ablation.name}: {text}" + (f"; {excluded} variants excluded" if excluded else "")


def _power(plan: Plan) -> str:
    """What the seeds of this plan can tell at all; empty where no scores are compared."""
    from bench.display.wording import seeds_note

    compared = len(plan.ablation.variants) - 1
    trains = any(p.request.kind == "accuracy" for p in plan.planned)
    return f"note: {seeds_note(len(plan.ablation.seeds), compared)}" if trains and compared else ""


def _announced(plan: Plan) -> str:
    return "\n".join(line for line in (_described(plan), _power(plan)) if line)


@click.command("plan")
@click.argument("name", metavar="ABLATION")
@ablation_options
@only_option
@rerun_option
@force_option
@json_option
def plan_command(
    name: str,
    store: Path,
    data: Path | None,
    as_json: bool,
    only: tuple[str, ...],
    rerun: tuple[str, ...],
    force: bool,
    **options: Any,
) -> None:
    """Show every measurement of ABLATION and its state. Builds nothing."""
    from bench.results.store import Store
    from bench.sweep.noop import stored_twins
    from bench.sweep.plan import plan as make

    ablation = load_ablation(name, **options)
    check_metrics([ablation], only)
    check_error_kinds(rerun)
    with Store(store) as stored:
        plan = make(ablation, stored, data, rerun=rerun, force=force, only=only, reading=True)
        twins = stored_twins(plan, stored)
    for line in (f"note: {twins}" if twins else "", _power(plan)):
        echo_error(line) if line else None
    rows = [*_plan_rows(plan)]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        seed = None if row["seed"] is None else f"seed {row['seed']}"
        parts = (row["variant"], row["metric"], seed, row["key"], row["error"] or row["because"])
        echo(f"{row['status']:9} " + "  ".join(str(part) for part in parts if part))
    echo(_described(plan))


def _plan_rows(plan: Plan) -> Iterable[dict[str, Any]]:
    for p in plan.planned:
        place = {
            "variant": p.request.variant.name,
            "metric": p.request.metric,
            "seed": p.request.seed,
            "status": p.status,
        }
        yield {**place, "key": p.request.key, "error": p.error, "because": None}
    for variant, because in plan.ablation.excluded:
        place = {"variant": variant.name, "metric": None, "seed": None, "status": "excluded"}
        yield {**place, "key": None, "error": None, "because": because}


@click.command()
@click.argument("names", metavar="ABLATION...", nargs=-1, required=True)
@ablation_options
@click.option("--workers", type=click.IntRange(1), help="Processes at once. Default: cores over threads; 1 on a GPU.")
@click.option("--budget", type=Seconds(), help="Start no new job after this time: 30m.")
@click.option("--timeout", type=Seconds(), help="Longest time for one measurement, instead of the file's: 10m.")
@only_option
@rerun_option
@force_option
@click.option("--allow-noop", default="", metavar="REASON", help="Run although two variants are the same network.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--no-report", is_flag=True, help="Don't render the report at the end.")
def run(
    names: tuple[str, ...],
    store: Path,
    data: Path | None,
    dry_run: bool,
    no_report: bool,
    timeout: float | None,
    plugins: tuple[str, ...],
    overrides: tuple[str, ...],
    seeds: int | None,
    device: str | None,
    **how: Any,
) -> None:
    """Measure what is missing, then write the report.

    ABLATION is a file, or a name in the folder ablations/.

    Every result is stored at once: after a crash or Ctrl-C the same command goes on.
    Exit status: 0 all measured, 1 some measurements failed, 2 usage, 130 interrupted.
    """
    from bench.results.store import Store
    from bench.sweep.running import Job, run_all

    overrides = (*overrides, *([f"timeout={timeout}"] if timeout else []))
    ablations = [load_ablation(name, overrides, plugins, seeds, device) for name in names]
    check_metrics(ablations, how["only"])
    check_error_kinds(how["rerun"])
    with Store(store) as stored:
        job = Job(ablations, stored, data, **how)
        if dry_run:
            for plan in job.plans(reading=True):
                echo(_described(plan))
                echo_error(_power(plan)) if _power(plan) else None
            return
        failed = run_all(job, lambda plan: echo_error(_announced(plan)), _reporter(job, no_report))
    raise SystemExit(1 if failed else 0)


def _reporter(job: Job, no_report: bool) -> Callable[[Plan], None]:
    """Renders an ablation's page and prints its path."""

    def render_page(plan: Plan) -> None:
        from bench.report.render import SITE, render
        from bench.sweep.reading import read_results

        echo(render(read_results(plan.ablation, job.store, job.data), SITE, plan.ablation.plugins))

    return (lambda plan: None) if no_report else render_page


@click.command()
@click.argument("name", metavar="ABLATION")
@click.argument("request", required=False, metavar="[KEY|VARIANT|METRIC]")
@ablation_options
def why(name: str, request: str | None, store: Path, **options: Any) -> None:
    """Say why measurements of ABLATION are due.

    Shows which part of the key differs from what was measured before."""
    from bench.results.keys import difference
    from bench.results.store import Store

    with Store(store) as stored:
        plan = read_plan(stored, name, **options)
        chosen = [p for p in plan.planned if not request or request in (p.request.variant.name, p.request.metric)
                  or p.request.key.startswith(request)]  # fmt: skip
        if not chosen:
            raise click.ClickException(f"no measurement of {name} is called '{request}'; see: bench plan {name}")
        for p in chosen:
            echo(f"{p.status:7} {p.request.variant.name} {p.request.metric} {p.request.key}")
            if p.status == "due":
                for line in _nearest(p.request, stored, difference):
                    echo(f"        {line}")


def _nearest(request: Any, stored: Store, difference: Callable[..., Iterable[str]]) -> list[str]:
    earlier = [
        list(difference(request.parts, parts))
        for _, parts in stored.parts(request.variant.architecture, request.metric)
    ]
    return min(earlier, key=len, default=["never measured"])
