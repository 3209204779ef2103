"""A plug-in for tests of isolation: a small network, and metrics each of which leaves something changed."""

import os
import random
import signal
import sys
import warnings
from typing import Literal

import numpy as np
import torch
from torch import nn

from bench.hardware.subject import Subject
from bench.registry import architecture, metric
from bench.results.measurement import Evaluation, Reading


class Counting(nn.Module):
    """Counts its passes and keeps a table from the first: what a network does by itself is no metric's fault."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros(1))
        self.table: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        self.table = torch.ones(1) if self.table is None else self.table
        return x * self.table


@architecture(task="segmentation", source="nobody")
def victim(*, width: int = 4, counting: bool = False, draws: Literal["torch", "numpy", "none"] = "none") -> nn.Module:
    """A convolution and a batch norm."""
    layers = [nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.Conv2d(width, 2, 1)]
    network = nn.Sequential(*layers, *([Counting()] if counting else []))
    scale = {"torch": lambda: float(torch.rand(1)), "numpy": np.random.rand, "none": lambda: 1.0}[draws]()
    network.register_buffer("scale", torch.tensor(scale))
    return network


@metric(unit="", better=None, kind="static")
def leaves(subject: Subject) -> int:
    """Ends the process."""
    return sys.exit()


# -- innocent -----------------------------------------------------------------------------------


@metric(unit="", better=None, kind="static")
def count(subject: Subject) -> int:
    """Parameters of the real network."""
    return sum(p.numel() for p in subject.model.parameters())


@metric(unit="", better=None, kind="static")
def total(subject: Subject) -> Reading:
    """What the network, its input and a tensor made now add up to."""
    with torch.no_grad():
        output = subject.model(*subject.inputs)
    made = torch.ones(3) / 3
    return Reading(float(output.double().sum()), {"dtype": str(made.dtype), "grad": torch.ones(1).requires_grad})


@metric(unit="", better=None, kind="static")
def drawn(subject: Subject) -> list[float]:
    """Numbers of the global random generators: the same in any company."""
    weights = float(next(subject.model.parameters()).detach().sum())
    return [random.random(), float(np.random.rand()), float(torch.rand(1)), weights, float(subject.model.scale)]


@metric(unit="", better=None, kind="static")
def operators(subject: Subject) -> Reading:
    """Operators of the recording, and what its first convolution was given."""
    padding = next(node for node in subject.tape.nodes if node.name == "convolution").args[4]
    return Reading(len(subject.tape.executed), {"padding": list(padding), "buffers": sorted(subject.tape.buffers)})


@metric(unit="", better=None, kind="static")
def patient(subject: Subject) -> int:
    """Runs what many metrics use: a function of torch, a layer, an environment variable, a path."""
    rectified = torch.nn.functional.relu(torch.tensor([-1.0, 2.0])).sum()
    return int(rectified) + ("X_OF_A_METRIC" in os.environ) + len(subject.inputs[0])


# -- guilty -------------------------------------------------------------------------------------


@metric(unit="", better=None, kind="static")
def adds_layer(subject):
    subject.model.append(nn.Conv2d(2, 50, 3))
    return 1


@metric(unit="", better=None, kind="static")
def removes_layer(subject):
    del subject.model[1]
    return 1


@metric(unit="", better=None, kind="static")
def structure_layer(subject):
    subject.structure.append(nn.Conv2d(2, 50, 3))
    return 1


@metric(unit="", better=None, kind="static")
def writes_weights(subject):
    subject.model[0].weight.data.add_(1)
    return 1


@metric(unit="", better=None, kind="static")
def writes_by_numpy(subject):
    subject.model[0].weight.detach().numpy()[0] = 0
    return 1


@metric(unit="", better=None, kind="static")
def new_weight(subject):
    subject.model[0].weight = nn.Parameter(torch.ones(4, 3, 3, 3))
    return 1


@metric(unit="", better=None, kind="static")
def trains(subject):
    subject.model.train()
    return 1


@metric(unit="", better=None, kind="static")
def batch_statistics(subject):
    subject.model.train()
    subject.model(*subject.inputs)
    subject.model.eval()
    return 1


@metric(unit="", better=None, kind="static")
def freezes(subject):
    subject.model.requires_grad_(False)
    return 1


@metric(unit="", better=None, kind="static")
def gradients(subject):
    subject.model(*subject.inputs).sum().backward()
    return 1


@metric(unit="", better=None, kind="static")
def changes_stride(subject):
    subject.model[0].stride = (2, 2)
    return 1


@metric(unit="", better=None, kind="static")
def hooks(subject):
    subject.model[0].register_forward_hook(lambda module, args, output: output * 0)
    return 1


@metric(unit="", better=None, kind="static")
def own_forward(subject):
    subject.model[0].forward = lambda x: torch.zeros(1, 4, 224, 224)
    return 1


@metric(unit="", better=None, kind="static")
def writes_input(subject):
    subject.inputs[0].zero_()
    return 1


@metric(unit="", better=None, kind="static")
def writes_tape(subject):
    next(node for node in subject.tape.nodes if node.name == "convolution").args[4][:] = [9, 9]
    return 1


@metric(unit="", better=None, kind="static")
def tape_mapping(subject):
    subject.tape.buffers.clear()
    return 1


@metric(unit="", better=None, kind="static")
def default_dtype(subject):
    torch.set_default_dtype(torch.float64)
    return 1


@metric(unit="", better=None, kind="static")
def default_device(subject):
    torch.set_default_device("meta")
    return 1


@metric(unit="", better=None, kind="static")
def grad_mode(subject):
    torch.set_grad_enabled(False)
    return 1


@metric(unit="", better=None, kind="static")
def inference_mode(subject):
    sys.kept_open = torch.inference_mode()
    sys.kept_open.__enter__()
    return 1


@metric(unit="", better=None, kind="static")
def autocast(subject):
    torch.set_autocast_enabled("cpu", True)
    return 1


@metric(unit="", better=None, kind="static")
def threads(subject):
    torch.set_num_threads(torch.get_num_threads() + 1)
    return 1


@metric(unit="", better=None, kind="static")
def deterministic(subject):
    torch.use_deterministic_algorithms(True)
    return 1


@metric(unit="", better=None, kind="static")
def denormals(subject):
    torch.set_flush_denormal(True)
    return 1


@metric(unit="", better=None, kind="static")
def all_modules(subject):
    torch.nn.modules.module.register_module_forward_hook(lambda module, args, output: output * 0)
    return 1


@metric(unit="", better=None, kind="static")
def cudnn(subject):
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    return 1


@metric(unit="", better=None, kind="static")
def patches_relu(subject):
    torch.nn.functional.relu = lambda x: x
    return 1


@metric(unit="", better=None, kind="static")
def patches_layer(subject):
    nn.BatchNorm2d.forward = lambda self, x: x * 0
    return 1


@metric(unit="", better=None, kind="static")
def numpy_errors(subject):
    np.seterr(all="raise")
    return 1


@metric(unit="", better=None, kind="static")
def environment(subject):
    os.environ["X_OF_A_METRIC"] = "1"
    return 1


@metric(unit="", better=None, kind="static")
def folder(subject):
    os.chdir("/")
    return 1


@metric(unit="", better=None, kind="static")
def path(subject):
    sys.path.insert(0, "/nowhere")
    return 1


@metric(unit="", better=None, kind="static")
def alarm(subject):
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.alarm(1000)
    return 1


@metric(unit="", better=None, kind="static")
def raises_midway(subject):
    """Changes the default dtype and the network, and then raises."""
    torch.set_default_dtype(torch.float64)
    subject.model.append(nn.Conv2d(2, 50, 3))
    raise ValueError("no number")


@metric(unit="", better=None, kind="static")
def seeds(subject):
    """Seeds every generator and sets a warning filter, which is nobody's fault."""
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    warnings.simplefilter("error")
    return 1


