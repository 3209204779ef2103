"""The contract of every registered family, whatever its paper: at its defaults, and at every value of its axes.

Families are taken from the registry, so a new file is tested without an edit here. Training steps and evaluations run on
the small networks that families declare; shapes and counts are tested on networks of full size, on the meta device.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import CONTRACTS, Case, declared, defaults, ends_of_numbers, generator, layouts, own_size, small_layouts

from bench.metrics.receptive_field import receptive_field
from bench.registry.catalogue import declarations
from bench.structure.costs import costs
from bench.structure.tape import record

NO_SIZE = (
    "global",
    "the network takes no larger input",
    "the field repeats only after",
    "the output does not grow with the input",
    "the output or the input has no spatial axes",
)
"""Reasons why a receptive field has no size."""


def test_every_task_has_a_contract() -> None:
    assert {entry.task for entry in declarations().architectures} <= set(CONTRACTS)
    assert len(defaults()) >= 5


@pytest.mark.parametrize("case", layouts(), ids=str)
def test_the_output_has_the_size_of_the_input(case: Case) -> None:
    network, axes = case.whole()
    sizes = case.contract.sizes(axes)
    check_output_sizes(case, network, axes, sizes[-2:] if case.axis else sizes)


@pytest.mark.parametrize("case", ends_of_numbers(), ids=str)
def test_the_output_has_the_size_of_the_input_at_the_ends_of_every_number(case: Case) -> None:
    network, axes = case.small_on_meta()
    check_output_sizes(case, network, axes, case.contract.sizes(axes)[-2:])


def check_output_sizes(case: Case, network: Any, axes: Any, sizes: Any) -> None:
    contract = case.contract
    for size in sizes:
        output = contract.answer(network(contract.inputs(size, axes).to("meta")))
        assert contract.fits(tuple(output.shape), size, axes), (output.shape, size)


@pytest.mark.parametrize("case", small_layouts(), ids=str)
def test_a_training_step_reaches_every_parameter(case: Case) -> None:
    (network, axes), contract = case.small(), case.contract
    size = contract.train_size(axes)
    outputs = network.train()(contract.inputs(size, axes))
    loss = (getattr(network, "loss", None) or contract.loss)(outputs, contract.targets(size, axes))
    loss.backward()
    assert loss.isfinite()
    idle = [
        n for n, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ]
    assert idle == []


@pytest.mark.parametrize("case", small_layouts(), ids=str)
def test_evaluation_is_deterministic_and_survives_saving(case: Case, tmp_path: Any) -> None:
    (first, axes), (second, _), contract = case.small(), case.small(seed=1), case.contract
    first.eval(), second.eval()
    x = contract.inputs(contract.eval_size(axes), axes)
    with torch.no_grad():
        expected = contract.answer(first(x))
        assert torch.equal(contract.answer(first(x)), expected)
        assert not torch.equal(contract.answer(second(x)), expected)
        torch.save(first.state_dict(), tmp_path / "state.pt")
        second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        assert torch.equal(contract.answer(second(x)), expected)


@pytest.mark.parametrize("case", layouts(), ids=str)
def test_every_operator_is_counted(case: Case) -> None:
    network, axes = case.whole()
    counted = costs(record(network, (1, *case.contract.inputs(case.contract.whole_size(axes), axes).shape[1:])))
    assert counted.uncounted == ()
    assert counted.coverage == 1.0
    assert counted.macs > 0


@pytest.mark.parametrize("case", small_layouts(), ids=str)
def test_the_receptive_field_is_known_exactly(case: Case) -> None:
    network, axes = case.small()
    size = case.contract.train_size(axes)
    field = receptive_field(network.eval(), case.contract.inputs(size, axes).shape[1:])
    assert field.exact
    assert field.mask.any()
    assert field.size is not None or field.unbounded.reason.startswith(NO_SIZE)


@pytest.mark.parametrize(
    "case", [case for case in small_layouts() if declared(case.family).task == "generation"], ids=str
)
def test_samples_are_images_of_the_network_s_levels(case: Case) -> None:
    """They depend on the given generator alone: equal seeds give equal samples, torch's own generator is untouched."""
    network, axes = case.small()
    network.eval()
    if not hasattr(network, "sample"):
        pytest.skip("it gives images a probability and has no samples")
    before = torch.get_rng_state()
    with torch.no_grad():
        first, again = (network.sample(3, generator()) for _ in range(2))
        other = network.sample(3, torch.Generator().manual_seed(1))
    assert first.dtype == torch.uint8
    assert tuple(first.shape) == (3, axes["channels"], *own_size(axes))
    assert int(first.max()) < axes["levels"]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())
