"""Networks of unusual strides, modes, dtypes and parts: each with the value that follows from its definition."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from structure_cases import Run, plain
from torch import nn
from torchvision.ops import DeformConv2d

from bench.hardware.subject import Subject
from bench.metrics.macs import macs
from bench.metrics.output_size import output_size
from bench.metrics.params import params
from bench.metrics.receptive_field import receptive_field
from bench.structure.costs import costs
from bench.structure.modes import in_eval, in_precision, in_training, moved
from bench.structure.nodes import StructureError, UnrolledError
from bench.structure.strides import strides
from bench.structure.tape import record

MACS = 8 * 27 * 64  # a convolution of 3 to 8 channels, kernel 3, on 8 x 8 pixels


def chain(*pairs, conv=nn.Conv2d, channels=3):
    layers = []
    for kernel, stride in pairs:
        layers.append(conv(channels, 4, kernel, stride))
        channels = 4
    return nn.Sequential(*layers)


CHAINS = {
    "five": ([(5, 5)], (3, 50, 50)),
    "nine": ([(3, 3), (3, 3)], (3, 81, 81)),
    "eighty": ([(5, 5), *[(3, 2)] * 4], (3, 640, 640)),
    "eleven times thirteen": ([(11, 11), (13, 13)], (3, 300, 290)),
    "four halvings and 25": ([(3, 2)] * 4 + [(5, 5), (5, 5)], (3, 900, 900)),
}


@pytest.mark.parametrize("name", CHAINS)
def test_strides_multiply_and_fields_add_up(name):
    pairs, shape = CHAINS[name]
    stride, size = 1, 1
    for kernel, step in pairs:
        stride, size = stride * step, size + (kernel - 1) * stride
    network = chain(*pairs)
    assert strides(network, shape).output == stride
    assert receptive_field(network, shape).extent == (size, size)


def test_an_encoder_of_sound():
    network = chain((10, 5), *[(3, 2)] * 4, *[(2, 2)] * 2, conv=nn.Conv1d, channels=1)
    assert strides(network, (1, 16000)).output == 320
    assert receptive_field(network, (1, 16000)).size == 400


def test_a_decoder_of_a_stride_that_is_no_power_of_two():
    network = nn.Sequential(nn.Conv2d(1, 1, 5, 5), nn.ConvTranspose2d(1, 1, 5, 5))
    assert strides(network, (1, 50, 50)).output == 1
    assert strides(network, (1, 50, 50)).coarsest == 5
    phases = receptive_field(network, (1, 50, 50)).phases
    assert [m.tolist() for m in phases.map] == [[5] * 5, [5] * 5]


def test_strides_that_are_fractions():
    network = nn.Sequential(nn.MaxPool2d(5), nn.Upsample(scale_factor=2), nn.MaxPool2d(3))
    assert strides(network, (1, 120, 120)).output == 7.5


class Inserting(nn.Module):
    """Zeros between the positions of a map, `step` - 1 of them."""

    def __init__(self, step: int):
        super().__init__()
        self.step, self.conv = step, nn.Conv2d(3, 4, 5, padding=2)
        kernel = torch.zeros(4, 1, step, step)
        kernel[:, :, 0, 0] = 1
        self.register_buffer("kernel", kernel)

    def forward(self, x):
        return F.conv_transpose2d(self.conv(x), self.kernel, stride=self.step, groups=4)


@pytest.mark.parametrize("step", [2, 3])
@pytest.mark.parametrize("side", [8, 9, 10, 11])
def test_zero_insertion_leaves_positions_without_a_field(step, side):
    field = receptive_field(Inserting(step), (3, side, side))
    assert field.exact
    assert field.extent == (0, 5)
    assert field.phases.map[0].tolist() == [5, *[0] * (step - 1)]


@pytest.mark.parametrize("side", [9, 10])
def test_a_dilated_transposed_convolution_leaves_positions_without_a_field(side):
    network = nn.ConvTranspose2d(1, 1, 3, stride=2, dilation=2)
    assert receptive_field(network, (1, side, side)).extent == (0, 3)


# -- modes -----------------------------------------------------------------------------------------------


class Frozen(nn.Module):
    """Its `train` returns nothing."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)

    def forward(self, x):
        return self.norm(self.conv(x))

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()


