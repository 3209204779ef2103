"""1,000 small real measurements: static metrics and trainings of 20 steps, beside Ray Tune and Hydra's multirun (joblib).

What is printed: the part of the ideal (the sum of the measurements' own times over the workers) that the run reaches,
and the seconds of a worker beyond that for each training run. The others run the same training jobs, made by our plan,
and keep their scores as their users would: `tune.report`, a file in Hydra's output folder. Of ours, planning, the no-op
check and the store count as overhead too, and of all three the start.
FOVBENCH_TEST_MEASUREMENTS sets the number: each variant has two static metrics and eight seeds.

The overhead of a training run is a number of seconds, so that the part of the ideal depends on the network. Two
convolutions of a plug-in train in less time than a process needs to start and end, and each training has a process of
its own; those of our U-Net share processes (`bench.sweep.together`).
"""

import importlib.util
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.hardware.environment import usable_cores
from bench.results.store import Store
from bench.spec.ablation import load
from bench.sweep.plan import plan
from bench.sweep.running import Job, run_all
from bench.sweep.worker import TrainJob

COUNT = int(os.environ.get("FOVBENCH_TEST_MEASUREMENTS", "1000"))
VARIANTS, SEEDS = max(2, COUNT // 10), 8
RUNS, ROWS = VARIANTS * SEEDS, VARIANTS * (SEEDS + 2)
PLUGIN = '''
from torch import nn
from bench.registry import architecture

@architecture(task="segmentation", source="nobody")
def small(*, width: int = 1, classes: int = 2) -> nn.Module:
    """Two convolutions."""
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, classes, 1))
'''
WORK = """
metrics: [params, macs, miou]
main: miou
workload: {dataset: {name: boundaries, train_count: 16, val_count: 8}, shape: [3, 32, 32]}
train: {steps: 20, batch: 4, mode: fp32}
seeds: SEEDS
""".replace("SEEDS", str(SEEDS))
ABLATIONS = {
    "two convolutions": f"""
question: What does a measurement cost?
architecture: small
vary: {{width: {list(range(2, VARIANTS + 1))}}}
{WORK}""",
    "U-Net of an eighth of the width": f"""
question: What does a measurement cost?
architecture: unet
baseline: {{width: 0.125, depth: 3, norm: batch, dropout: 0.0}}
vary: {{dropout: {[round(0.9 * number / VARIANTS, 5) for number in range(1, VARIANTS)]}}}
{WORK}""",
}
TASK = """
import os, pickle, sys, time
from pathlib import Path

FOLDER = Path(__file__).parent

def task(number):
    sys.path.insert(0, str(FOLDER))
    job = pickle.loads((FOLDER / "jobs" / str(number)).read_bytes())
    started = time.perf_counter()
    scores = []
    job(scores.append)
    (score,) = (each.samples[0] for each in scores if getattr(each, "samples", ()))
    (FOLDER / "times" / str(number)).write_text(str(time.perf_counter() - started))
    return score
"""
HYDRA = """
from pathlib import Path
import hydra
from task import task

@hydra.main(version_base=None, config_path=None, config_name=None)
def main(config):
    score = task(int(config.number))
    Path(hydra.core.hydra_config.HydraConfig.get().runtime.output_dir, "score").write_text(str(score))

main()
"""
TUNE = """
import sys
import ray
from ray import tune

def trial(config):
    sys.path.insert(0, FOLDER)
    from task import task
    tune.report({"score": task(config["number"])})

FOLDER, runs, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ray.init(address="local", num_cpus=workers, include_dashboard=False, _node_ip_address="127.0.0.1",
         log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": sys.argv[4]}})

def bound(config, folder):
    global FOLDER
    FOLDER = folder
    trial(config)

tune.Tuner(
    tune.with_resources(tune.with_parameters(bound, folder=FOLDER), {"cpu": 1}),
    param_space={"number": tune.grid_search(list(range(runs)))},
    tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=workers),
    run_config=tune.RunConfig(verbose=0, storage_path=FOLDER + "/tune"),
).fit()
"""


def ours(folder, ablation, workers):
    """(elapsed seconds, seconds of the measurements themselves)"""
    with Store(folder / "ours.sqlite") as store:
        started = time.perf_counter()
        assert not run_all(Job([ablation], store, None, workers=workers, verbosity=-1), lambda p: None, lambda p: None)
        elapsed = time.perf_counter() - started
        rows = [record.measurement for record in store.records()]
    assert len(rows) == ROWS
    return elapsed, sum(row.duration for row in rows)


def others(folder, command, workers):
    """The same of another tool that runs the training jobs; their times are those that the jobs wrote."""
    for file in (folder / "times").iterdir():
        file.unlink()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), str(folder)])}
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    elapsed = time.perf_counter() - started
    times = [float(file.read_text()) for file in (folder / "times").iterdir()]
    assert (done.returncode, len(times)) == (0, RUNS), done.stderr[-2000:]
    return elapsed, sum(times)


def prepared(folder, ablation):
    """Write the training jobs, and the scripts of the other tools."""
    for name in ("jobs", "times", "tune"):
        (folder / name).mkdir()
    with Store(folder / "empty.sqlite") as store:
        due = [request for request in plan(ablation, store).due if request.training_run]
    for number, request in enumerate(due):
        job = TrainJob((request,), ablation.recipe_of(request.variant), None, ablation.plugins)
        (folder / "jobs" / str(number)).write_bytes(pickle.dumps(job))
    for name, text in {"task.py": TASK, "multirun.py": HYDRA, "tuned.py": TUNE}.items():
        (folder / name).write_text(text)


def commands(folder, workers):
    launcher = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={workers}"]
    silent = ["hydra/job_logging=disabled", "hydra/hydra_logging=disabled"]
    numbers = f"+number=range(0,{RUNS})"
    yield (
        "hydra_plugins.hydra_joblib_launcher",
        "Hydra multirun, joblib",
        [sys.executable, "multirun.py", "--multirun", numbers, *launcher, *silent],
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(folder)])
    yield "ray.tune", "Ray Tune", [sys.executable, "tuned.py", str(folder), str(RUNS), str(workers), path]


def is_installed(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("network", ABLATIONS)
def test_overhead_of_real_measurements(network, tmp_path, capsys):
    (tmp_path / "small.py").write_text(PLUGIN)
    (tmp_path / "asked.yaml").write_text(ABLATIONS[network])
    ablation, workers = load(tmp_path / "asked.yaml", plugins=[str(tmp_path / "small.py")]), usable_cores()
    elapsed, own = ours(tmp_path, ablation, workers)
    overhead = (elapsed * workers - own) / RUNS
    prepared(tmp_path, ablation)
    lines = [f"  fovbench                {elapsed:8.1f} s   {own / workers / elapsed:4.0%} of the ideal   "
             f"{overhead:7.3f} s overhead a training run"]  # fmt: skip
    for module, name, command in commands(tmp_path, workers):
        if not is_installed(module):
            lines.append(f"  {name:23} not installed")
            continue
        took, spent = others(tmp_path, command, workers)
        beyond = (took * workers - spent) / RUNS
        lines.append(f"  {name:23} {took:8.1f} s   {spent / workers / took:4.0%} of the ideal   "
                     f"{beyond:7.3f} s overhead a training run, {beyond / overhead:.1f} times ours")  # fmt: skip
    with capsys.disabled():
        counts = f"{ROWS} measurements, {RUNS} training runs of 20 steps, {workers} workers"
        print(f"\n{network}: {counts}", *lines, sep="\n")
    assert 0 < own / workers / elapsed <= 1.05
