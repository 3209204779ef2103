"""Sampling that computes each place once, against a whole forward pass for each value: the ratio, printed."""

import time

import pytest
import torch

from architectures.made import made
from architectures.pixelcnn import pixelcnn
from bench.hardware.stopwatch import thread_count

NETWORKS = {
    "pixelcnn": lambda: pixelcnn(layers=6, width=0.25, levels=8, size=14),
    "gated pixelcnn": lambda: pixelcnn(
        layers=6, width=0.25, levels=8, size=14, gating=True, blind_spot=False, bottleneck=False
    ),
    "made": lambda: made(levels=8, size=14),
}
COUNT = 8


@pytest.mark.parametrize("name", NETWORKS)
def test_sampling(name, capsys):
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    seconds = {}
    for way in (network.sample, network.sample_naively):
        started = time.process_time()
        with thread_count(1):
            drawn = way(COUNT, torch.Generator().manual_seed(0))
        seconds[way.__name__] = (time.process_time() - started) / COUNT
        assert drawn.shape == (COUNT, 1, 14, 14)
    fast, naive = seconds["sample"], seconds["sample_naively"]
    with capsys.disabled():
        print(
            f"\n{name}: {fast * 1e3:.2f} CPU ms an image, {naive * 1e3:.2f} naively: {naive / fast:.1f} times as long"
        )
