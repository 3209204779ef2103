"""The options and the output of a paired comparison: `bench compare --live`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bench.cli.options import Device, Dtype, Names, Seconds, Shape, echo, echo_error, plugin, print_json

if TYPE_CHECKING:
    from bench.gate.paired import Comparison

F = TypeVar("F", bound=Callable[..., Any])

COLOURS = {"pass": "green", "regression": "red", "broken": "red", "inconclusive": "yellow", "win": "cyan"}
MOST_TOLERANCE = 0.5


class Fraction(click.ParamType[Any]):
    """`3%` or `0.03` as 0.03."""

    name = "PERCENT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip()
        try:
            number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            number = 0.0
        if not 0 < number <= MOST_TOLERANCE:
            self.fail(f"'{value}' is no tolerance; write 3% or 0.03, at most {MOST_TOLERANCE:.0%}", param, ctx)
        return number


budget_option = click.option(
    "--budget", type=Seconds(), default=60.0, show_default="60s", help="Longest time for all comparisons together."
)
tolerance_option = click.option(
    "--tolerance", type=Fraction(), default=0.03, show_default="3%", help="By how much B may be slower or faster."
)
_WORKLOAD = (
    click.option("--shape", type=Shape(), default=None, help="Input size. Default: the ablation's, or 3,224,224."),
    click.option("--batch", type=click.IntRange(1), default=None, help="Images in a batch. Default: as above, or 1."),
    click.option("--device", type=Device(), default=None, help="cpu, cuda, cuda:1. Default: the ablation's, or cpu."),
    click.option("--dtype", type=Dtype(), default=None, help="float32, bfloat16, float16, float64."),
    click.option("--threads", type=click.IntRange(1), default=None, help="CPU threads. Default: the ablation's, or 1."),
    click.option("--compile", is_flag=True, default=None, help="Compile both with torch.compile."),
)
_OPTIONS = (
    click.option("--live", is_flag=True, help="Time A and B now, in processes that take turns, and decide."),
    click.option(
        "--metrics", type=Names(), default=("latency",), show_default="latency", help="Metrics of speed, with --live."
    ),
    *_WORKLOAD,
    budget_option,
    tolerance_option,
    plugin,
)


def workload_options(function: F) -> F:
    """The options that state on what both sides are timed; None where they are not given."""
    for option in reversed(_WORKLOAD):
        function = option(function)
    return function


def live_options(function: F) -> F:
    """The options of a live comparison."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def compare_live(
    a: str,
    b: str,
    as_json: bool,
    *,
    metrics: Sequence[str],
    budget: float,
    tolerance: float,
    plugins: Sequence[str],
    **workload: Any,
) -> None:
    """Time both sides, print the verdict of each metric. Exits with 4 where a side is broken, else with 0."""
    from bench.gate.paired import compared, task_of
    from bench.stats.paired import Rule
    from bench.sweep.sides import pairs_of

    how = {name: value for name, value in workload.items() if value is not None}
    pairs = pairs_of(a, b, metrics, how, tuple(plugins), budget)
    tasks = [task_of(name, metric, pair.groups()) for name, metric, pair in pairs]
    comparisons = compared(tasks, Rule(tolerance=tolerance), budget, say_round)
    if as_json:
        print_json(comparison.as_row() for comparison in comparisons)
    else:
        print_comparisons(comparisons)
    raise SystemExit(4 if any(each.verdict == "broken" for each in comparisons) else 0)


def say_round(comparison: Comparison) -> None:
    """Print to stderr how far a comparison is."""
    from bench.gate.paired_text import progress

    echo_error(progress(comparison))


def print_comparisons(comparisons: Iterable[Comparison]) -> None:
    """Each comparison: its verdict, then what it rests on."""
    from bench.gate.paired_text import lines

    for comparison in comparisons:
        first, *others = lines(comparison)
        echo(first, fg=COLOURS[comparison.verdict])
        for line in others:
            echo(f"  {line}")
