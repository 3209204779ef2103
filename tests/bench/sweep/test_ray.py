"""A run on a real Ray cluster of one node, on loopback; skipped without Ray, and where the machine cannot start one."""

import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.results.store import Store
from tests.bench.sweep.test_cluster import ABLATION

pytest.importorskip("ray", reason="Ray is not installed (pip install fovbench[ray])")

PLUGIN = """
import json
from pathlib import Path
import psutil
from bench.registry import architecture, metric

@architecture(task="none", source="nobody")
def plain(*, a: int = 0):
    return a

@metric(unit="px", better="lower", kind="static")
def twice(subject):
    \"\"\"Twice a, and the addresses on which the cluster listens.\"\"\"
    addresses = set()
    for process in psutil.process_iter():
        try:
            if "ray" in " ".join(process.cmdline()):
                addresses |= {c.laddr.ip for c in process.net_connections("inet") if c.status == "LISTEN"}
        except psutil.Error:
            pass
    Path(SEEN).write_text(json.dumps(sorted(addresses)))
    return 2 * subject.build()
"""


def test_a_run_on_ray_equals_a_local_one_and_its_cluster_listens_on_loopback_only(tmp_path):
    (tmp_path / "plug.py").write_text(PLUGIN.replace("SEEN", repr(str(tmp_path / "seen.json"))))
    (tmp_path / "asked.yaml").write_text(ABLATION)
    (tmp_path / "fovbench.toml").write_text('plugins = ["plug.py"]')
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "bench.cli", "run", "asked.yaml", "--no-report"]
    on_ray = subprocess.run([*command, "--on", "ray"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    if "no cluster can be started" in on_ray.stderr:
        pytest.skip(on_ray.stderr.splitlines()[-1])
    local = subprocess.run(
        [*command, "--store", "l.sqlite"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (on_ray.returncode, on_ray.stdout) == (0, local.stdout)
    addresses = json.loads((tmp_path / "seen.json").read_text())
    assert addresses
    assert all(ipaddress.ip_address(each.removeprefix("::ffff:")).is_loopback for each in addresses)
    with Store(tmp_path / "results" / "store.sqlite") as store, Store(tmp_path / "l.sqlite") as other:
        pairs = [[(r.measurement.key, r.measurement.samples) for r in each.records()] for each in (store, other)]
    assert sorted(pairs[0]) == sorted(pairs[1])
