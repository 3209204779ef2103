"""Types of arguments, options, the loading of an ablation, and output, for all commands."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bench.registry.project import Project, project, with_project
from bench.spec.characters import printable

if TYPE_CHECKING:
    from bench.report.figures import FailedPlot
    from bench.results.location import Location
    from bench.results.results import Results
    from bench.results.store import Store
    from bench.spec.ablation import Ablation
    from bench.sweep.plan import Plan

F = TypeVar("F", bound=Callable[..., Any])

LINES = 500
"""How many lines are printed at once."""


def own_ablations(purpose: str) -> tuple[str, ...]:
    """The ablations of the project. Raises click.UsageError where it has none: which are meant for `purpose`?"""
    from bench.registry.builtin import own_names

    if not own_names():
        raise click.UsageError(
            f"the project has no file ablations/NAME.yaml; name the ablations to {purpose}: bench list"
        )
    return tuple(own_names())


class Seconds(click.ParamType[Any]):
    """`90`, `45s`, `30m`, `2h` as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", str(value))
        if not match or float(match[1]) == 0:
            self.fail(f"'{value}' is not a duration; write 45s, 30m or 2h", param, ctx)
        return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2] or "s"]


class Names(click.ParamType[Any]):
    """`a,b` as a tuple of names."""

    name = "name,.."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        return value if isinstance(value, tuple) else tuple(n.strip() for n in str(value).split(",") if n.strip())


class Counts(click.ParamType[Any]):
    """`1,2,4` as a tuple of numbers from 1."""

    name = "N,.."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", str(value)):
            self.fail(f"'{value}' is not a list of numbers from 1, such as 1,2,4", param, ctx)
        return tuple(dict.fromkeys(int(count) for count in str(value).split(",")))


class Dtype(click.ParamType[Any]):
    """`fp16` or `torch.float16` as `float16`."""

    name = "DTYPE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from bench.spec.dtypes import dtype_named

        try:
            return dtype_named(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Device(click.ParamType[Any]):
    """`cpu`, `cuda`, `cuda:1`, `mps`."""

    name = "DEVICE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from bench.spec.dtypes import device_named

        try:
            return device_named(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Word(click.Choice[str]):
    """One of some words; a mistyped one is refused with the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        word = str(value).strip().lower().replace("-", "_")
        if word not in self.choices:
            near = difflib.get_close_matches(word, self.choices, n=1, cutoff=0.5)
            hint = f", did you mean '{near[0]}'?" if near else ""
            self.fail(f"'{value}' is none of {', '.join(self.choices)}{hint}", param, ctx)
        return word


class Shape(click.ParamType[Any]):
    """`3,224,224` (or `3x224x224`) as a tuple of sizes: 1 to 4 of them, without the batch size."""

    name = "C,H,W"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"[1-9]\d*([,x][1-9]\d*){0,3}", str(value)):
            self.fail(
                f"'{value}' is not a shape; write channels, height, width: 3,224,224 (video: 3,16,112,112)", param, ctx
            )
        return tuple(int(side) for side in re.split("[,x]", str(value)))


class StorePlace(click.ParamType[Any]):
    """A file, or `postgresql://USER@HOST/DATABASE`."""

    name = "FILE|URL"

    def __init__(self, exists: bool = False) -> None:
        self._path = click.Path(path_type=Path, dir_okay=exists, exists=exists)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from bench.results.location import LocationError, Server, is_url, location_of

        if isinstance(value, Server):
            return value
        if not is_url(value):
            return self._path.convert(value, param, ctx)
        try:
            return location_of(str(value))
        except LocationError as error:
            self.fail(str(error), param, ctx)


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


def _of_project(value: Callable[[Project, Any], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback that completes what the command line says by what the project file does."""
    return lambda context, parameter, given: given if context.resilient_parsing else value(project(), given)


plugin = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="MODULE|FILE.py",
    callback=_of_project(lambda _, given: with_project(given)),
    help="Load this plug-in too (repeatable); those of the project file are loaded always.",
)
store_option = click.option(
    "--store",
    type=StorePlace(),
    envvar="FOVBENCH_STORE",
    show_default="of the project, or results/store.sqlite",
    callback=_of_project(lambda its, given: given or StorePlace().convert(its.store, None, None)),
    help="The results store: a file, or postgresql://USER@HOST/DATABASE.",
)
data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    envvar="FOVBENCH_DATA",
    callback=_of_project(lambda its, given: given or its.data),
    help="Folder of datasets. Default: $FOVBENCH_DATA, that of the project, or none: embedded datasets only.",
)
out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    show_default="of the project, or reports/site",
    callback=_of_project(lambda its, given: given or its.reports),
    help="Folder of the pages.",
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the file: train.steps=50."
)
seeds_option = click.option(
    "--seeds", type=click.IntRange(1), help="Seeds 0 to N-1, instead of the file's, also of adaptive ones."
)
device_option = click.option("--device", type=Device(), help="cpu, cuda, cuda:1, ... instead of the file's.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
only_option = click.option("--only", type=Names(), default=(), help="Only these metrics, separated by commas.")
rerun_option = click.option(
    "--rerun",
    type=Names(),
    default=(),
    help="Measure errors again: failed (all), oom, timeout, died, diverged.",
)
force_option = click.option("--force", is_flag=True, help="Measure everything again; the old results stay as history.")
from_option = click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Read this results bundle in place of the store.",
)
ablation_options = _options(plugin, store_option, data_option, set_option, seeds_option, device_option)