# -- of a training ------------------------------------------------------------------------------


@metric(unit="", better=None, kind="accuracy")
def units_sum(evaluation: Evaluation) -> Reading:
    """All that the evaluation holds, in one number."""
    curves = {name: float(values.sum()) for name, values in evaluation.curves.items()}
    detail = {"curves": curves, "optimum": evaluation.facts["optimum"], "names": evaluation.names}
    return Reading(float(sum(values.sum() for values in evaluation.units.values())), detail)


@metric(unit="", better=None, kind="accuracy")
def writes_units(evaluation):
    evaluation.units["confusion"][:] = 0
    return 1


@metric(unit="", better=None, kind="accuracy")
def unlocks_units(evaluation):
    array = evaluation.units["confusion"]
    array.setflags(write=True)
    array[:] = 0
    return 1


@metric(unit="", better=None, kind="accuracy")
def units_by_torch(evaluation):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.from_numpy(evaluation.units["boundary"]).zero_()
    return 1


@metric(unit="", better=None, kind="accuracy")
def adds_unit(evaluation):
    evaluation.units["confusion"] = np.zeros((2, 2, 2))
    return 1


@metric(unit="", better=None, kind="accuracy")
def removes_unit(evaluation):
    evaluation.units.pop("confusion")
    return 1


@metric(unit="", better=None, kind="accuracy")
def nested_fact(evaluation):
    evaluation.facts["optimum"]["miou@8"] = 2
    return 1


@metric(unit="", better=None, kind="accuracy")
def listed_fact(evaluation):
    evaluation.facts["palette"][0] = 2
    return 1


@metric(unit="", better=None, kind="accuracy")
def writes_curve(evaluation):
    evaluation.curves["loss"] += 1
    return 1


@metric(unit="", better=None, kind="accuracy")
def dtype_of_training(evaluation):
    torch.set_default_dtype(torch.float64)
    return 1
