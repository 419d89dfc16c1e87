"""Labels, order, colours and font sizes of figures."""

import matplotlib as mpl

from ablations.arms import ARMS
from results.style import ACCENT, GREY, ON_DARK, STYLE, axis_text, colour, colours, grouped, in_order, label, short


def test_text_is_legible_at_the_printed_width():
    sizes = [value for name, value in STYLE.items() if name.endswith("size") and "tick.major" not in name]
    assert len(sizes) >= 5
    assert min(sizes) >= 7


def test_registered_arms_come_first():
    assert in_order(["zeta", "learned", "cql", "alpha"]) == ["cql", "learned", "alpha", "zeta"]
    assert label("zeta") == "zeta"


def test_the_arms_that_readers_look_for_keep_their_colour_and_one_other_is_pointed_out():
    shown = colours(["cql", "monte_carlo", "learned", "inflated_1", "noisy_0.5", "zeta"], accent="inflated_1")
    assert len({shown[arm] for arm in ("cql", "monte_carlo", "learned", "inflated_1")}) == 4
    assert shown["noisy_0.5"] == shown["zeta"] == GREY
    assert shown["inflated_1"] == ACCENT
    assert colours(["learned"], accent="learned")["learned"] == shown["learned"]
    assert all(mpl.colors.is_color_like(colour) for colour in shown.values())


def test_the_label_of_a_shared_search_names_every_arm():
    assert label("cql+learned") == "CQL and Cal-QL, learned floor"
    assert label("cql_tuned") == "CQL, tuned"


def test_labels_are_distinct_also_in_short():
    assert len({arm.label for arm in ARMS.values()}) == len(ARMS)
    assert short("inflated_0.25") == "Inflated by 0.25"
    assert short("cql") == "CQL"
    assert short("reference_cql") == "CQL, reference"


def test_every_colour_has_a_distinct_replacement_on_dark_pages():
    assert len(set(ON_DARK.values())) == len(ON_DARK)
    assert {colour(arm) for arm in ARMS} <= set(ON_DARK)


def test_lines_of_an_axis_text_are_of_about_equal_length():
    # Of at most 40 characters, the first line would be full and "rate)" alone in the second.
    assert (
        axis_text("score at the last evaluation (success rate)", 40) == "score at the last\nevaluation (success rate)"
    )
    assert axis_text("mean Q(s, a) - mean V_mu", 30) == "mean $Q(s,\\,a)$ \N{MINUS SIGN} mean $V_\\mu$"
    assert axis_text("unbreakable", 5) == "unbre\nakabl\ne"


def test_every_arm_is_in_one_group():
    groups = grouped(ARMS)
    names = [name for members in groups.values() for name in members]
    assert sorted(names) == sorted(ARMS)
    assert "Other arms" not in groups
    assert grouped(["cql", "zeta"]) == {"Baselines": ["cql"], "Other arms": ["zeta"]}
    assert grouped(["cql", "cql[alpha=5]"]) == {"Baselines": ["cql", "cql[alpha=5]"]}


def test_variants_of_an_arm_follow_it_by_value():
    names = ["monte_carlo", "cql[alpha=20]", "cql[alpha=5]", "other", "cql", "cql[alpha=0.5]"]
    assert in_order(names) == ["cql", "cql[alpha=0.5]", "cql[alpha=5]", "cql[alpha=20]", "monte_carlo", "other"]
    assert label("cql[alpha=5,mixing_ratio=0.25]") == "CQL, alpha = 5, mixing_ratio = 0.25"
    assert label("mine[alpha=5]") == "mine, alpha = 5"


def test_settings_of_the_switch_are_worded():
    assert label("cql[alpha=0,alpha_decay=0,critic_shift=0,recalibrate=true]") == "CQL, push-down ends, recalibrated"
    lowered = "monte_carlo[alpha=0,alpha_decay=1,critic_shift=-0.25,recalibrate=false]"
    assert label(lowered) == "Cal-QL, Monte Carlo floor, push-down decays, critics lowered by 0.25"
    assert label("cql[mixing_ratio=0]") == "CQL, no offline data"
    assert label("cql[new_critics=true,critic_updates=1000]") == "CQL, new critics, critics first (1000)"
    assert label("cql[mixing_ratio=0,warmup_horizons=20]") == "CQL, no offline data, warm-up (20 horizons)"
    assert label("cql[mixing_ratio=0.25,alpha=0]") == "CQL, mixing_ratio = 0.25, alpha = 0"
