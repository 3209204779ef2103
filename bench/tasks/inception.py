"""The published Frechet distance, for users who have the weights of Inception that define it.

`FOVBENCH_INCEPTION` names a TorchScript file of the Inception of 2015 as StyleGAN's authors exported it
(`inception-2015-12-05.pt`): called with RGB bytes (N, 3, H, W) and `return_features=True` it gives (N, 2048),
resizing on its own. No weights are downloaded. Papers compare 10,000 to 50,000 samples; readings state their numbers.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.tasks.generative import frechet, moments, too_few

VARIABLE = "FOVBENCH_INCEPTION"
NO_WEIGHTS = f"no weights of Inception: set {VARIABLE} to the TorchScript file and run again"


def inception_distance(real: Tensor, drawn: Tensor, batch: int = 64) -> dict[str, Any]:
    """`fid` between bytes (N, C, H, W) of one or three channels, the weights' hash and the numbers of
    images; `{}` where no weights are named.

    `{"error": ...}` for less than two images of either.

    Raises FileNotFoundError where the file that is named is missing.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return {}
    for images, kind in ((real, "real images"), (drawn, "samples")):
        if len(images) < 2:
            return {"error": too_few(kind, len(images))}
    content = Path(named).read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, but these weights come in it
        net = torch.jit.load(named, map_location="cpu").eval()  # type: ignore[no-untyped-call]
    gaussians = [moments(_features(net, images, batch).double().numpy()) for images in (real, drawn)]
    weights = hashlib.sha256(content).hexdigest()[:16]
    return {"fid": frechet(*gaussians), "weights": weights, "real": len(real), "samples": len(drawn)}


def _features(net: Any, images: Tensor, batch: int) -> Tensor:
    coloured = images.expand(-1, 3, -1, -1)
    return torch.cat([net(part, return_features=True) for part in torch.split(coloured, batch)])
