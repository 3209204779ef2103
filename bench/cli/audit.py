"""The command audit: three counts of the FLOPs of one network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bench.cli.options import Shape, echo, json_option, plugin, print_json

if TYPE_CHECKING:
    from bench.structure.audit import Audit, Line

COLUMNS = ("operator", "runs", "MACs", "FLOPs", "fvcore", "torch")


@click.command()
@click.argument("target")
@click.argument("axes", nargs=-1, metavar="[AXIS=VALUE]...")
@click.option(
    "--shape",
    type=Shape(),
    default=(3, 224, 224),
    show_default="3,224,224",
    help="Input size: channels, height, width.",
)
@plugin
@json_option
def audit(target: str, axes: tuple[str, ...], shape: tuple[int, ...], plugins: tuple[str, ...], as_json: bool) -> None:
    """Compare three counts of FLOPs: ours, fvcore's and torch's, with the rule that explains each difference.

    TARGET is a registered name, timm:NAME, torchvision:NAME, smp:NAME, or file.py:callable. One forward pass of one
    input.

    \b
    bench audit fcn stride=8 --shape 3,120,160
    bench audit timm:vit_tiny_patch16_224
    exit 0 every number has a rule · 1 some have none · 2 usage
    """
    from bench.registry.targets import declared, runnable
    from bench.structure.audit import audit as audited
    from bench.structure.modes import in_eval
    from bench.sweep.adhoc import variant_of

    variant = variant_of(declared(target, plugins), axes)
    counts = audited(in_eval(runnable(target, plugins).build(**variant.values)), (1, *shape))
    if as_json:
        print_json({"variant": variant.name, **vars(line), "explained": line.explained} for line in counts.lines)
    else:
        echo(f"{variant.name} at {'x'.join(map(str, shape))}", bold=True)
        _print_table(counts)
    _print_verdict(counts, as_json)
    raise SystemExit(1 if counts.unexplained else 0)


def _print_table(counts: Audit) -> None:
    """A line for each operator that computes; one line for all that only move data."""
    shown = [line for line in counts.lines if line.flops or line.fvcore or line.torch or not line.explained]
    rows = [COLUMNS, *map(_row, shown), _row(_moves(counts, shown)), _total(counts)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    rules = ["rules", *map(_rules, shown), "", ""]
    for row, rule in zip(rows, rules, strict=True):
        numbers = [number.rjust(width) for number, width in zip(row[1:], widths[1:], strict=True)]
        echo("  ".join([row[0].ljust(widths[0]), *numbers, rule]).rstrip())


def _row(line: Line) -> tuple[str, ...]:
    numbers = (line.runs, line.macs, line.flops, line.fvcore, line.torch)
    return (line.operator, *("–" if n is None else f"{n:,}" for n in numbers))


def _moves(counts: Audit, shown: list[Line]) -> Line:
    """One line for the operators that only move data."""
    from bench.structure.audit import Line

    rest = [line for line in counts.lines if line not in shown]
    runs, fvcore = sum(line.runs for line in rest), None if counts.failure else 0
    return Line("moving data", runs, 0, 0, fvcore, 0, "", "")


def _total(counts: Audit) -> tuple[str, ...]:
    numbers = (sum(line.runs for line in counts.lines), counts.macs, counts.flops, counts.fvcore, counts.torch)
    return ("all", *("–" if n is None else f"{n:,}" for n in numbers))


def _rules(line: Line) -> str:
    fvcore = "" if line.fvcore is None else f"fvcore: {line.fvcore_rule or 'UNEXPLAINED'} · "
    ours = "" if line.counted else "ours: NO RULE · "
    return f"{ours}{fvcore}torch: {line.torch_rule or 'UNEXPLAINED'}"


def _print_verdict(counts: Audit, to_stderr: bool) -> None:
    from bench.structure.audit import MASKED

    if counts.failure:
        echo(f"fvcore has no count: {counts.failure}", err=to_stderr)
    if counts.uncounted:
        echo(f"our counts leave out: {', '.join(counts.uncounted)}", err=to_stderr)
    if counts.live < counts.macs:
        echo(f"live: {counts.live:,} of {counts.macs:,} MACs; {MASKED}", err=to_stderr)
    names = ", ".join(line.operator for line in counts.unexplained)
    verdict = f"no rule explains: {names}" if names else "every difference has a rule that predicts it"
    echo(verdict, fg="red" if names else "green", err=to_stderr)
