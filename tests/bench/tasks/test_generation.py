"""The task on sprites, with models whose outputs have closed forms."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bench.tasks.features
from bench.data.examples import Examples
from bench.data.sprites import sprites
from bench.metrics.diversity import diversity
from bench.metrics.fid_inception import fid_inception
from bench.metrics.fid_local import fid_local
from bench.metrics.kid_local import kid_local
from bench.spec import ablation as ablations
from bench.tasks.features import trained_features
from bench.tasks.generation import IMPORTANCE, Generation, levels_of, nearest_mode
from bench.tasks.generative import frechet, moments

SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def examples() -> Examples:
    return sprites(None, "val", SHAPE, factors=2, size=4, noise=0.05, val_count=64)


@pytest.fixture(autouse=True)
def hasty(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty samples, and a feature net of five steps, but where it is what is tested."""
    if "feature_net" not in request.node.name:
        monkeypatch.setattr(bench.tasks.features, "STEPS", 5)
    monkeypatch.setattr(bench.tasks.generation, "SAMPLES", 40)


class Independent(nn.Module):
    """Every pixel is 1 with probability 1/4, whatever the others: exact in all that it has."""

    loss_unit = "nats"

    def __init__(self) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(-math.log(3.0)))

    def log_likelihood(self, pixels: Tensor) -> Tensor:
        ones = pixels.flatten(1).float()
        return (ones * math.log(0.25) + (1 - ones) * math.log(0.75)).sum(dim=1)

    def elbo(self, pixels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        exact = self.log_likelihood(pixels)
        noise = torch.rand(len(pixels), generator=generator)
        return {"elbo": exact - 1 - noise, "reconstruction": exact, "kl": 1 + noise}

    def importance_bound(self, pixels: Tensor, k: int, generator: torch.Generator) -> Tensor:
        assert k == IMPORTANCE
        return self.log_likelihood(pixels) - 0.5

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images.flatten(1)[:, :3], torch.full((len(images), 3), 0.5)

    def decode(self, z: Tensor) -> Tensor:
        return torch.full((len(z), *SHAPE), 0.25)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return (torch.rand(count, *SHAPE, generator=generator) < 0.25).to(torch.uint8)


class Scorer(nn.Module):
    """Has nothing that evaluation could ask for."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1).sum(dim=1)


def test_every_number_is_what_the_model_says(examples):
    evaluation = Generation.evaluate(Independent(), examples, batch=10)
    pixels = examples.targets["pixels"]
    ones = pixels.flatten(1).sum(dim=1).double()
    exact = (ones * math.log(0.25) + (64 - ones) * math.log(0.75)).numpy()
    assert evaluation.units["log_likelihood"] == pytest.approx(exact, rel=1e-6)
    assert evaluation.units["elbo"] == pytest.approx(
        evaluation.units["reconstruction"] - evaluation.units["kl"], rel=1e-6
    )
    assert evaluation.units["importance_bound"] == pytest.approx(exact - 0.5, rel=1e-6)
    squared = ((pixels.double() - 0.25) ** 2).flatten(1).mean(dim=1)
    assert evaluation.units["squared_error"] == pytest.approx(squared.numpy())
    assert evaluation.samples["sample"].shape == (40, *SHAPE)
    assert {len(values) for values in evaluation.units.values()} == {64}  # so that blocks of images can be left out
    assert evaluation.units["code_mean"].shape == evaluation.units["code_variance"].shape == (64, 3)
    assert (evaluation.units["log_probability"] == examples.targets["log_probability"].numpy()).all()
    assert evaluation.facts["missing"].keys() == {"inception"}
    assert (evaluation.facts["levels"], evaluation.facts["dims"], evaluation.facts["loss_unit"]) == (2, 64, "nats")


def test_evaluation_repeats_and_leaves_the_generators_and_the_model_alone(examples):
    model = Independent().train()
    state = torch.get_rng_state()
    first, again = (Generation.evaluate(model, examples) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert first.units.keys() == again.units.keys()
    for name, values in {**first.units, **first.samples}.items():
        assert np.array_equal(values, {**again.units, **again.samples}[name], equal_nan=True), name
    assert first.facts["features"] == again.facts["features"]


def test_what_a_network_lacks_is_named(examples):
    evaluation = Generation.evaluate(Scorer(), examples)
    functions = {"log_likelihood", "elbo", "importance_bound", "encode", "decode", "sample", "inception"}
    assert evaluation.facts["missing"].keys() == functions
    assert evaluation.facts["missing"]["sample"] == "Scorer has no sample()"
    assert evaluation.units.keys() == {"log_probability", "label"}
    assert evaluation.samples.keys() == {"mode", "deviation", "originals"}


def test_samples_of_another_kind_are_refused(examples):
    model = Independent()
    model.sample = lambda count, generator: torch.full((count, *SHAPE), 2, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"levels below 2.*up to 2"):
        Generation.evaluate(model, examples)


def test_what_is_not_finite_is_refused(examples):
    model = Independent()
    model.log_likelihood = lambda pixels: torch.full((len(pixels),), -math.inf)
    with pytest.raises(ValueError, match="not finite"):
        Generation.evaluate(model, examples)


def test_pictures_are_only_of_data_that_may_be_shown(examples):
    import dataclasses

    shown = Generation.evaluate(Independent(), examples).samples
    assert shown["generated"].shape == (40, 8, 8, 1)
    assert shown["traversals"].shape == (3, 9, 8, 8, 1)
    assert shown["interpolations"].shape == (4, 9, 8, 8, 1)
    assert (shown["reconstructions"] == 64).all()  # a quarter of 255
    secret = dataclasses.replace(examples, publishable=False)
    names = Generation.evaluate(Independent(), secret).samples.keys()
    assert names == {
        "sample",
        "sample_mode",
        "sample_deviation",
        "mode",
        "deviation",
        "real_features",
        "sample_features",
    }


def test_the_nearest_mode_is_found_and_its_distance_counted():
    generator = torch.Generator().manual_seed(0)
    clean = torch.randint(0, 3, (7, 1, 4, 5), generator=generator, dtype=torch.uint8)
    drawn = clean[[3, 0, 6]].clone()
    drawn[1, 0, 0, 0] = (drawn[1, 0, 0, 0] + 1) % 3
    nearest, off = nearest_mode(drawn, clean, 3)
    assert nearest.tolist() == [3, 0, 6]
    assert off.tolist() == [0, 1, 0]


@pytest.mark.parametrize("levels", [2, 3, 8, 37, 200, 256])
def test_levels_are_read_off_the_bytes(levels):
    assert levels_of(sprites(None, "val", SHAPE, levels=levels, factors=1, val_count=4)) == levels


def test_bytes_become_floats_between_minus_one_and_one():
    prepared = Generation.prepare(torch.tensor([0, 255], dtype=torch.uint8))
    assert prepared.tolist() == [-1, 1]


def test_dynamic_binarisation_changes_image_and_pixels_together():
    intensity = torch.tensor([0, 64, 255], dtype=torch.uint8).repeat(1000, 1, 1, 1)
    targets = {"intensity": intensity, "pixels": torch.zeros_like(intensity)}
    draw = torch.Generator().manual_seed(0)
    images, targets_drawn = Generation.augment(Generation.prepare(intensity), targets, draw)
    assert torch.equal(images, Generation.prepare(targets_drawn["pixels"] * 255))
    fractions = targets_drawn["pixels"].double().mean(dim=0).flatten()
    assert fractions.tolist() == pytest.approx([0, 64 / 255, 1], abs=0.03)
    plain, same = Generation.augment(images, {"pixels": targets_drawn["pixels"]}, draw)
    assert plain is images
    assert same["pixels"] is targets_drawn["pixels"]


def test_the_feature_net_learns_and_is_the_same_each_time():
    data = sprites(None, "val", (1, 16, 16), val_count=512)
    state = torch.get_rng_state()
    first, again = (trained_features(data.images, data.targets["labels"]) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.facts == again.facts
    assert first.facts["accuracy"] > 0.95  # of images that it has not seen; chance is 1/4
    assert torch.equal(first.real, first.of(data.images[1::2]))
    other = trained_features(data.images, data.targets["labels"].roll(1))
    assert other.facts["weights"] != first.facts["weights"]


def test_the_feature_net_tells_samples_that_lack_the_values_of_any_lane():
    data = sprites(None, "val", (1, 16, 16), val_count=1024)
    net = trained_features(data.images, data.targets["factors"])
    assert net.facts["accuracy"] > 0.95
    apart = []
    for lane in range(4):
        poor = net.of(data.images[data.targets["factors"][:, lane] == 0])
        apart.append(frechet(moments(net.real.double().numpy()), moments(poor.double().numpy())))
    assert min(apart) > 0.2 * max(apart)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_split_of_few_images_is_evaluated_and_has_no_distances(count, tmp_path, monkeypatch):
    """The feature net trains on images 0, 2, ..; a single real image is left, or none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Colours()), tmp_path / "net.pt")
    monkeypatch.setenv("FOVBENCH_INCEPTION", str(tmp_path / "net.pt"))
    evaluation = Generation.evaluate(Independent(), sprites(None, "val", SHAPE, factors=2, val_count=count))
    for metric in (fid_local, kid_local, diversity):
        assert "needs at least two real images" in metric(evaluation).error
    assert ("needs at least two real images" in (fid_inception(evaluation).error or "")) == (count == 1)
    assert evaluation.facts["features"].get("accuracy", 0) >= 0  # and not NaN


