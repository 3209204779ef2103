"""Networks of a user: what they are called with, what they return, and their parameters as axes."""

from __future__ import annotations

import collections
import dataclasses
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bench.cli import main
from bench.hardware.arguments import Arguments, FedSubject, NotAnImageError, drawn, fitted
from bench.metrics.macs import macs
from bench.metrics.output_size import output_size
from bench.metrics.receptive_field import measured as receptive_field
from bench.registry import RegistryError
from bench.registry.callables import own_architecture
from bench.spec.dtypes import device_named, dtype_named
from bench.spec.inputs import parsed
from bench.structure.recorder import leaves
from bench.sweep.adhoc import Target, settings_of, targets_of

MACS = 16 * 16 * 4 * 3 * 9
"""Of one convolution from 3 to 4 channels, 3 x 3, on 16 x 16 pixels with padding."""


def subject(network: nn.Module, inputs: str = "", batch: int = 1) -> FedSubject:
    arguments = Arguments.of(drawn(parsed(inputs), batch, 0)) if inputs else None
    shape = tuple(arguments.tensors[0].shape[1:]) if arguments else (3, 16, 16)
    return FedSubject(lambda: fitted(network, arguments), shape, batch=batch, arguments=arguments)


class Net(nn.Module):
    """One convolution; `wrap` makes of its map what the network returns."""

    def __init__(self, wrap=lambda y: y) -> None:
        super().__init__()
        self.conv, self.wrap = nn.Conv2d(3, 4, 3, padding=1), wrap

    def forward(self, x):
        return self.wrap(self.conv(x))


class Output(collections.OrderedDict):
    """An output as of a library: a mapping that torch does not know."""


@dataclasses.dataclass
class Result:
    loss: object
    maps: object


class Computed:
    """An object whose logits are a property."""

    __slots__ = ("_y",)

    def __init__(self, y) -> None:
        self._y = y

    @property
    def logits(self):
        return self._y


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: Output(loss=None, logits=y),
        lambda y: SimpleNamespace(logits=y, name="x"),
        Computed,
        lambda y: [Result(None, {"a": y})],
        lambda y: (each for each in [y]),
    ],
    ids=["mapping", "object", "property", "nested dataclass", "generator"],
)
def test_tensors_are_taken_out_of_any_object(wrap):
    own = subject(Net(wrap))
    assert [tuple(t.shape) for _, t in leaves(own.model(*own.inputs))] == [(1, 4, 16, 16)]
    assert output_size(own).value == 16
    assert receptive_field(own).value == 3
    assert macs(own).value == MACS


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, one, other):
        return torch.cat([self.conv(one), self.conv(other)], 1)


class OfDict(Two):
    def forward(self, batch):
        return super().forward(batch["one"], batch["other"])


class OfTokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.score = nn.Embedding(50, 8), nn.Linear(8, 5)

    def forward(self, ids, *, mask):
        return self.score(self.embed(ids) * mask[..., None])


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (Two, "float32[N,3,16,16], float[N,3,16,16]"),
        (Two, "other:float32[N,3,16,16], one:float32[N,3,16,16]"),
        (OfDict, "{one:float32[N,3,16,16], other:float32[N,3,16,16]}"),
        (OfDict, "one:float32[N,3,16,16], other:float32[N,3,16,16]"),
    ],
)
def test_several_images_are_one_call_by_place_by_name_or_in_a_dict(network, inputs):
    own = subject(network(), inputs, batch=2)
    assert [tuple(x.shape) for x in own.inputs] == [(2, 3, 16, 16)] * 2
    assert own.model(*own.inputs).shape == (2, 8, 16, 16)
    assert macs(own).value == 2 * MACS
    assert receptive_field(own).value == 3


def test_a_receptive_field_of_tokens_does_not_apply_and_all_else_does():
    own = subject(OfTokens(), "ids:int64[N,6]<50, mask:bool[N,6]")
    assert own.inputs[0].max() < 50
    assert macs(own).value == 6 * 8 * 5
    assert output_size(own).detail["shape"] == [6, 5]
    with pytest.raises(NotAnImageError, match=r"no image, but int64\[1,6\]"):
        receptive_field(own)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("ids:int46[N,6]", "'int46' is no numeric type; there are float32 .*did you mean 'int64'"),
        ("ids:int64[N,0]", "'0' is no size"),
        ("ids:int64[N,6", "a bracket is not closed"),
        ("mask:bool[N]<5", "<5 is for integers"),
        ("a:bool[N], bool[N]", "cannot follow one with a name"),
        ("{bool[N]}", "needs a name"),
        ("a:bool[N], a:bool[N]", "'a' occurs twice"),
    ],
)
def test_inputs_that_cannot_be_read_are_refused(inputs, message):
    with pytest.raises(RegistryError, match=message):
        parsed(inputs)


