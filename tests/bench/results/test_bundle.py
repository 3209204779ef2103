"""A results bundle: what is written comes back, twice the same bytes, and what is no bundle is refused in one line."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.results.bundle import LIMIT, POINTS, Bundle, BundleError, bundled_names, read, write
from bench.results.measurement import Evaluation, Measurement, Record
from bench.results.signature import Signature
from bench.spec.variant import Variant
from bench.spec.workload import Workload

WORK = Workload("segmentation", "context", (("distance", 14),), (3, 8, 8), 2)
VARIANTS = tuple(Variant("net", (("a", a), ("rates", (1, 2)), ("flag", None)), ("a", "rates")) for a in range(3))
CONDITIONS = {"shape": [3, 8, 8], "recipe": {"steps": 800, "lr": 0.003}, "fingerprint": {"train": "1a"}}
DETAIL = {"per_class": {"road": 0.1 + 0.2, "sky": None}, "paths": {"pool4": [1, 2]}, "mode": "fp32"}


def record(variant: int, metric: str, seed: int | None = None, **more: object) -> Record:
    kind = {"params": "static", "latency": "speed"}.get(metric, "accuracy")
    fields = {"samples": (0.1 + 0.2,), "duration": 1 / 3, "environment": {"torch": "2", "device": {"cores": 2}}, **more}
    one = Measurement(
        f"{variant}{metric}{seed}", VARIANTS[variant], WORK, metric, "", "higher", exact=kind == "static", seed=seed,
        **fields,  # type: ignore[arg-type]
    )  # fmt: skip
    return Record(one, kind, "2026-01-02T03:04:05+00:00", CONDITIONS if kind == "accuracy" else {"shape": [3, 8, 8]})


RECORDS = (
    record(0, "params", samples=(2**60 + 1,), duration=1e-6),
    record(1, "params", samples=(-7,), environment={"torch": "3"}),
    record(2, "params", samples=(), error='died: "killed", and\nmore; | of it\r\n\té'),
    record(0, "latency", samples=tuple(np.random.default_rng(0).normal(1, 0.1, 40).tolist())),
    record(1, "latency", samples=(1e-320, 1e150, 3)),
    *(record(a, "miou", s, detail=DETAIL, contributions=(1 / 3, s + a / 7, -2.5)) for a in (1, 0) for s in (2, 10, 0)),
)


def evaluation(seed: int, publishable: bool = True, **samples: np.ndarray) -> Evaluation:
    random = np.random.default_rng(seed)
    pictures = {
        "colour": random.integers(0, 256, (3, 5, 7, 3), dtype=np.uint8),
        "grey": random.integers(0, 256, (3, 5, 7), dtype=np.uint8),
        "stage:out": random.integers(0, 256, (2, 3, 5, 4), dtype=np.uint8),
        "stage.out": random.integers(0, 256, (2, 5, 4, 1), dtype=np.uint8),
        "numbers": np.array([5, 3, -1], dtype=np.int64),
        "scores": random.normal(size=(2, 3)).astype(np.float32),
        "flags": np.array([[True], [False]]),
        "one": np.array(3.5),
        "none": np.empty((0, 4, 3), dtype=np.uint8),
    }
    return Evaluation(
        task="segmentation",
        units={"confusion": np.ones((4, 3, 3))},
        names=("road", "sky"),
        curves={"step": np.arange(1, 1801), "loss": np.linspace(2, 0.5, 1800), "few": np.array([1.0, 0.5])},
        samples=samples or pictures,
        facts={"publishable": publishable, "mode": "fp32", "seconds": 1 / 3},
        summaries={"curve": random.normal(size=20), "map": random.normal(size=(30, 30))},
    )


def bundle(**more: object) -> Bundle:
    evaluations = {(VARIANTS[a], seed): evaluation(seed) for a in (1, 0) for seed in (10, 2)}
    signatures = {VARIANTS[0]: Signature("k", "g", params=7, macs=0.5, field=[3, 5]), VARIANTS[1]: Signature("l")}
    whole = Bundle("nets", RECORDS, evaluations, signatures, ("twins were allowed: a control",))
    return replace(whole, **more)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(bundle(), tmp_path / "reference" / "nets")


def test_records_come_back_exactly(folder: Path):
    back = read(folder)
    by_key = {each.measurement.key: each for each in back.records}
    assert by_key == {each.measurement.key: each for each in RECORDS}
    samples = by_key["0paramsNone"].measurement.samples
    assert (samples, type(samples[0])) == ((2**60 + 1,), int)
    assert by_key["0miou10"].measurement.variant.name == "net(a=0,rates=[1,2])"
    assert (back.name, back.notes) == ("nets", ("twins were allowed: a control",))
    assert back.signatures == bundle().signatures


def test_the_files_that_a_value_was_made_of_come_back(tmp_path: Path):
    first, *others = RECORDS
    made = replace(first, measurement=replace(first.measurement, files={"w.pt": "1a", "data:more.txt": "2b"}))
    signatures = {VARIANTS[0]: Signature("k", "g", files={"w.pt": "1a"})}
    back = read(write(bundle(records=(made, *others), signatures=signatures), tmp_path / "nets"))
    assert {r.measurement.key: r.measurement.files for r in back.records if r.measurement.files} == {
        made.measurement.key: {"w.pt": "1a", "data:more.txt": "2b"}
    }
    assert back.signatures == signatures


def test_measurements_of_different_workloads_keep_their_own(tmp_path: Path):
    first, second = RECORDS[:2]
    other = replace(second.measurement, workload=replace(WORK, batch=7, threads=3))
    back = read(write(bundle(records=(first, replace(second, measurement=other)), evaluations={}), tmp_path / "nets"))
    assert [each.measurement.workload.batch for each in back.records] == [2, 7]


def test_curves_are_thinned_to_their_ends_and_summaries_are_those_of_the_first_seed(folder: Path):
    back = read(folder).evaluations
    assert back.keys() == bundle().evaluations.keys()
    for run in back.values():
        step, loss = run.curves["step"], run.curves["loss"]
        assert len(step) == len(loss) == POINTS
        assert (step[0], step[-1]) == (1, 1800)
        np.testing.assert_allclose(loss, np.linspace(2, 0.5, 1800)[step.astype(int) - 1], rtol=1e-6)
        assert run.curves["few"].tolist() == [1.0, 0.5]
        assert run.units == {}
        assert (run.names, run.facts["seconds"]) == (("road", "sky"), 1 / 3)
    first, later = back[VARIANTS[0], 2].summaries, back[VARIANTS[0], 10].summaries
    np.testing.assert_array_equal(first["map"], evaluation(2).summaries["map"])
    np.testing.assert_array_equal(later["curve"], evaluation(10).summaries["curve"])
    assert (first.keys(), later.keys()) == ({"curve", "map"}, {"curve"}), "large ones of the first seed only"


def test_pictures_come_back_without_loss(folder: Path):
    back = read(folder).evaluations[VARIANTS[1], 2].samples
    original = evaluation(2).samples
    assert [*back] == [*original]
    for name, values in original.items():
        assert (back[name].dtype, back[name].shape) == (values.dtype, values.shape), name
        np.testing.assert_array_equal(back[name], values, err_msg=name)


def test_pictures_are_those_of_the_first_seed_and_only_where_the_licence_allows_them(tmp_path: Path):
    runs = {(VARIANTS[0], 0): evaluation(0, publishable=False), (VARIANTS[1], 0): evaluation(0)}
    back = read(write(bundle(evaluations=runs), tmp_path / "nets"))
    assert back.evaluations[VARIANTS[0], 0].samples == {}
    assert len(back.evaluations[VARIANTS[1], 0].samples) == len(evaluation(0).samples)
    assert read(write(bundle(), tmp_path / "nets")).evaluations[VARIANTS[0], 10].samples == {}
    assert {name[:3] for name in os.listdir(tmp_path / "nets" / "pictures")} == {"00_", "01_"}


def test_writing_twice_gives_the_same_bytes_and_so_does_writing_what_was_read(folder: Path, tmp_path: Path):
    first = contents(folder)
    assert contents(write(bundle(), folder)) == first
    assert contents(write(read(folder), tmp_path / "again")) == first
    assert not [path for path in folder.parent.iterdir() if path != folder], "a temporary folder was left"


def test_every_number_is_in_the_text(folder: Path):
    rows = list(csv.DictReader(io.StringIO((folder / "measurements.csv").read_text("utf-8"), newline="")))
    assert len(rows) == len(RECORDS)
    row = next(row for row in rows if row["metric"] == "latency" and row["variant"].startswith("net(a=0"))
    samples = RECORDS[3].measurement.samples
    assert float(row["mean"]) == pytest.approx(np.mean(samples), rel=1e-14)
    assert float(row["sd"]) == pytest.approx(np.std(samples, ddof=1), rel=1e-12)
    ends = [float(row["q1"]), float(row["value"]), float(row["q3"])]
    assert ends == pytest.approx(np.quantile(samples, [0.25, 0.5, 0.75]).tolist(), rel=1e-14)


def test_more_than_a_megabyte_is_refused_and_the_earlier_bundle_stays(folder: Path):
    before = contents(folder)
    noise = np.random.default_rng(0).integers(0, 256, (1, 600, 600, 3), dtype=np.uint8)
    large = {(VARIANTS[0], 0): evaluation(0, noise=noise)}
    with pytest.raises(BundleError, match=r"nets: the bundle has 1,\d{3},\d{3} bytes, and 1,000,000 are allowed"):
        write(bundle(evaluations=large), folder)
    assert LIMIT == 1_000_000
    assert contents(folder) == before
    assert [*folder.parent.iterdir()] == [folder]


def test_a_folder_that_is_not_a_bundle_is_not_overwritten(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match="not overwritten"):
        write(bundle(), tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_an_empty_bundle_and_two_measurements_of_one_place_are_refused(tmp_path: Path):
    with pytest.raises(BundleError, match="nothing is stored of nets"):
        write(bundle(records=()), tmp_path / "nets")
    doubled = (*RECORDS, replace(RECORDS[0], measurement=replace(RECORDS[0].measurement, key="another")))
    with pytest.raises(BundleError, match="two measurements of one variant"):
        write(bundle(records=doubled), tmp_path / "nets")


def changed_meta(folder: Path, **more: object) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, **more}))


def without(folder: Path, name: str) -> None:
    (folder / name).unlink()


def cut(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])


def moved_picture(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder.parent / "outside.png").write_bytes((folder / "pictures" / meta["pictures"][0]["file"]).read_bytes())
    meta["pictures"][0]["file"] = "../../outside.png"
    (folder / "meta.json").write_text(json.dumps(meta))


def picture(folder: Path) -> str:
    return f"pictures/{next(iter(sorted((folder / 'pictures').iterdir()))).name}"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: without(f, "meta.json"), r"not a results bundle \(meta.json is missing\)"),
        (lambda f: without(f, "contributions.npz"), r"not a results bundle \(contributions.npz is missing\)"),
        (lambda f: without(f, picture(f)), "not a results bundle"),
        (lambda f: changed_meta(f, layout=99), "written in layout 99, and this version reads 1"),
        (lambda f: (f / "meta.json").write_text("[]"), "damaged"),
        (lambda f: (f / "meta.json").write_text("{}"), "damaged"),
        (lambda f: (f / "meta.json").write_bytes(b"\xff\xfe"), "damaged"),
        (lambda f: changed_meta(f, variants=[]), "damaged"),
        (lambda f: changed_meta(f, signatures={"0": {"foreign": 1}}), "damaged"),
        (lambda f: changed_meta(f, workloads=[None]), "damaged"),
        (lambda f: cut(f, "meta.json"), "damaged"),
        (lambda f: cut(f, "samples.json"), "damaged"),
        (lambda f: cut(f, "measurements.csv"), "damaged"),
        (lambda f: cut(f, "curves.npz"), "damaged"),
        (lambda f: cut(f, picture(f)), "damaged"),
        (lambda f: (f / "contributions.npz").write_bytes(b""), "damaged"),
        (lambda f: (f / picture(f)).write_text("no picture"), "damaged"),
        (moved_picture, "damaged"),
    ],
)
def test_a_damaged_or_foreign_folder_gives_one_clear_error(folder: Path, damage, message: str):
    damage(folder)
    with pytest.raises(BundleError, match=message) as error:
        read(folder)
    assert str(error.value).startswith(f"{folder}: ")


def test_the_names_of_bundles_are_those_of_their_folders(folder: Path):
    (folder.parent / "empty").mkdir()
    assert bundled_names(folder.parent) == ["nets"]
    assert bundled_names(folder.parent / "nowhere") == []
