"""Matlab files: their variables, with limits and one error for whatever is wrong with a file."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.data.locate import content_of
from bench.data.matfile import MOST_BYTES, check


def variables(path: Path, **how: Any) -> dict[str, Any]:
    """The variables of a Matlab file by name; `how` goes to scipy's `loadmat`.

    Raises ValueError, with the file, where it is malformed or too large (`bench.data.matfile`).
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadWarning

    content = content_of(path, MOST_BYTES)
    source: Any = io.BytesIO(content)  # what was checked, even if the file changes
    try:
        check(content)
        with warnings.catch_warnings():
            warnings.simplefilter("error", MatReadWarning)
            loaded: dict[str, Any] = loadmat(source, **how)
    except MatReadWarning:
        raise ValueError(f"{path}: it has a variable twice: fetch it again") from None
    except NotImplementedError:
        raise ValueError(f"{path}: a Matlab file of version 7.3 (HDF5) is not read: save it with '-v7'") from None
    except Exception as error:  # scipy raises errors of many types for broken files
        raise ValueError(
            f"{path}: cannot be read as a Matlab file (version 5 to 7): {error or type(error).__name__}; fetch it again"
        ) from error
    return loaded


def number(value: Any, name: str) -> float:
    """A single finite number, in whatever array it is wrapped. Raises ValueError with the `name` of the field."""
    values = np.atleast_1d(value)
    if values.size != 1 or values.dtype.kind not in "biuf" or not np.isfinite(values.reshape(-1)[0]):
        raise ValueError(f"'{name}' is {brief(value)}, not one finite number")
    return float(values.reshape(-1)[0])


def whole_numbers(values: Any, name: str) -> npt.NDArray[np.int64]:
    """A vector of whole numbers (N,). Raises ValueError with the `name` of the variable."""
    flat = np.asarray(values).reshape(-1)
    if flat.dtype.kind not in "biuf" or not np.isfinite(flat).all() or (flat != np.floor(flat)).any():
        raise ValueError(f"'{name}' is {brief(values)}, not a row of whole numbers")
    return flat.astype(np.int64)


def brief(value: Any) -> str:
    """What a value is, in a few words."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype if value.dtype.names is None else 'struct'}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