def load_ablation(
    name: str, overrides: Sequence[str], plugins: Sequence[str], seeds: int | None, device: str | None
) -> Ablation:
    """The ablation of a file or a name, with the options of the command line. Raises AblationError."""
    from bench.spec.ablation import load

    extra = ([f"seeds={seeds}"] if seeds else []) + ([f"workload.device={device}"] if device else [])
    return load(name, [*overrides, *extra], plugins)


def check_metrics(ablations: Sequence[Ablation], only: Sequence[str]) -> None:
    """Raises RegistryError where `--only` names a metric that no ablation measures."""
    from bench.registry import RegistryError, suggestion

    metrics = list(dict.fromkeys(metric.name for ablation in ablations for metric in ablation.metrics))
    for name in only:
        if name not in metrics:
            raise RegistryError(f"--only {name}: the ablation has no such metric{suggestion(name, metrics)}")


def check_error_kinds(rerun: Sequence[str]) -> None:
    """Raises RegistryError where `--rerun` names a kind of error that does not exist."""
    from bench.registry import RegistryError, suggestion
    from bench.sweep.plan import ERRORS

    for name in rerun:
        if name not in ERRORS:
            raise RegistryError(f"--rerun {name}: no such kind of error{suggestion(name, ERRORS)}")


def read_plan(
    stored: Store, name: str, plugins: Sequence[str], data: Path | None, overrides: Sequence[str], **more: Any
) -> Plan:
    """The plan of an ablation for reading what is stored; says on stderr what is not."""
    from bench.sweep.plan import plan

    ablation = load_ablation(name, overrides, plugins, more.get("seeds"), more.get("device"))
    planned = plan(ablation, stored, data, reading=True)
    if planned.note:
        echo_error(f"note: {planned.note}")
    if missing := sum(each.status in ("due", "waits") and not each.outdated for each in planned.whole):
        echo_error(f"note: {missing} of {len(planned.whole)} measurements are not stored; bench run {ablation.target}")
    return planned


def read_results(
    name: str,
    store: Location,
    data: Path | None,
    source: Path | None = None,
    quiet: bool = False,
    evaluations: bool = True,
    **options: Any,
) -> Results:
    """What is stored of an ablation, locally or in its bundle; stderr says what is missing and what is from where.

    Without `evaluations` those of the store stay unread.
    """
    from bench.results.store import Store
    from bench.sweep.reading import read_results as read

    ablation = load_ablation(name, **options)
    with Store(store) as stored:
        results = read(ablation, stored, data, source, evaluations)
    if missing := results.missing:
        count = f"{missing} of {len(results.expected)}"
        echo_error(f"note: {ablation.name}: {count} measurements are missing; bench run {ablation.target}")
    for note in () if quiet else results.notes:
        echo_error(f"note: {note}")
    return results


def say_failed_plot(plot: FailedPlot) -> None:
    """Print on stderr which plot could not draw its figures."""
    echo_error(f"note: {plot.error}; the page has a row for it" + (", with its traceback" if plot.traceback else ""))


def print_json(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object a line to stdout."""
    print_lines(_json_line(row) for row in rows)


def _json_line(row: Mapping[str, Any]) -> str:
    try:
        return ENCODER.encode(row)
    except ValueError:  # infinity or NaN, which are rare
        return ENCODER.encode(_finite(row))


def print_lines(lines: Iterable[str]) -> None:
    """Print to stdout, many lines at a time: each printing is flushed."""
    rest = iter(lines)
    while chunk := list(islice(rest, LINES)):
        echo("\n".join(chunk))


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else list(value)


ENCODER = json.JSONEncoder(default=_plain, allow_nan=False)


def _finite(value: Any) -> Any:
    """The value with infinity and NaN, which JSON does not have, as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, (list, tuple)) else value


def echo(text: object, nl: bool = True, err: bool = False, **style: Any) -> None:
    """Print to stdout or stderr, with a style of `click.style`; control characters in the text are escaped."""
    click.secho(printable(str(text)), nl=nl, err=err, **style)


def echo_error(text: str) -> None:
    """Print to stderr; control characters in the text are escaped."""
    echo(text, err=True)
