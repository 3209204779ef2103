"""The families of the field in miniature: every wiring, few channels, few layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from structure_cases import MaskedConv
from torch import nn


def block(cin: int, cout: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    pad = dilation * (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, stride, pad, dilation, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True)
    )


class UNet(nn.Module):
    def __init__(self, up: str) -> None:
        super().__init__()
        self.down = nn.ModuleList([block(1, 2), block(2, 2), block(2, 2)])
        self.up = nn.ModuleList(
            [nn.ConvTranspose2d(2, 2, 2, 2) if up == "deconv" else nn.Upsample(scale_factor=2, mode=up) for _ in "ab"]
        )
        self.join = nn.ModuleList([block(4, 2), block(4, 2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.down[0](x)
        b = self.down[1](F.max_pool2d(a, 2))
        c = self.down[2](F.max_pool2d(b, 2))
        d = self.join[0](torch.cat([b, self.up[0](c)], 1))
        return self.join[1](torch.cat([a, self.up[1](d)], 1))


class FPN(nn.Module):
    """Features of three strides, the finest returned; lateral 1x1, nearest up, 3x3 smoothing."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList([block(1, 2, 3, 2), block(2, 2, 3, 2), block(2, 2, 3, 2)])
        self.lateral = nn.ModuleList([nn.Conv2d(2, 2, 1) for _ in range(3)])
        self.smooth = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = []
        for stage in self.body:
            x = stage(x)
            features.append(x)
        top = self.lateral[2](features[2])
        for lateral, feature in ((self.lateral[1], features[1]), (self.lateral[0], features[0])):
            top = lateral(feature) + F.interpolate(top, size=feature.shape[-2:])
        return self.smooth(top)


class PSP(nn.Module):
    def __init__(self, bins: tuple[int, ...] = (2, 3, 6)) -> None:
        super().__init__()
        self.bins = bins
        self.body = block(1, 2, 3, 2)
        self.branches = nn.ModuleList([nn.Conv2d(2, 1, 1) for _ in bins])
        self.last = nn.Conv2d(2 + len(bins), 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        f = self.body(x)
        pooled = [
            F.interpolate(c(F.adaptive_avg_pool2d(f, b)), f.shape[-2:], mode="bilinear", align_corners=True)
            for b, c in zip(self.bins, self.branches, strict=True)
        ]
        return self.last(torch.cat([f, *pooled], 1))


class ASPP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rates = nn.ModuleList([nn.Conv2d(1, 1, 3, padding=r, dilation=r) for r in (2, 5, 7)])
        self.point = nn.Conv2d(1, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.point(x), *(r(x) for r in self.rates)], 1)


