"""What earlier runs of an architecture showed: the scores in bundles, read without loading their ablations."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from bench.registry.builtin import home
from bench.registry.project import project
from bench.registry.writing import present
from bench.results.bundle import FOLDER, bundled_names

MEASUREMENTS = "measurements.csv"


def earlier_scores(architecture: str, metric: str) -> dict[tuple[str, str], list[float]]:
    """(ablation, variant) -> its scores over seeds, of every bundle of the project and of fovbench.

    A variant with a single score, as each recipe of a search has, is left out: it shows no spread.
    """
    folders = dict.fromkeys((project().place(str(FOLDER)), home() / FOLDER))
    scores: dict[tuple[str, str], list[float]] = {}
    for folder in folders:
        for name in bundled_names(folder):
            for variant, value in _scores(present(folder / name) / MEASUREMENTS, architecture, metric):
                scores.setdefault((name, variant), []).append(value)
    return {key: values for key, values in scores.items() if len(values) > 1}


def _scores(file: Path, architecture: str, metric: str) -> Iterator[tuple[str, float]]:
    if not file.is_file():
        return
    with file.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            family = row["variant"].partition("(")[0]
            if (family, row["metric"], row["kind"]) == (architecture, metric, "accuracy") and row["value"]:
                yield row["variant"], float(row["value"])
