from __future__ import annotations

from dataclasses import replace

import pytest

from bench.spec.ablation import AblationError, load
from bench.spec.claims import ClaimError, Comparison, Scope, Sum, parse
from bench.spec.variant import Variant


def variant(architecture: str, **axes: object) -> Variant:
    return Variant(architecture, tuple(axes.items()), tuple(axes))


FCN = [
    variant("fcn", stride=stride, skips=skips, width=0.25, rates=(1, 2))
    for stride, skips in ((32, False), (16, False), (16, True), (8, True))
]
ODD = variant("fcn", stride=8, skips=None, width=0.5, rates=())
UNETS = [variant("unet", skip="concat", width=0.25), variant("unet", skip="sum", width=0.25)]
EXCLUDED = ((variant("fcn", stride=32, skips=True, width=0.25, rates=(1, 2)), "there is nothing to fuse"),)
SCOPE = Scope(("miou", "macs"), (*FCN, ODD, *UNETS), EXCLUDED)


def only(text: str) -> Comparison:
    (comparison,) = parse(text, "", SCOPE).comparisons
    return comparison


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("miou", FCN[0]),
        ("miou[]", FCN[0]),
        ("miou[baseline]", FCN[0]),
        ("miou[stride=16]", FCN[1]),
        ("miou[stride=16,skips=true]", FCN[2]),
        ("miou[skips=true,stride=16]", FCN[2]),
        ("miou[ stride = 8 , skips = true ]", FCN[3]),
        ("miou[stride=8,skips=none]", ODD),  # none has the width of the baseline besides
        ("miou[width=0.50]", ODD),
        ("miou[rates=[]]", ODD),
        ("miou[rates=[1, 2],stride=16]", FCN[1]),
        ("miou[fcn(stride=16)]", FCN[1]),
        ("miou[unet]", UNETS[0]),
        ("miou[unet(skip=sum)]", UNETS[1]),
        ("miou[architecture=unet,skip=sum]", UNETS[1]),
    ],
)
def test_a_reference_names_one_variant(text: str, expected: Variant):
    ((weight, reference),) = only(f"{text} > 0.5").left.terms
    assert (weight, reference.metric, reference.variant) == (1.0, "miou", expected.name)


def test_sums_multiples_and_margins():
    comparison = only("miou[stride=16] >= miou - 0.01")
    assert (comparison.operator, comparison.right.constant, comparison.right.terms[0][0]) == (">=", -0.01, 1.0)
    comparison = only("macs[stride=8,skips=true] < 0.5 * macs")
    assert comparison.right.terms[0][0] == 0.5
    assert only("macs < macs[stride=16] * 2").right.terms[0][0] == 2.0
    comparison = only("miou[stride=16] - miou > miou[unet] - miou[unet(skip=sum)] + 1e-2")
    assert [weight for weight, _ in comparison.left.terms] == [1.0, -1.0]
    assert comparison.right.constant == 0.01
    assert only("- miou < 0").left.terms[0][0] == -1.0
    assert only("miou[stride=16] == miou within .005").margin == 0.005


