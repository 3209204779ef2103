"""The recipe of docs/cluster.md, submitted to a real Slurm of two nodes; skipped where there is none."""

import os
import re
import sys
from pathlib import Path

import pytest
from slurm_cluster import running, why_not

from bench.results.store import Store
from tests.bench.sweep.ray_runs import WITHOUT_RAY

WHY_NOT = why_not() or WITHOUT_RAY
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

ROOT = Path(__file__).parents[3]
PLUGIN = """
from bench.registry import architecture, metric

@architecture(task="none", source="nobody")
def plain(*, a: int = 0):
    if a == 2:
        raise ValueError("there is no 2")
    return a

@metric(unit="px", better="lower", kind="static")
def twice(subject):
    return 2 * subject.build()
"""
ABLATION = """
question: q
architecture: plain
baseline: {a: 0}
vary: {a: [1, 2]}
metrics: [twice]
"""


@pytest.fixture
def script(tmp_path):
    """The recipe, in a project where one of three measurements fails; `bench` and `ray` are those of this Python."""
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^```sh\n(#!.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for name, content in {
        "fovbench.toml": 'plugins = ["plug.py"]',
        "plug.py": PLUGIN,
        "ablations/my_ablation.yaml": ABLATION,
        "job.sh": recipe,
        "bin/bench": f'#!/bin/sh\nexec {sys.executable} -m bench.cli "$@"\n',
        "bin/ray": f'#!/bin/sh\nexec {sys.executable} -m ray.scripts.scripts "$@"\n',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    return tmp_path / "job.sh"


def test_the_recipe_for_slurm_runs_and_its_job_ends_with_the_status_of_the_run(script):
    folder = script.parent
    path = f"{folder / 'bin'}:{os.defpath}"
    environment = {"PATH": path, "HOME": str(folder), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with running(2) as cluster:
        status = cluster.submit(script, environment, "--nodes=2", "--cpus-per-task=2", "--output=job.log")
        left = [line for line in cluster.commands() if "raylet" in line or "gcs_server" in line]
    log = (folder / "job.log").read_text()
    assert (status, left) == (1, []), log
    with Store(folder / "results" / "store.sqlite") as store:
        rows = [each.measurement for each in store.records()]
    assert sorted((*row.samples, row.error or "") for row in rows if not row.error) == [(0, ""), (2, "")], log
    assert [row.error for row in rows if row.error] == ["failed: ValueError: there is no 2 (plug.py:7)"], log
