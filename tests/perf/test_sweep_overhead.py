"""What the sweep itself costs for each measurement, beside joblib and Hydra's multirun for the same function in the same run.

Ours plans, keys, dispatches to a process, and saves every result in a durable store; joblib saves nothing;
Hydra writes a folder for each job. Needs the extra `perf`.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.results.store import Store
from bench.spec.ablation import load as load_ablation
from bench.sweep import driver as sweep
from bench.sweep import plan as planning
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.preloading import preload
from bench.sweep.settings import Options

CELLS = 2000
HYDRA_JOBS = 40
PLUGIN = str(Path(__file__).parents[1] / "bench" / "trivial.py")
TEXT = f"""
question: What does a measurement cost?
architecture: trivial
grid: {{a: {list(range(CELLS // 2))}, flag: [false, true]}}
metrics: [twice]
"""
HYDRA = """
import hydra
@hydra.main(version_base=None, config_path=None, config_name=None)
def main(config):
    return 2 * int(config.a)
main()
"""


def ours(folder):
    """Seconds for each measurement: on an empty store, and with every measurement stored already."""
    (folder / "a.yaml").write_text(TEXT)
    with Store(folder / "s.sqlite") as store:
        executor = LocalExecutor(2)
        try:
            executor.submit(_nothing, lambda item: None, timeout=60).result()  # warm: the fork server runs
            first = timed(lambda: sweep.run(planned(folder, store), store, executor, Options(workers=2)))
            again = timed(lambda: sweep.run(planned(folder, store), store, executor, Options(workers=2)))
        finally:
            executor.stop()
    return first / CELLS, again / CELLS


def planned(folder, store):
    return planning.plan(load_ablation(folder / "a.yaml", plugins=[PLUGIN]), store)


def _nothing(emit):
    return None


def timed(function):
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def double(a):
    return 2 * a


def joblibs():
    joblib = pytest.importorskip("joblib", reason="the extra `perf` is not installed")
    parallel = joblib.Parallel(n_jobs=2)
    parallel(joblib.delayed(double)(a) for a in range(2))  # warm: its workers run
    return timed(lambda: parallel(joblib.delayed(double)(a) for a in range(CELLS))) / CELLS


def hydras(folder):
    pytest.importorskip("hydra", reason="the extra `perf` is not installed")
    (folder / "job.py").write_text(HYDRA)

    def command(jobs):
        sweep = f"+a={','.join(map(str, range(jobs)))}"
        return [
            sys.executable,
            "job.py",
            "--multirun",
            sweep,
            "hydra/job_logging=disabled",
            "hydra/hydra_logging=disabled",
        ]

    start = timed(lambda: subprocess.run(command(1), cwd=folder, check=True, capture_output=True))
    whole = timed(lambda: subprocess.run(command(HYDRA_JOBS + 1), cwd=folder, check=True, capture_output=True))
    return (whole - start) / HYDRA_JOBS


FIRST_STEP = """
import resource, sys, time

def child(conn):
    start, before = time.process_time(), len(sys.modules)
    import bench.training.loop, torch
    layer = torch.nn.Conv2d(3, 2, 1)
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    layer(torch.ones(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    conn.send((time.process_time() - start, len(sys.modules) - before))

def main():
    import multiprocessing, os
    from bench.sweep.executors.imports import VARIABLE
    os.environ[VARIABLE] = ",".join(sys.argv[1:])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.sweep.executors.in_advance"])
    for _ in range(3):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=child, args=(theirs,))
        process.start()
        print(*ours.recv())
        process.join()

if __name__ == "__main__":
    main()
"""


def first_step(folder, preloaded):
    """(CPU seconds, imported modules) of a job's process until its first optimizer step; the median of three."""
    (folder / "first_step.py").write_text(FIRST_STEP)
    command = [sys.executable, "first_step.py", *preloaded]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return sorted(tuple(map(float, line.split())) for line in done.stdout.splitlines())[1]


def test_what_preloading_saves_each_training_process(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text(
        "question: q\narchitecture: fcn\nvary: {stride: [16]}\nmetrics: [miou]\nworkload: {dataset: boundaries}\n"
    )
    with Store(tmp_path / "s.sqlite") as store:
        modules = preload([planning.plan(load_ablation(tmp_path / "a.yaml"), store)])
    ours, plain = first_step(tmp_path, modules), first_step(tmp_path, ["bench.training.loop"])
    with capsys.disabled():
        print("\na training process until its first step, after the fork")
        print(f"  with what a run preloads         {ours[0]:6.3f} s CPU, {ours[1]:4.0f} modules imported")
        print(f"  with the training loop preloaded {plain[0]:6.3f} s CPU, {plain[1]:4.0f} modules imported")
        print(f"  ratio {plain[0] / ours[0]:.1f}")
    assert ours[1] < plain[1]


def test_overhead_of_a_cell(tmp_path, capsys):
    first, again = ours(tmp_path)
    rivals = {"joblib (2 processes, saves nothing)": joblibs(), "Hydra multirun (start not counted)": hydras(tmp_path)}
    with capsys.disabled():
        print(f"\nsweep overhead over {CELLS} trivial measurements, milliseconds for each measurement")
        print(f"  fovbench, measured and stored     {1e3 * first:8.3f}")
        print(f"  fovbench, stored already          {1e3 * again:8.3f}")
        for name, seconds in rivals.items():
            print(f"  {name:33} {1e3 * seconds:8.3f}   ours takes {first / seconds:.2f} times as long")