def test_a_chain_is_its_comparisons():
    statement = parse("miou[stride=8,skips=true] > miou[stride=16,skips=true] >= miou", "Table 2", SCOPE)
    assert [each.operator for each in statement.comparisons] == [">", ">="]
    assert statement.comparisons[0].right == statement.comparisons[1].left
    assert (statement.says.count("miou"), statement.source) == (3, "Table 2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mio > 1", r"does not measure 'mio', did you mean 'miou'\?"),
        ("latency > 1", r"does not measure 'latency' \(there is: miou, macs\)"),
        ("miou[strid=8] > miou", r"'fcn' has no axis 'strid', did you mean 'stride'\?"),
        ("miou[stride=9] > miou", r"no variant here has stride=9 \(there is: 32, 16, 8\)"),
        ("miou[unet(skip=cat)] > miou", r"skip=cat, did you mean 'concat'\?"),
        ("miou[unte] > miou", r"of architecture 'unte', did you mean 'unet'\?"),
        ("miou[stride=32,skips=true] > miou", r"'fcn\(stride=32,skips=true\)' is excluded, because there is nothing to fuse"),
        ("miou[stride=32,skips=none] > miou", r"no variant here is fcn\(stride=32,skips=none\)"),
        ("miou[skips=true] > miou", r"'fcn\(skips=true\)' fits 2 variants; name more of their axes: fcn\(stride=16"),
        ("miou[stride=16,stride=8] > miou", r"name each axis once"),
        ("miou[stride] > miou", r"of architecture 'stride'"),
        ("miou[stride=] > miou", r"'stride=' in .*axis=value"),
        ("miou[stride=16", r"a bracket is not closed"),
        ("miou", r"nothing is compared in 'miou'"),
        ("", r"nothing is compared in ''"),
        ("miou = macs", r"cannot be read from '= macs' on: write it as metric\["),
        ("miou > macs", r"one metric, not macs and miou"),
        ("1 > 0", r"one metric, not numbers only"),
        ("miou > miou[stride=16] junk", r"cannot be read from 'junk' on"),
        ("miou > ", r"write it as"),
        ("miou * miou > 1", r"multiplied by a number"),
        ("miou == miou[stride=16] within x", r"'within' needs a number"),
        ("miou > miou[stride=16] within 0.1", r"'within' belongs to =="),
        ("miou[rates=[1] > miou", r"a bracket is not closed"),
        ("miou == miou", r"'==' compares miou of a variant with itself: it has the same answer whatever is measured"),
        ("miou[stride=32] >= miou", r"'>=' compares miou of a variant with itself"),
        ("miou > miou - 0.01", r"'>' compares miou of a variant with itself"),
        ("0 * miou > 1", r"compares miou of a variant with itself"),
        ("2 * miou > miou + miou", r"compares miou of a variant with itself"),
        ("0.1 * miou + 0.2 * miou > 0.3 * miou", r"compares miou of a variant with itself"),
        ("miou[stride=16] > miou > miou[stride=32]", r"compares miou of a variant with itself"),
        ("miou[stride=16] - miou[stride=16] == 0", r"compares miou of a variant with itself"),
        ("miou < 1e400", r"the number 1e400 is infinite, so that nothing measured can change the answer"),
        ("miou > 1e999 * miou[stride=16]", r"the number 1e999 is infinite"),
        ("miou == miou[stride=16] within 1e999", r"the number 1e999 is infinite"),
        ("miou < 1e308 + 1e308", r"a sum of numbers is infinite"),
        ("1e308 * miou + 1e308 * miou < 1", r"a sum of numbers is infinite"),
        ("miou > inf", r"does not measure 'inf'"),
        ("miou > nan", r"does not measure 'nan'"),
    ],
)  # fmt: skip
def test_a_claim_that_the_table_cannot_decide_is_refused(text: str, message: str):
    with pytest.raises(ClaimError, match=message):
        parse(text, "", SCOPE)


@pytest.mark.parametrize(
    ("operator", "margin", "interval", "expected"),
    [
        (">", 0, (0.1, 0.2), True),
        (">", 0, (-0.1, 0.2), None),
        (">", 0, (-0.2, -0.1), False),
        (">", 0, (0, 0), False),
        (">=", 0, (0, 0), True),
        (">=", 0, (0, 0.2), True),
        (">=", 0, (-0.2, 0), None),
        (">=", 0, (-0.2, -0.1), False),
        ("<", 0, (-0.2, -0.1), True),
        ("<", 0, (0.1, 0.2), False),
        ("<", 0, (0, 0), False),
        ("<=", 0, (0, 0), True),
        ("==", 0, (0, 0), True),
        ("==", 0, (3, 3), False),
        ("==", 0.01, (-0.005, 0.01), True),
        ("==", 0.01, (-0.005, 0.02), None),
        ("==", 0.01, (0.011, 0.02), False),
        ("==", 0.01, (-0.02, -0.011), False),
    ],
)
def test_a_comparison_is_decided_where_it_holds_for_all_or_none_of_the_interval(operator, margin, interval, expected):
    assert Comparison(Sum(()), operator, Sum(()), margin).answer(interval) is expected


@pytest.mark.parametrize(
    "text", ["2 * miou > miou", "1e-12 * macs < 5", "miou - miou[stride=16] > 0", "miou > miou[stride=16] > miou[unet]"]
)
def test_a_claim_that_measurements_decide_is_accepted(text: str):
    assert parse(text, "", SCOPE).comparisons


BASE = "question: q\narchitecture: trivial\nmetrics: [twice]\nvary: {a: [1, 2]}\n"


def test_a_claim_is_checked_when_the_ablation_is_loaded(load):
    ablation = load(BASE + "claims:\n  - {says: 'twice[a=2] > twice[a=1] > twice', source: somewhere}\n")
    (claim,) = ablation.claims
    assert [each.left.terms[0][1].variant for each in claim.comparisons] == ["trivial(a=2)", "trivial(a=1)"]
    assert claim.source == "somewhere"
    with pytest.raises(AblationError, match=r"yaml:6:6: claim: no variant here has a=3"):
        load(BASE + "claims:\n  - {says: 'twice[a=3] > twice'}\n")


def test_a_claim_about_a_variant_that_an_override_removed_has_a_problem(load):
    ablation = load(BASE + "claims: [{says: 'twice[a=2] > twice'}]\n", "vary.a=[1]")
    assert ablation.claims[0].problem == "no variant here has a=2 (there is: 0, 1)"
    assert ablation.claims[0].comparisons == ()


BOUNDED = replace(SCOPE, bounds={"miou": (0, 1), "macs": (0, None)})