class Hourglass(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.skip, self.inner, self.after = block(2, 2, 1), block(2, 2), block(2, 2, 1)
        self.deeper = Hourglass(depth - 1) if depth > 1 else block(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = self.after(self.deeper(self.inner(F.max_pool2d(x, 2))))
        return self.skip(x) + F.interpolate(low, scale_factor=2)


class StackedHourglass(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = block(1, 2, 3, 2)
        self.glasses = nn.ModuleList([Hourglass(2), Hourglass(2)])
        self.heads = nn.ModuleList([nn.Conv2d(2, 1, 1) for _ in "ab"])
        self.back = nn.Conv2d(1, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.glasses[0](x)
        heat = self.heads[0](y)
        return self.heads[1](self.glasses[1](x + y + self.back(heat)))


class GatedPixelCNN(nn.Module):
    """Vertical and horizontal stacks (van den Oord et al. 2016): no blind spot."""

    def __init__(self) -> None:
        super().__init__()
        self.vertical = nn.ModuleList([nn.Conv2d(1, 4, (2, 3)), nn.Conv2d(2, 4, (2, 3))])
        self.horizontal = nn.ModuleList([nn.Conv2d(1, 4, (1, 1)), nn.Conv2d(2, 4, (1, 2))])
        self.link = nn.ModuleList([nn.Conv2d(4, 4, 1) for _ in "ab"])

    @staticmethod
    def gate(x: torch.Tensor) -> torch.Tensor:
        a, b = x.chunk(2, 1)
        return torch.tanh(a) * torch.sigmoid(b)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Rows above only: pad two rows on top, drop the last; columns before only, in the first layer.
        v = self.vertical[0](F.pad(x, (1, 1, 2, 0)))[:, :, :-1]
        h = self.horizontal[0](F.pad(x, (1, 0, 0, 0))[:, :, :, :-1]) + self.link[0](v)
        v, h = self.gate(v), self.gate(h)
        v = self.vertical[1](F.pad(v, (1, 1, 1, 0)))
        return self.gate(self.horizontal[1](F.pad(h, (1, 0, 0, 0))) + self.link[1](v))


class Squeezed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 1, 3, padding=1)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(2, 2, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.one(x)
        return self.two(y * self.gate(y))


class Windowed(nn.Module):
    """Window attention, shifted by half a window with the wrapped part masked out by minus infinity."""

    def __init__(self, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.qkv, self.out = nn.Linear(2, 6), nn.Linear(2, 2)
        self.embed, self.norm = nn.Conv2d(1, 2, 2, 2), nn.LayerNorm(2)

    def parts(self, x: torch.Tensor) -> torch.Tensor:
        n, h, w, c = x.shape
        k = self.window
        return x.view(n, h // k, k, w // k, k, c).transpose(2, 3).reshape(-1, k * k, c)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.embed(x).permute(0, 2, 3, 1))
        n, h, w, c = x.shape
        y = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        region = torch.zeros(1, h, w, 1, device=x.device)
        for i, rows in enumerate(
            (slice(0, h - self.window), slice(h - self.window, h - self.shift), slice(h - self.shift, h))
        ):
            for j, cols in enumerate(
                (slice(0, w - self.window), slice(w - self.window, w - self.shift), slice(w - self.shift, w))
            ):
                region[:, rows, cols] = 3 * i + j
        ids = self.parts(region)[..., 0]
        apart = ids[:, None, :] != ids[:, :, None]
        q, k, v = self.qkv(self.parts(y)).chunk(3, -1)
        scores = (q @ k.transpose(-1, -2)).view(n, -1, *apart.shape[1:])
        scores = scores.masked_fill(apart[None], float("-inf")).view(-1, *apart.shape[1:])
        y = self.out(scores.softmax(-1) @ v)
        k = self.window
        y = y.view(n, h // k, w // k, k, k, c).transpose(2, 3).reshape(n, h, w, c)
        return (x + torch.roll(y, (self.shift, self.shift), (1, 2))).permute(0, 3, 1, 2)


class DeconvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = block(1, 1), block(1, 1)
        self.back = nn.ModuleList([nn.ConvTranspose2d(1, 1, 3, padding=1) for _ in "ab"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, first = F.max_pool2d(self.one(x), 2, 2, return_indices=True)
        x, second = F.max_pool2d(self.two(x), 2, 2, return_indices=True)
        x = self.back[0](F.max_unpool2d(x, second, 2, 2))
        return self.back[1](F.max_unpool2d(x, first, 2, 2))


class Parallel(nn.Module):
    """HRNet: two resolutions side by side that exchange twice."""

    def __init__(self) -> None:
        super().__init__()
        self.high = nn.ModuleList([block(1, 2), block(2, 2), block(2, 2)])
        self.low = nn.ModuleList([block(2, 2, 3, 2), block(2, 2)])
        self.up, self.down = nn.ModuleList([block(2, 2, 1) for _ in "ab"]), block(2, 2, 3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.high[0](x)
        b = self.low[0](a)
        a, b = self.high[1](a) + F.interpolate(self.up[0](b), scale_factor=2), b + self.down(a)
        b = self.low[1](b)
        return self.high[2](a) + F.interpolate(self.up[1](b), size=a.shape[-2:], mode="bilinear")


NETWORKS = {
    "u-net deconv": lambda: UNet("deconv"),
    "u-net nearest": lambda: UNet("nearest"),
    "u-net bilinear": lambda: UNet("bilinear"),
    "fpn": FPN,
    "psp": PSP,
    "aspp": ASPP,
    "stacked hourglass": StackedHourglass,
    "gated pixelcnn": GatedPixelCNN,
    "pixelcnn": lambda: nn.Sequential(
        MaskedConv(1, 2, 5, "A", "buffer"), nn.ReLU(), MaskedConv(2, 2, 3, "B", "data"), nn.Conv2d(2, 1, 1)
    ),
    "squeeze and excitation": Squeezed,
    "shifted windows": lambda: Windowed(4, 2),
    "parallel": Parallel,
    "sub-pixel": lambda: nn.Sequential(block(1, 2, 5), nn.Conv2d(2, 4, 3, padding=1), nn.PixelShuffle(2), block(1, 1)),
    "hybrid dilation": lambda: nn.Sequential(*(block(1, 1, 3, 1, d) for d in (1, 2, 5))),
}
