"""The deterministic numbers of the repository's ablations are what was committed: `bench gate`, run as CI does."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.spec.ablation import load

ROOT = Path(__file__).parents[3]
EXPECTED = sorted(p.stem for p in (ROOT / "results" / "expected").glob("*.csv"))


@pytest.fixture
def checkout(tmp_path):
    """The ablations and expectations in a folder of their own, with a fresh store."""
    for name in ("ablations", "results/expected"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def bench(folder, *arguments):
    return subprocess.run([sys.executable, "-m", "bench.cli", *arguments], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_gate_passes_on_numbers_measured_anew(name, checkout):
    ablation = load(ROOT / "ablations" / f"{name}.yaml")
    static = [m.name for m in ablation.metrics if m.kind == "static"]
    data = {"name": ablation.workload.dataset, **dict(ablation.workload.dataset_axes)}
    narrowed = ["--set", f"metrics=[{','.join(static)}]", "--set", f"workload.dataset={json.dumps(data)}"]
    done = bench(checkout, "run", name, "--no-report", *narrowed)
    assert done.returncode == 0, done.stderr
    done = bench(checkout, "gate", name, *narrowed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "numbers as expected" in done.stdout


def test_there_is_something_to_hold_to():
    assert "smoke" in EXPECTED
