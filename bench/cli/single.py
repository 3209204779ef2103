"""Commands on one network: measure, verify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.errors import shows_tracebacks
from bench.cli.options import (
    Counts,
    Device,
    Dtype,
    Names,
    Seconds,
    Shape,
    Word,
    data_option,
    echo,
    echo_error,
    json_option,
    plugin,
    print_json,
    store_option,
)

if TYPE_CHECKING:
    from bench.results.location import Location
    from bench.results.measurement import Measurement
    from bench.sweep.adhoc import Target

DOES_NOT_APPLY = "does_not_apply"
"""The part of a detail that says why a metric has no meaning for a network."""


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="TARGET [AXIS=VALUE]... [TARGET ...]")
@click.option("--metrics", type=Names(), default=(), help="Metrics: a,b. Default: those that fit and are quick.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="An axis of every TARGET, or a key of the workload: workload.tf32=true (repeatable).",
)
@click.option(
    "--shape",
    type=Shape(),
    show_default="3,224,224",
    help="Input size without batch: channels, height, width; 1,16000 for a signal, 3,16,112,112 for a video.",
)
@click.option(
    "--inputs",
    default="",
    metavar="TENSORS|FILE.py:NAME",
    help="Several tensors, dicts or tokens in place of one image; see below.",
)
@click.option("--batch", "batches", type=Counts(), default=(1,), show_default="1", help="Batch sizes: 1,2,4.")
@click.option("--device", type=Device(), default="cpu", show_default=True, help="cpu, cuda, cuda:1, mps.")
@click.option(
    "--dtype",
    type=Dtype(),
    default="float32",
    show_default=True,
    help="float32 (fp32), float64 (fp64), bfloat16 (bf16), float16 (fp16).",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@click.option("--layout", type=Word(["contiguous", "channels_last"]), default="contiguous", help="Memory layout.")
@click.option("--compile", is_flag=True, help="Time the network compiled by torch.compile.")
@click.option("--graph", is_flag=True, help="Time the replay of a CUDA graph.")
@click.option("--timeout", type=Seconds(), default=600.0, help="Longest time for one metric (10m).")
@click.option("--weights", default="", metavar="FILE", help="Trained weights, to score: a.safetensors, a.pt, run:...")
@click.option(
    "--dataset", default="", metavar="NAME", help="What to score on: camvid, or {name: boundaries, noise: 0.1}."
)
@data_option
@store_option
@plugin
@json_option
def measure(
    words: tuple[str, ...],
    overrides: tuple[str, ...],
    as_json: bool,
    weights: str,
    dataset: str,
    data: Path | None,
    store: Location,
    **workload: Any,
) -> None:
    """Measure networks, registered or not; nothing is stored. Several are compared in one table.

    TARGET is a registered name, timm:NAME, torchvision:NAME, or file.py:NAME: a function, a class or a
    torch.nn.Module. Its named parameters are its axes. Without --metrics those are measured that fit the
    network and are quick; stderr says which, and what is left out.

    \b
    bench measure fcn stride=32 skips=false --shape 3,500,500
    bench measure net.py:Net width=0.5 depth=3
    bench measure timm:resnet18 timm:resnet50 --metrics params,macs,latency
    bench measure timm:resnet50 --metrics latency,throughput --batch 1,2,4,8

    --weights scores one network with trained weights, on --dataset or the embedded one of its task. The
    default shape is then 3,64,64, as in ablation files.

    \b
    bench measure fcn stride=8 --weights a.safetensors --dataset boundaries --metrics miou

    --inputs lists tensors as [NAME:]DTYPE[SIZES][<LIMIT]. With NAME a tensor is an argument by name. N among
    the sizes is the batch size. Integers are random, below LIMIT (2). Braces make a dict. FILE.py:NAME is a
    function or a value with example tensors; `example_inputs` beside a builder is used without the option.

    \b
    bench measure net.py:Net --inputs "ids:int64[N,16]<1000, mask:bool[N,16]"
    bench measure net.py:Siamese --inputs "float32[N,3,64,64], float32[N,3,64,64]" --batch 1,8
    bench measure net.py:Net --inputs "{image:float32[N,3,64,64], size:float32[N,2]}"
    bench measure net.py:Net --inputs data.py:one_batch

    \b
    exit 0 measured; what does not apply or cannot be measured says why · 1 a metric failed · 2 usage
    """
    from bench.sweep.adhoc import measure_targets, settings_of, targets_of
    from bench.sweep.progress import Reporter

    axes, settings = settings_of(overrides)
    workload |= settings

    if workload["inputs"] and workload["shape"]:
        raise click.UsageError("--shape is that of one image, and --inputs states all inputs: write one of the two")
    wanted = targets_of(words, axes)
    reporter = Reporter("measure")
    try:
        if weights or dataset:
            measurements = _scored(wanted, weights, dataset, data=data, store=store, **workload)
        else:
            measurements = measure_targets(wanted, say=echo_error, notify=reporter, **workload)
    finally:
        reporter.close()
    if as_json:
        print_json(_measurement_row(m) for m in measurements)
    elif len(wanted) > 1:
        _print_comparison(measurements)
    else:
        _print_measurements(measurements)
    failed = [m for m in measurements if m.error and (workload["metrics"] or not _cannot_be_measured(m))]
    raise SystemExit(1 if failed else 0)


def _scored(wanted: Sequence[Target], weights: str, dataset: str, *, inputs: str, **how: Any) -> list[Measurement]:
    """The scores of one network. Raises UsageError for several, and for inputs that are not the dataset's."""
    from bench.sweep.scoring import score_target

    if len(wanted) > 1 or inputs:
        raise click.UsageError("--weights and --dataset are for one TARGET, on the images of the dataset")
    return score_target(wanted[0].name, wanted[0].axes, weights, dataset, **how)


