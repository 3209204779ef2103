"""How many training runs cards take, and which card is next: rules on made-up cards and a made-up driver."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench.hardware import nvml
from bench.hardware.cards import CONTEXT, FRACTION, Card, at_once, capacity, card_for, cards_here

GIB = 1 << 30


def card(number: int, free: float) -> Card:
    return Card(number, f"GPU-{number}", int(free * GIB))


def needing(runs: int, free: float) -> int:
    """Bytes of which exactly `runs` fit on a card with so many GiB free."""
    return int(FRACTION * free * GIB) // runs - CONTEXT


@pytest.mark.parametrize("runs", [1, 3, 8])
def test_a_card_takes_as_many_runs_as_its_memory_serves(runs: int) -> None:
    assert capacity(card(0, 80), needing(runs, 80)) == runs
    assert capacity(card(0, 80), needing(runs, 80) + GIB // 1024) == max(1, runs - 1)


def test_a_run_that_does_not_fit_is_tried_alone_and_one_of_unknown_need_is_alone() -> None:
    assert capacity(card(0, 8), 100 * GIB) == 1
    assert capacity(card(0, 80), None) == 1


def test_cores_bound_the_runs_and_several_cards_have_one_each_at_least() -> None:
    cards = [card(0, 80), card(1, 80)]
    assert at_once(cards, needing(4, 80), cores=16) == 8
    assert at_once(cards, needing(4, 80), cores=6) == 6
    assert at_once(cards, needing(4, 80), cores=16, threads=4) == 4
    assert at_once(cards, None, cores=16) == 2
    assert at_once(cards, None, cores=1, threads=2) == 1
    assert at_once([], None, cores=16) == 1


def test_the_next_run_is_given_to_the_card_with_the_most_room() -> None:
    cards, need = [card(0, 80), card(1, 40)], needing(4, 80)
    order: dict[int, int] = {}
    chosen = []
    for _ in range(5):
        best = card_for(cards, order, need)
        assert best is not None
        order[best.number] = order.get(best.number, 0) + 1
        chosen.append(best.number)
    assert chosen == [0, 0, 0, 1, 0]  # four fit on the first, two on the second; the first wins a tie
    assert card_for([], {}, need) is None


class Driver(SimpleNamespace):
    """Three cards, of 10, 20 and 30 free bytes."""

    NVMLError = RuntimeError

    def nvmlDeviceGetCount(self) -> int:
        return 3

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{'abc'[handle]}0"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(free=10 * (handle + 1))


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [
        ("0,1,2", ["GPU-a0", "GPU-b0", "GPU-c0"]),
        ("2,0", ["GPU-c0", "GPU-a0"]),
        ("GPU-b", ["GPU-b0"]),
        ("1,7,0", ["GPU-b0"]),  # as CUDA does: nothing after a name that is no card
        ("", []),
        ("-1", []),
        ("MIG-c2", []),
    ],
)
def test_cards_are_those_that_cuda_shows_to_this_process(
    monkeypatch: pytest.MonkeyPatch, visible: str, uuids: list[str]
) -> None:
    monkeypatch.setattr(nvml, "_library", Driver)
    assert [each.uuid for each in cards_here(visible)] == uuids
    assert [each.device for each in cards_here(visible)] == [f"cuda:{number}" for number in range(len(uuids))]


def test_without_a_driver_there_are_no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise nvml.DriverError("not installed")

    monkeypatch.setattr(nvml, "_library", missing)
    assert cards_here() == ()
    monkeypatch.setattr(nvml, "_library", Driver)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [each.free for each in cards_here()] == [10, 20, 30]
