"""`bench audit`: three counts, a rule for each difference, and an exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.cli import bench

NETWORKS = '''
import torch
from torch import nn


class Unpooling(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.layer(self.unpool(*self.pool(x)))


def plain(*, width: int = 8) -> nn.Module:
    """A convolution, its norm, an upsampling."""
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Upsample(scale_factor=2, mode="bilinear"))


def unpooling() -> nn.Module:
    """A network that fvcore cannot run."""
    return Unpooling()
'''


@pytest.fixture
def audited(tmp_path: Path):
    (tmp_path / "nets.py").write_text(NETWORKS)

    def run(name: str, *arguments: str, code: int = 0) -> Result:
        target = f"{tmp_path / 'nets.py'}:{name}"
        done = CliRunner().invoke(bench, ["audit", target, *arguments, "--shape", "3,10,12"])
        assert done.exit_code == code, done.output
        return done

    return run


def test_the_table_names_every_operator_and_rule(audited):
    lines = audited("plain", "width=4").stdout.splitlines()
    assert lines[0].endswith("nets.py:plain(width=4) at 3x10x12")
    table = {line.split()[0]: line for line in lines[2:]}
    macs = 8 * 10 * 4 * 27
    assert table["convolution"].split()[1:6] == ["1", f"{macs:,}", f"{2 * macs + 320:,}", f"{macs:,}", f"{2 * macs:,}"]
    assert "4 an output element" in table["upsample_bilinear2d"]
    assert table["all"].split()[2] == f"{macs:,}"
    assert lines[-1] == "every difference has a rule that predicts it"


def test_json_is_one_operator_a_line_and_nothing_else(audited):
    done = audited("plain", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"operator", "runs", "macs", "flops", "fvcore", "torch", "fvcore_rule", "torch_rule"} <= rows[0].keys()
    assert all(row["explained"] for row in rows)
    assert "every difference" in done.stderr


def test_where_fvcore_fails_its_error_and_the_operator_are_printed(audited):
    output = audited("unpooling").stdout
    assert "fvcore has no count: " in output
    assert "the network has max_unpool2d, on which fvcore fails" in output
    assert "torch: two per MAC" in output


def test_a_number_without_a_rule_is_printed_and_fails(audited, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bench.structure.audit.fvcore_table", lambda *_: {"conv": 1, "batch_norm": 2 * 8 * 80})
    output = audited("plain", code=1).stdout
    assert "no rule explains: convolution, upsample_bilinear2d" in output
    assert "fvcore: UNEXPLAINED" in output
