"""A results bundle: one ablation's measurements as text and small arrays, to be committed and read anywhere.

`measurements.csv`   one row for each variant, metric and seed: mean, spread, settings, key
`samples.json`       the samples of measurements that have several, details, tracebacks of failures, files read
`contributions.npz`  what each block of images contributes to a score (for confidence intervals)
`curves.npz`         curves over training steps and the small arrays that figures read
`pictures/`          a few inputs and outputs as PNG, of datasets whose licence allows it
`meta.json`          variants, settings, environments, code digests, facts of each training run

Reading a bundle needs neither the dataset, nor the network's source, nor torch.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.registry.builtin import home
from bench.registry.project import project
from bench.registry.writing import present, replacing_folder
from bench.results.conditions import with_clock
from bench.results.measurement import Evaluation, Measurement, Record
from bench.results.packing import tuples
from bench.results.pictures import read_pictures, write_pictures
from bench.results.signature import Signature
from bench.spec.characters import csv_field, from_csv_field
from bench.spec.inputs import workload_from
from bench.spec.variant import Variant
from bench.stats.descriptive import deviation, mean, median, quantile

FOLDER = Path("results") / "reference"
"""Where bundles are committed, below the project's folder."""
LAYOUT = 1
LIMIT = 1_000_000
"""Bytes that a bundle may have: it is committed."""

COLUMNS = (
    "id", "variant", "metric", "seed", "value", "n", "mean", "sd", "q1", "q3", "unit", "better", "kind", "exact",
    "error", "duration", "created", "key", "settings", "workload", "environment",
)  # fmt: skip


FILES = ("meta.json", "measurements.csv", "samples.json", "contributions.npz", "curves.npz")


class BundleError(RuntimeError):
    """A folder that is no results bundle of this layout, or a bundle that is too large."""


@dataclass(frozen=True)
class Bundle:
    """One ablation's records and evaluations; `signatures` are what the no-op check read of each network."""

    name: str
    records: tuple[Record, ...]
    evaluations: Mapping[tuple[Variant, int], Evaluation] = field(default_factory=dict)
    signatures: Mapping[Variant, Signature] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def folder_of(name: str, builtin: bool = False) -> Path:
    """The folder of an ablation's bundle in the project; of a `builtin` one without it, that of fovbench."""
    own = project().place(str(FOLDER), name)
    ours = home() / FOLDER / name
    return ours if builtin and not is_bundle(own) and is_bundle(ours) else own


def bundled_names(folder: Path = FOLDER) -> list[str]:
    """The ablations that have a bundle in a folder of bundles."""
    places = [path.parent for path in folder.glob("*/meta.json") if path.parent.suffix != ".part"]
    return sorted({place.stem[1:] if place.name.startswith(".") else place.name for place in places})


def is_bundle(folder: Path) -> bool:
    """Whether there is a bundle in the folder, complete or damaged."""
    return (present(folder) / "meta.json").is_file()


def write(bundle: Bundle, folder: Path) -> Path:
    """Write the bundle in place of an earlier one, in one step.

    Raises BundleError where it is empty or larger than 1 MB, or where the folder holds something else than a bundle.
    """
    _check(bundle, folder)
    with replacing_folder(folder) as temporary:
        _fill(bundle, temporary)
        size = sum(path.stat().st_size for path in temporary.rglob("*") if path.is_file())
        if size > LIMIT:
            raise BundleError(f"{folder}: the bundle has {size:,} bytes, and {LIMIT:,} are allowed")
    return folder


def _check(bundle: Bundle, folder: Path) -> None:
    if not bundle.records:
        raise BundleError(f"nothing is stored of {bundle.name}; measure it with: bench run {bundle.name}")
    if folder.exists() and not (folder / "meta.json").is_file() and any(folder.iterdir()):
        raise BundleError(f"{folder}: not overwritten, since it is not empty and not a results bundle")
    places = [(r.measurement.variant, r.measurement.metric, r.measurement.seed) for r in bundle.records]
    if len(set(places)) < len(places):
        raise BundleError(f"{bundle.name}: two measurements of one variant, metric and seed")


