"""Commands on one network: measure, verify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bench.cli.errors import shows_tracebacks
from bench.cli.options import (
    Counts,
    Dtype,
    Names,
    Seconds,
    Shape,
    data_option,
    echo,
    json_option,
    plugin,
    print_json,
    store_option,
)


@click.command()
@click.argument("target")
@click.argument("axes", nargs=-1, metavar="[AXIS=VALUE]...")
@click.option("--metrics", type=Names(), default=(), help="Metrics: a,b. Default: all that fit and need no training.")
@click.option(
    "--shape",
    type=Shape(),
    default=(3, 224, 224),
    show_default="3,224,224",
    help="Input size: channels, height, width.",
)
@click.option("--batch", "batches", type=Counts(), default=(1,), show_default="1", help="Batch sizes: 1,2,4.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, mps.")
@click.option(
    "--dtype",
    type=Dtype(),
    default="float32",
    show_default=True,
    help="float32 (fp32), float64 (fp64), bfloat16 (bf16), float16 (fp16).",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@click.option(
    "--layout", type=click.Choice(["contiguous", "channels_last"]), default="contiguous", help="Memory layout."
)
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
@click.pass_context
def measure(
    context: click.Context,
    /,
    target: str,
    axes: tuple[str, ...],
    as_json: bool,
    weights: str,
    dataset: str,
    data: Path | None,
    store: Path,
    **workload: Any,
) -> None:
    """Measure one network, registered or not; nothing is stored.

    TARGET is a registered name, timm:NAME, torchvision:NAME, or file.py:callable. Where the task of
    the network is not stated, a metric that fits one task alone is measured only if --metrics names it.

    \b
    bench measure fcn stride=32 skips=false --shape 3,500,500
    bench measure timm:resnet50 --metrics params,macs
    bench measure timm:resnet50 --metrics latency,throughput --batch 1,2,4,8
    bench measure fcn stride=8 --weights a.safetensors --dataset boundaries --metrics miou

    With --weights or --dataset the default shape is 3,64,64, as in ablation files.
    """
    from bench.sweep.adhoc import measure_target
    from bench.sweep.scoring import score_target

    if weights or dataset:
        if context.get_parameter_source("shape") is ParameterSource.DEFAULT:
            workload["shape"] = None
        measurements = score_target(target, axes, weights, dataset, data=data, store=store, **workload)
    else:
        measurements = measure_target(target, axes, **workload)
    if as_json:
        print_json(_measurement_row(m) for m in measurements)
    else:
        _print_measurements(measurements)
    raise SystemExit(1 if any(m.error for m in measurements) else 0)


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
        for name, part in m.detail.items():
            if name == "uncounted" and part:
                echo(f"    {'leaves out':26} {', '.join(part)}", fg="yellow")
            elif not isinstance(part, (list, tuple)) and part not in ({}, None):
                echo(f"    {name:26} {_inline(part)}")


def _value_text(m: Any) -> str:
    if m.error:
        return f"error: {m.error}"
    if m.value is None:
        return "no single number"
    number = f"{m.value:,}" if m.exact else f"{m.value:.4g}"
    spread = "" if m.exact or len(m.samples) < 2 else f"  (median of {len(m.samples)})"
    at_least = "at least " if m.detail.get("uncounted") else ""
    return f"{at_least}{number} {m.unit}".rstrip() + spread


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
