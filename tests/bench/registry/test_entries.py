from typing import Annotated, Literal

import pytest

from bench.registry import (
    Bounds,
    Constraint,
    Examples,
    Fact,
    File,
    Published,
    Registries,
    RegistryError,
    axes_of,
    text_of,
)


def builder(
    *,
    stride: Literal[32, 16, 8] = 8,
    skips: Literal[True, False, "pool4"] = True,
    width: Annotated[float, Bounds(0.1, 2)] = 1.0,
    depth: int = 3,
    rates: tuple[int, ...] = (1, 2),
    name: str = "x",
    weights: str | None = None,
):
    """A network.

    More about it.
    """
    return stride


@pytest.fixture
def family():
    registries = Registries()
    rule = Constraint(when={"stride": 32, "skips": ("pool4",)}, because="it has no pool4 there")
    registries.architecture(task="t", source="s", constraints=(rule,))(builder)
    return registries.architectures.get("builder")


def test_axes_come_from_the_signature(family):
    assert [axis.name for axis in family.axes] == ["stride", "skips", "width", "depth", "rates", "name", "weights"]
    assert family.resolve({}) == {
        "stride": 8, "skips": True, "width": 1.0, "depth": 3, "rates": (1, 2), "name": "x", "weights": None,
    }  # fmt: skip
    assert family.summary == "A network."


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"strid": 8}, "no axis 'strid', did you mean 'stride'?"),
        ({"stride": 7}, "32 | 16 | 8, not 7"),
        ({"stride": 8.0}, None),
        ({"stride": "8"}, "takes 32 | 16 | 8 (int), not '8' (str)"),
        ({"stride": 9}, "takes 32 | 16 | 8, not 9"),
        ({"skips": 1}, "true | false | pool4 (bool or str), not 1 (int)"),
        ({"skips": "true"}, "true | false | pool4 (bool or str), not 'true' (str)"),
        ({"skips": "pool3"}, "did you mean 'pool4'?"),
        ({"width": 3}, "0.1 to 2, not 3"),
        ({"width": float("nan")}, "not nan"),
        ({"width": True}, "not true (bool)"),
        ({"depth": 2.5}, "int, not 2.5 (float)"),
        ({"depth": 2.0}, "int, not 2.0 (float)"),
        ({"depth": "2"}, "int, not '2' (str)"),
        ({"depth": False}, "not false"),
        ({"rates": 3}, "list of int, not 3 (int)"),
        ({"rates": ["2"]}, "list of int, not ['2'] (list of str)"),
        ({"rates": [2.0]}, "list of int, not [2.0] (list of float)"),
        ({"rates": "12"}, "list of int"),
        ({"rates": [1, "a"]}, "list of int, not [1, 'a'] (list of int and str)"),
        ({"weights": 3}, "str | none, not 3 (int)"),
        ({"stride": 32, "skips": "pool4"}, "does not exist with stride=32, skips=pool4: it has no pool4 there"),
    ],
)
def test_wrong_axes_and_values_are_refused_with_the_valid_values(family, stated, message):
    if message is None:
        assert family.resolve(stated)["stride"] == 8
        return
    with pytest.raises(RegistryError) as error:
        family.resolve(stated)
    assert message in str(error.value)


def test_build_calls_the_builder_with_every_axis(family):
    assert family.build(stride=16) == 16


def test_a_name_is_registered_once():
    registries = Registries()
    register = registries.metric(unit="", better=None, kind="static")
    register(builder)
    with pytest.raises(RegistryError, match="metric 'builder' is registered twice"):
        register(builder)


def test_an_unknown_name_is_an_error_with_the_nearest():
    registries = Registries()
    registries.architecture(task="t", source="s")(builder)
    with pytest.raises(RegistryError, match="no architecture is called 'bilder', did you mean 'builder'"):
        registries.architectures.get("bilder")
    with pytest.raises(RegistryError, match="there is none"):
        registries.plots.get("x")


