"""What the sweep itself costs for each measurement, beside joblib and Hydra's multirun for the same function in the same run.

Ours plans, keys, dispatches to a process, and saves every result in a durable store; joblib saves nothing;
Hydra writes a folder for each job. Needs the extra `perf`.
"""

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


def test_overhead_of_a_cell(tmp_path, capsys):
    first, again = ours(tmp_path)
    rivals = {"joblib (2 processes, saves nothing)": joblibs(), "Hydra multirun (start not counted)": hydras(tmp_path)}
    with capsys.disabled():
        print(f"\nsweep overhead over {CELLS} trivial measurements, milliseconds for each measurement")
        print(f"  fovbench, measured and stored     {1e3 * first:8.3f}")
        print(f"  fovbench, stored already          {1e3 * again:8.3f}")
        for name, seconds in rivals.items():
            print(f"  {name:33} {1e3 * seconds:8.3f}   ours takes {first / seconds:.2f} times as long")
