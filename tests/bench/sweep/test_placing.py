"""Training runs on made-up cards: one card a run where there are several, timings on the first one."""

from __future__ import annotations

import os
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from bench.hardware.cards import Card
from bench.results.store import Store
from bench.spec.ablation import load
from bench.sweep import placing, running, worker
from bench.sweep.driver import run
from bench.sweep.executors import Exit
from bench.sweep.placing import Cards, OnCard, cards_for, training_bytes
from bench.sweep.plan import plan
from bench.sweep.settings import Options

GIB = 1 << 30
TWO = Cards((Card(0, "GPU-a", 80 * GIB), Card(1, "GPU-b", 80 * GIB)), GIB)
ONE = Cards((Card(0, "GPU-a", 80 * GIB),), GIB)


def test_runs_alternate_between_cards_and_a_timing_has_the_first() -> None:
    assert TWO.place("cuda", [], True) == TWO.cards[0]
    assert TWO.place("cuda", ["cuda:0"], True) == TWO.cards[1]
    assert TWO.place("cuda", ["cuda:0", "cuda:1", "cuda:1"], True) == TWO.cards[0]
    assert TWO.place("cuda", ["cuda:0", "cuda:0"], False) == TWO.cards[0]


@pytest.mark.parametrize(("cards", "device"), [(ONE, "cuda"), (TWO, "cuda:1"), (TWO, "cpu"), (Cards(), "cuda")])
def test_what_the_workload_says_is_kept_where_there_is_nothing_to_choose(cards: Cards, device: str) -> None:
    assert cards.place(device, [], True) is None


def test_a_job_on_a_card_sees_that_card_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    seen: list[Any] = []
    OnCard(lambda emit: emit(os.environ["CUDA_VISIBLE_DEVICES"]), "GPU-b")(seen.append)
    assert seen == ["GPU-b"]


def test_the_need_is_that_of_a_training_step(tmp_path: Path) -> None:
    requests = [each for each in planned(tmp_path).requests if each.training_run]
    small, large = training_bytes([(requests[0], 2), (requests[0], 16)], ())
    assert 0 < small < large


def test_a_network_that_cannot_be_estimated_makes_the_need_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def fails(*_: Any) -> Any:
        raise placing.ElsewhereError("no shape")

    monkeypatch.setattr(placing, "cards_here", lambda: TWO.cards)
    monkeypatch.setattr(placing, "elsewhere", fails)
    request = next(each for each in planned(tmp_path).requests if each.training_run)
    assert cards_for([(request, 8)], ()) == Cards(TWO.cards, None)


def test_workers_are_counted_by_cards_only_on_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(placing, "usable_cores", lambda: 16)
    assert running.cards_of([planned(tmp_path)]) == Cards()
    gpu = [planned(tmp_path, device="cuda")]
    assert running.workers_for(gpu) == 1
    assert running.workers_for(gpu, TWO) == 16


ABLATION = """question: Does it matter?
architecture: fcn
baseline: {stride: 32, width: 0.125, fc_channels: 16, norm: batch, classes: 2, padding: same}
vary: {stride: [16, 8]}
metrics: [miou]
workload: {dataset: boundaries, shape: [3, 32, 32], batch: 4, device: DEVICE}
train: {steps: 2}
seeds: 2
"""


def planned(folder: Path, device: str = "cpu") -> Any:
    """Six training runs; a GPU's are those of a CPU with another device, since planning reads facts of the device."""
    file = folder / "cards.yaml"
    file.write_text(ABLATION.replace("DEVICE", "cpu"))
    whole = plan(load(file), Store(folder / "store.sqlite"))
    if device != "cpu":
        for each in whole.requests:
            object.__setattr__(each.workload, "device", device)
        for work in whole.ablation.workloads:
            object.__setattr__(work, "device", device)
    return whole


class Noting:
    """An executor that notes where jobs are sent and lets each end when the next is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.open: list[Future[Exit]] = []

    def submit(self, job: Any, receive: Any, *, timeout: float, device: str, lane: str) -> Future[Exit]:
        self.sent.append((device, getattr(job, "uuid", "")))
        future: Future[Exit] = Future()
        self.open.append(future)
        if len(self.open) == 2:  # both workers are busy
            for each in self.open:
                each.set_result(Exit("failed: made up"))
            self.open.clear()
        return future

    def stop(self) -> None:
        pass


def test_the_driver_gives_each_worker_a_card_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(worker, "snapshot", lambda device: {"device": "made up"})
    executor, whole = Noting(), planned(tmp_path, device="cuda")
    run(whole, Store(tmp_path / "store.sqlite"), executor, Options(workers=2, cards=TWO, check_noop=False))
    assert executor.sent == [("cuda:0", "GPU-a"), ("cuda:1", "GPU-b")] * 3
