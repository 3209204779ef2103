"""Commands that plan and measure an ablation: plan, run, why."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.errors import shows_tracebacks
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
    out_option,
    print_json,
    print_lines,
    read_plan,
    rerun_option,
    say_failed_plot,
)

if TYPE_CHECKING:
    from bench.display.wording import EarlierSpread
    from bench.results.location import Location
    from bench.results.nearest import History
    from bench.results.store import Store
    from bench.spec.ablation import Ablation
    from bench.spec.variant import Variant
    from bench.sweep.plan import Plan, Planned
    from bench.sweep.running import Job


def _described(plan: Plan, stored: Store, force: bool = False, workers: int | None = 1) -> str:
    """What a run would do, and how long that will take on so many workers; None: as many as the run would take."""
    search = f"search: {_counted(plan.search, stored, force, workers)}; reported: " if plan.search else ""
    excluded = len(plan.ablation.excluded)
    text = f"{plan.ablation.name}: {search}{_counted(plan, stored, force, workers)}"
    return text + (f"; {excluded} variant{'s' * (excluded > 1)} excluded" if excluded else "")


def _counted(plan: Plan, stored: Store, force: bool, workers: int | None) -> str:
    """The numbers of measurements by status, the trainings that they need, and what these take."""
    from bench.sweep.forecast import cost_text, forecast_of
    from bench.sweep.running import workers_for

    counts = {status: plan.count(status) for status in ("due", "waits", "cached", "failed")}
    text = ", ".join(f"{n} {status}" for status, n in counts.items() if n or status in ("due", "cached"))
    ahead = plan.as_due()
    if training_runs := _trainings(ahead):
        text += f", {training_runs} training{'s' * (training_runs > 1)}"
    at_once = workers or workers_for([plan])
    if ahead.due:
        forecast = forecast_of(ahead, stored, force)
        cost = cost_text(ahead, forecast)
        text += f"; {forecast.text(at_once)}" + (f", cost {cost}" if cost else "")
    text += _later_steps(plan)
    if plan.ablation.adaptive is None or not plan.later:
        return text
    most = plan.at_most.as_due()
    longest = forecast_of(most, stored, force)
    text += f"; until decided: {training_runs} to {_trainings(most)} trainings"
    return text + (f", with all of them {longest.text(at_once)}" if longest.total(at_once).seconds else "")


def _later_steps(plan: Plan) -> str:
    """What the steps of a greedy path after the open one take at most; empty where none is open."""
    path = plan.ablation.greedy
    if path is None or not path.candidates:
        return ""
    runs, what = plan.later_runs
    open_step = f"; greedy path: step {len(path.taken) + 1} of {len(path.components)}"
    return f"{open_step}, at most {runs} {what} more in later steps" if runs else f"{open_step}, the last one"


def _trainings(plan: Plan) -> int:
    """How many trainings the due measurements need."""
    return len({request.training_run for request in plan.due if request.training_run})


def _power(plan: Plan) -> str:
    """What the seeds of this plan can tell at all; empty where no scores are compared."""
    from bench.display.wording import seeds_note

    compared = len(plan.ablation.variants) - 1
    trains = any(p.request.kind == "accuracy" for p in plan.planned)
    if not trains or not compared:
        return ""
    adaptive = f"adaptive seeds: {plan.ablation.adaptive.text}; " if plan.ablation.adaptive else ""
    return f"note: {adaptive}{seeds_note(len(plan.ablation.seeds), compared, _earlier(plan.ablation))}"


def _earlier(ablation: Ablation) -> EarlierSpread | None:
    """The spread over seeds in the committed results of this ablation, else of its architecture; None without any."""
    from bench.display.wording import EarlierSpread
    from bench.results.earlier import earlier_scores
    from bench.stats.moderation import moderated

    scores = [metric for metric in ablation.metrics if metric.kind == "accuracy"]
    main = next((metric for metric in scores if metric.name == ablation.main), scores[0])
    architecture = ablation.baseline.architecture
    family = earlier_scores(architecture, main.name)
    earlier = {key: values for key, values in family.items() if key[0] == ablation.name} or family
    common = moderated(earlier).common
    if common is None:
        return None
    names = sorted({name for name, _ in earlier})
    where = f"{len(earlier)} variants of {architecture} in {', '.join(names[:3])}{' and others' * (len(names) > 3)}"
    return EarlierSpread(main.display_name, "" if main.unit == "1" else main.unit, common**0.5, where)


def _announced(plan: Plan, job: Job) -> str:
    lines = (_described(plan, job.store, job.force, job.workers), *_notes(plan))
    return "\n".join(line for line in lines if line)


def _notes(plan: Plan) -> list[str]:
    return [line for line in (_power(plan), *(f"note: {remark}" for remark in plan.ablation.remarks)) if line]


@click.command("plan")
@click.argument("name", metavar="ABLATION")
@ablation_options
@only_option
@rerun_option
@force_option
@json_option
def plan_command(
    name: str,
    store: Location,
    data: Path | None,
    as_json: bool,
    only: tuple[str, ...],
    rerun: tuple[str, ...],
    force: bool,
    **options: Any,
) -> None:
    """Show every measurement of ABLATION and its state. Builds nothing."""
    from bench.results.keys import refuse_missing_files
    from bench.results.store import Store
    from bench.results.weights import named_weights, refuse_missing_weights
    from bench.sweep.noop import stored_twins
    from bench.sweep.plan import plan as make

    ablation = load_ablation(name, **options)
    check_metrics([ablation], only)
    check_error_kinds(rerun)
    refuse_missing_files(ablation)
    refuse_missing_weights(ablation, named_weights(ablation, store))
    with Store(store) as stored:
        plan = make(ablation, stored, data, rerun=rerun, force=force, only=only, reading=True)
        twins, tracebacks = stored_twins(plan, stored), _tracebacks(plan, stored)
        described = "" if as_json else _described(plan, stored, force)
    for line in (*([f"note: {twins}"] if twins else []), *_notes(plan)):
        echo_error(line)
    if as_json:
        print_json({**row, "traceback": tracebacks.get(row["key"], "")} for row in _plan_rows(plan))
        return
    print_lines(line for row in _plan_rows(plan) for line in _plan_lines(row, tracebacks))
    echo(described)


def _tracebacks(plan: Plan, stored: Store) -> dict[str, str]:
    """Key -> traceback of each failed measurement of the plan."""
    failed = [p.request.key for p in plan.whole if p.error is not None]
    return {record.measurement.key: record.measurement.traceback for record in stored.records(failed)}


def _plan_lines(row: Mapping[str, Any], tracebacks: Mapping[str, str]) -> Iterator[str]:
    yield _plan_line(row)
    yield from _traceback_lines(tracebacks.get(row["key"], ""))


def _traceback_lines(traceback: str) -> Iterable[str]:
    """On request, under the measurement that it belongs to."""
    from bench.results.failures import indented

    return indented(traceback) if shows_tracebacks() else ()


def _plan_line(row: Mapping[str, Any]) -> str:
    seed = None if row["seed"] is None else f"seed {row['seed']}"
    part = "search" if row["part"] == "search" else None
    parts = (part, row["variant"], row["metric"], seed, row["key"], row["error"] or row["because"])
    return f"{row['status']:9} " + "  ".join(str(part) for part in parts if part)


def _plan_rows(plan: Plan) -> Iterator[dict[str, Any]]:
    searched = {planned.request.key for planned in plan.search.planned} if plan.search else set()
    for p in plan.whole:
        place = {
            "variant": p.request.variant.name,
            "metric": p.request.metric,
            "seed": p.request.seed,
            "status": p.status,
        }
        because = "; ".join(p.outdated) or (_waits_for(plan) if p.status == "waits" else None)
        part = "search" if p.request.key in searched else "reported"
        yield {**place, "key": p.request.key, "error": p.error, "because": because, "part": part}
    for p in plan.later:
        place = {"variant": p.request.variant.name, "metric": p.request.metric, "seed": p.request.seed}
        because = "only while a comparison of its variant is inconclusive"
        yield {**place, "status": "later", "key": p.request.key, "error": None, "because": because, "part": "reported"}
    for variant, because in plan.ablation.excluded:
        place = {"variant": variant.name, "metric": None, "seed": None, "status": "excluded"}
        yield {**place, "key": None, "error": None, "because": because, "part": "reported"}


def _waits_for(plan: Plan) -> str:
    """What a measurement waits for."""
    names = ", ".join(plan.ablation.tune.names) if plan.ablation.tune else ""
    return f"{names} depends on the search"


@click.command()
@click.argument("names", metavar="ABLATION...", nargs=-1, required=True)
@ablation_options
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes at once. Default: as many as cores, and for trainings memory, allow; on GPUs by cards and cores.",
)
@click.option(
    "--on",
    default="",
    metavar="ray|HOST:PORT",
    help="Run on a Ray cluster: one that is started for this run, or the one whose head is there.",
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=1,
    help="Measure each speed and size of memory in so many processes, so that tables know how processes differ.",
)
@click.option("--budget", type=Seconds(), help="Start no new job after this time: 30m.")
@click.option("--timeout", type=Seconds(), help="Longest time for one measurement, instead of the file's: 10m.")
@only_option
@rerun_option
@force_option
@click.option("--allow-noop", default="", metavar="REASON", help="Run although two variants are the same network.")
@click.option("--keep-weights", is_flag=True, help="Keep the trained weights by the store, for weights: run:...")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--yes", is_flag=True, help="Don't ask before more than 1,000 measurements, or 24 hours.")
@click.option("--no-report", is_flag=True, help="Don't render the report at the end.")
@out_option
@click.option("--quiet", is_flag=True, help="No progress on stderr: only failures, the table and the page's path.")
@click.option("--verbose", is_flag=True, help="A line on stderr for each measurement that is stored.")
def run(
    names: tuple[str, ...],
    store: Location,
    data: Path | None,
    dry_run: bool,
    yes: bool,
    no_report: bool,
    out: Path,
    quiet: bool,
    verbose: bool,
    timeout: float | None,
    plugins: tuple[str, ...],
    overrides: tuple[str, ...],
    seeds: int | None,
    device: str | None,
    **how: Any,
) -> None:
    """Measure what is missing, then print the answer and the table, and write the report.

    ABLATION is a file, a name in the folder ablations/ of the project, or that of an ablation that fovbench brings
    along (`bench list ablations`). The last line is the path of the report.

    Before more than 1,000 measurements, or more than 24 hours by the forecast, it asks; --yes answers, and without a
    terminal it is needed.

    Every result is stored at once: after a crash or Ctrl-C the same command goes on.
    Exit status: 0 all measured, 1 some failed or their files changed meanwhile, 2 usage or a fault of the machine,
    130 interrupted.
    """
    from bench.results.store import Store
    from bench.sweep.running import Job, run_all

    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    overrides = (*overrides, *([f"timeout={timeout}"] if timeout else []))
    ablations = [load_ablation(name, overrides, plugins, seeds, device) for name in names]
    check_metrics(ablations, how["only"])
    check_error_kinds(how["rerun"])
    with Store(store) as stored:
        job = Job(ablations, stored, data, verbosity=verbose - quiet, **how)
        if dry_run:
            for plan in job.plans(reading=True):
                echo(_described(plan, stored, job.force, job.workers))
                for line in _notes(plan):
                    echo_error(line)
            return
        if not yes:
            _confirm(job)
        announce = (lambda plan: None) if quiet else (lambda plan: echo_error(_announced(plan, job)))
        failed = run_all(job, announce, _finisher(job, None if no_report else out))
    raise SystemExit(1 if failed else 0)


MOST_DUE = 1000
"""More measurements than this are not started without a question."""
MOST_SECONDS = 24 * 3600.0
"""A run that takes longer, as forecast, is not started without a question either."""


def _confirm(job: Job) -> None:
    """Ask before a run that is large by count or by forecast; where no person can answer, refuse it.

    Raises click.Abort for the answer no, ClickException where standard input is no terminal.
    """
    plans = job.plans(reading=True)
    parts = [part for plan in plans for part in (plan.search, plan) if part]
    due = sum(len(part.at_most.as_due().due) + part.later_measurements for part in parts)
    seconds = _seconds(plans, job)
    if due <= MOST_DUE and seconds <= MOST_SECONDS:
        return
    described = "\n".join(_described(plan, job.store, job.force, job.workers) for plan in plans)
    if not sys.stdin.isatty():
        limit = f"more than {MOST_DUE:,} measurements or {MOST_SECONDS / 3600:.0f} hours"
        raise click.ClickException(f"{described}\n{limit} are not started unasked; add --yes to the command")
    echo_error(described)
    click.confirm(f"Start {due:,} measurements?", abort=True, err=True)


def _seconds(plans: Sequence[Plan], job: Job) -> float:
    """What is due of all plans takes, as far as earlier measurements say; at most the budget."""
    from bench.sweep.forecast import forecast_of
    from bench.sweep.running import workers_for

    workers = job.workers or workers_for(plans)
    parts = [part for plan in plans for part in (plan.search, plan) if part]
    most = [part.at_most.as_due() for part in parts]
    total = sum(forecast_of(part, job.store, job.force).total(workers).seconds for part in most)
    return min(total, job.budget or total)


def _finisher(job: Job, out: Path | None) -> Callable[[Plan], None]:
    """Prints what failed of an ablation, its answer and table, and with `out` renders its page and prints its path."""

    def finish(plan: Plan) -> None:
        from bench.results.failures import failures_of, grouped

        for failure, count in grouped(failures_of(job.store.records(plan.keys))):
            echo_error("\n".join(failure.lines(shows_tracebacks(), count)))
        conclude(plan)

    def conclude(plan: Plan) -> None:
        from bench.report.page import answer_and_table
        from bench.report.render import render
        from bench.sweep.reading import read_results

        results = read_results(plan.ablation, job.store, job.data)
        echo(answer_and_table(results))
        if out is not None:
            echo(render(results, out, failed=say_failed_plot))

    return finish


@click.command()
@click.argument("name", metavar="ABLATION")
@click.argument("request", required=False, metavar="[KEY|VARIANT|METRIC]")
@ablation_options
def why(name: str, request: str | None, store: Location, **options: Any) -> None:
    """Say why measurements of ABLATION are due, and why others failed.

    Shows which part of the key differs from what was measured before, or which file changed since; of a failure the
    error, with --debug where."""
    from bench.results.nearest import History
    from bench.results.store import Store

    with Store(store) as stored:
        plan = read_plan(stored, name, **options)
        tracebacks = _tracebacks(plan, stored)
        chosen = [p for p in plan.whole if not request or request in (p.request.variant.name, p.request.metric)
                  or p.request.key.startswith(request)]  # fmt: skip
        if not chosen:
            raise click.ClickException(f"no measurement of {name} is called '{request}'; see: bench plan {name}")
        history, recipes = History(stored), _recipes(plan, stored)
        print_lines(line for p in chosen for line in _explained(p, history, tracebacks, recipes))


def _recipes(plan: Plan, stored: Store) -> dict[Variant, str]:
    """Variant -> what the search gave it, in words; empty without a search."""
    from bench.display.tuning import choice_words
    from bench.results.loading import named_by
    from bench.results.tuned import tuned_of, tuning_of

    if plan.search is None:
        return {}
    tuned = tuned_of(plan.ablation, named_by(plan.search.requests, stored.records(plan.search.keys)))
    tuning = tuning_of(plan.ablation, tuned)
    return {variant: choice_words(tuning, each) for variant, each in tuned.items()} if tuning else {}


def _explained(
    planned: Planned, history: History, tracebacks: Mapping[str, str], recipes: Mapping[Variant, str]
) -> Iterator[str]:
    request = planned.request
    yield f"{planned.status:7} {request.variant.name} {request.metric} {request.key}"
    if request.kind == "accuracy" and request.variant in recipes:
        yield f"        {recipes[request.variant]}"
    if planned.error:
        yield f"        {planned.error}"
        yield from _traceback_lines(tracebacks.get(request.key, ""))
    if planned.status == "due":
        yield from (f"        {line}" for line in planned.outdated or history.differences(request))
