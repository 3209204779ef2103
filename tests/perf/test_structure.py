"""How fast the structural metrics are: beside fvcore, per further position, over many variants."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import torch
import torchvision

from bench.metrics.receptive_field import receptive_field
from bench.structure.costs import costs
from bench.structure.tape import record

SHAPE = (3, 520, 520)


def network() -> torch.nn.Module:
    return torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None).eval()


def ours(model: torch.nn.Module) -> tuple[int, int, object]:
    """Parameters, MACs, receptive field with its size, of a network not seen before."""
    field = receptive_field(model, SHAPE)
    return sum(p.numel() for p in model.parameters()), costs(field.question.tape).macs, field.size


def cpu_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def test_params_macs_and_field_beside_fvcore(benchmark) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis
    model, x = network(), torch.zeros(1, *SHAPE)
    analysis = FlopCountAnalysis(model, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = cpu_seconds(analysis.total)
    ours(network())
    fresh = [network() for _ in range(5)]
    benchmark.pedantic(lambda: ours(fresh.pop()), rounds=5)
    mine = min(cpu_seconds(lambda n=n: ours(n)) for n in [network() for _ in range(3)])
    benchmark.extra_info["fvcore alone over ours, CPU time"] = round(theirs / mine, 1)
    print(f"\nfvcore alone {theirs:.2f} s, params + MACs + receptive field {mine:.3f} s: {theirs / mine:.0f} times")


def test_one_more_position(benchmark) -> None:
    model = network()
    receptive_field(model, SHAPE)
    places = iter((i % 520, 3 * i % 520) for i in range(100_000))
    benchmark.pedantic(lambda: receptive_field(model, SHAPE, position=next(places)), rounds=50)


def test_a_recording(benchmark) -> None:
    model = torchvision.models.resnet50().eval()
    record(model, (1, 3, 224, 224))
    benchmark.pedantic(lambda: record(model, (1, 3, 224, 224)), rounds=10)