@pytest.mark.parametrize("count", [5, 7])
def test_an_odd_number_of_images_can_be_shown_too(count):
    shown = Generation.evaluate(Independent(), sprites(None, "val", (1, 8, 8), factors=2, val_count=count)).samples
    assert shown["interpolations"].shape == (count // 2, 9, 8, 8, 1)


def test_a_requirement_follows_the_dataset_s_own_axis(tmp_path):
    """The levels that the data are quantised to become those of the network, without being stated twice."""
    file = tmp_path / "few.yaml"
    file.write_text(
        "question: none\narchitecture: vae\nbaseline: {likelihood: gaussian, size: 16}\nvary: {latent: [2]}\n"
        "metrics: [params]\nworkload: {dataset: {name: sprites, levels: 5}, shape: [1, 16, 16]}\n"
    )
    assert {variant.values["levels"] for variant in ablations.load(file).variants} == {5}
    file.write_text(file.read_text().replace("size: 16", "size: 16, levels: 2"))
    with pytest.raises(ablations.AblationError, match="'sprites' needs levels: 5"):
        ablations.load(file)


class Colours(nn.Module):
    """In Inception's place: the mean of each channel, and of its left half."""

    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        half = images[:, :, :, : images.shape[3] // 2]
        return torch.cat([images.float().mean(dim=(2, 3)), half.float().mean(dim=(2, 3))], dim=1)


def test_the_published_distance_is_taken_where_weights_are_named(examples, tmp_path, monkeypatch):
    silent = fid_inception(Generation.evaluate(Independent(), examples))
    assert silent.value is None
    assert "FOVBENCH_INCEPTION" in silent.error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, but the weights come in it
        torch.jit.save(torch.jit.script(Colours()), tmp_path / "net.pt")
    monkeypatch.setenv("FOVBENCH_INCEPTION", str(tmp_path / "net.pt"))
    evaluation = Generation.evaluate(Independent(), examples)
    described = [
        Colours()(x.expand(-1, 3, -1, -1)).double().numpy()
        for x in (examples.images, torch.from_numpy(evaluation.samples["sample"]) * 255)
    ]
    reading = fid_inception(evaluation)
    assert reading.value == pytest.approx(frechet(*map(moments, described)), rel=1e-6)
    assert (reading.detail["real"], reading.detail["samples"]) == (64, 40)
    monkeypatch.setenv("FOVBENCH_INCEPTION", str(tmp_path / "none.pt"))
    with pytest.raises(FileNotFoundError):
        Generation.evaluate(Independent(), examples)
