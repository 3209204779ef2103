"""Commands that fail when something got worse: accept, gate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.live import budget_option, print_comparisons, say_round, tolerance_option
from bench.cli.options import Names, echo, echo_error, json_option, plugin, print_json, set_option, store_option

if TYPE_CHECKING:
    from bench.gate.against import Against
    from bench.gate.expectations import Check


@click.command()
@click.argument("names", metavar="ABLATION...", nargs=-1, required=True)
@plugin
@store_option
@set_option
def accept(names: tuple[str, ...], store: Path, plugins: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    """Write the expected numbers of ABLATION, which `bench gate` checks.

    The file is results/expected/ABLATION.csv. Static metrics that are not stored are measured first."""
    from bench.gate.expectations import accept_all, own_folder
    from bench.results.store import Store
    from bench.spec.ablation import load
    from bench.sweep.running import measure_static

    with Store(store) as stored:
        plans = measure_static([load(name, overrides, plugins) for name in names], stored)
        for path in accept_all([(plan.ablation, plan.requests) for plan in plans], stored, own_folder()):
            echo(path)


@click.command()
@click.argument("names", metavar="[ABLATION]...", nargs=-1)
@plugin
@store_option
@set_option
@json_option
@click.option("--against", metavar="REV", default="", help="Compare with a revision of git, and time what differs.")
@click.option(
    "--metrics", type=Names(), default=("latency", "memory"), show_default="latency,memory", help="With --against."
)
@click.option("--history", type=click.Path(path_type=Path, dir_okay=False), help="Append the numbers to this file.")
@budget_option
@tolerance_option
def gate(
    names: tuple[str, ...],
    store: Path,
    plugins: tuple[str, ...],
    overrides: tuple[str, ...],
    as_json: bool,
    against: str,
    history: Path | None,
    **timing: Any,
) -> None:
    """Fail when a deterministic number of ABLATION changed. Default: all ablations with expectations.

    Parameters, MACs, receptive fields, graphs and the like are compared with results/expected/ABLATION.csv. What is not
    stored is measured; that needs no dataset and trains nothing.

    With --against REV the expectations are the numbers of that revision, and what runs other code than there is timed
    against it, both sides at once in turns; --budget is for all of that. What has the same code is not timed.

    \b
    bench gate                                the committed expectations
    bench gate --against main --budget 5m     this working tree against a branch
    bench gate --against HEAD~1 --history results/history.jsonl      and keep the numbers for bench history
    exit 0 pass · 1 regression or change · 2 usage · 3 inconclusive · 4 broken or missing · 5 unexpected win
    """
    import bench
    from bench.gate.expectations import NOTHING_TO_COMPARE, NoExpectationsError

    if against:
        outcome = bench.gate_against(against, *names, store=store, plugins=plugins, notify=say_round, **timing)
        if history:
            _append(history, names, store, plugins, outcome)
        raise SystemExit(_print_against(outcome, as_json))
    try:
        result = bench.gate(*names, store=store, settings=overrides, plugins=plugins)
    except NoExpectationsError as error:
        echo_error(f"error: {error}")
        raise SystemExit(NOTHING_TO_COMPARE) from None
    if history:
        _append(history, names or tuple({check.ablation: "" for check in result.checks}), store, plugins)
    print_json(vars(check) for check in result.checks) if as_json else _print_checks(result.checks)
    if result.exit_code:
        changed = dict.fromkeys(check.ablation for check in result.checks if check.verdict != "same")
        echo_error(f"to accept what is right: bench accept {' '.join(changed)}")
    raise SystemExit(result.exit_code)


def _append(
    file: Path, names: Sequence[str], store: Path, plugins: Sequence[str], outcome: Against | None = None
) -> None:
    """Append the static numbers of now, and the times of a paired run, to a history file."""
    from bench.cli.history import append_numbers
    from bench.gate.trends import timed
    from bench.registry.builtin import names as own_names
    from bench.sweep.recording import paired_numbers, static_numbers

    numbers = static_numbers(names or tuple(own_names()), store, plugins)
    numbers += paired_numbers(list(timed(outcome.comparisons, outcome.revision)) if outcome else [], plugins)
    append_numbers(numbers, [file])


def _print_checks(checks: Iterable[Check]) -> None:
    rows = list(checks)
    _print_changes(rows)
    same = sum(check.verdict == "same" for check in rows)
    ablations = len({check.ablation for check in rows})
    echo(f"{same} of {len(rows)} numbers as expected" + (f" in {ablations} ablations" if ablations > 1 else ""))


def _print_changes(checks: Iterable[Check]) -> None:
    for check in checks:
        if check.verdict != "same":
            change = check.error or f"expected {check.expected or 'nothing'}, measured {check.measured or 'nothing'}"
            echo(f"{check.verdict:8} {check.ablation}: {check.variant}  {check.metric}: {change}")


def _print_against(result: Against, as_json: bool) -> int:
    if as_json:
        rows = [{"kind": "number", **vars(check)} for check in result.checks]
        rows += [{"kind": "timing", **each.as_row()} for each in result.comparisons]
        end = {
            "kind": "summary",
            "against": result.revision,
            "unchanged": result.unchanged,
            "exit_code": result.exit_code,
        }
        print_json([*rows, end])
        return result.exit_code
    from bench.gate.against import headline

    _print_changes(headline(result.checks))
    print_comparisons(result.comparisons)
    timed = len({each.name for each in result.comparisons})
    echo(f"against {result.revision}: {timed} variants timed; {result.unchanged} have the same code and were not")
    return result.exit_code
