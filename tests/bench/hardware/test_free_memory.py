"""The memory that is free, of this machine and of made-up containers."""

from __future__ import annotations

import psutil
import pytest

from bench.hardware.free_memory import free_bytes, left_in_container
from bench.metrics.memory import MIB, fitting


@pytest.mark.parametrize(
    ("limit", "used", "left"), [("1000", "400", 600), ("max", "400", None), ("300", "400", 0), ("1000\n", "1\n", 999)]
)
def test_a_container_has_its_limit_less_what_it_uses(tmp_path, limit, used, left):
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text(used)
    assert left_in_container(tmp_path) == left


def test_without_control_groups_there_is_no_limit(tmp_path):
    assert left_in_container(tmp_path) is None


def test_a_cpu_has_at_most_the_memory_of_the_machine():
    assert 0 < free_bytes("cpu") <= psutil.virtual_memory().total


def test_a_device_that_cannot_be_asked_is_unknown():
    assert free_bytes("meta") is None


def test_the_largest_batch_that_fits_takes_what_is_free():
    assert fitting(100 * MIB, 12 * MIB, 4) == {"free_mib": 100.0, "image_mib": 3.0, "largest_batch": 33}
    assert fitting(2 * MIB, 12 * MIB, 4)["largest_batch"] == 0
    assert fitting(None, 12, 4) == fitting(100, 0, 4) == {}
