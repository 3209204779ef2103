"""Executions of the training step: a made-up device records and replays, and a check refuses what is not repeated."""

from __future__ import annotations

import copy
import math
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from bench.spec.recipe import Recipe
from bench.tasks.segmentation import Segmentation
from bench.training import execution, loop, step_admission, step_probe
from bench.training.budget import Served
from bench.training.execution import EXECUTIONS, WARM_UP, Replayed, why_not
from bench.training.losses import EVERY, Diverged, Losses
from bench.training.pace import learning_rate
from bench.training.step_admission import Step, StepAdmission, admit_execution
from bench.training.step_probe import StepRequest, tried

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class MadeUpRecorder:
    """A device whose graph is the recorded call itself; its result lies where it lay at the recording."""

    def __init__(self, device: str = "cpu") -> None:
        self.last: Any = None
        self.events: list[str] = []

    def aside(self, call: Callable[[], Any]) -> Any:
        self.events.append("aside")
        self.last = call()
        return self.last

    def record(self, call: Callable[[], Any]) -> tuple[Callable[[], object], Any]:
        self.events.append("record")
        result = pytree.tree_map(torch.zeros_like, self.last)

        def replay() -> None:
            self.events.append("replay")
            for place, value in zip(pytree.tree_leaves(result), pytree.tree_leaves(call()), strict=True):
                place.copy_(value)

        return replay, result


class Forgetful(MadeUpRecorder):
    """A device that replays the first batch again and again."""

    def record(self, call: Callable[[], Any]) -> tuple[Callable[[], object], Any]:
        return (lambda: None), pytree.tree_map(torch.clone, self.last)


def pictures(count: int = 12, size: int = 16) -> Any:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (count, size, size), generator=generator, dtype=torch.uint8)
    images = (labels[:, None] * 200).expand(-1, 3, -1, -1).contiguous()
    return SimpleNamespace(images=images, targets={"labels": labels}, names=("dark", "bright"))


