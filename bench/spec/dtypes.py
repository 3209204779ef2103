"""Names of numeric types and devices: torch's own, and the other names that people write."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bench.registry import suggestion

DTYPES: Mapping[str, Sequence[str]] = {
    "float32": ("fp32", "float", "single"),
    "float64": ("fp64", "double"),
    "bfloat16": ("bf16",),
    "float16": ("fp16", "half"),
}
"""Numeric types that a network can be measured in, and their other names."""

OF_INPUTS: Mapping[str, Sequence[str]] = {
    **DTYPES,
    "int64": ("long", "int"),
    "int32": (),
    "int16": ("short",),
    "int8": (),
    "uint8": ("byte",),
    "bool": (),
    "complex64": (),
    "complex128": (),
}
"""Numeric types that an input can have, and their other names."""


def dtype_named(text: str, names: Mapping[str, Sequence[str]] = DTYPES) -> str:
    """torch's name of a numeric type (`fp16`, `torch.half`). Raises ValueError with those that exist."""
    word = str(text).strip().lower().removeprefix("torch.")
    dtype = next((name for name, others in names.items() if word in (name, *others)), None)
    if dtype is None:
        every = [each for name, others in names.items() for each in (name, *others)]
        near = suggestion(word, every) if word else ""
        listed = ", ".join(f"{name} ({', '.join(others)})" if others else name for name, others in names.items())
        raise ValueError(f"'{text}' is no numeric type; there are {listed}{near if 'mean' in near else ''}")
    return dtype


DEVICE = re.compile(r"cpu|cuda(:\d{1,3})?|mps")
DEVICES = {"cuda": ("gpu", "nvidia"), "cpu": (), "mps": ("metal",)}
"""Kinds of devices, and what people write for them."""


def device_named(text: str) -> str:
    """torch's name of a device (`cuda:1`). Raises ValueError with those that exist."""
    device = str(text).strip().lower()
    if DEVICE.fullmatch(device):
        return device
    kind = device.partition(":")[0]
    meant = next((name for name, others in DEVICES.items() if kind in others), None)
    near = f", did you mean '{meant}'?" if meant else suggestion(kind, list(DEVICES)) if kind else ""
    raise ValueError(f"'{text}' is no device; there are cpu, cuda, cuda:1, mps{near if 'mean' in near else ''}")
