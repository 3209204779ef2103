"""A store of a million measurements: append, resume, table, info, check, merge and vacuum, each with its CPU seconds.

FOVBENCH_TEST_ROWS sets the number of rows; a million need about 1 GB in the folder of temporary files.
"""

import hashlib
import os
import time
from dataclasses import replace

from bench.results.checking import check
from bench.results.frame import frame_of
from bench.results.measurement import Measurement
from bench.results.store import Store, row_of
from bench.results.upkeep import contents, vacuum
from bench.spec.variant import Variant
from bench.spec.workload import Workload

ROWS = int(os.environ.get("FOVBENCH_TEST_ROWS", "1000000"))
BATCH, LOOKED_UP, IN_TABLE = 5000, 100_000, 2000
WORK = Workload("segmentation", "context", (("distance", 14),), (3, 64, 64), 8)
PARTS = {"code": {"metric": {"bench.metrics.miou": "0" * 20}}, "libraries": {"torch": "2.14.1"}, "dtype": "float32"}
ENVIRONMENT = {"device": "cpu", "driver": "Linux", "cores": 2, "versions": {"torch": "2.14.1", "numpy": "2.4"}}


def key(number):
    return hashlib.sha256(str(number).encode()).hexdigest()[:20]


def measurement(number):
    variant = Variant("net", (("width", number % 1000), ("depth", number // 1000)), ("width", "depth"))
    detail = {"mode": "fp32", "seconds": 12.5, "per_class": {f"class {k}": number / (k + 1e6) for k in range(8)}}
    return Measurement(
        key(number), variant, WORK, "miou", "1", "higher", (number / 1e7,), False, number % 3, 1.5, ENVIRONMENT,
        detail=detail, contributions=tuple(number / (k + 1e6) for k in range(8)),
    )  # fmt: skip


def rows(start, count, created="2026-01-01T00:00:00+00:00"):
    """Rows as the store keeps them; only what differs is made anew, so that the store is measured and not this."""
    pattern = row_of(measurement(start), "accuracy", PARTS, created)
    for number in range(start, start + count):
        axes = f'[["width",{number % 1000}],["depth",{number // 1000}]]'
        yield {**pattern, "key": key(number), "axes": axes, "seed": number % 3, "samples": f"[{number / 1e7!r}]"}


def timed(name, function):
    started, wall = time.process_time(), time.perf_counter()
    result = function()
    print(f"{name:42} {time.process_time() - started:8.2f} s CPU {time.perf_counter() - wall:8.2f} s", flush=True)
    return result


def fill(store, start, count):
    for first in range(start, start + count, BATCH):
        store.add_rows(rows(first, min(BATCH, start + count - first)))


def test_a_store_of_many_rows(tmp_path):
    path = tmp_path / "large.sqlite"
    with Store(path) as store:
        timed(f"append {ROWS:,} rows", lambda: fill(store, 0, ROWS))
        one = [measurement(ROWS + number) for number in range(200)]
        timed("append 200, each in its own transaction", lambda: [store.add([(m, "accuracy", PARTS)]) for m in one])
    _read(path)
    _keep(path, tmp_path)


def _read(path):
    numbers = range(0, 2 * ROWS, max(1, 2 * ROWS // LOOKED_UP))
    wanted = [key(number) for number in numbers]
    with Store(path) as store:
        stored = timed(f"resume: look up {len(wanted):,} keys, half there", lambda: store.measured(wanted))
        assert len(stored) == sum(number < ROWS + 200 for number in numbers)
    table = [key(number) for number in range(0, ROWS, max(1, ROWS // IN_TABLE))]
    with Store(path) as store:
        frame = timed(f"load {len(table):,} measurements as a table", lambda: frame_of(store.records(table)))
        assert len(frame) == len(table)
    with Store(path) as store:
        timed("forecast: what the latest ones took", lambda: (store.precedents(), store.macs()))
    has = timed("store info", lambda: contents(path))
    assert has.rows["measurement"] == ROWS + 200
    print(f"{has.bytes / 1e6:,.0f} MB, {has.bytes / has.rows['measurement']:.0f} bytes a row")


def _keep(path, folder):
    assert timed("store check", lambda: check(path)) == []
    with Store(folder / "other.sqlite") as other:
        fill(other, ROWS + 200, ROWS // 10)
        with Store(path) as store:
            added = timed(f"merge {ROWS // 10:,} rows of another store", lambda: store.add_rows(other.rows()))
    assert added == ROWS // 10
    before, after = timed("store vacuum", lambda: vacuum(path))
    assert after <= before


def test_the_rows_of_this_benchmark_are_those_that_the_store_makes(tmp_path):
    """What is filled in by hand is a measurement like others."""
    alike = measurement(7)
    with Store(tmp_path / "s.sqlite") as store:
        fill(store, 7, 3)
        for number in range(7, 10):
            made = replace(measurement(number), detail=alike.detail, contributions=alike.contributions)
            (record,) = store.records([key(number)])
            stored = record.measurement
            assert stored == replace(made, variant=stored.variant)
            assert stored.variant.axes == made.variant.axes
        assert store.add_rows(rows(7, 3)) == 0