def network(*more: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    first = nn.Conv2d(
        3, 8, 3, padding=1, bias=False
    )  # a bias before a batch norm has gradients of rounding errors only
    return nn.Sequential(first, nn.BatchNorm2d(8), nn.ReLU(), *more, nn.Conv2d(8, 2, 1))


RECIPE = Recipe(steps=9, batch=4, lr=1e-2, mode="fp32", average=0.9, clip=1.0)


def batches() -> list[step_probe.Batch]:
    return loop._tried_batches(Segmentation, pictures(), RECIPE, loop.MODES["fp32"])


def request(model: nn.Module, name: str = "graph", loss: Any = Segmentation.loss) -> StepRequest:
    return StepRequest(pickle.dumps((model, loss, batches())), "fp32", name, "cpu", 1, {}, 60.0)


def recorded_by(monkeypatch: pytest.MonkeyPatch, recorder: type[MadeUpRecorder]) -> None:
    monkeypatch.setattr(execution, "CudaRecorder", recorder)


# A step that is recorded and replayed.


def test_the_first_calls_are_made_and_the_later_ones_replayed_with_their_own_arguments() -> None:
    recorder = MadeUpRecorder()
    doubled: Replayed[Tensor] = Replayed(lambda x: 2 * x, recorder)
    results = [doubled(torch.tensor([float(number)])) for number in range(WARM_UP + 3)]
    assert [result.item() for result in results] == [2.0 * number for number in range(WARM_UP + 3)]
    assert recorder.events == ["aside"] * WARM_UP + ["record"] + ["replay"] * 3


def test_a_batch_of_another_form_is_not_replayed() -> None:
    recorder = MadeUpRecorder()
    doubled: Replayed[Tensor] = Replayed(lambda x: 2 * x, recorder)
    for _ in range(WARM_UP + 1):
        doubled(torch.ones(2))
    assert doubled(torch.ones(3)).tolist() == [2.0] * 3
    assert doubled(torch.full((2,), 4.0)).tolist() == [8.0] * 2
    assert recorder.events[WARM_UP + 2 :] == ["aside", "replay"]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_recorded_training_is_that_of_the_plain_loop(monkeypatch: pytest.MonkeyPatch, optimizer: str) -> None:
    recorded_by(monkeypatch, MadeUpRecorder)
    recipe = RECIPE.model_copy(update={"optimizer": optimizer})
    plain = loop.fit(network(), Segmentation, pictures(), recipe, seed=1)
    monkeypatch.setattr(loop, "admit_execution", lambda *_: StepAdmission("graph"))
    graph = loop.fit(network(), Segmentation, pictures(), recipe, seed=1)
    assert (plain.execution, graph.execution) == ("eager", "graph")
    # rates are float32 on the device, and numbers of Python in the plain loop
    assert graph.curves["loss"] == pytest.approx(plain.curves["loss"], rel=1e-4)
    for after, before in zip(graph.model.state_dict().values(), plain.model.state_dict().values(), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-5)
    assert graph.curves["lr"].tolist() == plain.curves["lr"].tolist()


# The plain loop is what it was.


def test_a_training_on_the_cpu_is_bit_for_bit_that_of_a_loop_written_out() -> None:
    """Weights one after the other, rates as numbers, no execution but call by call."""
    recipe = RECIPE.model_copy(update={"augment": False})
    examples, model = pictures(), network()
    last = copy.deepcopy(model)
    average = copy.deepcopy(last.train()).requires_grad_(False)
    optimizer = loop._optimizer(last, recipe)
    order = loop.shuffled(len(examples.images), recipe.batch, torch.Generator().manual_seed(3))
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        chosen = next(order)
        x = Segmentation.prepare(examples.images[chosen])
        optimizer.zero_grad()
        Segmentation.loss(last(x), {"labels": examples.targets["labels"][chosen]}).backward()
        nn.utils.clip_grad_norm_(last.parameters(), recipe.clip)
        optimizer.step()
        weight = 1 - min(recipe.average, (2 + step) / (11 + step))
        with torch.no_grad():
            for mean, value in zip(average.state_dict().values(), last.state_dict().values(), strict=True):
                mean.lerp_(value, weight) if mean.is_floating_point() else mean.copy_(value)
    trained = loop.fit(model, Segmentation, examples, recipe, seed=3)
    for after, before in zip(trained.model.state_dict().values(), average.state_dict().values(), strict=True):
        assert torch.equal(after, before)
    for after, before in zip(model.state_dict().values(), last.state_dict().values(), strict=True):
        assert torch.equal(after, before)


def test_the_execution_is_part_of_a_key_where_it_is_not_the_default() -> None:
    assert "execution" not in Recipe().parts()
    assert Recipe(execution="eager").parts()["execution"] == "eager"


# The check.


class Counting(nn.Module):
    """Behaves differently in every second step, as a GAN whose players take turns."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.steps_done = network(), 0

    def forward(self, x: Tensor) -> Tensor:
        self.steps_done += 1
        return self.inner(x) * (1 + self.steps_done % 2)


class Rolling(nn.Module):
    """Skips a layer by a random number of Python."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if random.random() < 0.5 else self.inner(x) * 2


class Replacing(nn.Module):
    """Puts a new tensor in the place of its buffer, so that a graph would read the old one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        self.scale = self.scale * 0.9
        return self.inner(x) * self.scale


def test_a_step_that_is_repeated_rightly_is_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded_by(monkeypatch, MadeUpRecorder)
    probe_result = tried(request(network(nn.Dropout(0.2))))
    assert probe_result.fault is None
    assert {"loss", "gradient of 0.weight", "buffer 1.running_mean"} <= set(probe_result.errors)


def test_a_device_that_does_not_read_the_batch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded_by(monkeypatch, Forgetful)
    assert "of its norm" in str(tried(request(network())).fault)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Counting, "a step changes 'steps_done' of the network, which is not repeated"),
        (Rolling, "a step draws random numbers of Python, which is not repeated"),
        (Replacing, "a step puts another tensor in the place of 'scale', which is not repeated"),
    ],
)
def test_what_python_decides_in_a_step_is_refused(
    monkeypatch: pytest.MonkeyPatch, model: type[nn.Module], reason: str
) -> None:
    recorded_by(monkeypatch, MadeUpRecorder)
    assert tried(request(model())).fault == reason


def test_a_compiled_step_is_compared_with_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_probe, "compiled", lambda call: call)
    assert tried(request(network(), "compile")).fault is None
    monkeypatch.setattr(step_probe, "compiled", lambda call: lambda *batch: call(*batch) * 1.01)
    assert "off by 0.01" in str(tried(request(network(), "compile")).fault)


def test_an_execution_that_raises_is_refused_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(MadeUpRecorder):
        def record(self, call: Callable[[], Any]) -> Any:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    recorded_by(monkeypatch, Refusing)
    fault = tried(request(network())).fault
    assert fault == "raises RuntimeError: operation not permitted when stream is capturing"


# Admission.


def step(model: nn.Module | None = None) -> Step:
    return Step(model or network(), Segmentation.loss, "fp32", "cpu", batches)


def test_a_cpu_executes_call_by_call_and_says_why_a_named_graph_is_not_used() -> None:
    assert admit_execution(step(), "auto") == StepAdmission()
    admission = admit_execution(step(), "graph")
    assert admission.execution == "eager"
    assert admission.refused == {"graph": "not tried: 'cpu' has no graphs, a CUDA device has"}
    assert why_not(EXECUTIONS["graph"], "cuda:1") is None


def test_a_wrong_execution_falls_back_to_the_next_and_is_in_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = {"compile+graph": "loss off by 0.5 of its norm (allowed: 0.001)", "graph": None}
    monkeypatch.setattr(step_admission, "why_not", lambda *_: None)
    monkeypatch.setattr(
        step_admission, "_tried", lambda step, name, *_: step_probe.Probe("", name, faults[name], {}, None)
    )
    assert admit_execution(step(), "compile+graph") == StepAdmission(
        "graph", {"compile+graph": faults["compile+graph"]}
    )


def test_a_result_is_saved_for_all_seeds_of_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tries: list[str] = []

    def once(step: Step, name: str, *_: Any) -> step_probe.Probe:
        tries.append(name)
        return step_probe.Probe("", name, None, {}, None)

    monkeypatch.setattr(step_admission, "why_not", lambda *_: None)
    monkeypatch.setattr(step_admission, "_tried", once)
    for _ in range(2):
        assert admit_execution(step(), "graph", tmp_path).execution == "graph"
    assert tries == ["graph"]
    admit_execution(step(network(nn.Conv2d(8, 8, 1))), "graph", tmp_path)
    assert tries == ["graph", "graph"]


def test_auto_tries_nothing_where_the_trainings_are_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_admission, "why_not", lambda *_: None)
    monkeypatch.setattr(step_admission, "forward_seconds", lambda *_: 0.001)
    admission = admit_execution(step(), "auto", served=Served(steps=10))
    assert admission.execution == "eager"
    assert "too short to repay it (at most 25% may be spent on trying)" in admission.refused["graph"]


def test_auto_tries_a_graph_for_the_small_networks_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,800 steps of 9 ms, three seeds: 49 s, of which trying costs about 3 s."""
    monkeypatch.setattr(step_admission, "why_not", lambda *_: None)
    monkeypatch.setattr(step_admission, "forward_seconds", lambda *_: 0.003)
    monkeypatch.setattr(step_admission.subprocess, "run", written)
    admission = admit_execution(step(), "auto", served=Served(steps=1800, runs=3))
    assert admission == StepAdmission("graph")


def written(command: list[str], **_: Any) -> Any:
    """In place of the process of the check: it finds nothing wrong."""
    Path(command[-1]).write_text('{"layer": "", "mode": "graph", "fault": null, "errors": {}, "seconds": null}')
    return SimpleNamespace(returncode=0)


def test_the_check_runs_in_a_process_of_its_own() -> None:
    probe_result = step_admission._tried(step(), "eager", batches())
    assert (probe_result.mode, probe_result.fault) == ("eager", None)
    ends = step_admission._tried(step(Ending()), "eager", batches())
    assert "ends its process (status 3" in str(ends.fault)


class Ending(nn.Module):
    """Ends the process that trains it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: Tensor) -> Tensor:
        import os

        os._exit(3)


# Losses that arrive later.


class Slowly:
    """A device whose values can be read when they are asked for; says what was sent and read."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def __call__(self, values: Tensor) -> Callable[[], list[float]]:
        number = sum(event.startswith("sent") for event in self.events)
        self.events.append(f"sent {number}")

        def read() -> list[float]:
            self.events.append(f"read {number}")
            return values.tolist()

        return read


def late(send: Slowly, *, every: int = 2) -> Losses:
    losses = Losses(SimpleNamespace(total=lambda made: 100), "cpu", None, send)
    losses.every = every
    return losses


def add_all(losses: Losses, values: list[float], device: str = "cpu") -> None:
    for value in values:
        losses.add(torch.tensor(value, device=device))


def test_losses_are_read_when_the_next_ones_have_been_sent() -> None:
    send = Slowly()
    losses = late(send)
    for number in range(5):
        losses.add(torch.tensor(float(number)))
    assert send.events == ["sent 0", "sent 1", "read 0"]
    losses.finish()
    assert losses.values == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert send.events[3:] == ["sent 2", "read 1", "read 2"]


def test_a_loss_that_diverges_is_reported_with_its_own_step() -> None:
    losses = late(Slowly())
    with pytest.raises(Diverged, match="diverged at step 4: loss nan"):
        add_all(losses, [1.0, 1.0, 1.0, math.nan, math.nan, math.nan, math.nan, math.nan])
    assert len(losses.values) == 4


def test_a_cpu_reads_each_loss_at_once() -> None:
    losses = Losses(SimpleNamespace(total=lambda made: 100), "cpu", None)
    losses.add(torch.tensor(2.0))
    assert losses.values == [2.0]
    with pytest.raises(Diverged, match="step 2"):
        losses.add(torch.tensor(math.inf))


# On a device.


@needs_cuda
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_graph_on_the_device_trains_as_call_by_call(optimizer: str, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"optimizer": optimizer, "steps": 3 * EVERY})
    losses = {}
    for name in ("eager", "graph"):
        chosen = recipe.model_copy(update={"execution": name})
        trained = loop.fit(network(), Segmentation, pictures(), chosen, seed=1, device="cuda", cache=tmp_path)
        assert (trained.execution, trained.refused) == (name, {})
        losses[name] = trained.curves["loss"]
    assert losses["graph"] == pytest.approx(losses["eager"], rel=0.02, abs=1e-3)


@needs_cuda
def test_a_loss_that_is_not_finite_is_reported_with_its_step_on_the_device() -> None:
    losses = Losses(SimpleNamespace(total=lambda made: 1000), "cuda", None)
    with pytest.raises(Diverged, match="diverged at step 7:"):
        add_all(losses, [1.0] * 6 + [math.nan] * 200, "cuda")