def _fill(bundle: Bundle, folder: Path) -> None:
    places = _places(bundle)
    records = sorted(bundle.records, key=lambda record: _order(record.measurement, places))
    tables = {name: _Index() for name in ("settings", "workloads", "environments")}
    _save(folder / "measurements.csv", _csv(_row(record, places, tables) for record in records))
    named = {_id(record.measurement, places): record.measurement for record in records}
    samples = {name: m.samples for name, m in named.items() if len(m.samples) > 1}
    details = {name: dict(m.detail) for name, m in named.items() if m.detail}
    tracebacks = {name: m.traceback for name, m in named.items() if m.traceback}
    files = {name: dict(m.files) for name, m in named.items() if m.files}
    groups: dict[str, Mapping[str, Any]] = {"samples": samples, "details": details}
    groups |= ({"tracebacks": tracebacks} if tracebacks else {}) | ({"files": files} if files else {})
    _save(folder / "samples.json", _lines(groups))
    _arrays(folder / "contributions.npz", {name: m.contributions for name, m in named.items() if m.contributions})
    runs = {(places[variant], seed): each for (variant, seed), each in bundle.evaluations.items()}
    _arrays(folder / "curves.npz", dict(_curves(runs)))
    pictures = write_pictures(folder / "pictures", _firsts(runs))
    meta = _meta(bundle, places, runs) | {name: index.items for name, index in tables.items()}
    _save(folder / "meta.json", _entries({**meta, "pictures": pictures}))


def _meta(bundle: Bundle, places: Mapping[Variant, int], runs: Mapping[tuple[int, int], Evaluation]) -> dict[str, Any]:
    first = _firsts(runs)
    return {
        "layout": LAYOUT,
        "name": bundle.name,
        "notes": list(bundle.notes),
        "variants": [{**asdict(v), "axes": [list(axis) for axis in v.axes]} for v in places],
        "signatures": {str(places[v]): s.facts() for v, s in bundle.signatures.items() if v in places},
        "training_runs": [_facts(place, run, place in first) for place, run in sorted(runs.items())],
    }


class _Index:
    """Distinct JSON values, each stored once and referred to by its position."""

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}

    @property
    def items(self) -> list[Any]:
        return [json.loads(text) for text in self._positions]

    def of(self, value: Any) -> int:
        text = json.dumps(value, default=list, sort_keys=True)
        return self._positions.setdefault(text, len(self._positions))


def _places(bundle: Bundle) -> dict[Variant, int]:
    """Variant -> its number in the bundle."""
    variants = {record.measurement.variant: None for record in bundle.records}
    variants |= dict.fromkeys(variant for variant, _ in bundle.evaluations)
    return {variant: place for place, variant in enumerate(variants)}


def _order(m: Measurement, places: Mapping[Variant, int]) -> tuple[int, str, int]:
    return places[m.variant], m.metric, -1 if m.seed is None else m.seed


def _id(m: Measurement, places: Mapping[Variant, int]) -> str:
    """A name of the measurement within its bundle: `03/miou/1`."""
    return f"{places[m.variant]:02d}/{m.metric}" + ("" if m.seed is None else f"/{m.seed}")