def test_a_network_whose_train_returns_nothing():
    subject = Subject(Frozen, (3, 8, 8))
    assert params(subject).value == 240
    assert receptive_field(subject.structure, (3, 8, 8)).size == 3
    assert subject.model(*subject.inputs).shape == (1, 8, 8, 8)
    network = Frozen()
    assert in_eval(network) is network
    assert not network.conv.training
    assert in_training(network) is network
    assert (network.conv.training, network.norm.training) == (True, False)


class Wrapped(nn.Module):
    def __init__(self, run):
        super().__init__()
        self.conv, self.run = nn.Conv2d(3, 8, 3, padding=1), run

    def forward(self, x):
        return self.run(self.conv, x)


def inference(conv, x):
    with torch.inference_mode():
        return conv(x)


def inference_in_place(conv, x):
    with torch.inference_mode():
        y = conv(x)
        y[:, :4] += 1
        return F.relu_(y)


def profiled(conv, x):
    with torch.profiler.record_function("body"):
        return conv(x)


def autocast(conv, x):
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        return conv(x)


def on_cpu_only(conv, x):
    if x.is_meta or x.is_cuda or not x.is_cpu or x.get_device() != -1 or conv.weight.device.type != "cpu":
        raise ValueError("not a CPU")
    return conv(x) + torch.zeros(*x.shape[2:], device=x.device)


def seeded(conv, x):
    return conv(x) + torch.randn(*x.shape[2:], generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("run", [inference, inference_in_place, profiled, autocast, on_cpu_only, seeded])
def test_what_surrounds_a_convolution_changes_no_count(run):
    network = Wrapped(run)
    counted = costs(record(network, (1, 3, 8, 8)))
    assert (counted.macs, counted.coverage) == (MACS, 1)
    assert receptive_field(network, (3, 8, 8)).size == 3


def test_a_recording_is_the_same_in_inference_mode():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 4)).eval()
    outside = [n.name for n in record(network, (1, 3, 8, 8)).executed]
    with torch.inference_mode():
        assert [n.name for n in record(network, (1, 3, 8, 8)).executed] == outside


def test_a_network_may_ask_for_another_device():
    devices = []
    record(plain(lambda x: (devices.append(x.device), x)[1]), (1, 1, 4, 4), device="cuda:0")
    assert devices == [torch.device("cuda:0")]


def test_attention_layers_are_counted_product_by_product():
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval()
    counted = costs(record(layer, (1, 10, 16)))
    assert counted.coverage == 1
    assert counted.macs == 10 * 16 * 48 + 2 * 10 * 10 * 16 + 10 * 16 * 16 + 2 * 10 * 16 * 32
    assert torch.backends.mha.get_fastpath_enabled()


# -- dtypes ----------------------------------------------------------------------------------------------


class Spectral(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 6, 8, 5, dtype=torch.complex64))

    def forward(self, x):
        mixed = torch.einsum("bixy,ioxy->boxy", torch.fft.rfft2(x), self.weight)
        return torch.fft.irfft2(mixed, s=x.shape[-2:])


def test_complex_weights_stay_complex():
    subject = Subject(Spectral, (4, 8, 8))
    assert subject.model(*subject.inputs).shape == (1, 6, 8, 8)
    assert subject.model.weight.is_complex()
    assert costs(subject.tape).macs == 4 * 6 * 4 * 40  # 24 complex products for each of 8 x 5 frequencies
    assert in_precision(Spectral(), torch.float64).weight.dtype is torch.complex128
    assert in_precision(Spectral(), torch.bfloat16).weight.dtype is torch.complex64


def complex_of(x):
    return torch.complex(x, x)


COMPLEX = {
    "product": (lambda x, w: torch.view_as_real(complex_of(x) @ complex_of(w)), 4 * 1536, 8 * 1536),
    "product with real weights": (lambda x, w: complex_of(x) @ w.to(torch.complex64), 4 * 1536, 8 * 1536),
    "elementwise product": (lambda x, w: complex_of(x) * complex_of(x), 0, 6 * 64),
    "product with a number": (lambda x, w: complex_of(x) * 2.0, 0, 2 * 64),
    "quotient": (lambda x, w: complex_of(x) / complex_of(x), 0, 11 * 64),
    "sum": (lambda x, w: complex_of(x) + complex_of(x), 0, 2 * 64),
    "absolute value": (lambda x, w: complex_of(x).abs(), 0, 4 * 64),
}


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_arithmetic_counts_in_real_operations(name):
    compute, macs, flops = COMPLEX[name]
    weight = nn.Parameter(torch.randn(16, 24))
    network = Run(lambda self, x: compute(x, self.weight), weight=weight)
    counted = costs(record(network, (1, 4, 16)))
    assert (counted.macs, counted.flops, counted.coverage) == (macs, flops, 1)


