"""The command that counts one network three times: audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import Shape, json_option, plugin, print_json

if TYPE_CHECKING:
    from bench.structure.audit import Audit, Line

COLUMNS = ("operator", "runs", "MACs", "FLOPs", "fvcore", "torch")


@click.command()
@click.argument("target")
@click.argument("axes", nargs=-1, metavar="[AXIS=VALUE]...")
@click.option("--shape", type=Shape(), default=(3, 224, 224), show_default="3,224,224", help="Input size.")
@plugin
@json_option
def audit(target: str, axes: tuple[str, ...], shape: tuple[int, ...], plugins: tuple[str, ...], as_json: bool) -> None:
    """Count FLOPs three ways: ours, fvcore's, torch's, with the rule behind each difference.

    TARGET is a registered name, timm:NAME, torchvision:NAME, or file.py:callable. One forward pass of one input.

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
    found = audited(in_eval(runnable(target, plugins).build(**variant.values)), (1, *shape))
    if as_json:
        print_json({"variant": variant.name, **vars(line), "explained": line.explained} for line in found.lines)
    else:
        click.secho(f"{variant.name} at {'x'.join(map(str, shape))}", bold=True)
        _print_table(found)
    _print_verdict(found, as_json)
    raise SystemExit(1 if found.unexplained else 0)


def _print_table(found: Audit) -> None:
    """What computes, an operator a line; what only moves data is summed up in one."""
    shown = [line for line in found.lines if line.flops or line.fvcore or line.torch or not line.explained]
    rows = [COLUMNS, *map(_row, shown), _row(_moves(found, shown)), _total(found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    rules = ["rules", *map(_rules, shown), "", ""]
    for row, rule in zip(rows, rules, strict=True):
        requests = [
            row[0].ljust(widths[0]),
            *(request.rjust(width) for request, width in zip(row[1:], widths[1:], strict=True)),
        ]
        click.echo("  ".join([*requests, rule]).rstrip())


def _row(line: Line) -> tuple[str, ...]:
    numbers = (line.runs, line.macs, line.flops, line.fvcore, line.torch)
    return (line.operator, *("–" if n is None else f"{n:,}" for n in numbers))


def _moves(found: Audit, shown: list[Line]) -> Any:
    from bench.structure.audit import Line

    rest = [line for line in found.lines if line not in shown]
    runs, none = sum(line.runs for line in rest), None if found.failure else 0
    return Line("what moves data", runs, 0, 0, none, 0, "", "")


def _total(found: Audit) -> tuple[str, ...]:
    numbers = (sum(line.runs for line in found.lines), found.macs, found.flops, found.fvcore, found.torch)
    return ("all", *("–" if n is None else f"{n:,}" for n in numbers))


def _rules(line: Line) -> str:
    fvcore = "" if line.fvcore is None else f"fvcore: {line.fvcore_rule or 'UNEXPLAINED'} · "
    ours = "" if line.counted else "ours: NO RULE · "
    return f"{ours}{fvcore}torch: {line.torch_rule or 'UNEXPLAINED'}"


def _print_verdict(found: Audit, to_stderr: bool) -> None:
    from bench.structure.audit import MASKED

    if found.failure:
        click.echo(f"fvcore has no count: {found.failure}", err=to_stderr)
    if found.live < found.macs:
        click.echo(f"live: {found.live:,} of {found.macs:,} MACs; {MASKED}", err=to_stderr)
    names = ", ".join(line.operator for line in found.unexplained)
    verdict = f"no rule explains: {names}" if names else "every difference has a rule that predicts it"
    click.secho(verdict, fg="red" if names else "green", err=to_stderr)
