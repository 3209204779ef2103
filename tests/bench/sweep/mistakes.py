"""Ordinary mistakes of plug-in authors: a working plug-in, one change of its text each, and what the error must say."""

from __future__ import annotations

from dataclasses import dataclass

PLUGIN = '''\
from typing import Literal

import numpy as np
import torch
from torch import nn

from bench.data.examples import Examples
from bench.registry import architecture, dataset, metric, plot, task
from bench.results.measurement import Evaluation, Reading


@architecture(task="segmentation", source="nobody")
def net(*, width: int = 4):
    """A network."""
    return nn.Conv2d(3, 3, 3, padding=1)


@dataset(task="segmentation", licence="none", source="nobody", splits=("train", "val"), embedded=True)
def toy(root, split, shape, *, count: int = 4):
    """Noise."""
    count = 4
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 3, (count, *shape[1:]), generator=generator, dtype=torch.uint8)
    return Examples(images, {"labels": labels}, ("a", "b", "c"), 255, ((0, 0, 0), (1, 1, 1), (2, 2, 2)))


@metric(unit="px", better="lower", kind="static")
def area(subject):
    """A number."""
    return 1


@metric(unit="", better="higher", kind="accuracy")
def score(evaluation):
    """A number."""
    return 0.5


@plot(order=1)
def drawing(results):
    """Nothing."""
    return []
'''

ABLATION = """\
question: q
architecture: net
metrics: [area, score]
workload: {dataset: toy, shape: [3, 8, 8]}
train: {steps: 1, batch: 2, mode: fp32}
seeds: 1
"""


@dataclass(frozen=True)
class Mistake:
    """`old` of the plug-in becomes `new`; the error has all of `words`, at any of plan, run or report."""

    name: str
    old: str
    new: str
    words: tuple[str, ...]


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


LABELS = "labels = torch.randint(0, 3, (count, *shape[1:]), generator=generator, dtype=torch.uint8)"
IMAGES = "images = torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)"
EXAMPLES = 'Examples(images, {"labels": labels}, ("a", "b", "c"), 255, ((0, 0, 0), (1, 1, 1), (2, 2, 2)))'
NET = "return nn.Conv2d(3, 3, 3, padding=1)"