@pytest.mark.parametrize(
    "text",
    [
        "macs >= 0",
        "macs >= -5",
        "macs > -1",
        "macs < 0",
        "macs == -1",
        "-2 * macs[stride=16] <= 0.5 * macs",
        "2 * macs >= macs",
        "miou <= 1",
        "miou < 1.5",
        "miou > 1",
        "miou <= 100",
        "miou == 0.5 within 0.5",
        "miou[stride=16] - miou < 1.1",
        "miou[stride=16] - miou >= -1",
        "miou[stride=16] > miou + 1",
        "miou > 0.5 > -1 + miou[stride=16] - miou[unet]",
    ],
)
def test_a_claim_that_the_range_of_its_metric_decides_is_refused(text: str):
    parse(text, "", SCOPE)
    with pytest.raises(ClaimError, match=r"always at least 0.*the same answer whatever is measured"):
        parse(text, "", BOUNDED)


@pytest.mark.parametrize(
    "text",
    [
        "macs > 0",
        "macs <= 0",
        "macs == 0",
        "2 * macs > macs",
        "macs - macs[stride=16] >= -5",
        "miou < 1",
        "miou >= 1",
        "miou == 0.5 within 0.49",
        "miou[stride=16] > miou + 0.99",
        "miou[stride=16] + miou > 1.9",
    ],
)
def test_a_claim_that_one_possible_value_decides_otherwise_is_accepted(text: str):
    assert len(parse(text, "", BOUNDED).comparisons) == 1


def test_metrics_of_ours_state_the_range_of_fractions_and_counts(write):
    text = "question: q\narchitecture: fcn\nmetrics: [params, miou, receptive_field]\n"
    assert load(write(text)).scope.bounds == {"params": (0, None), "miou": (0, 1), "receptive_field": (0, None)}
    with pytest.raises(AblationError, match=r":\d+:\d+: claim: params is always at least 0: '>='"):
        load(write(text + "claims: [{says: params >= -5, source: s}]\n"))


THREE = "baseline: 59.4, stride=16,skips=false: 62.4, stride=8,skips=true: -6.27e1"


@pytest.mark.parametrize(
    "published",
    [
        THREE,
        "[]: 59.4, [stride=16,skips=false]: 62.4, [stride=8,skips=true]: -62.7",
        """'baseline': 59.4, "stride=16,skips=false" : 62.4 ,'stride=8,skips=true':-62.7,""",
    ],
)
def test_a_ranking_has_published_numbers_of_variants(published):
    (ranking,) = parse(f"kendall(miou, {{{published}}}) > 0.5", "Table 2", SCOPE).comparisons
    assert [(r.metric, r.variant, number) for r, number in ranking.published] == [
        ("miou", FCN[0].name, 59.4),
        ("miou", FCN[1].name, 62.4),
        ("miou", FCN[3].name, -62.7),
    ]
    assert (ranking.operator, ranking.threshold) == (">", 0.5)


def test_a_ranking_spans_architectures():
    (ranking,) = parse("kendall(miou,{fcn: 1, unet(skip=sum): 2, unet: 3}) == -1 within .1", "", SCOPE).comparisons
    assert [reference.variant for reference in ranking.references()] == [FCN[0].name, UNETS[1].name, UNETS[0].name]
    assert (ranking.threshold, ranking.margin) == (-1.0, 0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kendall(miou) > 0", r"write it as kendall\(metric, \{axis=value: number, ...\}\) > 0.5"),
        ("kendall(miou, {baseline: 1, stride=16: 2})", r"write it as kendall"),
        ("kendall(miou, {baseline: 1, unet: 2}) > 0", r"needs 3 variants or more, not 2"),
        ("kendall(miou, {}) > 0", r"needs 3 variants or more, not 0"),
        (f"kendall(mio, {{{THREE}}}) > 0", r"does not measure 'mio', did you mean 'miou'\?"),
        ("kendall(miou, {baseline: 1, stride=9: 2, unet: 3}) > 0", r"no variant here has stride=9"),
        ("kendall(miou, {baseline: 1, unet: two, unet(skip=sum): 3}) > 0", r"'unet: two, .* cannot be read"),
        ("kendall(miou, {baseline: 1, [stride=32]: 2, unet: 3}) > 0", r"has two published numbers"),
        ("kendall(miou, {baseline: 1, unet: 1, unet(skip=sum): 1}) > 0", r"equal or infinite"),
        ("kendall(miou, {baseline: 1, unet: 1e999, unet(skip=sum): 1}) > 0", r"equal or infinite"),
        (f"kendall(miou, {{{THREE}}}) > 1", r"from -1 to 1: '> 1' has the same answer whatever is measured"),
        (f"kendall(miou, {{{THREE}}}) >= -1", r"'>= -1' has the same answer"),
        (f"kendall(miou, {{{THREE}}}) > 0 within 0.1", r"'within' belongs to =="),
    ],
)
def test_a_ranking_that_cannot_be_decided_is_refused(text, message):
    with pytest.raises(ClaimError, match=message):
        parse(text, "", SCOPE)
