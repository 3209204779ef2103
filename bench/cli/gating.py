"""Commands that fail when something got worse: accept, gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.ci_outputs import Outputs, output_options
from bench.cli.live import budget_option, print_comparisons, say_round, tolerance_option
from bench.cli.options import (
    Names,
    echo,
    echo_error,
    json_option,
    own_ablations,
    plugin,
    print_json,
    print_lines,
    set_option,
    store_option,
)
from bench.spec.characters import printable

if TYPE_CHECKING:
    from bench.gate.against import Against
    from bench.gate.expectations import Check
    from bench.results.location import Location


@click.command()
@click.argument("names", metavar="[ABLATION]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All ablations of the project.")
@plugin
@store_option
@set_option
def accept(
    names: tuple[str, ...], everything: bool, store: Location, plugins: tuple[str, ...], overrides: tuple[str, ...]
) -> None:
    """Write the expected numbers of ABLATION, which `bench gate` checks.

    The file is results/expected/ABLATION.csv. It has the static metrics that the ablation names, and those that the
    gate compares in any case (docs/gate.md). What is not stored is measured first."""
    from bench.gate.expectations import accept_all, own_folder
    from bench.results.store import Store
    from bench.spec.ablation import load
    from bench.sweep.running import measure_static
    from bench.sweep.structure import with_structure

    if bool(names) == everything:
        raise click.UsageError("name the ablations, or write --all for all of the project")
    chosen_names = names or own_ablations("accept")
    with Store(store) as stored:
        ablations = [load(name, overrides, plugins) for name in chosen_names]
        plans = measure_static([with_structure(ablation) for ablation in ablations], stored)
        chosen = [(ablation, plan.requests) for ablation, plan in zip(ablations, plans, strict=True)]
        for path in accept_all(chosen, stored, own_folder()):
            echo(path)


@click.command()
@click.argument("names", metavar="[ABLATION]...", nargs=-1)
@plugin
@store_option
@set_option
@json_option
@click.option("--details", is_flag=True, help="Print every number that is not as expected, in full.")
@click.option("--claims", is_flag=True, help="Fail where the results contradict a claim of the source.")
@click.option("--accuracy", is_flag=True, help="Compare the stored scores with those of the committed bundle too.")
@click.option(
    "--margin",
    type=click.FloatRange(0, min_open=True),
    default=None,
    help="With --accuracy, how much worse a score may be, in its unit. Default: 0.01 of fractions, 5 % of others.",
)
@click.option("--against", metavar="REV", default="", help="Compare with a revision of git, and time what differs.")
@click.option(
    "--metrics", type=Names(), default=("latency", "memory"), show_default="latency,memory", help="With --against."
)
@click.option("--history", type=click.Path(path_type=Path, dir_okay=False), help="Append the numbers to this file.")
@budget_option
@tolerance_option
@output_options
def gate(
    names: tuple[str, ...],
    store: Location,
    plugins: tuple[str, ...],
    overrides: tuple[str, ...],
    as_json: bool,
    against: str,
    details: bool,
    claims: bool,
    accuracy: bool,
    margin: float | None,
    outputs: Outputs,
    history: Path | None,
    **timing: Any,
) -> None:
    """Fail when a deterministic number of ABLATION changed, or a network no longer runs. Default: all ablations with
    expectations.

    Parameters, MACs, receptive fields, graphs and the like are compared with results/expected/ABLATION.csv. What is not
    stored is measured; that needs no dataset and trains nothing.

    With --against REV the expectations are the numbers of that revision, and what runs other code than there is timed
    against it, both sides at once in turns; --budget is for all of that. What has the same code is not timed.

    \b
    bench gate                                the committed expectations
    bench gate fcn_skips --accuracy           the scores in the store against the committed seeds
    bench gate --against main --budget 5m     this working tree against a branch
    bench gate --summary auto --junit gate.xml --annotations github     in CI
    bench gate --against HEAD~1 --history results/history.jsonl      and keep the numbers for bench history
    exit 0 pass · 1 regression or change · 2 usage · 3 inconclusive · 4 broken or missing · 5 unexpected win
    """
    _refuse_contradictions(names, against, claims, accuracy, margin)
    common: dict[str, Any] = {"store": store, "plugins": plugins, "settings": overrides}
    if against:
        code = _gate_against(against, names, common, timing, outputs, history, as_json, details)
    else:
        asked = {"claims": claims, "accuracy": accuracy, "margin": margin}
        code = _gate_expected(names, common, asked, outputs, history, as_json, details)
    raise SystemExit(code)


def _refuse_contradictions(
    names: Sequence[str], against: str, claims: bool, accuracy: bool, margin: float | None
) -> None:
    if against and (claims or accuracy or margin):
        raise click.UsageError("--claims, --accuracy and --margin do not go with --against")
    if accuracy and not names:
        raise click.UsageError("--accuracy needs the names of the ablations that were run")
    if margin is not None and not accuracy:
        raise click.UsageError("--margin goes with --accuracy")


def _gate_against(
    revision: str,
    names: Sequence[str],
    common: Mapping[str, Any],
    timing: Mapping[str, Any],
    outputs: Outputs,
    history: Path | None,
    as_json: bool,
    details: bool,
) -> int:
    """Compare with a revision, print and write the outcome; the exit code."""
    import bench
    from bench.gate.output.outcome import outcome_against
    from bench.registry.builtin import own_names

    outcome: Against = bench.gate_against(revision, *names, **common, notify=say_round, **timing)
    outputs.write(outcome_against(outcome), as_json)
    _print_against(outcome, as_json, details)
    if history:
        _append(history, _readable(outcome.checks, names or own_names()), **common, outcome=outcome)
    return outcome.exit_code


def _gate_expected(
    names: Sequence[str],
    common: Mapping[str, Any],
    asked: Mapping[str, Any],
    outputs: Outputs,
    history: Path | None,
    as_json: bool,
    details: bool,
) -> int:
    """Compare with the committed expectations, print and write the outcome; the exit code."""
    import bench
    from bench.gate.expectations import NOTHING_TO_COMPARE, NoExpectationsError
    from bench.gate.hints import hints
    from bench.gate.output.outcome import outcome_of_checks

    try:
        result = bench.gate(*names, **common, **asked)
    except NoExpectationsError as error:
        echo_error(f"error: {error}")
        return NOTHING_TO_COMPARE
    helpful = tuple(hints(result.checks, names, common["plugins"], common["settings"]))
    outputs.write(outcome_of_checks(result.checks, result.exit_code, helpful), as_json)
    print_json(vars(check) for check in result.checks) if as_json else _print_checks(result.checks, details)
    for hint in helpful:
        echo_error(str(hint))
    if history:
        every = tuple(dict.fromkeys(check.ablation for check in result.checks))
        _append(history, _readable(result.checks, names or every), **common)
    return result.exit_code


def _readable(checks: Sequence[Check], names: Sequence[str]) -> tuple[str, ...]:
    """Those of these ablations that can be read now: a check of nothing in it says that one cannot, or is gone."""
    unread = {check.ablation for check in checks if not check.variant and not check.metric}
    return tuple(name for name in names if Path(name).stem not in unread)


def _append(
    file: Path,
    names: Sequence[str],
    store: Location,
    plugins: Sequence[str],
    settings: Sequence[str],
    outcome: Against | None = None,
) -> None:
    """Append the static numbers of now, and the times of a paired run, to a history file."""
    from bench.cli.history import append_numbers
    from bench.gate.trends import timed
    from bench.sweep.recording import paired_numbers, static_numbers

    numbers = static_numbers(names, store, plugins, settings)
    times = list(timed(outcome.comparisons, outcome.revision)) if outcome else []
    numbers += paired_numbers(times, names, plugins, settings)
    if numbers:
        append_numbers(numbers, [file])
    else:
        echo_error(f"{file}: nothing is added, since no ablation can be read")


def _print_checks(checks: Sequence[Check], details: bool) -> None:
    from bench.gate.summary import lines

    _print_changes(checks) if details else print_lines(printable(str(line)) for line in lines(checks))
    numbers = [check for check in checks if check.metric]
    same = sum(check.verdict == "same" for check in numbers)
    ablations = len({check.ablation for check in numbers})
    echo(f"{same} of {len(numbers)} numbers as expected" + (f" in {ablations} ablations" if ablations > 1 else ""))


def _print_changes(checks: Iterable[Check]) -> None:
    for check in checks:
        if check.verdict != "same":
            change = check.error or f"expected {check.expected or 'nothing'}, measured {check.measured or 'nothing'}"
            what = "  ".join(filter(None, (check.variant, check.metric)))
            echo(f"{check.verdict:8} {check.ablation}: {f'{what}: ' if what else ''}{change}")


def _print_against(result: Against, as_json: bool, details: bool) -> None:
    if as_json:
        rows = [{"kind": "number", **vars(check)} for check in result.checks]
        rows += [{"kind": "timing", **each.as_row()} for each in result.comparisons]
        end = {
            "kind": "summary",
            "against": result.revision,
            "unchanged": result.unchanged,
            "untimed": [{"name": name, "why": why} for name, why in result.untimed],
            "exit_code": result.exit_code,
        }
        print_json([*rows, end])
        return
    from bench.gate.summary import lines

    if details:
        _print_changes(result.checks)
    else:
        print_lines(printable(str(line)) for line in lines(result.checks, result.revision))
    print_comparisons(result.comparisons)
    timed = len({each.name for each in result.comparisons})
    echo(f"against {result.revision}: {timed} variants timed; not timed: {_reasons(result) or 'none'}")


def _reasons(result: Against) -> str:
    """`2 with the same code in both revisions, 1 broken, before or now`."""
    counts = Counter(why for _, why in result.untimed)
    return "; ".join(f"{count} {why}" for why, count in counts.items())
