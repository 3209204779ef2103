"""Small networks, one for each operator that the supports must follow exactly."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn


class Run(nn.Module):
    """A function of (module, input) as a network, with layers to use."""

    def __init__(self, function: Callable[..., torch.Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


class Buffered(nn.Module):
    """As `Run`, with buffers."""

    def __init__(self, function: Callable[..., torch.Tensor], **buffers: torch.Tensor) -> None:
        super().__init__()
        self.function = function
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


def plain(function: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    return Run(lambda self, x: function(x))


class MaskedConv(nn.Conv2d):
    """A PixelCNN convolution; `how` says where its mask is applied."""

    def __init__(self, cin: int, cout: int, kernel: int, kind: str, how: str, groups: int = 1) -> None:
        super().__init__(cin, cout, kernel, padding=kernel // 2, groups=groups)
        mask = torch.ones_like(self.weight)
        mask[:, :, kernel // 2, kernel // 2 + (kind == "B") :] = 0
        mask[:, :, kernel // 2 + 1 :] = 0
        self.how = how
        if how == "frozen":
            self.mask = nn.Parameter(mask, requires_grad=False)
        else:
            self.register_buffer("mask", mask)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.how == "data":
            self.weight.data *= self.mask
            return super().forward(x)
        weight = self.weight * self.mask
        return F.conv2d(x, weight, self.bias, padding=self.padding, groups=self.groups)


def circular(x: torch.Tensor) -> torch.Tensor:
    return F.pad(x, (2, 1, 3, 0), mode="circular")


def into_zeros(x: torch.Tensor) -> torch.Tensor:
    out = x.new_zeros(x.shape[0], x.shape[1], x.shape[2] + 2, x.shape[3] + 3)
    out[:, :, 1:-1, 2:-1] = x
    out[:, :, 0] += out[:, :, 4]
    out[:, :, ::2, 0] = x[:, :, :6, 3]
    return out


def in_place_views(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[:, 0].mul_(2).add_(x[:, 1])
    y.view(x.shape[0], -1)[:, :3] = 0
    y.transpose(2, 3)[:, :, 1] = x[:, :, :, 2]
    a, b = y.chunk(2, dim=3)
    a.add_(b)
    y.relu_()
    return y


def diagonal_write(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y.diagonal(dim1=2, dim2=3).copy_(x[:, :, 0, :9])
    return y


def masked_write(x: torch.Tensor) -> torch.Tensor:
    y = x.roll(1, 3) * 2
    y[x.flip(2) < 0.6] = 0.5
    return y


def constant_masked_write(self: Buffered, x: torch.Tensor) -> torch.Tensor:
    y = x.permute(2, 3, 0, 1).clone()
    y[self.m] = 0
    return y.permute(2, 3, 0, 1)


def self_attention(x: torch.Tensor, causal: bool = False) -> torch.Tensor:
    n, c, h, w = x.shape
    t = x.flatten(2).transpose(1, 2)
    out = F.scaled_dot_product_attention(t[:, None], t[:, None] * 1.5, t[:, None] + 1, is_causal=causal)[:, 0]
    return out.transpose(1, 2).reshape(n, c, h, w)


def windowed(x: torch.Tensor, finite: bool) -> torch.Tensor:
    """Attention along rows where each token sees itself and the one before."""
    t = x.permute(0, 2, 3, 1)
    scores = t @ t.transpose(-1, -2)
    size = scores.shape[-1]
    allowed = torch.ones(size, size, device=x.device).tril().triu(-1).bool()
    bias = torch.zeros(size, size, device=x.device, dtype=x.dtype).masked_fill(~allowed, -3.0 if finite else -torch.inf)
    return ((scores + bias).softmax(-1) @ t).permute(0, 3, 1, 2)


def boolean_masked(x: torch.Tensor) -> torch.Tensor:
    t = x.permute(0, 2, 3, 1)
    blocked = torch.ones(t.shape[2], t.shape[2], dtype=torch.bool, device=x.device).triu(1)
    scores = (t @ t.transpose(-1, -2)).masked_fill(blocked, float("-inf"))
    return (scores.softmax(-1) @ t).permute(0, 3, 1, 2)


def unpooled(x: torch.Tensor) -> torch.Tensor:
    pooled, where = F.max_pool2d(x, 2, return_indices=True)
    return F.max_unpool2d(pooled * 1.5, where, 2, output_size=list(x.shape[-2:]))


def unpooled_overlapping(x: torch.Tensor) -> torch.Tensor:
    pooled, where = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    return F.max_unpool2d(pooled, where, 3, 2, 1, output_size=list(x.shape[-2:]))


def squeezed(self: Run, x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(self.two(F.relu(self.one(F.adaptive_avg_pool2d(x, 1)))))


def channel_gate(x: torch.Tensor) -> torch.Tensor:
    a, b = torch.cat([x, x.roll(1, 2)], 1).chunk(2, 1)
    return torch.tanh(a) * torch.sigmoid(b)


def interleaved(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    return torch.stack([x, x.flip(3)], dim=4).reshape(n, c, h, 2 * w)


def regrouped(x: torch.Tensor) -> torch.Tensor:
    """Windows of 3 x 4 as a batch, mixed along one axis, and back."""
    n, c, h, w = x.shape
    y = x.view(n, c, h // 3, 3, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 3, 4, c)
    y = y.cumsum(1)
    return y.reshape(n, h // 3, w // 4, 3, 4, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)


def shifted_sum(x: torch.Tensor) -> torch.Tensor:
    return x[:, :, 1:-2, ::2] + x[:, :, :-3, 1::2]


def token_mixer(self: Run, x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    rows = self.mix(x.permute(0, 1, 3, 2))
    return rows.permute(0, 1, 3, 2)


def conv(*args: int, **kwargs: object) -> nn.Module:
    return nn.Conv2d(*args, **kwargs)  # type: ignore[arg-type]


HAAR = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [1.0, 0.0, 0.0]]).reshape(1, 1, 3, 3)
SHAPE = (2, 9, 12)

CASES: dict[str, Callable[[], nn.Module]] = {
    # convolution
    "conv": lambda: conv(2, 3, 3, padding=1),
    "conv strided": lambda: conv(2, 3, 3, stride=2, padding=1),
    "conv dilated": lambda: conv(2, 3, 3, padding=2, dilation=2),
    "conv asymmetric": lambda: conv(2, 3, (1, 5), padding=(0, 2), stride=(2, 1)),
    "conv same": lambda: conv(2, 3, (5, 3), padding="same"),
    "conv same dilated": lambda: conv(2, 2, (3, 4), padding="same", dilation=(1, 2)),
    "conv grouped": lambda: nn.Sequential(conv(2, 4, 3, padding=1, groups=2), conv(4, 2, 1, groups=2)),
    "conv depthwise": lambda: nn.Sequential(conv(2, 2, 3, padding=1, groups=2), conv(2, 3, 1)),
    "conv stride beyond kernel": lambda: conv(2, 2, 2, stride=3),
    "conv reflect": lambda: conv(2, 2, 5, padding=2, padding_mode="reflect"),
    "conv circular": lambda: conv(2, 2, 3, padding=1, padding_mode="circular"),
    "conv replicate": lambda: conv(2, 2, 5, padding=2, padding_mode="replicate"),
    "conv frozen kernel in a buffer": lambda: Buffered(lambda s, x: F.conv2d(x[:, :1], s.k, padding=1), k=HAAR),
    "masked conv buffer A": lambda: MaskedConv(2, 2, 3, "A", "buffer"),
    "masked conv buffer B": lambda: MaskedConv(2, 2, 5, "B", "buffer"),
    "masked conv frozen": lambda: MaskedConv(2, 2, 3, "A", "frozen"),
    "masked conv in data": lambda: MaskedConv(2, 2, 3, "A", "data"),
    "masked conv stack": lambda: nn.Sequential(
        MaskedConv(2, 4, 3, "A", "buffer"), nn.ReLU(), MaskedConv(4, 2, 3, "B", "data", groups=2)
    ),
    "transposed": lambda: nn.ConvTranspose2d(2, 3, 4, 2, 1),
    "transposed output padding": lambda: nn.ConvTranspose2d(2, 3, 3, 2, 1, output_padding=1),
    "transposed stride beyond kernel": lambda: nn.ConvTranspose2d(2, 2, 2, 3),
    "transposed dilated grouped": lambda: nn.ConvTranspose2d(2, 4, 3, 2, 2, groups=2, dilation=2),
    "dynamic conv": lambda: Run(
        lambda s, x: F.conv2d(x, s.head(x[:, :, :3, :3]).reshape(2, 2, 1, 1)),
        head=nn.Sequential(nn.Flatten(), nn.Linear(18, 4)),
    ),
    "unfold and fold": lambda: plain(
        lambda x: F.fold(F.unfold(x, (3, 2), padding=1, stride=(2, 1)), x.shape[-2:], (3, 2), padding=1, stride=(2, 1))
    ),
    "unfold": lambda: plain(lambda x: F.unfold(x, (3, 2), dilation=(1, 2), stride=2).reshape(1, 12, 4, 5)),
    "tensor unfold": lambda: plain(lambda x: x.unfold(2, 3, 2).unfold(3, 4, 3).sum((-1, -2))),
    # pooling
    "max pool": lambda: nn.MaxPool2d(3, 2, 1),
    "max pool ceil": lambda: nn.MaxPool2d((2, 5), (2, 3), (1, 1), ceil_mode=True),
    "max pool dilated": lambda: nn.MaxPool2d(3, 1, 1, dilation=2),
    "avg pool": lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    "adaptive avg": lambda: nn.AdaptiveAvgPool2d((4, 5)),
    "adaptive avg one": lambda: nn.AdaptiveAvgPool2d(1),
    "adaptive max": lambda: nn.AdaptiveMaxPool2d((4, 7)),
    "lp pool": lambda: nn.LPPool2d(2, 3, 2, ceil_mode=True),
    # resampling
    **{
        f"{mode} to {size}": lambda mode=mode, size=size: plain(lambda x: F.interpolate(x, size=size, mode=mode))
        for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
        for size in ((18, 24), (13, 7))
    },
    **{
        f"{mode} x{factor}": lambda mode=mode, factor=factor: plain(
            lambda x: F.interpolate(x, scale_factor=factor, mode=mode)
        )
        for mode in ("nearest", "bilinear", "bicubic")
        for factor in (3, 1.7, 0.6)
    },
    "bilinear corners integer": lambda: plain(
        lambda x: F.interpolate(x, size=(17, 23), mode="bilinear", align_corners=True)
    ),
    "bicubic corners": lambda: plain(lambda x: F.interpolate(x, size=(25, 23), mode="bicubic", align_corners=True)),
    "bilinear antialias": lambda: plain(lambda x: F.interpolate(x, size=(4, 5), mode="bilinear", antialias=True)),
    "bicubic antialias": lambda: plain(lambda x: F.interpolate(x, size=(4, 20), mode="bicubic", antialias=True)),
    "wide bilinear": lambda: plain(lambda x: F.interpolate(x.repeat(1, 1, 3, 3), size=(61, 80), mode="bilinear")),
    "pixel shuffle": lambda: nn.Sequential(conv(2, 8, 1), nn.PixelShuffle(2)),
    "pixel unshuffle": lambda: nn.PixelUnshuffle(3),
    "pixel shuffle keeps channels apart": lambda: Run(lambda s, x: F.pixel_shuffle(torch.cat([x, x.roll(2, 3)], 1), 2)),
    # padding
    "zero pad": lambda: nn.ZeroPad2d((1, 2, 3, 0)),
    "crop by padding": lambda: nn.ZeroPad2d((-1, -2, 1, -3)),
    "reflect": lambda: nn.ReflectionPad2d((3, 2, 4, 1)),
    "replicate": lambda: nn.ReplicationPad2d((3, 2, 4, 1)),
    "circular": lambda: plain(circular),
    # moving
    "slices": lambda: plain(shifted_sum),
    "negative slice": lambda: plain(lambda x: x[:, :, -4:-1, -7:] * x[:, :, :3, :7]),
    "select and stack": lambda: plain(lambda x: torch.stack([x[:, :, 2], x[:, :, -1]], 2)),
    "cat spatial": lambda: plain(lambda x: torch.cat([x[:, :, :3], x, x[:, :, 5:]], 2)),
    "cat then split": lambda: plain(lambda x: torch.cat([x, x.flip(2)], 1).split(2, 1)[1]),
    "flip": lambda: plain(lambda x: x.flip((2, 3))),
    "roll": lambda: plain(lambda x: x.roll((2, -3), (2, 3))),
    "roll flat": lambda: plain(lambda x: x.roll(5)),
    "transpose": lambda: plain(lambda x: x.transpose(2, 3).contiguous()),
    "reshape": lambda: plain(lambda x: x.reshape(1, 2, 4, 27)),
    "flatten and back": lambda: plain(lambda x: (x.flatten(2) * 2).unflatten(2, (12, 9))),
    "windows": lambda: plain(regrouped),
    "interleave": lambda: plain(interleaved),
    "repeat": lambda: plain(lambda x: x.repeat(1, 1, 2, 3)),
    "repeat interleave": lambda: plain(lambda x: x.repeat_interleave(2, dim=3)),
    "expand": lambda: plain(lambda x: x[:, :, :1].expand(-1, -1, 6, -1) + x[:, :, :6]),
    "channel shuffle": lambda: nn.Sequential(conv(2, 6, 3, padding=1, groups=2), nn.ChannelShuffle(3)),
    "unbind": lambda: plain(lambda x: torch.stack(x.unbind(2)[::2], 3)),
    "tril": lambda: plain(torch.tril),
    "diagonal": lambda: plain(lambda x: x[:, :, :9, :9].diagonal(1, 2, 3)[:, :, :, None] + x[:, :, :8, :2]),
    "meshgrid weights": lambda: plain(lambda x: x * torch.linspace(-1, 1, 12, device=x.device)),
    "squeeze in place": lambda: plain(lambda x: x.clone().unsqueeze_(1).squeeze_(1).transpose_(2, 3)),
    # writing
    "into zeros": lambda: plain(into_zeros),
    "in-place views": lambda: plain(in_place_views),
    "diagonal write": lambda: plain(diagonal_write),
    "in-place chain": lambda: plain(lambda x: x.clone().mul_(2).clamp_(min=0).add_(1)),
    # reductions
    "mean over a row": lambda: plain(lambda x: x - x.mean(3, keepdim=True)),
    "sum over space": lambda: plain(lambda x: x * x.sum((2, 3), keepdim=True)),
    "amax over a column": lambda: plain(lambda x: x + x.amax(2, keepdim=True)),
    "max with indices": lambda: plain(lambda x: x.max(3, keepdim=True).values),
    "var": lambda: plain(lambda x: x.var((2,), keepdim=True) * x),
    "cumsum": lambda: plain(lambda x: x.cumsum(3)),
    "flipped cumsum": lambda: plain(lambda x: x.flip(2).cumsum(2).flip(2)),
    "softmax over a row": lambda: plain(lambda x: (x * 0.1).softmax(3)),
    "log softmax over channels": lambda: plain(lambda x: (x * 0.1).log_softmax(1)),
    "softmax over space": lambda: plain(lambda x: (x * 0.1).flatten(2).softmax(-1).view_as(x)),
    "norm over channels": lambda: plain(lambda x: F.normalize(x, dim=1)),
    "local response": lambda: nn.Sequential(conv(2, 6, 3, padding=1, groups=2), nn.LocalResponseNorm(3)),
    # normalisation
    "batch norm": lambda: nn.Sequential(conv(2, 3, 3, padding=1), nn.BatchNorm2d(3)),
    "layer norm over channels": lambda: plain(lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (2,)).permute(0, 3, 1, 2)),
    "layer norm over a row": lambda: nn.LayerNorm(12),
    "group norm": lambda: nn.Sequential(conv(2, 4, 1, groups=2), nn.GroupNorm(2, 4)),
    "instance norm": lambda: nn.InstanceNorm2d(2, affine=True),
    "rms norm": lambda: nn.RMSNorm(12),
    # mixing
    "linear over columns": lambda: Run(lambda s, x: s.l(x), l=nn.Linear(12, 5)),
    "linear over rows": lambda: Run(token_mixer, mix=nn.Linear(9, 9)),
    "matmul": lambda: plain(lambda x: x[:, :, :, :9] @ x[:, :, :, 3:]),
    "einsum": lambda: plain(lambda x: torch.einsum("nchw,ncgw->nhcg", x, x[:, :, :4]).permute(0, 2, 1, 3)),
    "attention": lambda: plain(self_attention),
    "causal attention": lambda: plain(lambda x: self_attention(x[:, :, :4, :5], causal=True)),
    "windowed attention": lambda: plain(lambda x: windowed(x, finite=False)),
    "finitely masked attention": lambda: plain(lambda x: windowed(x * 0.01, finite=True)),
    "boolean attention mask": lambda: plain(boolean_masked),
    "squeeze and excitation": lambda: Run(squeezed, one=conv(2, 2, 1), two=conv(2, 2, 1)),
    "gate": lambda: plain(channel_gate),
    "fft": lambda: plain(lambda x: torch.fft.irfft(torch.fft.rfft(x, dim=3).abs() + 1, dim=3)),
    "fft2": lambda: plain(lambda x: torch.fft.fft2(x).abs()),
    "banded matrix": lambda: Buffered(lambda s, x: x @ s.m, m=torch.eye(12) + torch.eye(12).roll(1, 0)),
    "constant mask on activations": lambda: Buffered(lambda s, x: x * s.m, m=(torch.arange(12) % 3 > 0).float()),
    "where constant": lambda: Buffered(lambda s, x: torch.where(s.m, x, x.flip(3)), m=torch.arange(12) % 3 > 0),
    # picking
    "constant index": lambda: Buffered(lambda s, x: x[:, :, s.i], i=torch.tensor([3, 3, 0, 8])),
    "index select": lambda: Buffered(lambda s, x: x.index_select(3, s.i), i=torch.tensor([11, 0, 5])),
    "constant mask as an index": lambda: Buffered(lambda s, x: x[:, :, s.m], m=torch.arange(9) % 4 == 1),
    "write under a computed mask": lambda: plain(masked_write),
    "write under a constant mask": lambda: Buffered(constant_masked_write, m=torch.arange(108).view(9, 12) % 5 == 0),
    "list as an index": lambda: plain(lambda x: x[:, [1, 0], 2:][..., [3, 3, 0, 8]]),
    "numbers on the device of the input": lambda: plain(
        lambda x: x[:, :, torch.tensor([4, 0, 1], device=x.device)] * torch.tensor([1.0, 0.0, 2.0] * 4, device=x.device)
    ),
    "two indices": lambda: Buffered(
        lambda s, x: x[:, :, s.i, s.j][..., None], i=torch.tensor([3, 3, 0, 8]), j=torch.tensor([0, 1, 2, 11])
    ),
}

UNPOOLS: dict[str, Callable[[], nn.Module]] = {
    "unpool": lambda: plain(unpooled),
    "unpool overlapping": lambda: plain(unpooled_overlapping),
    "unpool after a convolution": lambda: nn.Sequential(conv(1, 1, 3, padding=1), plain(unpooled)),
    "unpool then convolution": lambda: nn.Sequential(plain(unpooled), conv(1, 1, 3, padding=1)),
}
CASES_1D: dict[str, Callable[[], nn.Module]] = {
    "conv1d": lambda: nn.Conv1d(2, 3, 5, 2, 3, dilation=2),
    "conv transpose1d": lambda: nn.ConvTranspose1d(2, 3, 4, 3, 1, output_padding=1),
    "pools": lambda: nn.Sequential(nn.MaxPool1d(3, 2, 1), nn.AvgPool1d(2, 1), nn.AdaptiveAvgPool1d(5)),
    "linear up": lambda: nn.Upsample(scale_factor=2.5, mode="linear"),
    "pads": lambda: nn.Sequential(nn.ReflectionPad1d(4), nn.ReplicationPad1d((1, 2)), nn.ConstantPad1d(1, 3.0)),
    "lstm": lambda: Run(lambda s, x: s.rnn(x.transpose(1, 2))[0].transpose(1, 2), rnn=nn.LSTM(2, 3, batch_first=True)),
}
CASES_1D |= {
    "time convolution": lambda: Buffered(
        lambda s, x: torch.conv_tbc(x.permute(2, 0, 1), s.w.to(x), s.b.to(x), 2).permute(1, 2, 0),
        w=torch.rand(4, 2, 3),
        b=torch.rand(3),
    ),
    "time convolution with bias and weight of the input": lambda: plain(
        lambda x: torch.conv_tbc(
            x.permute(2, 0, 1), x[..., :3].permute(2, 1, 0).repeat(1, 1, 2), x[0, :, 5], 1
        ).permute(1, 2, 0)
    ),
    "bilinear form": lambda: Run(
        lambda s, x: s.form(s.conv(x).transpose(1, 2), x.transpose(1, 2)).transpose(1, 2),
        form=nn.Bilinear(4, 2, 3),
        conv=nn.Conv1d(2, 4, 5, padding=4, dilation=2),
    ),
    "bilinear form along the positions": lambda: Run(
        lambda s, x: s.form(x[..., :6], x[..., 3:7]), form=nn.Bilinear(6, 4, 7, bias=False)
    ),
}
CASES_3D: dict[str, Callable[[], nn.Module]] = {
    "conv3d": lambda: nn.Conv3d(2, 3, (1, 3, 3), (1, 2, 1), (0, 1, 1)),
    "pool3d": lambda: nn.Sequential(nn.MaxPool3d(2, 2, ceil_mode=True), nn.AvgPool3d((1, 2, 2), 1)),
    "trilinear": lambda: nn.Upsample(scale_factor=(1, 2, 1.5), mode="trilinear"),
    "conv transpose3d": lambda: nn.ConvTranspose3d(2, 2, 3, 2, 1),
}