@pytest.mark.filterwarnings("ignore")
def test_packed_weights_are_counted_or_refused():
    def quantised(layer):
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Flatten(), layer).eval(), {type(layer)})

    reading = params(Subject(lambda: quantised(nn.Linear(48, 8)), (3, 4, 4)))
    assert (reading.value, reading.detail["packed"]) == (392, 392)
    mixed = nn.Sequential(nn.Linear(4, 2), quantised(nn.Linear(48, 8)))
    assert params(Subject(lambda: mixed, (3, 4, 4))).value == 10 + 392
    with pytest.raises(StructureError, match="CellParamsBase"):
        params(Subject(lambda: quantised(nn.LSTM(48, 8)), (3, 4, 4)))
    with pytest.raises(StructureError, match=r"quantized.linear_dynamic.* packed weights"):
        record(quantised(nn.Linear(48, 8)), (1, 3, 4, 4))


# -- parts -----------------------------------------------------------------------------------------------


def lazy():
    return nn.Sequential(nn.LazyConv2d(8, 3, padding=1), nn.Flatten(), nn.LazyLinear(10))


def test_lazy_layers_get_their_shapes_on_meta():
    subject = Subject(lazy, (3, 8, 8))
    assert (params(subject).value, costs(subject.tape).macs) == (5354, 18944)
    assert subject.model(*subject.inputs).shape == (1, 10)
    network = lazy()
    assert costs(record(network, (1, 3, 8, 8))).macs == 18944
    assert isinstance(network[0], nn.LazyConv2d), "a recording leaves the network as it is"


def test_lazy_layers_are_initialised_from_the_seed_in_the_order_in_which_they_run():
    subject = Subject(lambda: nn.Sequential(nn.LazyBatchNorm2d(), nn.LazyConv2d(4, 3)), (3, 8, 8), seed=5)
    weight = subject.model[1].weight
    torch.manual_seed(5)
    assert torch.equal(weight, nn.Conv2d(3, 4, 3).weight)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("compile_part", [lambda net, x: torch.jit.trace(net, x), lambda net, x: torch.jit.script(net)])
def test_scripted_and_traced_parts_count_as_the_network_itself(compile_part):
    plain_network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(2048, 5)).eval()
    whole = compile_part(plain_network, torch.zeros(1, 3, 16, 16))
    for network in (whole, nn.Sequential(whole, nn.ReLU())):
        counted = costs(record(network, (1, 3, 16, 16)))
        assert (counted.macs, counted.coverage) == (8 * 27 * 256 + 2048 * 5, 1)
    conv = compile_part(nn.Conv2d(3, 8, 3, padding=1).eval(), torch.zeros(1, 3, 16, 16))
    assert receptive_field(nn.Sequential(conv), (3, 16, 16)).size == 3


class Deform(nn.Module):
    def __init__(self, groups=1):
        super().__init__()
        self.offsets = nn.Conv2d(16, 18, 3, padding=1)
        self.conv = DeformConv2d(16, 16, 3, padding=1, groups=groups)

    def forward(self, x):
        return self.conv(x, self.offsets(x))


@pytest.mark.parametrize("groups", [1, 4])
def test_deformable_convolutions(groups):
    counted = costs(record(Deform(groups), (1, 16, 8, 8)))
    assert counted.macs == 18 * 16 * 9 * 64 + 16 * 16 // groups * 9 * 64
    assert counted.coverage == 1
    field = receptive_field(Deform(groups), (16, 8, 8), position=(0, 0))
    assert field.mask.all()
    assert any("torchvision.deform_conv2d" in name for name in field.inexact)