def test_an_annotation_that_is_no_schema_is_an_error():
    def odd(*, x: dict = {}):  # noqa: B006
        return x

    with pytest.raises(TypeError, match="'x' has no annotation"):
        Registries().architecture(task="t", source="s")(odd)


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (None, "none"), ((1, 2), "[1,2]"), (0.25, "0.25"), (1 / 3, repr(1 / 3)), (8, "8"), ("a", "a")],
)
def test_values_stand_in_names_as_in_yaml(value, text):
    assert text_of(value) == text


def test_a_fact_is_printed_as_its_source_prints_it():
    assert Fact("params", 134346581, "s").printed == "134,346,581"
    assert Fact("params", 134, "s", digits=0, scale=1e6).printed == "134 M"
    assert Fact("macs", 15.47, "s", digits=3).printed == "15.470"


@pytest.mark.parametrize(("more", "message"), [({"scale": 2.0}, "scale"), ({"disputed": True}, "note")])
def test_a_fact_that_says_too_little_is_refused(more, message):
    with pytest.raises(RegistryError, match=message):
        Fact("params", 1, "s", **more)


@pytest.mark.parametrize(
    ("number", "value", "digits", "scale"),
    [
        ("57 M", 57, 0, 1e6),
        ("181.37 G", 181.37, 2, 1e9),
        ("0.167", 0.167, 3, 1.0),
        ("2.50 k", 2.5, 2, 1e3),
        (8, 8, None, 1.0),
    ],
)
def test_a_printed_number_is_read_with_its_digits_and_unit(number, value, digits, scale):
    fact = Published("s")("params", number)
    assert (fact.value, fact.digits, fact.scale) == (value, digits, scale)
    assert isinstance(fact.value, type(value))
    assert fact.printed == str(number)


@pytest.mark.parametrize("number", ["", "57M", "5.", "-5", "1,000", "5 T", "5 M "])
def test_any_other_text_is_not_a_number(number):
    with pytest.raises(RegistryError, match="is not a number"):
        Published("s")("params", number)


def test_an_axis_offers_examples_of_its_values():
    def net(
        *,
        name: Annotated[str, Examples("a", "b")] = "c",
        rates: Annotated[tuple[int, ...], Examples((1, 2)), Bounds(1, 4)] = (),
        plain: int = 1,
    ):
        return name

    assert [axis.examples for axis in axes_of(net)] == [("a", "b"), ((1, 2),), ()]
    assert axes_of(net)[1].bounds == Bounds(1, 4)


def loader(*, weights: File = "w.pt", other: File | None = None, several: tuple[File, ...] = ()):
    """A network that reads files."""
    return weights, other, several


def test_axes_that_name_files():
    registries = Registries()
    registries.architecture(task="t", source="s")(loader)
    entry = registries.architectures.get("loader")
    assert [(axis.kind, axis.element, axis.names_files) for axis in entry.axes] == [
        ("file", "", True), ("file", "", True), ("list", "file", True),
    ]  # fmt: skip
    stated = {"weights": "a.pt", "several": ["b.pt", "c.pt"]}
    assert entry.resolve(stated) == {"weights": "a.pt", "other": None, "several": ("b.pt", "c.pt")}
    with pytest.raises(RegistryError, match=r"axis 'weights' takes file, not 3 \(int\)"):
        entry.resolve({"weights": 3})


@pytest.mark.parametrize("bounds", [5, (1, 0), (0,), (0, 1, 2), ("0", "1"), [0, 1], (True, None)])
def test_bounds_of_a_metric_are_two_ascending_numbers_or_none(bounds):
    with pytest.raises(
        RegistryError,
        match=r"metric '_metric_of_a_subject': bounds is .*; it must be \(least, largest\), as \(0, None\)",
    ):
        Registries().metric(unit="", better=None, kind="static", bounds=bounds)(_metric_of_a_subject)


@pytest.mark.parametrize("bounds", [(0, None), (None, 1.5), (None, None), (0, 0), (-1, 1)])
def test_bounds_of_a_metric_may_be_open(bounds):
    registries = Registries()
    registries.metric(unit="", better=None, kind="static", bounds=bounds, name="m")(_metric_of_a_subject)
    assert registries.metrics.get("m").bounds == bounds


def _metric_of_a_subject(subject): ...