MISTAKES = (
    Mistake("a dataset in files without files", ", embedded=True", "", ("plug.py", "files(root, split, **axes)", "embedded=True")),
    Mistake("a tuple for Examples", EXAMPLES, "images, labels", ("plug.py", "tuple", "Examples")),
    Mistake("None for Examples", "return " + EXAMPLES, "pass", ("plug.py", "NoneType", "Examples")),
    Mistake("labels of classes that do not exist", "randint(0, 3,", "randint(0, 21,", ("plug.py", "label", "3 classes", "255")),
    Mistake("float images", IMAGES, "images = torch.rand(count, *shape)", ("plug.py", "images", "float32", "uint8")),
    Mistake("images with the channels last", IMAGES, IMAGES + ".permute(0, 2, 3, 1)", ("plug.py", "(4, 8, 8, 3)", "(N, 3, 8, 8)", "permute")),
    Mistake("images of another size", "(count, *shape)", "(count, 3, 9, 8)", ("plug.py", "(4, 3, 9, 8)", "(N, 3, 8, 8)")),
    Mistake("images as an array", EXAMPLES, EXAMPLES.replace("images,", "images.numpy(),", 1), ("plug.py", "ndarray", "torch.from_numpy")),
    Mistake("masks of another size", "(count, *shape[1:])", "(count, 4, 4)", ("plug.py", "labels", "(4, 4, 4)", "(4, 8, 8)")),
    Mistake("masks of another length", "(count, *shape[1:])", "(3, *shape[1:])", ("plug.py", "4 images, but 3 of target 'labels'")),
    Mistake("float masks", LABELS, LABELS + ".float()", ("plug.py", "labels", "float32", "uint8")),
    Mistake("another name for the labels", '{"labels": labels}', '{"masks": labels}', ("plug.py", "labels", "masks")),
    Mistake("no images", "count = 4", "count = 0", ("plug.py", "no images")),
    Mistake("fewer colours than classes", ", (2, 2, 2)))", "))", ("plug.py", "3 classes, but 2 colours")),
    Mistake("no splits", 'splits=("train", "val")', "splits=()", ("plug.py", "splits", "train", "val")),
    Mistake("one split", 'splits=("train", "val")', 'splits=("train",)', ("plug.py", "splits", "val")),
    Mistake("splits as text", 'splits=("train", "val")', 'splits="train"', ("plug.py", "splits", "tuple")),
    Mistake("an unknown task of a dataset", '@dataset(task="segmentation"', '@dataset(task="segmentatoin"', ("plug.py", "segmentatoin", "segmentation")),
    Mistake("an unknown task of an architecture", '@architecture(task="segmentation"', '@architecture(task="segment"', ("a.yaml:4:12", "segment", "segmentation")),
    Mistake("an unknown task of a metric", 'kind="accuracy"', 'kind="accuracy", tasks=("poses",)', ("plug.py", "poses", "pose")),
    Mistake("a loader that raises", "count = 4", 'raise OSError("no such disk")', ("no such disk",)),
    Mistake("a loader that takes no shape", "def toy(root, split, shape, *", "def toy(root, split, *", ("plug.py", "toy", "root, split, shape")),
    Mistake("a metric that returns text", "return 1", 'return "1 px"', ("'1 px'", "str", "Reading")),
    Mistake("a metric that returns a tensor", "return 1", "return torch.ones(2)", ("Tensor", ".tolist()")),
    Mistake("a metric that returns nothing", "return 1", "pass", ("gave no value",)),
    Mistake("a metric that returns a pair", "return 1", 'return 1, "px"', ("'px'", "str", "Reading")),
    Mistake("a metric without a unit", 'metric(unit="px", ', "metric(", ("plug.py", "unit")),
    Mistake("a metric of another kind", 'kind="static"', 'kind="cost"', ("plug.py", "cost", "static", "speed", "accuracy")),
    Mistake("a metric of another direction", 'better="lower"', 'better="less"', ("plug.py", "less", "higher", "lower")),
    Mistake("a unit that is no text", 'unit="px"', "unit=1", ("plug.py", "unit", "text")),
    Mistake("a metric without parentheses", '@metric(unit="px", better="lower", kind="static")', "@metric", ("plug.py", "@metric(")),
    Mistake("a plot without parentheses", "@plot(order=1)", "@plot", ("plug.py", "@plot(")),
    Mistake("an argument that no decorator has", "@plot(order=1)", "@plot(rank=1)", ("plug.py", "rank")),
    Mistake("a metric that takes nothing", "def area(subject):", "def area():", ("plug.py", "area", "subject")),
    Mistake("an architecture that returns a list", NET, "return [nn.Conv2d(3, 3, 3)]", ("list", "torch.nn.Module")),
    Mistake("an architecture that returns its class", NET, "return nn.Identity", ("type", "torch.nn.Module")),
    Mistake("a builder that raises", NET, 'raise ValueError("too wide")', ("too wide",)),
    Mistake("too few channels", NET, "return nn.Conv2d(1, 3, 3, padding=1)", ("channels",)),
    Mistake("an output of another size", NET, "return nn.Conv2d(3, 3, 3)", ("(2, 3, 6, 6)", "(2, 8, 8)")),
    Mistake("an output of too few classes", NET, "return nn.Conv2d(3, 2, 3, padding=1)", ("2 classes", "3 classes")),
    Mistake("an output of too many classes", NET, "return nn.Conv2d(3, 5, 3, padding=1)", ("5 classes", "3 classes")),
    Mistake("an axis without an annotation", "*, width: int = 4", "*, width=4", ("plug.py", "width", "annotation")),
    Mistake("an axis of an odd type", "*, width: int = 4", "*, width: dict = {}", ("plug.py", "width", "annotation")),
    Mistake("an axis without a default", "*, width: int = 4", "*, width: int", ("net", "width", "value")),
    Mistake("a default that the axis does not take", "*, width: int = 4", '*, width: Literal[1, 2] = 4', ("plug.py", "width", "1 | 2", "4")),
    Mistake("a mutable default", "*, width: int = 4", "*, width: tuple[int, ...] = [4]", ("plug.py", "width", "tuple")),
    Mistake("a positional axis", "def net(*, width: int = 4)", "def net(width: int = 4)", ("plug.py", "width", "def net(*, width")),
    Mistake("a library that is not there", "import numpy as np", "import numpyy as np", ("plug.py", "numpyy")),
    Mistake("wrong syntax", "def area(subject):", "def area(subject)", ("plug.py:29", "expected ':'")),
    Mistake("a name that exists", "def area(subject)", "def params(subject)", ("plug.py", "params", "twice")),
    Mistake("a name that exists in the plug-in", "def score(evaluation)", "def area(evaluation)", ("plug.py", "area", "twice")),
    Mistake("a plot that raises", "return []", 'raise KeyError("miou")', ("plug.py", "drawing", "KeyError", "miou")),
    Mistake("a plot that returns None", "return []", "return None", ("plug.py", "drawing", "NoneType", "(name, figure)")),
    Mistake("a plot that returns a figure", "return []", "return 3", ("plug.py", "drawing", "int", "(name, figure)")),
    Mistake("a plot that yields figures without names", "return []", "return [3]", ("plug.py", "drawing", "int", "(name, figure)")),
)  # fmt: skip