def _row(record: Record, places: Mapping[Variant, int], tables: Mapping[str, _Index]) -> dict[str, Any]:
    m = record.measurement
    several = len(m.samples) > 1
    return {
        "id": _id(m, places),
        "variant": m.variant.name,
        "metric": m.metric,
        "seed": m.seed,
        "value": repr(median(m.samples)) if m.samples else None,
        "n": len(m.samples),
        "mean": repr(mean(m.samples)) if several else None,
        "sd": repr(deviation(m.samples)) if several else None,
        "q1": repr(quantile(m.samples, 0.25)) if several else None,
        "q3": repr(quantile(m.samples, 0.75)) if several else None,
        "unit": m.unit,
        "better": m.better,
        "kind": record.kind,
        "exact": int(m.exact),
        "error": m.error,
        "duration": repr(m.duration),
        "created": record.created,
        "key": m.key,
        "settings": tables["settings"].of(record.conditions),
        "workload": tables["workloads"].of(asdict(m.workload)),
        "environment": tables["environments"].of(m.environment),
    }


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: csv_field(value) for name, value in row.items()} for row in rows])
    return buffer.getvalue()


def _lines(groups: Mapping[str, Mapping[str, Any]]) -> str:
    """JSON with one measurement a line, so that a change is a line of a diff."""
    parts = []
    for group, entries in groups.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(value, sort_keys=True)}" for name, value in entries.items()]
        parts.append(f' "{group}": {{\n' + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _entries(meta: Mapping[str, Any]) -> str:
    """JSON with one entry a line, and one line for each item of a list."""
    lines = []
    for name, value in sorted(meta.items()):
        items = [json.dumps(item, sort_keys=True, default=list) for item in value] if isinstance(value, list) else []
        text = "[\n  " + ",\n  ".join(items) + "\n ]" if items else json.dumps(value, sort_keys=True, default=list)
        lines.append(f' "{name}": {text}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


SMALL = 1000
"""Bytes of a summary that a bundle has of every run: enough for a curve."""

POINTS = 200
"""Points of a training curve that a bundle has: more than a figure can show."""


def _curves(runs: Mapping[tuple[int, int], Evaluation]) -> Iterator[tuple[str, Any]]:
    """Thinned training curves and small summaries of every run; large summaries of the first run of each variant."""
    import numpy as np

    first = _firsts(runs)
    for (variant, seed), evaluation in sorted(runs.items()):
        for name, values in evaluation.curves.items():
            chosen = np.unique(np.linspace(0, len(values) - 1, min(POINTS, len(values))).round().astype(int))
            yield f"curves/{variant}/{seed}/{name}", np.asarray(values)[chosen].astype(np.float32)
        for name, values in evaluation.summaries.items():
            if values.nbytes <= SMALL or (variant, seed) in first:
                yield f"summaries/{variant}/{seed}/{name}", values


def _firsts(runs: Mapping[tuple[int, int], Evaluation]) -> dict[tuple[int, int], Evaluation]:
    """The run with the lowest seed of each variant: figures show its pictures."""
    lowest: dict[int, int] = {}
    for variant, seed in sorted(runs):
        lowest.setdefault(variant, seed)
    return {(variant, seed): runs[variant, seed] for variant, seed in lowest.items()}


def _facts(place: tuple[int, int], run: Evaluation, with_maps: bool) -> dict[str, Any]:
    """What is known of a training run; maps (an effective receptive field) only of the run that figures show."""
    facts = {name: value if with_maps else _without_map(value) for name, value in run.facts.items()}
    return {"variant": place[0], "seed": place[1], "task": run.task, "names": list(run.names), "facts": facts}


def _without_map(value: Any) -> Any:
    if isinstance(value, Mapping) and "map" in value:
        return {name: part for name, part in value.items() if name != "map"}
    return value


def _arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    import numpy as np

    named: dict[str, Any] = {name: np.asarray(values) for name, values in arrays.items()}
    np.savez_compressed(path, **named)


def _save(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def read(folder: Path) -> Bundle:
    """The bundle in a folder. Raises BundleError where it is none, or of another layout."""
    place = present(folder)
    try:
        for name in FILES:
            if not (place / name).is_file():
                raise BundleError(f"{folder}: not a results bundle ({name} is missing)")
        meta = json.loads((place / "meta.json").read_text(encoding="utf-8"))
        if meta["layout"] != LAYOUT:
            raise BundleError(f"{folder}: written in layout {meta['layout']}, and this version reads {LAYOUT}")
        return _read(place, meta)
    except BundleError:
        raise
    except FileNotFoundError as error:
        raise BundleError(f"{folder}: not a results bundle ({Path(error.filename).name} is missing)") from None
    except Exception as error:  # garbage in JSON, CSV, archives and pictures raises whatever their readers raise
        reason = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
        raise BundleError(f"{folder}: a damaged results bundle ({reason})") from error


def _read(folder: Path, meta: Mapping[str, Any]) -> Bundle:
    variants = [Variant(v["architecture"], tuples(v["axes"]), tuple(v["stated"])) for v in meta["variants"]]
    texts = json.loads((folder / "samples.json").read_text(encoding="utf-8"))
    contributions = _load(folder / "contributions.npz")
    rows = _rows_of_csv(folder / "measurements.csv")
    records = [_record(row, variants, meta, texts, contributions.get(row["id"], ())) for row in rows]
    return Bundle(
        name=meta["name"],
        records=tuple(records),
        evaluations=_evaluations(folder, meta, variants),
        signatures={variants[int(i)]: Signature(**s) for i, s in meta["signatures"].items()},
        notes=tuple(meta["notes"]),
    )


def _rows_of_csv(path: Path) -> list[dict[str, str]]:
    """The rows, complete. Raises ValueError for other columns, a row that is cut off, or none: no bundle is empty."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    if not set(COLUMNS) <= set(reader.fieldnames or ()):
        raise ValueError(f"{path.name} has other columns")
    if not rows or any(None in row or None in row.values() for row in rows):
        raise ValueError(f"{path.name} is cut off")
    return [{name: from_csv_field(text) for name, text in row.items()} for row in rows]


def _record(
    row: Mapping[str, str],
    variants: Sequence[Variant],
    meta: Mapping[str, Any],
    texts: Mapping[str, Mapping[str, Any]],
    contributions: Iterable[float],
) -> Record:
    name, kind = row["id"], row["kind"]
    samples = texts["samples"].get(name, [_number(row["value"])] if row["value"] else [])
    measurement = Measurement(
        key=row["key"],
        variant=variants[int(name.split("/")[0])],
        workload=workload_from({k: tuples(v) for k, v in meta["workloads"][int(row["workload"])].items()}),
        metric=row["metric"],
        unit=row["unit"],
        better=row["better"] or None,  # type: ignore[arg-type]
        samples=tuple(samples),
        exact=row["exact"] == "1",
        seed=int(row["seed"]) if row["seed"] else None,
        duration=float(row["duration"]),
        environment=meta["environments"][int(row["environment"])],
        error=row["error"] or None,
        detail=texts["details"].get(name, {}),
        contributions=tuple(float(value) for value in contributions),
        traceback=texts.get("tracebacks", {}).get(name, ""),
        files=texts.get("files", {}).get(name, {}),
    )
    settings = meta["settings"][int(row["settings"])]
    return Record(measurement, kind, row["created"], with_clock(settings, measurement.detail))


def _number(text: str) -> float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _load(path: Path) -> dict[str, Any]:
    import numpy as np

    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _evaluations(
    folder: Path, meta: Mapping[str, Any], variants: Sequence[Variant]
) -> dict[tuple[Variant, int], Evaluation]:
    arrays = _load(folder / "curves.npz")
    pictures = read_pictures(folder / "pictures", meta["pictures"])
    runs = {}
    for run in meta["training_runs"]:
        number, seed = run["variant"], run["seed"]
        groups = {group: _of(arrays, f"{group}/{number}/{seed}/") for group in ("curves", "summaries")}
        runs[variants[number], seed] = Evaluation(
            task=run["task"],
            units={},
            names=tuple(run["names"]),
            samples=pictures.get((number, seed), {}),
            facts=run["facts"],
            **groups,
        )
    return runs


def _of(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
