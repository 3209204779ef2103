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
from bench.sweep.driver import Outcome, run
from bench.sweep.executors import Exit
from bench.sweep.executors.local import described
from bench.sweep.placing import Cards, OnCard, Room, fitting, free_memory, needed, room_for, training_bytes
from bench.sweep.plan import plan
from bench.sweep.running import Job, run_all
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


def trainings_of(whole: Any, batch: int = 4) -> list[Any]:
    return [(each, batch) for each in whole.requests if each.training_run]


def test_the_need_is_that_of_a_training_step(tmp_path: Path) -> None:
    request = trainings_of(planned(tmp_path))[0][0]
    small, large = (training_bytes(request, batch, (), "cpu") for batch in (2, 16))
    assert 0 < small < large
    assert training_bytes(request, 16, (), "cuda") > large


class Here:
    """An executor that runs each job in this process."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []

    def submit(self, job: Any, receive: Any, **_: Any) -> Future[Exit]:
        future: Future[Exit] = Future()
        self.jobs.append(job)
        try:
            job(receive)
            future.set_result(Exit())
        except Exception as error:
            future.set_result(Exit(described(error)))
        return future

    def stop(self) -> None:
        pass


def test_the_need_of_several_runs_is_that_of_the_largest_and_each_network_is_estimated_once(tmp_path: Path) -> None:
    executor, trainings = Here(), trainings_of(planned(tmp_path))
    need = needed([*trainings, (trainings[0][0], 16)], (), "cpu", executor)
    assert need == training_bytes(trainings[0][0], 16, (), "cpu")
    assert len(executor.jobs[0].trainings) == 4, "three networks at batch 4, one at batch 16; the seeds do not matter"


def test_of_many_networks_the_largest_are_estimated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(placing, "MOST", 2)
    estimated: list[int] = []
    monkeypatch.setattr(placing, "training_bytes", lambda request, batch, *_: estimated.append(batch) or batch)
    request = trainings_of(planned(tmp_path))[0][0]
    assert needed([(request, batch) for batch in (4, 32, 2, 16)], (), "cpu", Here()) == 32
    assert estimated == [32, 16]


def test_a_network_that_cannot_be_estimated_makes_the_need_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def fails(*_: Any) -> Any:
        raise RuntimeError("no shape")

    monkeypatch.setattr(running, "cards_here", lambda: TWO.cards)
    monkeypatch.setattr(placing, "training_bytes", fails)
    whole = planned(tmp_path)
    assert needed(trainings_of(whole), (), "cpu", Here()) == "failed: RuntimeError: no shape"
    assert running.cards_of([whole], Here()) == Cards(TWO.cards, None)


def test_the_need_on_cards_is_estimated_in_a_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(running, "cards_here", lambda: TWO.cards)
    need = running.cards_of([planned(tmp_path)], Here()).need
    assert need == max(
        training_bytes(request, batch, (), "cuda") for request, batch in trainings_of(planned(tmp_path), 8)
    )


def test_workers_are_counted_by_cards_only_on_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(placing, "usable_cores", lambda: 16)
    monkeypatch.setattr(running, "usable_cores", lambda: 12)
    gpu = [planned(tmp_path, device="cuda")]
    assert running.workers_for(gpu) == 1
    assert running.workers_for(gpu, TWO) == 16
    assert running.workers_for([planned(tmp_path)]) == 12


@pytest.mark.parametrize(
    ("free", "need", "runs"),
    [(8 * GIB, GIB, 3), (8 * GIB, 100 << 20, 9), (8 * GIB, 8 * GIB, 1), (0, GIB, 1), (64 * GIB, GIB, 25)],
)
def test_training_runs_at_once_fill_four_fifths_of_the_free_memory(free: int, need: int, runs: int) -> None:
    """0.8 of 8 GiB are 6.4; a run of 1 GiB of tensors takes 1.5 of them, and half a GiB for its process."""
    assert fitting(free, need) == runs


def test_a_bound_by_memory_is_said_and_so_is_an_unknown_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "free_memory", lambda: 8 * GIB)
    assert room_for(GIB, 3) == Room()
    bound = room_for(GIB, 16)
    assert bound.at_most == 3
    assert bound.text == "3 training runs at once instead of 16: the largest needs about 2.0 GiB, 8.0 GiB are free"
    unknown = room_for("failed: no shape", 16)
    assert unknown.at_most is None
    text = "16 training runs at once, by cores alone: what memory they need is not known (failed: no shape)"
    assert unknown.text == text


def test_free_memory_is_what_the_container_may_still_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "left_in_container", lambda _: 5)
    assert free_memory() == 5
    monkeypatch.setattr(placing, "left_in_container", lambda _: None)
    assert free_memory() > 5


def test_the_driver_trains_no_more_at_once_than_memory_allows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a made-up machine of eight cores and 1.5 GiB, on which two of these runs fit."""
    monkeypatch.setattr(running, "usable_cores", lambda: 8)
    monkeypatch.setattr(placing, "free_memory", lambda: 3 * GIB // 2)
    seen: list[Options] = []
    monkeypatch.setattr(running, "run", lambda plan, store, executor, options: seen.append(options) or Outcome(0, 0, 0))
    monkeypatch.setattr(running, "LocalExecutor", lambda *_: Here())
    file = tmp_path / "cards.yaml"
    file.write_text(ABLATION.replace("DEVICE", "cpu"))
    with Store(tmp_path / "store.sqlite") as store:
        for workers in (None, 5):
            run_all(Job([load(file)], store, None, workers=workers), lambda plan: None, lambda plan: None)
    assert [(each.workers, each.trainings) for each in seen] == [(8, 2), (5, None)]
    assert capsys.readouterr().err.startswith("cards: 2 training runs at once instead of 6: the largest needs about ")


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
        self.most = 0

    def submit(self, job: Any, receive: Any, *, timeout: float, device: str, lane: str) -> Future[Exit]:
        self.sent.append((device, getattr(job, "uuid", "")))
        future: Future[Exit] = Future()
        self.open.append(future)
        self.most = max(self.most, len(self.open))
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


def test_the_driver_sends_no_more_trainings_than_may_run_at_once(tmp_path: Path) -> None:
    executor, whole = Noting(), planned(tmp_path)
    run(whole, Store(tmp_path / "store.sqlite"), executor, Options(workers=6, trainings=2, check_noop=False))
    assert executor.most == 2
