"""Energy from made-up counters."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.hardware import energy
from bench.hardware.energy import Account, Counter, Drawn, Meter, NoCounterError, drawn, idle, meter, net_joules, rapl


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


def test_the_account_of_a_training_leaves_idle_power_out_and_says_what_disturbed() -> None:
    card, troubles = Card(), ["", "another process on the device", ""]
    counter = Meter(lambda: card.joules, "made up")
    account = Account(counter, lambda: troubles.pop(0), 2.0, now=lambda: card.time, sleep=card.sleep)
    card.call()
    account.poll()
    card.call()
    assert account.facts() == {
        "joules": 200.0,  # 300 J in a second, of which 100 J would be drawn anyway
        "gross_joules": 300.0,
        "idle_watts": 100.0,
        "seconds": 1.0,
        "source": "made up",
        "disturbed": "another process on the device",
    }


def test_an_account_that_is_polled_sees_each_new_start_of_the_counter(tmp_path: Path) -> None:
    file = package(tmp_path, "intel-rapl:0", 4_000_000) / "energy_uj"
    account = Account(rapl(tmp_path), idle_seconds=1.0, now=iter([0.0, 1.0, 1.0, 4.0]).__next__, sleep=lambda _: None)
    for microjoules in (1_000_000, 500_000, 250_000):  # twice past 5 J
        file.write_text(str(microjoules))
        account.poll()
    assert account.facts()["gross_joules"] == pytest.approx(3 * 5 + 0.25 - 4)


def test_where_no_counter_can_be_read_the_account_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    account = energy.account("cpu")
    account.poll()
    assert account.facts() == {"not_known": f"no counter of energy of the CPU in {tmp_path}"}
