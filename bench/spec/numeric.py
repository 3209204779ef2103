"""The numeric policy of a workload: which arithmetic the libraries may use in place of the exact one, and how.

    tf32                         true, false, or in `conv` (convolutions) or `matmul` (matrix products) alone
    cudnn_benchmark              cuDNN times its kernels for each shape and takes the fastest
    deterministic                only kernels that give the same bits each time; where there is none, an error
    reduced_precision_reduction  sums of float16 and bfloat16 products may be kept in less than float32

The defaults are those of PyTorch. TF32, cuDNN's choice and reduced sums exist on CUDA only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

TF32 = bool | Literal["conv", "matmul"]

DEFAULTS: Mapping[str, Any] = {
    "tf32": "conv",
    "cudnn_benchmark": False,
    "deterministic": False,
    "reduced_precision_reduction": True,
}
ANYWHERE = ("deterministic",)
"""What has an effect on every device; the others on CUDA."""


def effective(name: str, device: str) -> bool:
    """Whether a part of the policy has an effect on a device."""
    return name in ANYWHERE or device.startswith("cuda")


def in_key(numeric: Mapping[str, Any], device: str) -> dict[str, Any]:
    """What a key has of a policy: on CUDA all of it, elsewhere what has an effect and is not PyTorch's default."""
    return {
        name: value
        for name, value in numeric.items()
        if effective(name, device) and (device.startswith("cuda") or value != DEFAULTS[name])
    }
