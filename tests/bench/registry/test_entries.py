from typing import Annotated, Literal

import pytest

from bench.registry import Bounds, Constraint, Fact, Registries, RegistryError, text_of


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
    ("given", "told"),
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
def test_wrong_axes_and_values_are_refused_with_what_would_work(family, given, told):
    if told is None:
        assert family.resolve(given)["stride"] == 8
        return
    with pytest.raises(RegistryError) as error:
        family.resolve(given)
    assert told in str(error.value)


def test_build_calls_the_builder_with_every_axis(family):
    assert family.build(stride=16) == 16


def test_a_name_is_taken_once():
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


@pytest.mark.parametrize(("more", "told"), [({"scale": 2.0}, "scale"), ({"disputed": True}, "note")])
def test_a_fact_that_says_too_little_is_refused(more, told):
    with pytest.raises(RegistryError, match=told):
        Fact("params", 1, "s", **more)