AXES = """
from __future__ import annotations
import functools
from torch import nn

class Net(nn.Sequential):
    def __init__(self, width=1.0, depth: int = 2, norm: type[nn.Module] = nn.Identity, sizes: list[int] = [4], k: int = None, *rest):
        assert type(sizes) is list
        super().__init__(*[nn.Conv2d(3, int(4 * width), 1) for _ in range(depth)], norm(), *[nn.ReLU() for _ in sizes])

half = functools.partial(Net, width=0.5)
net = Net(depth=5)
number = 3

def untyped(width):
    return Net(width)

def of_module(backbone: nn.Module):
    return backbone
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own_axes.py").write_text(AXES)
    return lambda name: own_architecture(f"{tmp_path / 'own_axes.py'}:{name}")


@pytest.mark.parametrize(
    ("name", "axes", "layers", "width"),
    [
        ("Net", {}, 4, 4),
        ("Net", {"width": 0.5, "depth": 3, "sizes": [1, 2]}, 6, 2),
        ("half", {"depth": 1}, 3, 2),
        ("net", {}, 7, 4),
    ],
)
def test_ordinary_parameters_are_axes(own, name, axes, layers, width):
    network = own(name).build(**axes)
    assert (len(network), network[0].out_channels) == (layers, width)


def test_a_network_is_copied_for_each_use(own):
    entry = own("net")
    assert entry.build()[0].weight is not entry.build()[0].weight


@pytest.mark.parametrize(
    ("name", "axes", "message"),
    [
        (
            "untyped",
            {},
            "'width' has neither a default nor an annotation: write its type, such as width: int .or float",
        ),
        ("of_module", {}, r"'backbone' \(nn.Module\) is no axis: write int.* def build\(\): return of_module"),
        ("Net", {"norm": "x"}, r"'norm' \(type\[nn.Module\]\) is no axis"),
        ("Net", {"widht": 1}, "did you mean 'width'"),
        ("number", {}, "is of type int: name a function, a class or a torch.nn.Module"),
        ("nett", {}, "has no function 'nett', did you mean 'net'"),
    ],
)
def test_what_can_be_no_axis_says_what_to_write(own, name, axes, message):
    with pytest.raises(RegistryError, match=message):
        own(name).build(**axes)


def test_words_of_a_command_line_are_targets_with_the_axes_behind_them():
    words = ("fcn", "stride=32", "net.py:Net", "unet", "width=0.5")
    assert targets_of(words, ("classes=3",)) == [
        Target("fcn", ("classes=3", "stride=32")), Target("net.py:Net", ("classes=3",)),
        Target("unet", ("classes=3", "width=0.5")),
    ]  # fmt: skip
    with pytest.raises(RegistryError, match="name a network before it"):
        targets_of(("stride=32", "fcn"))


def test_overrides_of_a_measurement_are_axes_or_fields_of_the_workload():
    texts = ["width=2", "workload.tf32=matmul", "workload.reduced_precision_reduction=false", "workload.batch=4"]
    fields = {"tf32": "matmul", "reduced_precision_reduction": False, "batches": (4,)}
    assert settings_of(texts) == (["width=2"], fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workload.tf3=true", "no setting 'workload.tf3', did you mean 'workload.tf32'"),
        ("workload.tf32=maybe", "'workload.tf32': .*'conv' or 'matmul', not maybe"),
        ("workload.threads=0", "'workload.threads': .* not 0"),
        ("workload.dataset=camvid", "write --dataset NAME"),
        ("workload.tf32", "write an axis as name=value"),
    ],
)
def test_fields_of_the_workload_that_do_not_exist_are_refused(text, message):
    with pytest.raises(RegistryError, match=message):
        settings_of([text])


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ([], {"deterministic": False, "batch": 1}),
        (["--set", "workload.deterministic=true", "--set", "workload.batch=2"], {"deterministic": True, "batch": 2}),
    ],
)
def test_measure_has_the_numeric_policy_that_is_stated(monkeypatch, options, policy):
    workloads = []

    def measured(ablations, **_):
        workloads.extend(ablation.workload for ablation in ablations)
        return []

    monkeypatch.setattr("bench.sweep.adhoc.measured", measured)
    with pytest.raises(SystemExit) as ended:
        main(["measure", "fcn", "--metrics", "params", *options])
    assert ended.value.code == 0
    assert {name: getattr(workloads[0], name) for name in policy} == policy


def test_names_of_types_and_devices_are_understood_or_refused_with_the_nearest():
    assert (dtype_named("half"), device_named("CUDA:1")) == ("float16", "cuda:1")
    with pytest.raises(ValueError, match="did you mean 'cuda'"):
        device_named("gpu")
    with pytest.raises(ValueError, match="did you mean 'bfloat16'"):
        dtype_named("bfloat61")