class Rows(nn.Module):
    """A recurrent layer along the width, each row on its own."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        n, c, h, w = x.shape
        rows = self.layer(x.permute(0, 2, 3, 1).reshape(n * h, w, c))[0]
        return rows.reshape(n, h, w, -1).permute(0, 3, 1, 2)


@pytest.mark.parametrize("layer", [nn.GRU, nn.RNN])
def test_recurrent_layers_along_an_axis_are_global_there(layer):
    field = receptive_field(Rows(layer(3, 4, batch_first=True)), (3, 8, 8))
    assert field.box == ((4, 5), (0, 5))  # one direction: what comes before, in one row
    assert field.size is None
    assert field.unbounded.reason.startswith("global along the width")


# -- siblings --------------------------------------------------------------------------------------------


def test_strides_that_differ_by_axis():
    network = nn.Sequential(nn.Conv2d(3, 4, (7, 5), (7, 5)), nn.Conv2d(4, 4, 3, (3, 2)))
    assert receptive_field(network, (3, 210, 100)).extent == ((21, 15), (21, 15))
    assert strides(network, (3, 210, 100)).output == 21
    deep = nn.Sequential(nn.Conv3d(3, 4, 3, (1, 2, 3)), nn.Conv3d(4, 4, 3, (2, 5, 1)))
    assert receptive_field(deep, (3, 16, 40, 30)).extent == ((5, 7, 9), (5, 7, 9))


@pytest.mark.parametrize("side", [5, 11, 13])
def test_a_network_that_demands_a_multiple_of_an_odd_number_is_enlarged_by_one(side):
    network = nn.Sequential(nn.PixelUnshuffle(side), nn.Conv2d(side * side, 4, 3, padding=1))
    assert receptive_field(network, (1, 5 * side, 5 * side)).size == 3 * side
    assert strides(network, (1, 5 * side, 5 * side)).output == side


class Patches(nn.Module):
    def __init__(self, side):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, side, side)

    def forward(self, x):
        return self.patch(x).flatten(2).transpose(1, 2)


@pytest.mark.parametrize("side", [14, 16])
def test_patches_as_tokens_have_the_field_of_a_patch(side):
    assert receptive_field(Patches(side), (3, 4 * side, 4 * side)).size == side


def test_attention_over_all_pixels_is_global_and_quickly_so():
    attention = plain(lambda x: F.scaled_dot_product_attention(*[x.flatten(2).transpose(1, 2)] * 3))
    field = receptive_field(attention, (3, 8, 8))
    assert field.size is None
    assert field.mask.all()


def test_a_recurrent_layer_over_all_pixels_is_not_recorded_at_sizes_that_fill_the_memory():
    layer = nn.RNN(3, 4)
    network = Run(lambda self, x: self.layer(x.flatten(2).permute(2, 0, 1))[0].permute(1, 2, 0), layer=layer)
    assert "rnn_tanh" not in {n.name for n in record(network, (1, 3, 4, 4)).executed}
    with pytest.raises(UnrolledError, match="more tensors"):
        record(network, (1, 3, 5000, 5000), limit=1000)


def zeros_by_index(step):
    def insert(conv, x):
        y = conv(x)
        z = y.new_zeros(*y.shape[:2], step * y.shape[2], step * y.shape[3])
        z[:, :, ::step, ::step] = y
        return z

    return Wrapped(insert)


@pytest.mark.parametrize("step", [2, 5])
def test_zeros_that_an_assignment_inserts(step):
    assert receptive_field(zeros_by_index(step), (3, 9, 9)).extent == (0, 3)


def scripted(layer):
    return torch.jit.script(layer.eval())


@pytest.mark.filterwarnings("ignore")
def test_parameters_of_scripts_count_and_those_of_frozen_ones_are_refused():
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    assert params(Subject(lambda: scripted(layers), (3, 8, 8))).value == 240
    assert params(Subject(lambda: nn.Sequential(scripted(layers), nn.LazyConv2d(2, 1)), (3, 8, 8))).value == 258
    for close in (torch.jit.freeze, torch.jit.optimize_for_inference):
        with pytest.raises(StructureError, match="frozen script"):
            params(Subject(lambda close=close: nn.Sequential(close(scripted(layers))), (3, 8, 8)))
    packed = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(8, 8)), {nn.Linear})
    with pytest.raises(StructureError, match="packed weights"):
        params(Subject(lambda: scripted(packed), (3, 8, 8)))


class AsksInScript(nn.Module):
    def forward(self, x):
        if x.device.type == "cpu":
            x = x + 1
        return x


class AsksForData(nn.Module):
    def forward(self, x):
        if bool(x.sum() > 0):
            x = x + 1
        return x


@pytest.mark.filterwarnings("ignore")
def test_scripts_that_cannot_be_recorded_say_why():
    with pytest.raises(StructureError, match="asks for a device"):
        record(nn.Sequential(scripted(AsksInScript())), (1, 3, 8, 8))
    with pytest.raises(StructureError, match="asks for data"):
        record(nn.Sequential(scripted(AsksForData())), (1, 3, 8, 8))


def test_an_exported_program_refuses_eval_and_is_recorded_all_the_same():
    program = torch.export.export(nn.Conv2d(3, 8, 3, padding=1).eval(), (torch.zeros(1, 3, 8, 8),)).module()
    network = nn.Sequential(program, nn.ReLU())
    assert macs(Subject(lambda: network, (3, 8, 8))).value == MACS


@pytest.mark.filterwarnings("ignore")
def test_fake_quantisation_is_recorded_and_its_observer_named():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()).train()
    network.qconfig = torch.ao.quantization.get_default_qat_qconfig("x86")
    prepared = torch.ao.quantization.prepare_qat(network)
    counted = costs(record(prepared, (1, 3, 8, 8)))
    assert counted.macs == MACS
    assert counted.left_out == ("aten._fused_moving_avg_obs_fq_helper (2 calls)",)
    prepared.apply(torch.ao.quantization.disable_observer)
    assert receptive_field(prepared, (3, 8, 8)).size == 3


def test_an_operator_that_torch_cannot_run_without_data_is_named():
    with pytest.raises(StructureError, match=r"torch cannot run aten._to_sparse.* without data"):
        record(plain(lambda x: x.to_sparse().to_dense()), (1, 3))


def test_vmap_and_equal_and_masked_assertions():
    network = Wrapped(lambda conv, x: torch.vmap(lambda one: conv(one[None])[0])(x))
    assert costs(record(network, (1, 3, 8, 8))).macs == MACS
    alike = record(plain(lambda x: x if torch.equal(torch.ones(2), torch.ones(2)) else -x), (1, 3))
    assert [n.name for n in alike.executed] == ["ones", "ones"]
    asserted = costs(record(plain(lambda x: (torch._assert_async((x == x).all()), x)[1]), (1, 3)))
    assert asserted.coverage == 1
    with pytest.raises(StructureError, match="asks for data"):
        record(plain(lambda x: x if torch.equal(x, x) else -x), (1, 3))


def test_an_unused_lazy_layer_is_named():
    with pytest.raises(StructureError, match="lazy layer 'spare'"):
        record(Run(lambda self, x: x, spare=nn.LazyLinear(2)), (1, 3))


def test_a_sequence_has_a_length_and_no_height():
    assert output_size(Subject(lambda: nn.Conv1d(1, 4, 10, 5), (1, 100))).value == 19


class ReturnsNothing(Frozen):
    def eval(self):
        super().eval()

    def to(self, *args, **kwargs):
        super().to(*args, **kwargs)


def test_no_return_value_of_a_network_is_used():
    network = ReturnsNothing()
    assert moved(network, "cpu", torch.channels_last) is network
    assert network.conv.weight.is_contiguous(memory_format=torch.channels_last)
    subject = Subject(ReturnsNothing, (3, 8, 8), layout="channels_last")
    assert subject.model(*subject.inputs).shape == (1, 8, 8, 8)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("compile_part", [torch.jit.script, lambda m: torch.jit.trace(m, torch.zeros(1, 3, 8, 8))])
def test_a_recording_leaves_scripted_and_traced_networks_as_they_were(compile_part):
    network = compile_part(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)).eval())
    before = {name: t.clone() for name, t in network.state_dict().items()}
    places = {name: id(t) for name, t in network.named_parameters()}
    x = torch.rand(1, 3, 8, 8)
    expected = network(x)
    assert receptive_field(network, (3, 8, 8)).size == 3
    assert {name: id(t) for name, t in network.named_parameters()} == places
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())
    assert torch.equal(network(x), expected)
