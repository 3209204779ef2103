"""What a small run was forecast to take, from a run of other steps before it, beside what it took."""

import os
import time

from bench.results.store import Store
from bench.spec.ablation import load
from bench.sweep.forecast import forecast_of
from bench.sweep.running import Job, run_all

TEXT = """
question: How long does it take?
architecture: fcn
baseline: {stride: 32, width: 0.0625, fc_channels: 16}
vary: {stride: [8]}
metrics: [params, macs, miou]
workload: {dataset: boundaries, shape: [3, 32, 32], batch: 4}
train: {batch: 4, mode: fp32}
seeds: 1
"""


def test_the_forecast_of_a_small_run(tmp_path):
    (tmp_path / "a.yaml").write_text(TEXT)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with Store(tmp_path / "s.sqlite") as store:
        for steps in (10, 20, 30):
            job = Job([load(tmp_path / "a.yaml", [f"train.steps={steps}"])], store, None, workers=1)
            forecast = forecast_of(job.plans()[0], store)
            started = time.perf_counter()
            run_all(job, lambda plan: None, lambda plan: None)
            took, likely = time.perf_counter() - started, forecast.total().seconds
            print(f"{steps} steps: {forecast.text()}; took {took:.1f} s; forecast / took {likely / took:.2f}")
    assert forecast.unknown == 0
