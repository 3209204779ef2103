"""The command `bench`. Every command imports what it needs when it runs, so that help and lists are instant."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from bench.ablation import Ablation
    from bench.registry import Entry
    from bench.store import Store
    from bench.sweep import Plan

F = TypeVar("F", bound=Callable[..., Any])

EXPECTED = Path("results") / "expected"


class Seconds(click.ParamType[Any]):
    """`90`, `45s`, `30m`, `2h` as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", str(value))
        if not match or float(match[1]) == 0:
            self.fail(f"'{value}' is no duration; write 45s, 30m or 2h", param, ctx)
        return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2] or "s"]


class Names(click.ParamType[Any]):
    """`a,b` as a tuple of names."""

    name = "name,.."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        return value if isinstance(value, tuple) else tuple(n.strip() for n in str(value).split(",") if n.strip())


class Shape(click.ParamType[Any]):
    """`3,224,224` (or `3x224x224`) as a tuple of sizes."""

    name = "C,H,W"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"[1-9]\d*([,x][1-9]\d*){0,3}", str(value)):
            self.fail(f"'{value}' is no shape; write channels, height, width: 3,224,224", param, ctx)
        return tuple(int(side) for side in re.split("[,x]", str(value)))


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


plugin = click.option(
    "--plugin", "plugins", multiple=True, metavar="MODULE|FILE.py", help="Also load this plug-in (repeatable)."
)
store_option = click.option(
    "--store",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("results") / "store.sqlite",
    envvar="FOVBENCH_STORE",
    show_default=True,
    help="The results store.",
)
data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    envvar="FOVBENCH_DATA",
    help="Folder of data sets. Default: $FOVBENCH_DATA, else embedded data only.",
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the file: train.steps=50."
)
seeds_option = click.option("--seeds", type=click.IntRange(1), help="Seeds 0 to N-1, instead of the file's.")
device_option = click.option("--device", help="cpu, cuda, cuda:1, ... instead of the file's.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
only_option = click.option("--only", type=Names(), default=(), help="Only these metrics, separated by commas.")
rerun_option = click.option(
    "--rerun", type=Names(), default=(), help="Measure errors again: failed (all), or oom, timeout, died, diverged."
)
force_option = click.option("--force", is_flag=True, help="Measure everything again; the old results stay as history.")
ablation_options = _options(plugin, store_option, data_option, set_option, seeds_option, device_option)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fovbench", prog_name="bench")
@click.option("--debug", is_flag=True, envvar="FOVBENCH_DEBUG", help="Show the traceback of an error.")
def bench(debug: bool) -> None:
    """Which part of a network earns its keep? Ablations that are measured, kept, compared and gated.

    \b
    bench list                             what there is to ablate
    bench measure fcn stride=32            one network: parameters, MACs, receptive field, latency
    bench run ablations/smoke.yaml         measure what is missing, then write the report
    bench table smoke                      the numbers
    bench gate smoke                       fail when something got worse
    """


SORTS = ("architectures", "ablations", "metrics", "tasks", "datasets")


@bench.command("list")
@click.argument("sort", type=click.Choice(SORTS), required=False)
@plugin
@json_option
def list_command(sort: str | None, plugins: tuple[str, ...], as_json: bool) -> None:
    """List what is registered: all of it, or one sort."""
    rows = [row for each in ([sort] if sort else SORTS) for row in _listed(each, plugins)]
    if as_json:
        _print_json(rows)
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for each in dict.fromkeys(row["sort"] for row in rows):
        click.secho(each, bold=True)
        for row in rows:
            if row["sort"] == each:
                click.echo(f"  {row['name']:{width}}  {row['summary']}")


def _listed(sort: str, plugins: tuple[str, ...]) -> list[dict[str, Any]]:
    if sort == "ablations":
        files = sorted(Path("ablations").glob("*.yaml"))
        return [{"sort": sort, "name": f.stem, "summary": _question(f), "file": f.as_posix()} for f in files]
    from bench.catalogue import declarations

    entries: Iterable[Entry] = getattr(declarations(plugins), sort)
    return [{"sort": sort, "name": e.name, "summary": e.summary, **_facets(e)} for e in entries]


def _facets(entry: Entry) -> dict[str, Any]:
    named = ("task", "source", "unit", "better", "kind", "tasks", "licence", "embedded")
    return {name: getattr(entry, name) for name in named if hasattr(entry, name)}


def _question(file: Path) -> str:
    """The question of an ablation without the price of a YAML parser."""
    try:
        match = re.search(r"^question:\s*(.+?)\s*$", file.read_text("utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return "(cannot be read)"
    return match[1].strip("'\"") if match else ""


@bench.command()
@click.argument("name")
@plugin
@json_option
def show(name: str, plugins: tuple[str, ...], as_json: bool) -> None:
    """Show axes, source and published facts of NAME."""
    from bench.registry import RegistryError, suggestion

    found = [(sort, row) for sort in SORTS for row in _listed(sort, plugins) if row["name"] == name]
    if not found:
        known = [row["name"] for sort in SORTS for row in _listed(sort, plugins)]
        raise RegistryError(f"nothing is called '{name}'{suggestion(name, known)}")
    for sort, row in found:
        shown = _shown(sort, row, plugins)
        _print_json([shown]) if as_json else _print_shown(shown)


def _shown(sort: str, row: dict[str, Any], plugins: tuple[str, ...]) -> dict[str, Any]:
    if sort == "ablations":
        return {**row, "text": Path(row["file"]).read_text("utf-8")}
    from bench.catalogue import declarations
    from bench.registry import text_of

    entry = getattr(declarations(plugins), sort).get(row["name"])
    axes = [
        {"axis": a.name, "takes": a.accepts(), "default": None if a.required else text_of(a.default)}
        for a in entry.axes
    ]
    facts = [
        {"quantity": f.quantity, "value": f.value, "when": dict(f.when), "source": f.source, **_small_print(f)}
        for f in getattr(entry, "facts", ())
    ]
    pattern = re.compile(rf"\b{re.escape(entry.name)}\b")
    users = [f.stem for f in sorted(Path("ablations").glob("*.yaml")) if pattern.search(_without_comments(f))]
    return {**row, "module": entry.module, "axes": axes, "facts": facts, "ablations": users}


def _small_print(fact: Any) -> dict[str, Any]:
    told = {"printed": fact.printed, "shape": fact.shape, "convention": fact.convention}
    return {**told, "disputed": fact.disputed, "note": fact.note}


def _without_comments(file: Path) -> str:
    return re.sub(r"^question:.*$|#.*$", "", file.read_text("utf-8", errors="replace"), flags=re.MULTILINE)


def _print_shown(shown: Mapping[str, Any]) -> None:
    click.secho(f"{shown['name']}  ({shown['sort'].rstrip('s')})", bold=True)
    for key, value in shown.items():
        if key in ("name", "sort") or value in (None, "", [], ()):
            continue
        if isinstance(value, list) and isinstance(value[0], dict):
            click.echo(f"{key}:")
            for row in value:
                click.echo("  " + _columns(row))
        elif key == "text":
            click.echo(value.rstrip())
        else:
            click.echo(f"{key}: {', '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}")


def _columns(row: Mapping[str, Any]) -> str:
    if "axis" in row:
        return f"{row['axis']:16} {row['takes']}" + (
            f"  (default {row['default']})" if row["default"] else "  (needed)"
        )
    when = ", ".join(f"{k}={v}" for k, v in row["when"].items())
    counted = f"{row['quantity']} ({row['convention']})" if row["convention"] else row["quantity"]
    doubt = "  (disputed)" if row["disputed"] else ""
    return f"{counted:24} {row['printed']:>14}  {when:38} {row['source']}{doubt}"


@bench.command()
@click.argument("target")
@click.argument("axes", nargs=-1, metavar="[AXIS=VALUE]...")
@click.option("--metrics", type=Names(), default=(), help="Metrics, separated by commas. Default: all without data.")
@click.option("--shape", type=Shape(), default=(3, 224, 224), show_default="3,224,224", help="Input size.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--dtype", default="float32", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--timeout", type=Seconds(), default=600.0, help="Longest time for one metric (10m).")
@plugin
@json_option
def measure(target: str, axes: tuple[str, ...], as_json: bool, **asked: Any) -> None:
    """Measure one network, registered or not.

    TARGET is a registered name, timm:NAME, torchvision:NAME, or file.py:callable.

    \b
    bench measure fcn stride=32 skips=false --shape 3,500,500
    bench measure timm:resnet50 --metrics params,macs
    """
    from bench.adhoc import measure_target

    measurements = measure_target(target, axes, **asked)
    if as_json:
        _print_json(_measurement_row(m) for m in measurements)
    else:
        _print_measurements(measurements)
    raise SystemExit(1 if any(m.error for m in measurements) else 0)


def _measurement_row(m: Any) -> dict[str, Any]:
    told = {"variant": m.variant.name, "metric": m.metric, "value": m.value, "unit": m.unit, "better": m.better}
    row = {**told, "samples": list(m.samples), "error": m.error, "exact": m.exact, "seed": m.seed}
    return {**row, "detail": dict(m.detail), "axes": m.variant.values, "environment": dict(m.environment)}


def _print_measurements(measurements: Sequence[Any]) -> None:
    if measurements:
        click.secho(measurements[0].variant.name, bold=True)
    for m in measurements:
        click.echo(f"  {m.metric:28} {_value_text(m)}")
        for name, part in m.detail.items():
            if not isinstance(part, (list, tuple)) and part not in ({}, None):
                click.echo(f"    {name:26} {_inline(part)}")


def _value_text(m: Any) -> str:
    if m.error:
        return f"error: {m.error}"
    if m.value is None:
        return "no single number"
    number = f"{m.value:,}" if m.exact else f"{m.value:.4g}"
    spread = "" if m.exact or len(m.samples) < 2 else f"  (median of {len(m.samples)})"
    return f"{number} {m.unit}".rstrip() + spread


def _inline(part: Any) -> str:
    if isinstance(part, Mapping):
        return ", ".join(f"{k} {_inline(v)}" for k, v in list(part.items())[:12]) + (" ..." if len(part) > 12 else "")
    return f"{part:,}" if isinstance(part, int) and not isinstance(part, bool) else str(part)


def _load(
    name: str, overrides: Sequence[str], plugins: Sequence[str], seeds: int | None, device: str | None
) -> Ablation:
    from bench.ablation import load

    extra = ([f"seeds={seeds}"] if seeds else []) + ([f"workload.device={device}"] if device else [])
    return load(name, [*overrides, *extra], plugins)


def _known_metrics(ablations: Sequence[Ablation], only: Sequence[str]) -> None:
    from bench.registry import RegistryError, suggestion

    known = list(dict.fromkeys(m.name for a in ablations for m in a.metrics))
    for name in only:
        if name not in known:
            raise RegistryError(f"--only {name}: the ablation has no such metric{suggestion(name, known)}")


def _known_sorts(rerun: Sequence[str]) -> None:
    from bench.registry import RegistryError, suggestion
    from bench.sweep import SORTS as ERRORS

    for name in rerun:
        if name not in ERRORS:
            raise RegistryError(f"--rerun {name}: no such sort of error{suggestion(name, ERRORS)}")


def _described(plan: Plan) -> str:
    from bench.progress import seconds_text

    counts = {status: plan.count(status) for status in ("due", "cached", "failed")}
    told = ", ".join(f"{n} {status}" for status, n in counts.items() if n or status != "failed")
    trials = len({p.cell.trial for p in plan.planned if p.cell.trial and p.status == "due"})
    if trials:
        told += f", {trials} trainings"
    if counts["due"]:
        known = f"about {seconds_text(plan.seconds)} on one worker" if plan.seconds else "time unknown"
        told += f"; {known}" + (f", {plan.unknown} without precedent" if plan.unknown and plan.seconds else "")
    excluded = len(plan.ablation.excluded)
    return f"{plan.ablation.name}: {told}" + (f"; {excluded} variants excluded" if excluded else "")


@bench.command("plan")
@click.argument("name", metavar="ABLATION")
@ablation_options
@only_option
@rerun_option
@force_option
@json_option
def plan_command(
    name: str,
    plugins: tuple[str, ...],
    store: Path,
    data: Path | None,
    overrides: tuple[str, ...],
    seeds: int | None,
    device: str | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Show every cell of ABLATION and its state. Builds nothing."""
    from bench.store import Store
    from bench.sweep import plan as make

    ablation = _load(name, overrides, plugins, seeds, device)
    _known_metrics([ablation], how["only"])
    _known_sorts(how["rerun"])
    with Store(store) as kept:
        plan = make(ablation, kept, data, reading=True, **how)
    rows = [*_plan_rows(plan)]
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        seed = "" if row["seed"] is None else f"seed {row['seed']}"
        why = row["error"] or row["because"] or ""
        click.echo(
            f"{row['status']:9} {row['variant']}  {row['metric'] or ''} {seed} {row['key'] or ''} {why}".rstrip()
        )
    click.echo(_described(plan))


def _plan_rows(plan: Plan) -> Iterable[dict[str, Any]]:
    for p in plan.planned:
        told = {"variant": p.cell.variant.name, "metric": p.cell.metric, "seed": p.cell.seed, "status": p.status}
        yield {**told, "key": p.cell.key, "error": p.error, "because": None}
    for variant, because in plan.ablation.excluded:
        told = {"variant": variant.name, "metric": None, "seed": None, "status": "excluded"}
        yield {**told, "key": None, "error": None, "because": because}


@bench.command()
@click.argument("names", metavar="ABLATION...", nargs=-1, required=True)
@ablation_options
@click.option("--workers", type=click.IntRange(1), help="Processes at once. Default: cores over threads; 1 on a GPU.")
@click.option("--budget", type=Seconds(), help="Start no new job after this time: 30m.")
@click.option("--timeout", type=Seconds(), help="Longest time for one cell, instead of the file's: 10m.")
@only_option
@rerun_option
@force_option
@click.option("--allow-noop", default="", metavar="REASON", help="Run although two variants are the same network.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--no-report", is_flag=True, help="Don't render the report at the end.")
def run(
    names: tuple[str, ...],
    plugins: tuple[str, ...],
    store: Path,
    data: Path | None,
    overrides: tuple[str, ...],
    seeds: int | None,
    device: str | None,
    dry_run: bool,
    no_report: bool,
    **how: Any,
) -> None:
    """Measure what is missing, then write the report.

    ABLATION is a file, or a name in the folder ablations/.

    Every result is kept the moment it is known: after a crash or Ctrl-C the same command goes on.
    Exit status: 0 all measured, 1 some cells failed, 2 usage, 130 interrupted.
    """
    from bench.running import Job, run_all
    from bench.store import Store

    overrides = (*overrides, *([f"timeout={how['timeout']}"] if how["timeout"] else []))
    ablations = [_load(name, overrides, plugins, seeds, device) for name in names]
    _known_metrics(ablations, how["only"])
    _known_sorts(how["rerun"])
    with Store(store) as kept:
        how.pop("timeout")
        job = Job(ablations, kept, data, **how)
        if dry_run:
            for plan in job.plans(reading=True):
                click.echo(_described(plan))
            return
        failed = run_all(job, lambda plan: _echo_error(_described(plan)), None if no_report else Path("reports"))
    raise SystemExit(1 if failed else 0)


def _read(
    kept: Store, name: str, plugins: Sequence[str], data: Path | None, overrides: Sequence[str], **more: Any
) -> Plan:
    """The plan of an ablation for reading what is kept; says on stderr what is not."""
    from bench.sweep import plan as make

    ablation = _load(name, overrides, plugins, more.get("seeds"), more.get("device"))
    plan = make(ablation, kept, data, reading=True)
    if plan.note:
        _echo_error(f"note: {plan.note}")
    if due := plan.count("due"):
        _echo_error(f"note: {due} of {len(plan.planned)} cells are not measured; bench run {ablation.path}")
    return plan


@bench.command()
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
    from bench.gather import gather
    from bench.store import Store
    from bench.table import table as rendered

    with Store(store) as kept:
        click.echo(rendered(gather(_read(kept, name, **asked), kept), form), nl=False)


@bench.command()
@click.argument("names", metavar="[ABLATION]...", nargs=-1)
@ablation_options
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("reports"), show_default=True, help="Folder of the reports."
)
def report(names: tuple[str, ...], store: Path, out: Path, **asked: Any) -> None:
    """Write reports/ABLATION/index.md and index.html.

    Reads what is kept. Default: every ablation that has something measured."""
    from bench.ablation import names as all_names
    from bench.gather import gather
    from bench.report import render
    from bench.store import Store

    with Store(store) as kept:
        for name in names or all_names():
            plan = _read(kept, name, **asked)
            if names or plan.count("cached"):
                click.echo(render(gather(plan, kept), out))


@bench.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@json_option
def compare(a: Path, b: Path, as_json: bool) -> None:
    """Compare two result sets, nothing dropped.

    A and B are results stores, or tables that `bench table --format csv` wrote.
    """
    from bench.compare import compare as joined
    from bench.compare import read

    lines = joined(read(a), read(b))
    if as_json:
        _print_json(vars(line) for line in lines)
        return
    for line in lines:
        change = f"({line.change:+.6g})" if line.change else line.error or ""
        click.echo(f"{line.status:9} {line.variant}  {line.metric}  {_or_dash(line.a)} -> {_or_dash(line.b)} {change}")
    counts = {status: sum(line.status == status for line in lines) for status in dict.fromkeys(x.status for x in lines)}
    click.echo(", ".join(f"{count} {status}" for status, count in counts.items()) or "both are empty")


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.10g}"


@bench.command()
@click.argument("name", metavar="ABLATION")
@ablation_options
def accept(name: str, store: Path, **asked: Any) -> None:
    """Commit to the numbers of ABLATION that `bench gate` checks."""
    from bench.gate import written
    from bench.store import Store

    with Store(store) as kept:
        plan = _read(kept, name, **asked)
        measured, missing = _deterministic(plan, kept)
    broken = [m for m in measured if m.error]
    if missing or broken:
        told = f"{len(missing)} cells are not measured and {len(broken)} failed"
        raise click.ClickException(f"{told}; first: bench run {plan.ablation.path} --rerun failed")
    EXPECTED.mkdir(parents=True, exist_ok=True)
    file = EXPECTED / f"{plan.ablation.name}.csv"
    file.write_text(written(measured), encoding="utf-8", newline="\n")
    click.echo(file)


def _deterministic(plan: Plan, kept: Store) -> tuple[list[Any], list[Any]]:
    """(measurements, cells without one) of the static metrics, named as in this ablation."""
    from dataclasses import replace

    planned = {p.cell.key: p.cell for p in plan.planned if p.cell.kind == "static"}
    found = {m.key: replace(m, variant=planned[m.key].variant) for m, _, _ in kept.measurements(planned)}
    return list(found.values()), [cell for key, cell in planned.items() if key not in found]


@bench.command()
@click.argument("name", metavar="ABLATION")
@ablation_options
@json_option
def gate(name: str, store: Path, as_json: bool, **asked: Any) -> None:
    """Fail when a deterministic number of ABLATION changed.

    \b
    exit 0 pass · 1 regression or change · 2 usage · 4 broken or missing · 5 unexpected win
    """
    from bench.gate import exit_code, read
    from bench.gate import gate as judged
    from bench.store import Store

    with Store(store) as kept:
        plan = _read(kept, name, **asked)
        measured, _ = _deterministic(plan, kept)
    file = EXPECTED / f"{plan.ablation.name}.csv"
    if not file.exists():
        _echo_error(f"error: {file} is not there; write it with: bench accept {name}")
        raise SystemExit(4)
    verdicts = judged(read(file.read_text("utf-8"), str(file)), measured)
    code = exit_code(verdicts)
    _print_json(vars(v) for v in verdicts) if as_json else _print_verdicts(verdicts)
    if code:
        missing = any(v.status == "missing" for v in verdicts)
        _echo_error(f"to measure: bench run {plan.ablation.path}") if missing else None
        _echo_error(f"to accept: bench accept {name}")
    raise SystemExit(code)


def _print_verdicts(verdicts: Sequence[Any]) -> None:
    for v in verdicts:
        if v.status != "same":
            change = v.error or f"expected {v.expected or 'nothing'}, measured {v.measured or 'nothing'}"
            click.echo(f"{v.status:8} {v.variant}  {v.metric}: {change}")
    same = sum(v.status == "same" for v in verdicts)
    click.echo(f"{same} of {len(verdicts)} numbers as expected")


@bench.command()
@click.argument("name", metavar="ABLATION")
@click.argument("cell", required=False, metavar="[KEY|VARIANT|METRIC]")
@ablation_options
def why(name: str, cell: str | None, store: Path, **asked: Any) -> None:
    """Say why cells of ABLATION are due.

    Shows which part of the key differs from what was measured before."""
    from bench.cells import difference
    from bench.store import Store

    with Store(store) as kept:
        plan = _read(kept, name, **asked)
        chosen = [p for p in plan.planned if not cell or cell in (p.cell.variant.name, p.cell.metric)
                  or p.cell.key.startswith(cell)]  # fmt: skip
        if not chosen:
            raise click.ClickException(f"no cell of {name} is called '{cell}'; see: bench plan {name}")
        for p in chosen:
            click.echo(f"{p.status:7} {p.cell.variant.name} {p.cell.metric} {p.cell.key}")
            if p.status == "due":
                for line in _nearest(p.cell, kept, difference):
                    click.echo(f"        {line}")


def _nearest(cell: Any, kept: Store, difference: Callable[..., Iterable[str]]) -> list[str]:
    earlier = [list(difference(cell.parts, parts)) for _, parts in kept.parts(cell.variant.architecture, cell.metric)]
    return min(earlier, key=len, default=["never measured"])


COLOURS = {None: None, "reproduced": "green", "disputed": "yellow", "off": "red", "broken": "red"}


@bench.command()
@click.argument("target", default="", metavar="[ARCHITECTURE]")
@plugin
@json_option
def verify(target: str, plugins: tuple[str, ...], as_json: bool) -> None:
    """Recompute published numbers: reproduced, or off by how much.

    ARCHITECTURE is a registered name, timm:NAME, torchvision:NAME, timm or torchvision. Default: all.

    \b
    exit 0 reproduced, or disputed as declared · 1 off · 2 usage · 4 could not be measured
    """
    from bench.verify import exit_code, lines, summary
    from bench.verify import verify as checked

    checks = checked(target, plugins)
    if as_json:
        _print_json(vars(check) for check in checks)
    else:
        for status, line in lines(checks):
            click.secho(line, fg=COLOURS[status], bold=status is None)
        click.echo(summary(checks))
    raise SystemExit(exit_code(checks))


@bench.group()
def data() -> None:
    """Data sets: which there are, where they lie, how to get them."""


@data.command("list")
@json_option
def data_list(as_json: bool) -> None:
    """List the data sets."""
    rows = _listed("datasets", ())
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        click.echo(f"{row['name']:16} {row['task']:14} {'embedded' if row['embedded'] else row['licence']}")


@data.command("path")
@click.argument("name")
@data_option
def data_path(name: str, data: Path | None) -> None:
    """Print the folders where NAME is looked for."""
    from bench.catalogue import declarations, live
    from bench.data.locate import locations

    entry = live(declarations().datasets.get(name))
    if entry.embedded:
        click.echo(f"{name} is drawn in memory; it has no files")
    elif data is None:
        raise click.ClickException("say where data sets lie: --data DIR or FOVBENCH_DATA")
    else:
        for path in locations(entry, data):
            click.echo(f"{path}  {'found' if path.is_dir() else 'not there'}")


@data.command("get")
@click.argument("name")
def data_get(name: str) -> None:
    """Say how NAME is obtained, and under what licence. Nothing is fetched behind your back."""
    from bench.catalogue import declarations

    entry = declarations().datasets.get(name)
    click.echo(f"{name}: {entry.summary}\nsource: {entry.source}\nlicence: {entry.licence}")
    click.echo("embedded: nothing to get" if entry.embedded else f"to get it: {entry.get}")


def _print_json(rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        click.echo(json.dumps(row, default=list))


def _echo_error(text: str) -> None:
    click.echo(text, err=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. An error is one or two plain lines and exit status 2; Ctrl-C says how to go on."""
    debug = "--debug" in (sys.argv if arguments is None else arguments) or bool(os.environ.get("FOVBENCH_DEBUG"))
    try:
        bench.main(arguments, prog_name="bench", standalone_mode=False)
    except click.exceptions.Abort:
        _echo_error("interrupted; what was measured is kept: run the same command again to go on")
        raise SystemExit(130) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(2) from None
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        if debug:
            raise
        _echo_error(f"error: {error.args[0] if isinstance(error, KeyError) and error.args else error}")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
