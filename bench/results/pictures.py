"""Arrays of bytes as PNG files, without loss: the pictures of a results bundle."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from bench.results.measurement import Evaluation

Run = tuple[int, int]
"""(number of the variant, seed)."""


def write_pictures(folder: Path, runs: Mapping[Run, Evaluation]) -> list[dict[str, Any]]:
    """Write the samples of the runs whose data may be shown; what was written, for `read_pictures`.

    The arrays of a run are stacked: images lie below each other in one file for each name.
    """
    written = []
    for (variant, seed), evaluation in sorted(runs.items()):
        for name, values in evaluation.samples.items() if evaluation.facts.get("publishable") is True else ():
            file = f"{variant:02d}_{seed}_{name.replace(':', '.')}.png"
            folder.mkdir(exist_ok=True)
            _sheet(values).save(folder / file, optimize=True)
            entry = {"file": file, "variant": variant, "seed": seed, "name": name}
            written.append({**entry, "shape": list(values.shape), "dtype": str(values.dtype)})
    return written


def _sheet(values: np.ndarray) -> Any:
    """The bytes of an array as a picture: colour where its last axis has three channels, grey otherwise."""
    import numpy as np
    from PIL import Image

    data = np.ascontiguousarray(values).view(np.uint8) if values.dtype != np.uint8 else values
    if values.dtype == np.uint8 and values.ndim >= 3 and values.shape[-1] == 3:
        return Image.fromarray(data.reshape(-1, data.shape[-2], 3))
    rows = max(1, math.prod(data.shape[:-1]))
    return Image.fromarray(data.reshape(rows, -1) if data.ndim else data.reshape(1, 1))


def read_pictures(folder: Path, entries: Iterable[Mapping[str, Any]]) -> dict[Run, dict[str, np.ndarray]]:
    """The arrays of each run by name, as they were given to `write_pictures`."""
    import numpy as np
    from PIL import Image

    runs: dict[Run, dict[str, np.ndarray]] = {}
    for entry in entries:
        with Image.open(folder / entry["file"], formats=["PNG"]) as picture:
            data = np.ascontiguousarray(np.asarray(picture))
        values = data.reshape(-1).view(np.dtype(entry["dtype"])).reshape(entry["shape"])
        runs.setdefault((entry["variant"], entry["seed"]), {})[entry["name"]] = values
    return runs
