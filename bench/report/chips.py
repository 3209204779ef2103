"""The chips of the answer card: claims, seeds, data, device, and what is missing, a few words each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.analysis.summary import Summary
from bench.display.seeds import seed_counts
from bench.report.details import failures, missing
from bench.results.results import Results


@dataclass(frozen=True)
class Chip:
    """A few words; `target` is the id of the section that has more, `look` the CSS class."""

    text: str
    target: str
    look: str = ""


def chips(summary: Summary) -> Iterator[Chip]:
    """In the order in which a reader asks."""
    yield from _claims(summary)
    yield from _gaps(summary)
    results = summary.results
    seeds = seed_counts(results)
    if seeds:
        yield Chip("1 seed" if seeds == "1" else f"{seeds} seeds", "provenance")
    yield from (Chip(text, "provenance") for text in (data_text(results), device_text(results)) if text)


def claims_text(summary: Summary) -> str:
    """`1 inconclusive, 2 reproduced`; empty without claims."""
    answers = [claim.answer for claim in summary.claims]
    return ", ".join(f"{answers.count(answer)} {answer}" for answer in sorted({*answers}))


def _claims(summary: Summary) -> Iterator[Chip]:
    text = claims_text(summary)
    if text:
        answers = {claim.answer for claim in summary.claims}
        look = "bad" if "contradicted" in answers else "good" if answers == {"reproduced"} else ""
        yield Chip(f"claims: {text}", "claims", look)


def _gaps(summary: Summary) -> Iterator[Chip]:
    failed, absent = len(list(failures(summary))), sum(each.count for each in missing(summary))
    if failed:
        yield Chip(f"{failed} failed", "failures", "bad")
    if absent:
        yield Chip(f"{absent} not measured", "missing", "bad")


def data_text(results: Results) -> str:
    """`camvid, 120 x 160 px`; empty where nothing states it."""
    dataset, shape = results.provenance.get("dataset", {}), results.provenance.get("workload", {}).get("shape")
    size = " \N{MULTIPLICATION SIGN} ".join(map(str, shape[1:])) + " px" if isinstance(shape, list) else ""
    train = dataset.get("train_count")
    count = f"{train} training images" if isinstance(train, int) else ""
    return ", ".join(part for part in (str(dataset.get("name", "")), count, size) if part)


def device_text(results: Results) -> str:
    """The name of the device, where it is recorded."""
    device = results.provenance.get("environment", {}).get("device", "")
    return str(device.get("name", "")) if isinstance(device, dict) else str(device)
