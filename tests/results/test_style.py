"""Labels, order, colours and font sizes of figures."""

import matplotlib as mpl

from ablations.arms import ARMS, IMPLEMENTATIONS, OPTIONS, SWITCH_ARMS, VALUE_ARMS
from results.style import COLOURS, ON_DARK, STYLE, colours, in_order, label


def test_text_is_legible_at_the_printed_width():
    sizes = [value for name, value in STYLE.items() if name.endswith("size") and "tick.major" not in name]
    assert len(sizes) >= 5
    assert min(sizes) >= 7


def test_registered_arms_come_first_and_every_arm_has_a_distinct_colour():
    arms = ["zeta", "learned", "cql", "alpha"]
    assert in_order(arms) == ["cql", "learned", "alpha", "zeta"]
    assert len(set(colours(arms).values())) == 4
    assert colours(["learned"])["learned"] == colours(arms)["learned"]
    assert all(mpl.colors.is_color_like(colour) for colour in colours(arms).values())
    assert label("zeta") == "zeta"


def test_the_label_of_a_shared_search_names_every_arm():
    assert label("cql+learned") == "CQL and Cal-QL, learned floor"
    assert label("cql_tuned") == "CQL, tuned"


def test_labels_are_distinct_and_so_are_colours_in_light_and_dark_mode():
    assert len({arm.label for arm in ARMS.values()}) == len(ARMS)
    assert set(ARMS) - {*IMPLEMENTATIONS, *OPTIONS, *SWITCH_ARMS, *VALUE_ARMS} <= set(COLOURS)
    assert len(set(COLOURS.values())) == len(COLOURS)
    dark = {ON_DARK.get(colour, colour) for colour in COLOURS.values()}
    assert len(dark) == len(COLOURS)


def test_variants_of_an_arm_follow_it_by_value():
    names = ["monte_carlo", "cql[alpha=20]", "cql[alpha=5]", "other", "cql", "cql[alpha=0.5]"]
    assert in_order(names) == ["cql", "cql[alpha=0.5]", "cql[alpha=5]", "cql[alpha=20]", "monte_carlo", "other"]
    assert label("cql[alpha=5,mixing_ratio=0.25]") == "CQL, alpha = 5, mixing_ratio = 0.25"
    assert label("mine[alpha=5]") == "mine, alpha = 5"
