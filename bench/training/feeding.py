"""Batches that are made while the device executes the step before."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

Batch = tuple[Tensor, dict[str, Tensor]]


def ahead(batches: Iterator[Batch], device: str) -> Iterator[Batch]:
    """The batches; on a CUDA device each is made on a stream of its own.

    What makes a batch may wait for its own work, as copies of random numbers to the device do; it then does not wait
    for the training step, which is on another stream.
    """
    return _on_own_stream(batches, device) if torch.device(device).type == "cuda" else batches


def _on_own_stream(batches: Iterator[Batch], device: str) -> Iterator[Batch]:
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    while True:
        with torch.cuda.stream(stream):
            batch = next(batches, None)
        if batch is None:
            return
        current = torch.cuda.current_stream(device)
        current.wait_stream(stream)
        for leaf in pytree.tree_leaves(batch):
            if isinstance(leaf, Tensor) and leaf.is_cuda:
                leaf.record_stream(current)  # its memory is free for another batch once the step has read it
        yield batch
