"""Names, order, colours and letters of the figures."""

import matplotlib as mpl

from ablations.arms import ARMS, IMPLEMENTATIONS, OPTIONS
from results.style import COLOURS, ON_DARK, STYLE, colours, in_order, label


def test_letters_are_legible_at_the_printed_width():
    sizes = [value for name, value in STYLE.items() if name.endswith("size") and "tick.major" not in name]
    assert len(sizes) >= 5
    assert min(sizes) >= 7


def test_known_arms_come_first_and_every_arm_has_a_colour_of_its_own():
    arms = ["zeta", "learned", "cql", "alpha"]
    assert in_order(arms) == ["cql", "learned", "alpha", "zeta"]
    assert len(set(colours(arms).values())) == 4
    assert colours(["learned"])["learned"] == colours(arms)["learned"]
    assert all(mpl.colors.is_color_like(colour) for colour in colours(arms).values())
    assert label("zeta") == "zeta"


def test_arms_that_share_a_search_are_named_in_turn():
    assert label("cql+learned") == "CQL and Cal-QL, learned floor"
    assert label("cql_tuned") == "CQL, tuned"


def test_labels_differ_and_arms_of_floors_have_colours_on_light_and_dark_pages():
    assert len({arm.label for arm in ARMS.values()}) == len(ARMS)
    assert set(ARMS) - {*IMPLEMENTATIONS, *OPTIONS} <= set(COLOURS)
    assert len(set(COLOURS.values())) == len(COLOURS)
    dark = {ON_DARK.get(colour, colour) for colour in COLOURS.values()}
    assert len(dark) == len(COLOURS)
