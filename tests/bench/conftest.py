"""Made-up results of an ablation, with everything that a report must cope with."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.data.leeds import NAMES as JOINTS
from bench.results.measurement import Evaluation
from bench.results.results import Results
from bench.spec.claims import Scope, parse
from bench.spec.variant import Variant
from bench.tasks import generative, keypoints

sys.path.insert(0, str(Path(__file__).parent))  # for `made_up`, which several tests share

from made_up import stated_axes

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign_symbol",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
SEEDS = (0, 1, 2)
POINTS = {
    "fcn(stride=32,skips=false)": (32, "false", 0.401),
    "fcn(stride=16,skips=false)": (16, "false", 0.437),
    "fcn(stride=16,skips=true)": (16, "true", 0.472),
    "fcn(stride=8,skips=false)": (8, "false", 0.452),
    "fcn(stride=8,skips=true)": (8, "true", 0.523),
    "fcn(stride=8,skips=[pool4])": (8, "[pool4]", 0.497),
    "fcn(stride=8,skips=true,backbone=timm:tf_efficientnetv2_b0.in1k)": (8, "true", 0.561),
}
NAMES = tuple(POINTS)
METRICS = {
    "params": ("parameters", "lower", "static"),
    "macs": ("MACs", "lower", "static"),
    "receptive_field": ("px", None, "static"),
    "latency": ("s", "lower", "speed"),
    "miou": ("1", "higher", "accuracy"),
    "boundary_iou": ("1", "higher", "accuracy"),
}
FAILED = {("fcn(stride=16,skips=true)", "latency", None): "out of memory: tried 12 | 4 GiB\nTraceback <module>"}
FAILED[("fcn(stride=8,skips=[pool4])", "miou", 2)] = "diverged: loss is nan at step 312"
FAILED[("fcn(stride=8,skips=[pool4])", "boundary_iou", 2)] = "diverged: loss is nan at step 312"
MISSING = {("fcn(stride=8,skips=false)", "receptive_field", None), (NAMES[-1], "boundary_iou", 1)}
MISSING |= {("fcn(stride=16,skips=true)", "boundary_iou", seed) for seed in SEEDS}
CLAIMS = (
    ("miou[stride=16,skips=true] > miou[stride=32]", "Table 2 | <i>"),
    ("miou[stride=8,skips=false] > miou[stride=16,skips=true]", ""),
    ("macs[stride=16] < macs", "Table 2"),
    ("boundary_iou[stride=16,skips=true] > boundary_iou", "Figure 4"),
)


def expected() -> tuple[tuple[str, str, int | None], ...]:
    return tuple(
        (variant, metric, seed)
        for variant in NAMES
        for metric, (_, _, kind) in METRICS.items()
        for seed in (SEEDS if kind == "accuracy" else (None,))
    )


def reading(variant: str, metric: str, seed: int | None) -> tuple[list[float], bool, dict[str, Any]]:
    """Samples, whether they are exact, and the detail of one cell."""
    random = np.random.default_rng([NAMES.index(variant), sorted(METRICS).index(metric), 99 if seed is None else seed])
    stride, skips, score = POINTS[variant]
    if metric == "params":
        return [134_266_069 + 11_000 * NAMES.index(variant) ** 3], True, {}
    if metric == "macs":
        odd = (
            {"coverage": 0.9731, "uncounted": ["aten.roi_pool (3 calls)"]}
            if variant == NAMES[-1]
            else {"coverage": 1.0}
        )
        return [125_312_000_123 - 7_000_000_019 * NAMES.index(variant)], True, odd
    if metric == "receptive_field":
        paths = {"pool4": 100, "pool3": 44} if stride == 8 and skips == "true" else {}
        return [404], True, {"paths": paths}
    if metric == "latency":
        return list(0.012 * (1 + NAMES.index(variant) / 9) * np.exp(np.abs(random.normal(0, 0.1, 60)))), False, {}
    value = (score if metric == "miou" else score / 2) + random.normal(0, 0.006)
    spread = random.normal(0, 0.05, len(CLASSES)) + np.linspace(0.35, -0.35, len(CLASSES))
    per_class = {name: float(np.clip(value + d, 0, 1)) for name, d in zip(CLASSES, spread, strict=True)}
    return [float(value)], True, {"per_class": per_class} if metric == "miou" else {}


def looks_at(spread: float) -> dict[str, Any]:
    """An effective receptive field: a bell of that standard deviation in an image of 60 by 80 pixels."""
    y, x = np.indices((30, 40))
    cells = np.exp(-((y - 15) ** 2 + (x - 20) ** 2) / (2 * (spread / 2) ** 2))
    facts = {"radius": 2.45 * spread, "centre": [30.0, 40.0], "box": ((0, 60), (0, 80)), "shape": [60, 80]}
    return {**facts, "cell": 2, "map": cells.round(4).tolist()}


def rows() -> Iterator[dict[str, Any]]:
    for variant, metric, seed in expected():
        if (variant, metric, seed) in MISSING:
            continue
        unit, better, kind = METRICS[metric]
        error = FAILED.get((variant, metric, seed))
        samples, exact, detail = ([np.nan], True, {}) if error else reading(variant, metric, seed)
        stride, skips, _ = POINTS[variant]
        shared = {"architecture": "fcn", "variant": variant, "stride": stride, "skips": skips, "metric": metric}
        shared |= {"unit": unit, "better": better, "kind": kind, "seed": seed, "exact": exact, "error": error}
        shared |= {"task": "segmentation", "dataset": "context", "device": "cpu", "dtype": "float32"}
        shared |= {"mode": "bf16" if kind == "accuracy" else "fp32", "duration": 1.5, "detail": detail}
        shared |= {"created": "2026-01-02T03:04:05", "key": f"{variant}/{metric}/{seed}"}
        yield from ({**shared, "sample": i, "value": v} for i, v in enumerate(samples))


def evaluation(variant: str, seed: int) -> Evaluation:
    random = np.random.default_rng([seed, NAMES.index(variant)])
    step = np.arange(1, 801)
    loss = 2.4 * np.exp(-step / (80 + 10 * NAMES.index(variant))) + 0.3 + random.normal(0, 0.05, 800)
    rate = 3e-3 * np.minimum(step / 80, 0.5 * (1 + np.cos(np.pi * step / 800)))
    truths = (np.add.outer(np.arange(60), np.arange(80)) // 20 % 11)[None].repeat(3, 0).astype(np.uint8)
    truths[:, :4] = 255
    outputs = np.where(random.random(truths.shape) < 0.1, 3, truths % 11).astype(np.uint8)
    images = np.stack([truths * 20, 200 - truths % 11 * 9, truths % 11 * 23], axis=-1).astype(np.uint8)
    samples = {"images": images, "truths": truths, "outputs": outputs}
    palette = np.random.default_rng(3).integers(0, 255, (len(CLASSES), 3)).tolist()
    optimum = {"miou": 0.61 if "stride=8" in variant else 0.55}
    facts = {"publishable": True, "optimum": optimum, "palette": palette}
    if NAMES.index(variant) != 2:
        facts["effective_receptive_field"] = looks_at(4 + 2 * NAMES.index(variant))
    return Evaluation("segmentation", {}, CLASSES, {"step": step, "loss": loss, "lr": rate}, samples, facts)


def made_up() -> Results:
    kept = {(v, s): evaluation(v, s) for v in NAMES for s in SEEDS if (v, "miou", s) not in FAILED}
    frame = pd.DataFrame(list(rows()))
    return Results(
        name="fcn_skips",
        question="Do skip connections sharpen an FCN, and what do they cost? 100 % <b>real</b> & more_",
        source="Long, Shelhamer & Darrell 2015",
        baseline=NAMES[0],
        variants=NAMES,
        axes={name: dict(stated_axes(name)) for name in (*NAMES, "fcn(stride=32,skips=true)")},
        varied=("stride", "skips"),
        excluded=(("fcn(stride=32,skips=true)", "there is nothing to fuse at stride 32 | <i>"),),
        frame=frame.assign(seed=frame["seed"].astype("Int64")),
        evaluations=kept,
        provenance={
            "command": "bench run ablations/fcn_skips.yaml",
            "file": "ablations/fcn_skips.yaml",
            "environment": {"torch": "2.14.1", "threads": 1, "device": {"name": "cpu", "cores": 2}},
            "recipe": {"steps": 800, "lr": 3e-3, "augment": True},
            "dataset": {"name": "context", "licence": "Apache-2.0", "source": "generated"},
            "metrics": {"miou": {"doc": "Mean intersection over union, over the dataset."}},
        },
        expected=expected(),
        claims=tuple(parse(says, source, claimed()) for says, source in CLAIMS),
    )


def claimed() -> Scope:
    """What the claims of the made-up results may speak of."""
    axes = {name: dict(stated_axes(name)) for name in NAMES}
    variants = tuple(Variant("fcn", tuple(axes[name].items()), tuple(axes[name])) for name in NAMES)
    return Scope(tuple(METRICS), variants)


@pytest.fixture(scope="session")
def synthetic() -> Results:
    """Seven variants, three seeds, errors, cells not measured, an excluded variant, a long name."""
    return made_up()


SMALL = {
    "throughput": ("images/s", "higher", "speed"),
    "memory": ("MiB", "lower", "speed"),
    "params": ("parameters", "lower", "static"),
    "graph_hash": ("hash", None, "static"),
    "macs": ("MACs", "lower", "static"),
    "latency": ("ms", "lower", "speed"),
    "miou": ("", "higher", "accuracy"),
    "reach": ("px", None, "accuracy"),
}


def tabulated(table: dict[str, dict[str, Any]], claims: tuple[str, ...] = (), **more: Any) -> Results:
    """Results of `{variant: {metric: value}}`, the baseline first. A score's value is a list with a number, an error
    (a string) or None (not measured) for each seed, a speed's a list of samples, a static one's a number."""
    metrics = {metric: SMALL[metric] for row in table.values() for metric in row}
    found = [*_records(table)]
    frame = pd.DataFrame([row for row in found if row["value"] is not None or row["error"]])
    variants = {name: Variant(name.partition("(")[0], tuple(stated(name)), tuple(dict(stated(name)))) for name in table}
    scope = Scope(tuple(metrics), tuple(variants.values()))
    return Results(
        name="small",
        question="Is it?",
        source="nobody",
        baseline=next(iter(table)),
        variants=tuple(table),
        axes={name: dict(stated_axes(name)) for name in table},
        varied=("a",),
        excluded=(),
        frame=frame.assign(seed=frame["seed"].astype("Int64"), value=frame["value"].astype(float)),
        evaluations={},
        provenance={"metrics": {m: {"unit": u, "better": b, "kind": k} for m, (u, b, k) in metrics.items()}},
        expected=tuple(dict.fromkeys((row["variant"], row["metric"], row["seed"]) for row in found)),
        claims=tuple(parse(says, "Table 1", scope) for says in claims),
        **more,
    )


def stated(name: str) -> list[tuple[str, Any]]:
    return [(axis, int(value)) for axis, value in stated_axes(name)]


def _records(table: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for variant, row in table.items():
        for metric, values in row.items():
            unit, better, kind = SMALL[metric]
            for i, value in enumerate(values if isinstance(values, list) else [values]):
                seed = i if kind == "accuracy" else None
                failed = isinstance(value, str)
                yield {
                    **{"variant": variant, "metric": metric, "unit": unit, "better": better, "kind": kind},
                    **{"seed": seed, "sample": 0 if seed is not None else i, "exact": kind == "static"},
                    **{"value": np.nan if failed else value, "error": value if failed else None, "detail": {}},
                    **{"key": f"{variant}/{metric}/{seed}", "created": "2026", "task": "", "dataset": ""},
                    **{"device": "cpu", "dtype": "float32", "mode": "fp32", "architecture": "net", "duration": 1.0},
                }


@pytest.fixture(scope="session")
def results_of() -> Any:
    """Makes small results of a table in Python."""
    return tabulated


SCORES = {"pck": 0.1, "pck_ambiguous": 0.0, "pck_unambiguous": 0.3}


@pytest.fixture(scope="session")
def posed() -> Results:
    """The made-up segmentation results turned into poses: the same variants and seeds, other scores and samples."""
    synthetic = made_up()
    frame = synthetic.frame
    kept = frame[frame["metric"].isin(["params", "receptive_field"])]
    scored = frame[frame["metric"] == "miou"]
    rows = []
    for metric, more in SCORES.items():
        joints = [{"per_class": {name: v + more + 0.01 * i for i, name in enumerate(JOINTS)}} for v in scored["value"]]
        told = {"metric": metric, "value": scored["value"] + more, "detail": joints, "key": scored["key"] + metric}
        rows.append(scored.assign(**told))
    evaluations = {key: pose_evaluation(i) for i, key in enumerate(synthetic.evaluations)}
    return dataclasses.replace(
        synthetic,
        frame=pd.concat([kept, *rows], ignore_index=True),
        evaluations=evaluations,
        expected=tuple((v, m, s) for v, m, s in synthetic.expected if m != "miou"),
        provenance={**synthetic.provenance, "metrics": {}},
    )


def pose_evaluation(number: int) -> Evaluation:
    """Four people whose joints are found to a few px, by a network of three stages."""
    random = np.random.default_rng(number)
    image, joint = np.indices((6, len(JOINTS))).reshape(2, -1)
    truth = np.random.default_rng(0).uniform(4, 60, (len(image), 2))
    flags = np.where(image + joint == 9, 0, 2)
    units = {"image": image, "joint": joint, "visible": flags, "truth": truth}
    units["dark"] = truth + random.normal(0, 2, truth.shape)
    units["argmax"] = np.round(units["dark"])
    units["torso"] = np.repeat([12.0, 14.0, 16.0, 18.0, 20.0, np.nan], len(JOINTS))
    images = np.random.default_rng(1).integers(0, 255, (4, 64, 72, 3), dtype=np.uint8)
    maps = {f"stage:{s}": random.integers(0, 255, (4, 14, 16, 18), dtype=np.uint8) for s in ("out", "stage1", "stage2")}
    samples = {"images": images, "numbers": np.array([0, 2, 3, 5]), **maps}
    facts = {"publishable": True, "optimum": {"pck_ambiguous": 1.0, "pck_ambiguous@body": 0.5}}
    evaluation = Evaluation("pose", units, JOINTS, samples=samples, facts=facts)
    return dataclasses.replace(evaluation, summaries=keypoints.summaries(evaluation))


@pytest.fixture(scope="session")
def imagined() -> Results:
    """The made-up results turned into those of autoencoders: codes, pictures, losses in bits and in nats."""
    synthetic = made_up()
    evaluations = {key: generative_evaluation(i) for i, key in enumerate(synthetic.evaluations)}
    return dataclasses.replace(synthetic, evaluations=evaluations, frame=synthetic.frame.iloc[:0])


def generative_evaluation(number: int) -> Evaluation:
    """Three latents, the second the busiest, 40 images of three classes, pictures of 6 x 5 px."""
    random = np.random.default_rng(number)
    label = np.arange(40, dtype=np.uint8) % 3
    codes = random.normal(size=(40, 3)) * [0.5, 2.0, 0.1] + label[:, None]
    shapes = {
        "originals": (8,),
        "reconstructions": (8,),
        "generated": (30,),
        "interpolations": (4, 9),
        "traversals": (3, 9),
    }
    samples = {name: random.integers(0, 255, (*shape, 6, 5, 1), dtype=np.uint8) for name, shape in shapes.items()}
    nats = number % 2 == 1
    falling = (0.3 + np.exp(-np.arange(200) / 30)) * (30 * math.log(2) if nats else 1)
    facts = {"publishable": True, "dims": 30, "loss_unit": "nats" if nats else "bits/dim"}
    facts |= {"optimum": {"bits_per_dim": 0.25}, "palette": [[200, 30, 30], [30, 160, 30], [30, 30, 200]]}
    curves = {"step": np.arange(1, 201), "loss": falling, "lr": np.ones(200)}
    units = {"code_mean": codes, "label": label}
    names = ("one", "two", "three")
    evaluation = Evaluation("generation", units, names, curves=curves, samples=samples, facts=facts)
    return dataclasses.replace(evaluation, summaries=generative.summaries(evaluation))
