"""Energy from made-up counters."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.hardware.energy import Counter, Drawn, Meter, NoCounterError, drawn, idle, meter, net_joules, rapl


class Card:
    """Draws 100 W when idle and 300 W in calls of half a second."""

    def __init__(self) -> None:
        self.time = self.joules = 0.0

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.joules += 100 * seconds

    def call(self) -> None:
        self.time += 0.5
        self.joules += 150


def test_idle_power_is_subtracted_from_the_energy_of_a_call() -> None:
    card = Card()
    counter = Meter(lambda: card.joules, "made up")
    rest = idle(counter, 2.0, now=lambda: card.time, sleep=card.sleep)
    work = drawn(counter, card.call, lambda: None, 1.0, now=lambda: card.time)
    assert (rest.watts, work) == (100.0, Drawn(300.0, 1.0, 2))
    assert net_joules([work], rest) == [100.0]  # 150 J a call, of which 50 J would be drawn anyway
    assert net_joules([Drawn(10.0, 1.0, 1)], rest) == [0.0]


def package(folder: Path, name: str, microjoules: int) -> Path:
    path = folder / name
    path.mkdir()
    (path / "energy_uj").write_text(f"{microjoules}\n")
    (path / "max_energy_range_uj").write_text("5000000\n")
    return path


def test_the_packages_of_a_cpu_are_summed_and_their_parts_are_not(tmp_path: Path) -> None:
    first = package(tmp_path, "intel-rapl:0", 1_000_000)
    package(tmp_path, "intel-rapl:1", 2_000_000)
    package(tmp_path, "intel-rapl:0:0", 9_000_000)  # the cores of package 0, which it has counted already
    counter = rapl(tmp_path)
    assert counter.joules() == 3.0
    (first / "energy_uj").write_text("500000")  # it has started again at 5 J
    assert counter.joules() == 5.0 + 0.5 + 2.0


def test_a_counter_that_starts_again_goes_on_rising() -> None:
    counter = Counter(most=10_000_000)
    assert [counter.joules(reading) for reading in (9_000_000, 1_000_000, 500_000)] == [9.0, 11.0, 20.5]


def test_without_a_counter_the_reason_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoCounterError, match="no counter of energy of the CPU in"):
        rapl(tmp_path)
    (package(tmp_path, "intel-rapl:0", 0) / "energy_uj").unlink()
    with pytest.raises(NoCounterError, match="cannot be read"):
        rapl(tmp_path)
    with pytest.raises(NoCounterError, match="no counter of energy is known for 'xpu' here"):
        meter("xpu")
