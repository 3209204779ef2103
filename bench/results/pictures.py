"""Arrays of bytes as PNG files, without loss: the pictures of a results bundle."""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from bench.results.measurement import Evaluation

Run = tuple[int, int]
"""(number of the variant, seed)."""

MOST = 100
"""Pictures that a figure shows at most: larger samples (of a generative network) are there for its metrics."""


def write_pictures(folder: Path, runs: Mapping[Run, Evaluation]) -> list[dict[str, Any]]:
    """Write the samples of the runs whose data may be shown; what was written, for `read_pictures`.

    The arrays of a run are stacked: images lie below each other in one file for each name.
    """
    written = []
    for (variant, seed), evaluation in sorted(runs.items()):
        publishable = evaluation.facts.get("publishable") is True
        shown = {name: a for name, a in evaluation.samples.items() if publishable and (not a.ndim or len(a) <= MOST)}
        for number, (name, values) in enumerate(shown.items()):
            file = f"{variant:02d}_{seed}_{number}_{re.sub('[^A-Za-z0-9]+', '_', name)}.png"
            folder.mkdir(exist_ok=True)
            _sheet(values).save(folder / file, optimize=True)
            entry = {"file": file, "variant": variant, "seed": seed, "name": name}
            written.append({**entry, "shape": list(values.shape), "dtype": str(values.dtype)})
    return written


def _sheet(values: np.ndarray) -> Any:
    """The bytes of an array as a picture: colour where its last axis has three channels, grey otherwise."""
    import numpy as np
    from PIL import Image

    shape = values.shape
    data = np.frombuffer(np.ascontiguousarray(values).tobytes() or b"\0", np.uint8)
    if values.dtype == np.uint8 and values.size and len(shape) >= 3 and shape[-1] == 3:
        return Image.fromarray(data.reshape(-1, shape[-2], 3))
    inner = shape[:-1] if len(shape) >= 3 and shape[-1] == 1 else shape
    rows = max(1, math.prod(inner[:-1])) if values.size else 1
    return Image.fromarray(data.reshape(rows, -1))


def read_pictures(folder: Path, entries: Iterable[Mapping[str, Any]]) -> dict[Run, dict[str, np.ndarray]]:
    """The arrays of each run by name, as `write_pictures` received them.

    Raises ValueError where an entry names a file of another folder, or where the picture does not fit its entry.
    """
    import numpy as np
    from PIL import Image

    runs: dict[Run, dict[str, np.ndarray]] = {}
    for entry in entries:
        if Path(entry["file"]).name != entry["file"]:
            raise ValueError(f"the picture {entry['file']} is not in the bundle's folder")
        if not (folder / entry["file"]).is_file():
            raise FileNotFoundError(errno.ENOENT, "no such picture", entry["file"])
        with Image.open(folder / entry["file"], formats=["PNG"]) as picture:
            data = np.asarray(picture).tobytes()
        count = math.prod(entry["shape"])
        values = np.frombuffer(data, np.dtype(entry["dtype"]), count).reshape(entry["shape"]).copy()
        runs.setdefault((entry["variant"], entry["seed"]), {})[entry["name"]] = values
    return runs
