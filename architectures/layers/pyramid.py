"""A timm network as encoder: its maps by stride."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from architectures.layers.pretrained import check_timm, timm_encoder
from bench.registry import RegistryError


class TimmPyramid(nn.Module):
    """A timm network's maps at strides 1, 2, 4, ..., `deepest`: (N, 3, H, W) -> a map or None for each stride.

    Of several maps at one stride the last is taken; `channels` holds 0 where there is none. H and W must be
    multiples of `multiple`. Layers behind the deepest map are left out where timm knows how. `pretrained`: see
    `timm_encoder`. Raises RegistryError for an unknown name or one without a map at `deepest`.
    """

    def __init__(self, name: str, deepest: int, channels: int = 3, pretrained: str = "none") -> None:
        super().__init__()
        import timm

        check_timm(name)
        with torch.device("meta"):
            # Other wrappers than the getter may run layers behind the deepest map for nothing.
            wrapper = {"feature_cls": "getter"} if hasattr(timm.create_model(name), "forward_intermediates") else {}
            whole: Any = timm.create_model(name, features_only=True, **wrapper)
        last = {stride: index for index, stride in enumerate(whole.feature_info.reduction()) if stride <= deepest}
        if deepest not in last:
            raise RegistryError(f"backbone 'timm:{name}' has strides {whole.feature_info.reduction()}, not {deepest}")
        self.multiple: int = max(whole.feature_info.reduction())
        chosen = tuple(sorted(last.values()))
        options = {"out_indices": chosen, "in_chans": channels} | wrapper
        self.features: Any
        self.standardised, self.features = timm_encoder(name, pretrained, **options)
        self.channels_last = str(getattr(self.features, "output_fmt", "NCHW")).endswith("NHWC")
        strides = [2**level for level in range(deepest.bit_length())]
        self.places = tuple(chosen.index(last[s]) if s in last else None for s in strides)
        map_channels = tuple(whole.feature_info.channels(chosen))
        self.channels = tuple(0 if place is None else map_channels[place] for place in self.places)

    def forward(self, image: Tensor) -> list[Tensor | None]:
        maps = [m.permute(0, 3, 1, 2) if self.channels_last else m for m in self.features(self.standardised(image))]
        return [None if place is None else maps[place] for place in self.places]
