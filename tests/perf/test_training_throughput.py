"""Training throughput of the small FCN-8s: our loop against a plain one, in turn, in one run.

The plain loop is what a user writes first: fp32, contiguous, `torch.optim.AdamW` as it comes, and a
`DataLoader` (no worker processes, so that both loops have one core) whose dataset opens each JPEG and its
label file with Pillow, resizes both to 160x120, flips and jitters the colours with torchvision's transforms,
and normalises. Our loop is `bench.training.loop.fit` in the precision mode that `auto` admits, with its own augmentation;
reading the files into memory once, and the admission of the mode, are printed as well, and are not part of the ratio.

The files are CamVid's where FOVBENCH_DATA has it, else pictures of the same size drawn here.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ColorJitter
from torchvision.transforms.functional import hflip, normalize, to_tensor

from architectures.fcn import fcn
from bench.data.camvid import camvid
from bench.hardware.stopwatch import thread_count
from bench.spec.recipe import Recipe
from bench.tasks.segmentation import Segmentation
from bench.training.loop import fit

SHAPE = (3, 120, 160)
BATCH, STEPS, ROUNDS = 8, 15, 3
TARGET = 1.5


def small_fcn8s() -> nn.Module:
    torch.manual_seed(0)
    return fcn(stride=8, padding="same", width=0.25, fc_channels=1024, norm="batch", dropout=0.1, classes=11)


class Files(Dataset[tuple[Tensor, Tensor]]):
    """Image and label files, read on access."""

    def __init__(self, root: Path) -> None:
        lines = (root / "camvid" / "train.txt").read_text().split("\n")
        self.pairs = [[root / "camvid" / p for p in line.split()] for line in lines if line]
        self.jitter = ColorJitter(0.2, 0.2)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image_file, label_file = self.pairs[index]
        image = Image.open(image_file).convert("RGB").resize((SHAPE[2], SHAPE[1]), Image.Resampling.BILINEAR)
        label = Image.open(label_file).resize((SHAPE[2], SHAPE[1]), Image.Resampling.NEAREST)
        if torch.rand(()) < 0.5:
            image, label = hflip(image), hflip(label)
        x = normalize(to_tensor(self.jitter(image)), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        y = torch.from_numpy(np.array(label)).long()
        return x, torch.where(y == 11, 255, y)


def plain_steps(root: Path) -> Iterator[None]:
    """One optimizer step of the plain loop at a time, without end."""
    model = small_fcn8s().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    while True:
        for x, y in DataLoader(Files(root), batch_size=BATCH, shuffle=True, drop_last=True):
            loss = F.cross_entropy(model(x), y, ignore_index=255)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


def data_root(folder: Path) -> Path:
    """FOVBENCH_DATA where it has CamVid, else `folder` with as many pictures as one round needs."""
    folder_of_data = os.environ.get("FOVBENCH_DATA")
    if folder_of_data and (Path(folder_of_data) / "camvid" / "train.txt").is_file():
        return Path(folder_of_data)
    random = np.random.default_rng(0)
    (folder / "camvid").mkdir()
    names = [(f"{i}.jpg", f"{i}.png") for i in range(BATCH * STEPS)]
    for image, label in names:
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        coarse.resize((480, 360), Image.Resampling.BICUBIC).save(folder / "camvid" / image, quality=92)
        blocks = np.kron(random.integers(0, 12, (12, 16), dtype=np.uint8), np.ones((30, 30), dtype=np.uint8))
        Image.fromarray(blocks).save(folder / "camvid" / label)
    (folder / "camvid" / "train.txt").write_text("\n".join(" ".join(pair) for pair in names))
    return folder


def test_training_throughput_of_the_small_fcn8s(tmp_path: Path) -> None:
    root = data_root(tmp_path)
    recipe = Recipe(steps=STEPS, batch=BATCH, average=0.99)
    begin = time.perf_counter()
    examples = camvid(root, "train", SHAPE)
    reading = time.perf_counter() - begin
    ours, plain, cpu = [], [], []
    with thread_count(1):
        steps = plain_steps(root)
        next(steps)
        fit(small_fcn8s(), Segmentation, examples, recipe, seed=0, cache=tmp_path / "modes", runs=10_000)
        admission = time.perf_counter() - begin - reading
        for _ in range(ROUNDS):
            trained = fit(small_fcn8s(), Segmentation, examples, recipe, seed=0, cache=tmp_path / "modes", runs=10_000)
            ours.append(trained.seconds / STEPS)
            wall, used = time.perf_counter(), time.process_time()
            for _ in range(STEPS):
                next(steps)
            plain.append((time.perf_counter() - wall) / STEPS)
            cpu.append((time.process_time() - used) / trained.cpu_seconds)
    ratio = statistics.median(plain) / statistics.median(ours)
    print(
        f"\nimages/s: ours {BATCH / statistics.median(ours):.1f} ({trained.mode}), "
        f"plain {BATCH / statistics.median(plain):.1f}; ratio {ratio:.2f} of wall time, "
        f"{statistics.median(cpu):.2f} of CPU time (target {TARGET}); once: files into memory {reading:.1f} s, "
        f"first training with the admission of modes {admission:.1f} s"
    )
