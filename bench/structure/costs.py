"""What a network computes: multiply-accumulates and floating-point operations, by operator, with coverage.

**MAC**: one multiplication whose product is added to a sum, in a convolution, a transposed convolution
or a matrix product (attention's included). Taps on padding count, additions of a bias do not:

- convolution: output elements x input channels per group x kernel positions
- transposed convolution: input elements x output channels per group x kernel positions
- matrix product (..., i, k) by (..., k, j): batch x i x k x j

**FLOP**: one addition, multiplication, division, comparison, or evaluation of an elementary function
(exp, log, root, power, sine, tanh, erf). A MAC is two; a bias adds one per output element. Beyond them:

- pointwise operators: 1 per output element; activations by their formula (`ACTIVATIONS`)
- normalisation: 2 per element with fixed statistics; otherwise 6 for mean (1), variance (3) and
  normalising (2), and 2 more for an affine map
- softmax: 5 per element (maximum, difference, exp, sum, quotient)
- pooling: maximum: window - 1 per output element; average: window (its sum, and one division)
- interpolation with t taps: 2t - 1 per output element; nearest: 0
- reductions: 1 per input element; variance 4, norms 2; cumulative sums 1
- partition of an image into regions (`fovbench::partition`): the lengths of the 4 edges of each pixel, 3 per
  channel, their sorting, and 60 for merging each of as many superpixels as there can be
- sorting: n log2(n) comparisons per row; Fourier transforms: 5 n log2(n) per complex row, half for real
- deformable convolution: MACs as a convolution; 7 FLOPs more per sampled value, 8 with a mask
- bilinear form (`nn.Bilinear`): outputs x in1 x in2 MACs, and one more multiplication for each
- bags of embeddings: 1 per looked-up element, a MAC where samples have weights; RoI align: 8 per sample of a bin
- data movement (views, joins, padding, indexing, copies, fills), tables of numbers alone (windows), random numbers and
  assertions: 0

**Complex numbers** count in real operations. A product of two complex factors is 4 real MACs, of a complex and a real
one 2. An elementwise complex product is 6 FLOPs (4 multiplications, 2 additions), with a real factor 2; a division 11,
by a real number 2; an absolute value 4; any other operator twice its count for real numbers. torch computes a complex
convolution as three real ones, and these are counted. Fourier transforms count as above.

An operator without a rule is not counted: `coverage` is the fraction of executed operators that have a rule,
and `uncounted` names the others. Operators are those of the meta device, where attention is a chain of matrix
products and a softmax.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch

from bench.structure.nodes import Node, Ref, Tape, base_name
from bench.structure.shapes import FAKE_QUANTISED
from bench.structure.supports import Supports

Count = tuple[int, int]
"""(MACs, FLOPs)."""
Treatment = Literal["counted", "zero", "refused"]
NAMESPACES = ("aten", "torchvision", "fovbench")
"""Of the operators that the rules are about; an operator of another library that has such a name is refused."""

ACTIVATIONS: Mapping[str, int] = {
    "sigmoid": 4,  # negate, exp, add, divide
    "silu": 5,  # sigmoid, multiply
    "gelu": 5,  # 0.5 x (1 + erf(x / sqrt 2))
    "log_sigmoid_forward": 4,
    "softplus": 3,
    "mish": 5,
    "elu": 3,
    "celu": 3,
    "selu": 4,
    "leaky_relu": 2,
    "_prelu_kernel": 2,
    "glu": 5,  # sigmoid, multiply
    "floor_divide": 1,
    "bucketize": 1,
    "native_dropout": 2,
    "hardtanh": 2,
    "clamp": 2,
    "hardswish": 5,
    "hardsigmoid": 4,
    "lerp": 3,
    "addcmul": 3,
    "addcdiv": 3,
    "rrelu_with_noise": 2,
    **dict.fromkeys(FAKE_QUANTISED[:3], 7),  # divide, add, round, clamp (2), subtract, multiply
}
"""Per element, by their formulas; every other pointwise operator is one."""

_MOVES = (
    "view _unsafe_view reshape _reshape_alias expand permute transpose t unsqueeze squeeze slice select "
    "narrow split split_with_sizes unsafe_split unbind diagonal unfold as_strided detach alias clone "
    "contiguous _to_copy copy lift_fresh lift cat stack repeat repeat_interleave flip roll "
    "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
    "replication_pad2d replication_pad3d pixel_shuffle pixel_unshuffle channel_shuffle "
    "native_channel_shuffle im2col max_unpool2d max_unpool3d index_select gather embedding index "
    "_unsafe_index scatter index_copy index_fill masked_fill where tril triu "
    "view_as_real view_as_complex _conj resolve_conj upsample_nearest1d upsample_nearest2d "
    "upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d "
    "zeros ones full empty arange linspace eye zeros_like ones_like empty_like full_like rand_like "
    "randn_like new_zeros new_ones new_empty new_full new_empty_strided fill zero scalar_tensor rand "
    "randn randint randperm bernoulli uniform normal empty_strided one_hot take masked_scatter "
    "_local_scalar_dense complex real imag put diag_embed hann_window hamming_window blackman_window bartlett_window "
    "kaiser_window tril_indices triu_indices logspace exponential cauchy geometric log_normal _linalg_check_errors "
    "_assert_async _functional_assert_async _assert_scalar _functional_assert_scalar"
)
MOVES = frozenset(_MOVES.split())
"""Operators that move or fill data and compute nothing."""
TAPS = {
    "upsample_linear1d": 2,
    "upsample_bilinear2d": 4,
    "upsample_trilinear3d": 8,
    "upsample_bicubic2d": 16,
}
_ONCE = (
    "sum mean amax amin prod max min any all argmax argmin logsumexp nansum "
    "cumsum cumprod cummax cummin logcumsumexp scatter_add index_add col2im"
)
PER_INPUT = {
    **dict.fromkeys(_ONCE.split(), 1),
    **dict.fromkeys(("var", "std", "var_mean", "std_mean"), 4),
    **dict.fromkeys(("norm", "linalg_vector_norm"), 2),
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax", "_safe_softmax"), 5),
}
"""FLOPs per input element."""


@dataclass(frozen=True)
class Operator:
    """All executions of one operator: their number, MACs, FLOPs, and whether a rule counts them."""

    name: str
    count: int
    macs: int
    flops: int
    counted: bool
    namespace: str = "aten"


@dataclass(frozen=True)
class Costs:
    """The counts of one forward pass.

    `live`: MACs without the weights that a mask sets to zero. `by_module`: MACs by the name of the
    module that runs the operator.
    """

    macs: int
    flops: int
    live: int
    operators: tuple[Operator, ...]
    by_module: Mapping[str, int]

    @property
    def coverage(self) -> float:
        """Fraction of executed operators that have a rule; 1 if nothing was executed."""
        total = sum(o.count for o in self.operators)
        return sum(o.count for o in self.operators if o.counted) / total if total else 1.0

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Operators without a rule."""
        return tuple(o.name for o in self.operators if not o.counted)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The same for people: `aten.roi_pool (3 calls)`."""
        return tuple(calls_text(f"{o.namespace}.{o.name}", o.count) for o in self.operators if not o.counted)


def calls_text(name: str, count: int) -> str:
    """An operator and its number of calls."""
    return f"{name} ({count} call{'' if count == 1 else 's'})"


def per_input(count: int, batch: int) -> float:
    """A count of a batch divided by its size: an int if it is whole."""
    return count // batch if count % batch == 0 else count / batch


def costs(tape: Tape) -> Costs:
    """MACs and FLOPs of a recording, of the whole batch."""
    if "costs" not in tape.scratch:
        tape.scratch["costs"] = _costs(tape)
    counted: Costs = tape.scratch["costs"]
    return counted


def _costs(tape: Tape) -> Costs:
    table: dict[str, Operator] = {}
    modules: dict[str, int] = {}
    live = 0
    for node in tape.executed:
        counted = cost_of(tape, node)
        macs, flops = counted or (0, 0)
        sofar = table.get(node.name, Operator(node.name, 0, 0, 0, True, node.op.namespace))
        table[node.name] = replace(
            sofar,
            count=sofar.count + 1,
            macs=sofar.macs + macs,
            flops=sofar.flops + flops,
            counted=sofar.counted and counted is not None,
        )
        if macs:
            modules[node.module] = modules.get(node.module, 0) + macs
            live += _live(tape, node, macs)
    operators = tuple(sorted(table.values(), key=lambda o: (-o.flops, o.name)))
    return Costs(sum(o.macs for o in operators), sum(o.flops for o in operators), live, operators, modules)


def cost_of(tape: Tape, node: Node) -> Count | None:
    """(MACs, FLOPs) of one operator in real operations; None if it has no rule."""
    count = _cost_by_name(tape, node) if treatment(node.op) != "refused" else None
    return None if count is None else _in_real_operations(tape, node, count)


def treatment(op: torch._ops.OpOverload) -> Treatment:
    """Whether an operator is counted, zero by a rule, or refused: reported in `Costs.uncounted`."""
    name = base_name(op)
    if op.namespace not in NAMESPACES:
        return "refused"
    if name in COUNTS or name in PER_INPUT or name in TAPS:
        return "counted"
    if name in MOVES:
        return "zero"
    return "counted" if name in ACTIVATIONS or torch.Tag.pointwise in op.tags else "refused"


def _cost_by_name(tape: Tape, node: Node) -> Count | None:
    if node.name in COUNTS:
        return COUNTS[node.name](tape, node)
    if node.name in MOVES:
        return 0, 0
    if node.name in PER_INPUT and not (node.name in ("max", "min") and len(node.inputs) > 1):
        return 0, PER_INPUT[node.name] * _numel(tape, node.inputs[0])
    if node.name in TAPS:
        return 0, (2 * TAPS[node.name] - 1) * _numel(tape, node.outputs[0])
    return 0, ACTIVATIONS.get(node.name, 1) * _numel(tape, node.outputs[0])


def _in_real_operations(tape: Tape, node: Node, count: Count) -> Count:
    """A count of complex operations in real ones."""
    macs, flops = count
    operands = [tape.values[v].dtype.is_complex for v in node.inputs]
    if not any(operands) or node.name.startswith("_fft"):
        return count
    if macs:
        factor = 4 if all(operands[-2:]) else 2
        return factor * macs, factor * 2 * macs + 2 * (flops - 2 * macs)
    by_complex = len(operands) > 1 and operands[1]
    if node.name == "mul":
        return 0, flops * (6 if all(operands) and by_complex else 2)
    if node.name == "div":
        return 0, flops * (11 if by_complex else 2)
    return 0, flops * (4 if node.name == "abs" else 2)


def _numel(tape: Tape, value: int) -> int:
    return math.prod(tape.values[value].shape)


def _convolution(tape: Tape, node: Node) -> Count:
    bound = node.bind()
    x, out = bound["input"].id, node.outputs[0]
    weight = tape.values[bound["weight"].id].shape
    # (out, in / groups, kernel) or, transposed, (in, out / groups, kernel)
    macs = _numel(tape, x if bound["transposed"] else out) * math.prod(weight[1:])
    return macs, 2 * macs + (_numel(tape, out) if isinstance(bound["bias"], Ref) else 0)


def _product(tape: Tape, node: Node) -> Count:
    added = node.name in ADDED
    inner = tape.values[node.inputs[int(added)]].shape[-1]
    out = _numel(tape, node.outputs[0])
    return out * inner, 2 * out * inner + (out if added else 0)


def _batched_sum(tape: Tape, node: Node) -> Count:
    macs = _numel(tape, node.inputs[1]) * tape.values[node.inputs[2]].shape[-1]
    return macs, 2 * macs + _numel(tape, node.outputs[0])


def _outer(tape: Tape, node: Node) -> Count:
    out = _numel(tape, node.outputs[0])
    return out, 2 * out


def _time_convolution(tape: Tape, node: Node) -> Count:
    bound, out = node.bind(), _numel(tape, node.outputs[0])
    kernel, channels, _ = tape.values[bound["weight"].id].shape
    return out * kernel * channels, 2 * out * kernel * channels + out


def _trilinear(tape: Tape, node: Node) -> Count:
    bound = node.bind()
    shapes = []
    for k in "123":
        shape = list(tape.values[bound[f"i{k}"].id].shape)
        for axis in sorted(bound[f"expand{k}"]):
            shape.insert(axis, 1)
        shapes.append(shape)
    macs = math.prod(max(sizes) for sizes in zip(*shapes, strict=True))
    return macs, 3 * macs


def _deformable(tape: Tape, node: Node) -> Count:
    bound = node.bind()
    out, weight = tape.values[node.outputs[0]].shape, tape.values[bound["weight"].id].shape
    macs = math.prod(out) * math.prod(weight[1:])
    channels = tape.values[bound["input"].id].shape[1]
    samples = out[0] * channels * math.prod(weight[2:]) * math.prod(out[2:])
    return macs, 2 * macs + math.prod(out) + samples * (8 if bound["use_mask"] else 7)


def _bag(tape: Tape, node: Node) -> Count:
    bound = node.bind()
    width, out = tape.values[bound["weight"].id].shape[-1], _numel(tape, node.outputs[0])
    elements = _numel(tape, bound["indices"].id) * width
    mean = out if bound["mode"] == 1 else 0
    if isinstance(bound["per_sample_weights"], Ref):
        return elements, 2 * elements + mean
    return 0, elements + mean


def _roi_align(tape: Tape, node: Node) -> Count | None:
    ratio = int(node.bind()["sampling_ratio"])  # below 1 it follows from the sizes of the regions, which are data
    return (0, 8 * ratio**2 * _numel(tape, node.outputs[0])) if ratio > 0 else None


def _grid_sample(tape: Tape, node: Node) -> Count:
    dims = len(tape.values[node.inputs[0]].shape) - 2
    taps = {0: 2**dims, 1: 0, 2: 4**dims}[int(node.bind()["interpolation_mode"])]
    return 0, max(2 * taps - 1, 0) * _numel(tape, node.outputs[0])


def _attention(tape: Tape, node: Node) -> Count:
    query, key, value = (tape.values[v].shape for v in node.inputs[:3])
    scores = math.prod(query[:-1]) * key[-2]
    macs = scores * (query[-1] + value[-1])
    return macs, 2 * macs + 6 * scores


def _per_output(each: int) -> Callable[[Tape, Node], Count]:
    return lambda tape, node: (0, each * _numel(tape, node.outputs[0]))


def _weight_norm(tape: Tape, node: Node) -> Count:
    return 0, 3 * _numel(tape, node.inputs[0]) + _numel(tape, node.inputs[1])


def _index_put(tape: Tape, node: Node) -> Count:
    bound = node.bind()
    return 0, _numel(tape, bound["values"].id) if bound.get("accumulate") else 0


def _scatter_reduce(tape: Tape, node: Node) -> Count:
    return 0, _numel(tape, node.inputs[2])


def _batch_norm(tape: Tape, node: Node) -> Count:
    bound = node.bind()
    n = _numel(tape, bound["input"].id)
    if not bound.get("training", False):
        return 0, 2 * n
    return 0, (6 + 2 * isinstance(bound["weight"], Ref)) * n


def _norm(tape: Tape, node: Node) -> Count:
    return 0, (6 + 2 * isinstance(node.bind()["weight"], Ref)) * _numel(tape, node.inputs[0])


def _pool(dims: int, average: bool) -> Callable[[Tape, Node], Count]:
    def count(tape: Tape, node: Node) -> Count:
        kernel = list(node.bind()["kernel_size"])
        window = math.prod(kernel * dims if len(kernel) == 1 else kernel)
        return 0, _numel(tape, node.outputs[0]) * (window if average else window - 1)

    return count


def _adaptive(dims: int, average: bool) -> Callable[[Tape, Node], Count]:
    def count(tape: Tape, node: Node) -> Count:
        own, out = tape.values[node.inputs[0]].shape, tape.values[node.outputs[0]].shape
        bins = math.prod(_bins(n, o) for n, o in zip(own[-dims:], out[-dims:], strict=True))
        total = bins * math.prod(out[:-dims])
        return 0, total if average else total - math.prod(out)

    return count


def _bins(size: int, out: int) -> int:
    """Sum of the lengths of all bins along an axis."""
    return sum(-(-(o + 1) * size // out) - o * size // out for o in range(out))


def _sort(tape: Tape, node: Node) -> Count:
    shape = tape.values[node.inputs[0]].shape
    dim = node.bind().get("dim")
    n = shape[dim] if isinstance(dim, int) and shape else math.prod(shape)
    return 0, math.prod(shape) * max(math.ceil(math.log2(n)), 1) if n else 0


def _partition(tape: Tape, node: Node) -> Count:
    number, channels, *sides = tape.values[node.inputs[0]].shape
    pixels = math.prod(sides)
    edges, merges = 4 * pixels, pixels // int(node.bind()["smallest"])
    return 0, number * (edges * (3 * channels + math.ceil(math.log2(edges))) + 60 * merges)


def _fourier(tape: Tape, node: Node) -> Count:
    complex_side = node.outputs[0] if node.name == "_fft_r2c" else node.inputs[0]
    signal = node.inputs[0] if node.name == "_fft_r2c" else node.outputs[0]
    shape = tape.values[signal].shape
    n = math.prod(shape[d] for d in node.args[1])
    each = 5 if node.name == "_fft_c2c" else 2.5
    assert tape.values[complex_side].dtype.is_complex
    return 0, round(each * math.prod(shape) * math.log2(n)) if n > 1 else 0


ADDED = frozenset({"addmm", "baddbmm", "addmv", "_addmm_activation"})
"""Matrix products whose first operand is added to the product."""
SCALED_DOT_PRODUCTS = (
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
    "_scaled_dot_product_attention_math",
)

COUNTS: dict[str, Callable[[Tape, Node], Count | None]] = {
    "convolution": _convolution,
    **dict.fromkeys(("mm", "bmm", "mv", "dot", "vdot", "matmul", "_int_mm", *ADDED), _product),
    "addbmm": _batched_sum,
    "conv_tbc": _time_convolution,
    "addr": _outer,
    "_trilinear": _trilinear,
    "deform_conv2d": _deformable,
    "_embedding_bag": _bag,
    "_embedding_bag_forward_only": _bag,
    "roi_align": _roi_align,
    "ps_roi_align": _roi_align,
    **dict.fromkeys(("grid_sampler_2d", "grid_sampler_3d", "grid_sampler"), _grid_sample),
    **dict.fromkeys(SCALED_DOT_PRODUCTS, _attention),
    "linalg_cross": _per_output(3),
    "_weight_norm_interface": _weight_norm,
    **dict.fromkeys(("index_put", "_unsafe_index_put"), _index_put),
    "scatter_reduce": _scatter_reduce,
    **dict.fromkeys(
        (
            "native_batch_norm",
            "_native_batch_norm_legit",
            "_native_batch_norm_legit_no_training",
            "_batch_norm_no_update",
        ),
        _batch_norm,
    ),
    **dict.fromkeys(("native_layer_norm", "native_group_norm", "_fused_rms_norm"), _norm),
    **{f"max_pool{d}d_with_indices": _pool(d, False) for d in (2, 3)},
    **{f"avg_pool{d}d": _pool(d, True) for d in (1, 2, 3)},
    **{f"_adaptive_avg_pool{d}d": _adaptive(d, True) for d in (2, 3)},
    **{f"adaptive_avg_pool{d}d": _adaptive(d, True) for d in (1,)},
    **{f"adaptive_max_pool{d}d": _adaptive(d, False) for d in (2, 3)},
    **dict.fromkeys(("sort", "topk", "argsort", "kthvalue", "median"), _sort),
    "partition": _partition,
    **dict.fromkeys(("_fft_r2c", "_fft_c2c", "_fft_c2r"), _fourier),
}


def _live(tape: Tape, node: Node, macs: int) -> int:
    """MACs on weights that no mask has set to zero."""
    if "reader" not in tape.scratch:
        tape.scratch["reader"] = Supports(tape, tape.inputs[0])
    reader: Supports = tape.scratch["reader"]
    for weight in node.inputs[:3]:
        if weight in reader.live or (tape.values[weight].node < 0 and weight not in tape.constants):
            continue
        nonzero = reader.nonzero(weight) if len(tape.values[weight].shape) > 1 else None
        if nonzero is not None:
            return macs * int(nonzero.sum()) // nonzero.size
    return macs
