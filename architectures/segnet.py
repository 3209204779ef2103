"""SegNet and SegNet-Basic: decoders that get nothing from their encoder but the switches of its poolings.

Badrinarayanan, Kendall & Cipolla, PAMI 2017 (arXiv:1511.00561). The contrast normalisation of the input is left
to the task, which prepares images for all networks alike.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Literal

from torch import Tensor, nn

from architectures.layers.blocks import Norm, convolution, he_initialise, scaled
from architectures.layers.decoding import Pool, Size, Trunk, Upsampling, he_initialise_transposed, upsampling_to
from architectures.layers.vgg import mirrored_widths, vgg_trunk
from bench.registry import Bounds, Examples, Published, architecture, facts

PAPER = "Badrinarayanan et al. 2017, arXiv:1511.00561"
CONTEXT = 4
DECODER_KERNEL = 8


class SegNet(nn.Module):
    """A VGG trunk and its mirror image: (N, 3, H, W) -> logits (N, classes, H, W).

    The last layer of the mirrored first stage gives the scores. `receptive_field_layers`: the deepest map.
    """

    def __init__(self, trunk: Trunk, upsamplings: nn.ModuleList, stages: nn.ModuleDict) -> None:
        super().__init__()
        self.trunk, self.upsamplings, self.stages = trunk, upsamplings, stages
        he_initialise(self)
        self.receptive_field_layers = {"deepest": f"trunk.pools.{len(trunk.pools) - 1}"}

    def forward(self, image: Tensor) -> Tensor:
        x, pooled = self.trunk(image)
        layers = zip(self.upsamplings, self.stages.values(), pooled[::-1], strict=True)
        for upsampling, stage, (switches, size) in layers:
            x = stage(upsampling(x, switches, size))
        return x


@architecture(
    task="segmentation",
    source=PAPER,
    small={"width": 0.125, "classes": 3},
)
def segnet(
    *,
    upsampling: Literal["unpooling", "deconvolution", "bilinear"] = "unpooling",
    backbone: Annotated[str, Examples("vgg11")] = "vgg16",
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    norm: Literal["batch", "none"] = "batch",
    classes: Annotated[int, Bounds(1, 65536)] = 11,
) -> nn.Module:
    """SegNet: the convolutions of a VGG net and their mirror image, joined by the switches of the poolings.

    - `upsampling` before the convolutions of a decoder stage: unpooling by switches, a learned 4x4 transposed
      convolution of stride 2 (bilinear at the start), or bilinear interpolation. Nothing else changes.
    - `backbone`: vgg16 as in the paper, vgg11, vgg13 or vgg19. No other: the decoder mirrors it.
    - `width` scales the channels of all layers but the scores.
    - `norm`: batch norm takes the place of the biases before it, which it would cancel.

    Inputs (N, 3, H, W), outputs logits (N, classes, H, W). Raises RegistryError for another backbone.
    """
    trunk = vgg_trunk(backbone, width, norm, upsampling == "unpooling")
    stages, upsamplings = {}, []
    for number, widths in zip(range(5, 0, -1), mirrored_widths(backbone, width), strict=True):
        upsamplings.append(upsampling_to(upsampling, widths[0][0]))
        layers: dict[str, nn.Module] = {}
        for index, (inputs, outputs) in zip(range(len(widths), 0, -1), widths, strict=True):
            if number == index == 1:
                layers["score"] = nn.Conv2d(inputs, classes, 3, padding=1)
            else:
                layers |= convolution(f"conv{number}_{index}_decode", inputs, outputs, 3, padding=1, norm=norm)
        stages[f"stage{number}"] = nn.Sequential(OrderedDict(layers))
    return SegNet(trunk, nn.ModuleList(upsamplings), nn.ModuleDict(stages))


def bare(inputs: int, outputs: int, kernel: int, norm: Norm, *, groups: int = 1, relu: bool = False) -> nn.Sequential:
    """A convolution without bias that keeps the size, its norm, and a ReLU if `relu`."""
    layers: dict[str, nn.Module] = {
        "conv": nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    }
    if norm == "batch":
        layers["norm"] = nn.BatchNorm2d(outputs)
    return nn.Sequential(OrderedDict(layers | ({"relu": nn.ReLU(inplace=True)} if relu else {})))


class DecoderStage(nn.Module):
    """Upsampling, convolution, and the sum with a map of the encoder, each where the decoder has it.

    `added` names that map: `before` the pooling that is undone (SegNet-Basic-EncoderAddition), or `behind` the
    one before it, of the same size (FCN-Basic). `reduce` scores it first.
    """

    def __init__(
        self,
        how: Upsampling,
        channels: int,
        convolution: nn.Module,
        added: Literal["", "before", "behind"],
        reduce: nn.Module,
    ) -> None:
        super().__init__()
        self.upsampling = upsampling_to(how, channels, DECODER_KERNEL)
        self.convolution, self.added, self.reduce = convolution, added, reduce

    def forward(
        self, x: Tensor, switches: Tensor | None, size: Size, before: Tensor | None, behind: Tensor | None
    ) -> Tensor:
        x = self.convolution(self.upsampling(x, switches, size))
        other = {"before": before, "behind": behind, "": None}[self.added]
        return x if other is None else x + self.reduce(other)


class SegNetBasic(nn.Module):
    """Four layers down and four up: (N, 3, H, W) -> logits (N, classes, H, W).

    `reduce` scores the deepest map and `score` the last one, each where the decoder does so.
    `receptive_field_layers`: `context`, the deepest map, whose field the paper prints.
    """

    def __init__(
        self,
        encoder: nn.ModuleList,
        decoder: nn.ModuleList,
        reduce: nn.Module,
        score: nn.Module,
        *,
        keep_switches: bool,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.reduce, self.score = encoder, decoder, reduce, score
        self.pools = nn.ModuleList(Pool(keep_switches) for _ in encoder)
        self.added = [stage.added for stage in decoder][::-1]
        he_initialise(self)
        he_initialise_transposed(self)
        self.receptive_field_layers = {"context": f"pools.{len(encoder) - 1}"}

    def forward(self, image: Tensor) -> Tensor:
        x, passed = image, []
        for layer, pool, added in zip(self.encoder, self.pools, self.added, strict=True):
            behind = x if added == "behind" else None  # keep_switches only where it is used: memory is the point here
            x = layer(x)
            before, size = x if added == "before" else None, (x.shape[-2], x.shape[-1])
            x, switches = pool(x)
            passed.append((switches, size, before, behind))
        x = self.reduce(x)
        for stage in self.decoder:
            x = stage(x, *passed.pop())
        return self.score(x)


@architecture(
    task="segmentation",
    source=PAPER,
    small={"width": 0.125, "classes": 3},
)
def segnet_basic(
    *,
    decoder: Literal[
        "segnet",
        "encoder_addition",
        "single_channel",
        "bilinear",
        "fcn",
        "fcn_no_addition",
        "fcn_no_reduction",
        "fcn_no_addition_no_reduction",
    ] = "segnet",
    kernel: Literal[7, 5, 3] = 7,
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    norm: Literal["batch", "none"] = "batch",
    classes: Annotated[int, Bounds(1, 65536)] = 11,
) -> nn.Module:
    """SegNet-Basic: four 7x7 layers and four decoders, which are the variants of the paper's Table 1.

    - `decoder`: `segnet` unpools by switches and convolves (no ReLU); `encoder_addition` adds the encoder's map
      to that; `single_channel` convolves every channel by itself; `bilinear` interpolates and has no convolution.
      `fcn` scores maps with 1x1 convolutions and upsamples the scores with learned 8x8 transposed convolutions
      (bilinear at the start), adding the scores of the encoder's map; `no_addition` leaves these out,
      `no_reduction` upsamples and adds all channels and scores at the end.
    - `kernel` of the layers of encoder and decoder. `width` scales their 64 channels.
    - `norm`: batch norm behind the convolutions. No layer has a bias, as in the paper.

    Inputs (N, 3, H, W), outputs logits (N, classes, H, W).
    """
    channels = scaled(64, width)
    how: Upsampling = "unpooling"
    if decoder.startswith("fcn"):
        how = "deconvolution"
    elif decoder == "bilinear":
        how = "bilinear"
    reduced = decoder in ("fcn", "fcn_no_addition")
    upsampled = classes if reduced else channels
    stages = [_stage(decoder, how, upsampled, channels, kernel, norm, n == 0) for n in reversed(range(CONTEXT))]
    layers = [bare(channels if n else 3, channels, kernel, norm, relu=True) for n in range(CONTEXT)]
    score = nn.Conv2d(channels, classes, 1, bias=False)
    return SegNetBasic(
        nn.ModuleList(layers),
        nn.ModuleList(stages),
        score if reduced else nn.Identity(),
        nn.Identity() if reduced else score,
        keep_switches=how == "unpooling",
    )


def _stage(
    decoder: str, how: Upsampling, upsampled: int, channels: int, kernel: int, norm: Norm, first: bool
) -> DecoderStage:
    """The decoder of one layer of the encoder, `first` of the one that has no pooling before it."""
    convolution: nn.Module = nn.Identity()
    if how == "unpooling":
        groups = channels if decoder == "single_channel" else 1
        convolution = bare(channels, channels, kernel, norm, groups=groups)
    if decoder == "encoder_addition":
        return DecoderStage(how, upsampled, convolution, "before", nn.Identity())
    if decoder in ("fcn", "fcn_no_reduction") and not first:
        reduce = nn.Conv2d(channels, upsampled, 1, bias=False) if decoder == "fcn" else nn.Identity()
        return DecoderStage(how, upsampled, convolution, "behind", reduce)
    return DecoderStage(how, upsampled, convolution, "", nn.Identity())


network_file = Published("alexgkendall/SegNet-Tutorial, segnet prototxt")
counted = Published("counted by hand from the layers of the paper")
enet = Published("Paszke et al. 2016, arXiv:1606.02147, Table 2", when={"classes": 20})
enet_flops = enet.counted_as("twice_macs")
paper = Published(PAPER)
facts(
    segnet,
    network_file(
        "params",
        29433483,
        "convolutions with biases; the affine maps of batch norm (15,872) left out",
        norm="none",
        classes=11,
    ),
    counted("params", 29441419, "15,872 of batch norm in place of 7,936 biases", classes=11),
    enet.disputed_because("with biases and batch norm the published network file has 29.45 M at 11 and at 20 classes")(
        "params", "29.46 M"
    ),
    enet_flops.disputed_because(
        "its counter and its number of classes are not known: 12 and 20 classes lie on either side"
    ).at(3, 360, 640)("flops", "286.03 G"),
    counted("depth", 26),
    paper.at(3, 360, 480)("output_size", 360),
    counted("output_stride/coarsest", 32),
    counted("receptive_field/deepest", 212),
)


counted_bare = counted.where(norm="none")
table_1 = paper.where(norm="none")
facts(
    segnet_basic,
    paper("receptive_field/context", 106),
    table_1.disputed_because("Table 1 seems to add rounded parts: 0.625 + 0.8; weights of the convolutions")(
        "params", "1.425 M"
    ),
    table_1("params", "0.625 M", "weights of the convolutions", decoder="single_channel"),
    table_1.disputed_because(
        "Table 1 seems to add rounded parts; it has the 12,544 weights of the single-channel decoders too many"
    )("params", "0.625 M", decoder="bilinear"),
    table_1("params", "0.65 M", decoder="fcn"),
    table_1.disputed_because("Table 1 seems to add rounded parts: 0.625 + 1.0")(
        "params", "1.625 M", decoder="fcn_no_reduction"
    ),
    counted_bare("params", 1415040),
    counted_bare("params", 1415040, decoder="encoder_addition"),
    counted_bare("params", 624768, decoder="single_channel"),
    counted_bare("params", 612224, decoder="bilinear"),
    counted_bare("params", 645312, decoder="fcn"),
    counted_bare("params", 1660800, decoder="fcn_no_reduction"),
    counted("params", 1416064, "with 1,024 of batch norm"),
    counted("depth", 9),
    counted("output_stride/coarsest", 16),
)