def _cannot_be_measured(m: Any) -> bool:
    """Whether a metric says itself why it has no number, or the network runs but cannot be recorded."""
    from bench.sweep.plan import ERRORS

    raised = str(m.error).partition(":")[0] in ERRORS
    return not raised or str(m.error).startswith("failed: StructureError")


def _measurement_row(m: Any) -> dict[str, Any]:
    row = {"variant": m.variant.name, "metric": m.metric, "value": m.value, "unit": m.unit, "better": m.better}
    row |= {"batch": m.workload.batch, "samples": list(m.samples), "error": m.error, "exact": m.exact, "seed": m.seed}
    row |= {"traceback": m.traceback}
    return {**row, "detail": dict(m.detail), "axes": m.variant.values, "environment": dict(m.environment)}


def _print_measurements(measurements: Sequence[Any]) -> None:
    from bench.results.failures import indented

    for place, m in enumerate(measurements):
        if not place or m.workload.batch != measurements[place - 1].workload.batch:
            echo(f"{m.variant.name}, batch {m.workload.batch}", bold=True)
        echo(f"  {m.metric:28} {_value_text(m)}")
        for line in indented(m.traceback) if shows_tracebacks() else ():
            echo(line)
        for name, part in m.detail.items() if DOES_NOT_APPLY not in m.detail else ():
            if name == "uncounted" and part:
                echo(f"    {'leaves out':26} {', '.join(part)}", fg="yellow")
            elif not isinstance(part, (list, tuple)) and part not in ({}, None):
                echo(f"    {name:26} {_inline(part)}")


def _value_text(m: Any) -> str:
    if m.error:
        return f"error: {m.error}"
    if DOES_NOT_APPLY in m.detail:
        return f"does not apply: {m.detail[DOES_NOT_APPLY]}"
    if m.value is None:
        return "no single number"
    number = f"{m.value:,}" if m.exact else f"{m.value:.4g}"
    spread = "" if m.exact or len(m.samples) < 2 else f"  (median of {len(m.samples)})"
    at_least = "at least " if m.detail.get("uncounted") else ""
    return f"{at_least}{number} {m.unit}".rstrip() + spread


def _print_comparison(measurements: Sequence[Any]) -> None:
    """A row for each metric, with its batch size where there are several; a column for each network."""
    variants = list(dict.fromkeys(m.variant.name for m in measurements))
    batches = {m.workload.batch for m in measurements}
    table: dict[str, dict[str, str]] = {}
    for m in measurements:
        at = f", batch {m.workload.batch}" if len(batches) > 1 and not m.exact else ""
        unit = f" ({m.unit})" if m.unit else ""
        table.setdefault(f"{m.metric}{unit}{at}", {})[m.variant.name] = _in_table(m)
    rows = [["", *variants], *([name, *(row.get(v, "-") for v in variants)] for name, row in table.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for place, row in enumerate(rows):
        cells = [row[0].ljust(widths[0]), *(each.rjust(width) for each, width in zip(row[1:], widths[1:], strict=True))]
        echo("  ".join(cells).rstrip(), bold=not place)
    for m in measurements:
        if m.error or DOES_NOT_APPLY in m.detail:
            echo_error(f"{m.variant.name} {m.metric}: {_value_text(m)}")


def _in_table(m: Any) -> str:
    if m.error or m.value is None:
        return "error" if m.error else "-"
    at_least = ">= " if m.detail.get("uncounted") else ""
    return at_least + (f"{m.value:,}" if m.exact else f"{m.value:.4g}")


def _inline(part: Any) -> str:
    if isinstance(part, Mapping):
        return ", ".join(f"{k} {_inline(v)}" for k, v in list(part.items())[:12]) + (" ..." if len(part) > 12 else "")
    return f"{part:,}" if isinstance(part, int) and not isinstance(part, bool) else str(part)


COLOURS = {None: None, "reproduced": "green", "disputed": "yellow", "off": "red", "broken": "red"}


@click.command()
@click.argument("target", default="", metavar="[ARCHITECTURE]")
@plugin
@json_option
def verify(target: str, plugins: tuple[str, ...], as_json: bool) -> None:
    """Recompute published numbers, and print by how much each is off.

    ARCHITECTURE is a registered name, timm:NAME, torchvision:NAME, timm or torchvision. Default: all.

    \b
    exit 0 reproduced, or disputed as declared · 1 off · 2 usage · 4 could not be measured
    """
    from bench.sweep.verify import exit_code, lines, summary
    from bench.sweep.verify import verify as checked

    checks = checked(target, plugins)
    if as_json:
        print_json(vars(check) for check in checks)
    else:
        for status, line in lines(checks):
            echo(line, fg=COLOURS[status], bold=status is None)
        echo(summary(checks))
    raise SystemExit(exit_code(checks))
