"""A fraction of a training split, for any dataset."""

import pytest
import torch

from bench.data.examples import Examples
from bench.data.fingerprint import fingerprint
from bench.data.subset import chosen, held_back, own_axes, part_of
from bench.registry import Registries, RegistryError
from bench.registry.catalogue import declarations, live
from bench.sweep.plugin_checks import load

SHAPE = (3, 32, 32)


def dataset(name="boundaries"):
    return live(declarations(()).datasets.get(name), ())


def examples(count):
    images = torch.arange(count, dtype=torch.uint8).reshape(count, 1, 1, 1)
    return Examples(images, {"labels": images[:, 0]}, ("a",), None, ((0, 0, 0),), left_out={"images broken": 2})


@pytest.mark.parametrize(("fraction", "count"), [(1e-6, 1), (0.25, 25), (0.255, 26), (0.5, 50), (1.0, 100)])
def test_the_fraction_is_rounded_and_one_image_remains_at_least(fraction, count):
    assert len(chosen(100, fraction)) == count


def test_a_smaller_fraction_is_part_of_a_larger_one_and_the_order_is_kept():
    small, middle, whole = (chosen(50, fraction) for fraction in (0.1, 0.5, 1.0))
    assert {*small} < {*middle} < {*whole}
    assert whole == list(range(50))
    assert middle == sorted(middle)
    assert small != list(range(5)), "the first images of a split may be alike"


def test_the_choice_is_the_same_on_every_machine():
    assert chosen(10, 0.3) == [1, 4, 8]  # sha256sum says so


def test_images_and_targets_stay_together_and_the_others_are_counted():
    part = part_of(examples(8), 0.5)
    assert part.images.flatten().tolist() == part.targets["labels"].flatten().tolist() == chosen(8, 0.5)
    assert part.left_out == {"images broken": 2, "images outside of the fraction 0.5": 4}


def test_only_the_training_split_has_fewer_images():
    options = dataset().resolve({"train_count": 16, "val_count": 8, "fraction": 0.25})
    whole = {split: load(dataset(), None, split, shape=SHAPE, **own_axes(options)) for split in ("train", "val")}
    part = {split: load(dataset(), None, split, shape=SHAPE, **options) for split in ("train", "val")}
    assert torch.equal(part["train"].images, whole["train"].images[chosen(16, 0.25)])
    assert torch.equal(part["val"].images, whole["val"].images)


@pytest.mark.parametrize("name", [entry.name for entry in declarations(()).datasets])
def test_every_dataset_has_the_option_and_the_whole_is_the_same_as_none(name):
    entry = declarations(()).datasets.get(name)
    stated = {axis.name: "somewhere" for axis in entry.axes if axis.required and axis.kind in ("str", "file")}
    stated |= {axis.name: 2 for axis in entry.axes if axis.required and axis.kind == "int"}
    assert entry.resolve({**stated, "fraction": 0.5}) == {**entry.resolve(stated), "fraction": 0.5}
    assert entry.resolve({**stated, "fraction": 1}) == entry.resolve(stated)


@pytest.mark.parametrize("fraction", [0, -0.5, 1.5, "half", True])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(RegistryError, match="axis 'fraction' takes float, 1e-06 to 1, not"):
        dataset().resolve({"fraction": fraction})


def test_the_content_of_a_dataset_does_not_depend_on_the_fraction():
    whole, part = {"val_count": 8}, {"val_count": 8, "fraction": 0.5}
    assert fingerprint(dataset(), None, "train", SHAPE, whole) == fingerprint(dataset(), None, "train", SHAPE, part)


def test_a_dataset_cannot_have_an_axis_of_that_name():
    def taken(root, split, shape, *, fraction: float = 1.0):
        """Nothing."""

    with pytest.raises(RegistryError, match="dataset 'taken': every dataset has a 'fraction' already: rename the axis"):
        Registries().dataset(task="pose", licence="", source="")(taken)


def test_what_is_held_back_and_the_rest_are_all_examples_once_and_always_the_same():
    whole = examples(20)
    rest, judged = held_back(whole, 0.25)
    assert (len(rest), len(judged)) == (15, 5)
    numbers = [*rest.images[:, 0, 0, 0].tolist(), *judged.images[:, 0, 0, 0].tolist()]
    assert sorted(numbers) == whole.images[:, 0, 0, 0].tolist()
    assert held_back(whole, 0.25)[1].images.equal(judged.images)
    assert judged.targets["labels"][:, 0, 0].tolist() == judged.images[:, 0, 0, 0].tolist()


def test_nothing_to_train_on_is_refused():
    with pytest.raises(ValueError, match=r"of 1 training examples none is left when 0\.25 are held back"):
        held_back(examples(1), 0.25)
