"""Generation: networks that give images a probability, or draw images, or both.

A network needs only some of the functions below; a missing one is recorded by name, so that a metric can state why it
has no value. Pixels are levels 0 to L - 1, uint8 (N, C, H, W). Every network has a `loss(outputs, targets)` of its own,
and any of

`log_likelihood(pixels) -> (N,)`: exact log-probabilities in nats;
`elbo(pixels, generator) -> {"elbo", "reconstruction", "kl"}`, each (N,) in nats, elbo = reconstruction - kl,
    and `importance_bound(pixels, k, generator) -> (N,)`: log of the mean of k importance weights;
`encode(images) -> (mean, variance)` of the code, (N, D) each, and `decode(z) -> (N, C, H, W)`, the expected levels
    as floats 0 to L - 1;
`sample(count, generator) -> uint8 (count, C, H, W)`, levels.

`loss_unit` is the unit of the training loss: `bits/dim`, `nats` (of an image), or empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.registry import task
from bench.results.measurement import Evaluation
from bench.structure.modes import in_eval, moved
from bench.tasks import generative
from bench.tasks.features import trained_features
from bench.tasks.generative import too_few
from bench.tasks.inception import NO_WEIGHTS, inception_distance

if TYPE_CHECKING:
    from bench.data.examples import Examples

SEED = 0
"""Seed of every random draw of the evaluation, the same for every network."""
SAMPLES = 1024
"""Images that a network draws."""
IMPORTANCE = 64
"""Samples of the importance-weighted bound."""
BOUND_IMAGES = 512
"""Images that the importance-weighted bound is computed on, spread evenly over the split."""
SHOWN = 8
"""Images of the split that are shown."""
STEPS = 9
"""Pictures along an interpolation or a traversal."""
RANGE = 2.5
"""Standard deviations of the prior by which a traversal changes a latent to either side."""

Batch = tuple[Tensor, dict[str, Tensor]]
Arrays = dict[str, np.ndarray[Any, Any]]


@task(unit="image", files=("FOVBENCH_INCEPTION",))
class Generation:
    """Images and their probability: measured by bits/dim, bounds of the likelihood, samples and codes."""

    @staticmethod
    def prepare(images: Tensor) -> Tensor:
        """Bytes 0 to 255 to floats -1 to 1."""
        return images.float().div_(127.5).sub_(1)

    @staticmethod
    def augment(images: Tensor, targets: Mapping[str, Tensor], generator: torch.Generator) -> Batch:
        """Dynamic binarisation where the data have a target `intensity` (bytes): each pixel is 1 with the probability
        intensity / 255.

        Images and `pixels` change together, drawn from `generator`; other data are not changed.
        """
        if "intensity" not in targets:
            return images, dict(targets)
        intensity = targets["intensity"]
        draw = torch.rand(intensity.shape, generator=generator).to(intensity.device)
        pixels = (draw < intensity / 255).to(torch.uint8)
        return Generation.prepare(pixels * 255), {**targets, "pixels": pixels}

    @staticmethod
    def loss(outputs: Any, targets: Mapping[str, Tensor]) -> Tensor:
        """Raises TypeError: a generative network has a loss of its own."""
        raise TypeError("a network of the task generation needs a loss(outputs, targets) of its own")

    @staticmethod
    def evaluate(
        model: nn.Module, examples: Examples, device: str = "cpu", mode: str = "fp32", batch: int = 128
    ) -> Evaluation:
        """Likelihoods, bounds and codes of every image, and samples.

        The network runs in fp32, whatever `mode` it was trained in. Everything random is drawn from generators of a
        fixed seed.
        """
        run = _Run(model, examples, device, batch)
        with run.evaluating():
            drawn, facts = run.drawn()
            units = run.units()
            pictures = run.pictures(units, drawn) if examples.publishable else {}
        facts |= {"optimum": dict(examples.optimum), "mode": mode, "publishable": examples.publishable}
        facts |= {"palette": [list(colour) for colour in examples.palette], "missing": run.missing}
        return Evaluation("generation", units, examples.names, samples={**drawn, **pictures}, facts=facts)

    summaries = staticmethod(generative.summaries)


class _Run:
    """The evaluation of one network on one split. `missing`: why the evaluation lacks something, by name."""

    def __init__(self, model: nn.Module, examples: Examples, device: str, batch: int) -> None:
        self.model, self.examples, self.device, self.batch = model, examples, device, batch
        self.pixels = examples.targets["pixels"]
        self.levels = levels_of(examples)
        self.missing: dict[str, str] = {}

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The model in eval mode and without gradients; its mode is restored afterwards."""
        was_training = self.model.training
        in_eval(moved(self.model, layout=torch.contiguous_format))
        try:
            with torch.no_grad():
                yield
        finally:
            self.model.train(was_training)

    def units(self) -> Arrays:
        """Arrays with an entry for each image of the split."""
        return {**self._of_data(), **self._likelihood(), **self._bounds(), **self._codes()}

    def drawn(self) -> tuple[Arrays, dict[str, Any]]:
        """Samples and the arrays that they are compared with, which are not units of evaluation; and facts."""
        samples = self._samples()
        described, features = self._features(samples)
        facts = {
            "levels": self.levels,
            "dims": math.prod(self.pixels.shape[1:]),
            "loss_unit": getattr(self.model, "loss_unit", ""),
            "importance_samples": IMPORTANCE,
            "features": features,
            "inception": self._inception(samples),
        }
        arrays = {**described, **self._modes(samples)}
        return arrays if samples is None else {**arrays, "sample": samples.numpy()}, facts

    def _function(self, name: str) -> Callable[..., Any] | None:
        """The network's function of this name; None, and an entry in `missing`, where it has none."""
        function: Callable[..., Any] | None = getattr(self.model, name, None)
        if not callable(function):
            self.missing[name] = f"{type(self.model).__name__} has no {name}()"
            return None
        return function

    def _of_data(self) -> Arrays:
        """The true log-probability and the class of each image, where the dataset has them."""
        names = {"log_probability": "log_probability", "labels": "label"}
        return {new: self.examples.targets[old].numpy() for old, new in names.items() if old in self.examples.targets}

    def _likelihood(self) -> Arrays:
        log_likelihood = self._function("log_likelihood")
        if log_likelihood is None:
            return {}
        return {
            "log_likelihood": self._numbers(
                torch.cat([log_likelihood(p).double().cpu() for p in self._chunks(self.pixels)])
            )
        }

    def _bounds(self) -> Arrays:
        elbo, bound = self._function("elbo"), self._function("importance_bound")
        if elbo is None or bound is None:
            return {}
        draw = _generator()
        chunks = [elbo(p, draw) for p in self._chunks(self.pixels)]
        parts = {name: torch.cat([chunk[name].double().cpu() for chunk in chunks]) for name in chunks[0]}
        chosen = _spread(len(self.pixels), BOUND_IMAGES)
        weighed = [bound(p, IMPORTANCE, draw) for p in self._chunks(self.pixels[chosen], max(1, self.batch // 4))]
        tight = torch.full((len(self.pixels),), math.nan, dtype=torch.float64)
        tight[chosen] = torch.cat([part.double().cpu() for part in weighed])
        return {**{name: self._numbers(part) for name, part in parts.items()}, "importance_bound": tight.numpy()}

    def _codes(self) -> Arrays:
        encode, decode = self._function("encode"), self._function("decode")
        if encode is None or decode is None:
            return {}
        parts: dict[str, list[Tensor]] = {"code_mean": [], "code_variance": [], "squared_error": []}
        for images, pixels in zip(self._chunks(self.examples.images), self._chunks(self.pixels), strict=True):
            mean, variance = encode(Generation.prepare(images))
            error = (decode(mean).double() - pixels) / (self.levels - 1)
            for name, part in zip(parts, (mean, variance, error.square().flatten(1).mean(dim=1)), strict=True):
                parts[name].append(part.cpu())
        return {name: self._numbers(torch.cat(chunks)) for name, chunks in parts.items()}

    def _samples(self) -> Tensor | None:
        """Samples uint8 (SAMPLES, C, H, W)."""
        sample = self._function("sample")
        if sample is None:
            return None
        draw, left, chunks = _generator(), SAMPLES, []
        while left:
            chunks.append(sample(min(left, 2 * self.batch), draw).cpu())
            left -= len(chunks[-1])
        return self._checked(torch.cat(chunks))

    def _checked(self, drawn: Tensor) -> Tensor:
        """The samples; raises ValueError where they are not images of the shape and levels of the data."""
        if drawn.dtype != torch.uint8 or drawn.shape[1:] != self.pixels.shape[1:] or int(drawn.max()) >= self.levels:
            actual = f"{drawn.dtype} {tuple(drawn.shape)}, up to {int(drawn.max())}"
            raise ValueError(
                f"samples are uint8 levels below {self.levels}, {tuple(self.pixels.shape[1:])} each, not {actual}"
            )
        return drawn

    def _modes(self, drawn: Tensor | None) -> Arrays:
        """For images and samples: the nearest clean image (the mode), and how many pixels differ from it."""
        if "clean" not in self.examples.targets:
            self.missing["modes"] = "the dataset has no clean images, from which its images were made with noise"
            return {}
        clean = self.examples.targets["clean"]
        arrays = {"mode": self.examples.targets["mode"], "deviation": (self.pixels != clean).flatten(1).sum(dim=1)}
        if drawn is not None:
            numbers, first = np.unique(self.examples.targets["mode"].numpy(), return_index=True)
            nearest, differing = nearest_mode(drawn, clean[torch.from_numpy(first)], self.levels)
            arrays |= {"sample_mode": torch.from_numpy(numbers)[nearest], "sample_deviation": differing}
        return {name: values.numpy() for name, values in arrays.items()}

    def _features(self, drawn: Tensor | None) -> tuple[Arrays, dict[str, Any]]:
        """The features of real images and of samples by the local feature net, and facts about that net."""
        labels = self.examples.targets.get("factors", self.examples.targets.get("labels"))
        if labels is None:
            self.missing["features"] = "the dataset has no labels that a feature net could be trained on"
        elif len(labels) < 2:
            self.missing["features"] = too_few("real images beside those that train the feature net", 0)
        if labels is None or len(labels) < 2 or drawn is None:
            return {}, {}
        net, images = trained_features(self.examples.images, labels), self._as_images(drawn)
        return {"real_features": net.real.numpy(), "sample_features": net.of(images).numpy()}, dict(net.facts)

    def _inception(self, drawn: Tensor | None) -> dict[str, Any]:
        distance = {} if drawn is None else inception_distance(self.examples.images, self._as_images(drawn))
        if not distance:
            self.missing["inception"] = self.missing.get("sample", NO_WEIGHTS)
        return distance

    def _numbers(self, values: Tensor) -> np.ndarray[Any, Any]:
        """The values as an array; raises ValueError where one is not finite."""
        if not bool(values.isfinite().all()):
            raise ValueError(f"{type(self.model).__name__} gave a number that is not finite")
        return values.numpy()

    def _chunks(self, tensor: Tensor, size: int = 0) -> Iterator[Tensor]:
        for chunk in torch.split(tensor, size or self.batch):
            yield chunk.to(self.device)

    def _as_images(self, levels: Tensor) -> Tensor:
        """Levels, whole numbers or not, as bytes 0 to 255."""
        return (levels.double() * (255 / (self.levels - 1))).round().clamp(0, 255).to(torch.uint8)

    # -- pictures, uint8 (..., H, W, C) ------------------------------------------------------------

    def pictures(self, units: Arrays, drawn: Arrays) -> Arrays:
        """A few images of the split, samples, reconstructions, interpolations and traversals."""
        shown = _spread(len(self.pixels), SHOWN)
        pictures = {"originals": _picture(self.examples.images[shown])}
        if "sample" in drawn:
            first = torch.from_numpy(drawn["sample"][: SHOWN * SHOWN])
            pictures["generated"] = _picture(self._as_images(first))
        if "code_mean" in units:
            pictures |= self._decoded(torch.from_numpy(units["code_mean"][shown.numpy()]))
        return pictures

    def _decoded(self, codes: Tensor) -> Arrays:
        """Reconstructions (k), interpolations (k / 2, STEPS) and a traversal of every latent (D, STEPS)."""
        fraction = torch.linspace(0, 1, STEPS).view(1, -1, 1)
        count = len(codes) // 2
        pairs = codes[: 2 * count].view(count, 2, codes.shape[1])
        paths = pairs[:, :1] * (1 - fraction) + pairs[:, 1:] * fraction
        latents = codes.shape[1]
        moved = codes[0].repeat(latents, STEPS, 1)
        moved[torch.arange(latents), :, torch.arange(latents)] = torch.linspace(-RANGE, RANGE, STEPS)
        return {
            "reconstructions": self._shown(codes),
            "interpolations": self._shown(paths),
            "traversals": self._shown(moved),
        }

    def _shown(self, codes: Tensor) -> np.ndarray[Any, Any]:
        """Codes (..., D) as pictures (..., H, W, C)."""
        flat = torch.cat([self.model.decode(z).cpu() for z in self._chunks(codes.flatten(0, -2))])  # type: ignore[operator]
        images = _picture(self._as_images(flat))
        return images.reshape(*codes.shape[:-1], *images.shape[1:])


def nearest_mode(drawn: Tensor, clean: Tensor, levels: int, batch: int = 256) -> tuple[Tensor, Tensor]:
    """For each image (S, C, H, W) the one of `clean` (M, C, H, W) that differs in fewest pixels, and in how many."""
    rows = nn.functional.one_hot(clean.flatten(1).long(), levels).flatten(1).float()
    best = []
    for part in torch.split(drawn, batch):
        same = nn.functional.one_hot(part.flatten(1).long(), levels).flatten(1).float() @ rows.T
        best.append(same.max(dim=1))
    most, nearest = torch.cat([each.values for each in best]), torch.cat([each.indices for each in best])
    return nearest, math.prod(drawn.shape[1:]) - most.round().long()


def levels_of(examples: Examples) -> int:
    """The number of levels, from the byte that the highest level has. Raises ValueError where every pixel is 0."""
    pixels = examples.targets["pixels"]
    highest = int(pixels.max())
    if highest == 0:
        raise ValueError("every pixel of the split is 0: there is nothing to generate")
    byte = int(examples.images.flatten()[pixels.flatten().argmax()])
    return round(255 * highest / byte) + 1


def _generator(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(SEED + number)


def _spread(count: int, most: int) -> Tensor:
    """At most `most` of the numbers 0 to count - 1, evenly spread."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()


def _picture(images: Tensor) -> np.ndarray[Any, Any]:
    """Images (N, C, H, W) as (N, H, W, C)."""
    pictures: np.ndarray[Any, Any] = images.permute(0, 2, 3, 1).contiguous().numpy()
    return pictures
