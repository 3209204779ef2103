"""Parameters, MACs and receptive field of 200 paper-sized variants of all segmentation families, through the sweep."""

import itertools
import os
import time
from pathlib import Path

from bench.registry import RegistryError
from bench.registry.catalogue import declarations
from bench.results.store import Store
from bench.spec.ablation import load
from bench.sweep import driver as sweep
from bench.sweep import plan as planning
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.preloading import preload
from bench.sweep.settings import Options

COUNT, SHAPE, WORKERS = 200, (3, 512, 512), 2


def variants(family):
    """Settings of one family: each choice of each axis from the defaults, then other numbers of classes."""
    yield {}
    for axis in family.axes:
        for value in axis.choices or ((True, False) if axis.kind == "bool" else ()):
            if value != axis.default:
                yield {axis.name: value}
    for classes in itertools.count(2):
        yield {"classes": classes}


def segmenting():
    """The families that take an image of any size."""
    return [family for family in declarations().architectures if family.task == "segmentation"]


def chosen():
    """COUNT settings, the families in turn; what a family refuses is left out."""
    families = segmenting()
    streams = [(family, variants(family)) for family in families]
    settings = []
    turns = itertools.cycle(streams)
    while len(settings) < COUNT:
        family, stream = next(turns)
        axes = next(stream)
        try:
            family.resolve(axes)
        except RegistryError:
            continue
        settings.append((family.name, axes))
    return settings


def ablation(folder, number, name, axes):
    text = ", ".join(
        f"{key}: {str(value).lower() if isinstance(value, bool) else value}" for key, value in axes.items()
    )
    file = folder / f"v{number}.yaml"
    shape = f"workload: {{shape: {list(SHAPE)}}}"
    file.write_text(
        f"question: q\narchitecture: {name}\nbaseline: {{{text}}}\nmetrics: [params, macs, receptive_field]\n{shape}\n"
    )
    return load(file)


def workers_seconds():
    """CPU seconds of the fork server and of all workers that have ended; None where there is no /proc."""
    stats = (file.read_text().rpartition(")")[2].split() for file in Path("/proc").glob("[0-9]*/stat"))
    own = [list(map(int, fields[11:15])) for fields in stats if fields[1] == str(os.getpid())]
    return sum(map(sum, own)) / os.sysconf("SC_CLK_TCK") if own else None


def test_two_hundred_variants(tmp_path, capsys):
    with Store(tmp_path / "s.sqlite") as store:
        plans = [planning.plan(ablation(tmp_path, n, *each), store) for n, each in enumerate(chosen())]
        whole = planning.Plan(plans[0].ablation, tuple(p for plan in plans for p in plan.planned), None)
        single = sweep.replace(whole, ablation=sweep.replace(whole.ablation, variants=whole.ablation.variants[:1]))
        executor = LocalExecutor(WORKERS, preload(plans))
        try:
            begun = time.perf_counter()
            summary = sweep.run(single, store, executor, Options(workers=WORKERS))
            seconds, used = time.perf_counter() - begun, workers_seconds()
        finally:
            executor.stop()
        errors = [r.measurement.error for r in store.records() if r.measurement.error]
    with capsys.disabled():
        line = f"{len(plans)} variants of {len(segmenting())} families at {SHAPE}, {summary.measured} measurements"
        spent = f"{seconds:.1f} s on {WORKERS} workers (budget 60 s)"
        cpu = "" if used is None else f", {used:.0f} CPU seconds of {60 * WORKERS} in them"
        print(f"\n{line}: {spent}{cpu}, {summary.failed} failed {errors[:3]}")
    assert summary.left == 0
