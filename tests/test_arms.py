"""Arms as data: templates, patterns, which arm has some settings, what fixed settings leave of them."""

import pytest

from sepray.arms import Arm, chosen, expand, hyperparameters, of_settings, plain, restored, with_fixed
from sepray.errors import UsageError

KNOWN = {"on": 1.0, "beta": 0.1, "rate": 0.01}
CROSS = [f"cross.{i}_to_{j}" for i in "abc" for j in "abc" if i != j]
ARMS = {
    "off": Arm({"on": 0}, ("rate",)),
    "plain": Arm({"on": 1, "cross.*": 0.0}, ("beta", "rate")),
    "cross {i} to {j}": Arm({"on": 1, "cross.*": 0.0}, ("rate", "cross.{i}_to_{j}")),
    "cross all": Arm({"on": 1}, ("rate", "cross.{i}_to_{j}")),
}


def made(arms, sources=("a", "b")):
    cross = [name for name in CROSS if set(name[6::5]) <= set(sources)]
    return expand(arms, sources, {"beta", "rate", *cross}, {*KNOWN, *cross})


def test_a_name_with_sources_makes_an_arm_for_each_ordered_pair():
    found = made(ARMS)
    assert list(found) == ["off", "plain", "cross a to b", "cross b to a", "cross all"]
    assert found["off"] == Arm({"on": 0}, ("rate",))
    assert found["plain"] == Arm({"on": 1, "cross.a_to_b": 0.0, "cross.b_to_a": 0.0}, ("beta", "rate"))
    assert found["cross a to b"] == Arm({"on": 1, "cross.b_to_a": 0.0}, ("rate", "cross.a_to_b"))
    assert found["cross b to a"] == Arm({"on": 1, "cross.a_to_b": 0.0}, ("rate", "cross.b_to_a"))
    assert found["cross all"] == Arm({"on": 1}, ("rate", "cross.a_to_b", "cross.b_to_a"))


def test_arms_of_three_sources():
    found = made(ARMS, ("a", "b", "c"))
    assert [name for name in found if name.startswith("cross ")] == [
        *[f"cross {i} to {j}" for i in "abc" for j in "abc" if i != j],
        "cross all",
    ]
    assert found["cross b to c"].searched == ("rate", "cross.b_to_c")
    assert found["cross b to c"].settings == {"on": 1} | {n: 0.0 for n in CROSS if n != "cross.b_to_c"}
    assert set(found["cross all"].searched) == {"rate", *CROSS}


def test_one_bound_letter_leaves_the_other_to_the_other_sources():
    found = made({"from {i}": Arm({"cross.*": 0.0}, ("cross.{i}_to_{j}",))}, ("a", "b", "c"))
    assert list(found) == ["from a", "from b", "from c"]
    assert found["from b"].searched == ("cross.b_to_a", "cross.b_to_c")
    one = expand(
        {"only {i}": Arm({"w.{j}": 0}, ("w.{i}",))}, ("a", "b", "c"), {"w.a", "w.b", "w.c"}, ["w.a", "w.b", "w.c"]
    )
    assert one["only b"] == Arm({"w.a": 0, "w.c": 0}, ("w.b",))


def test_a_name_of_its_own_beats_a_pattern_in_either_order():
    for settings in ({"cross.*": 0.0, "cross.a_to_b": 0.5}, {"cross.a_to_b": 0.5, "cross.*": 0.0}):
        assert made({"x": Arm(settings)})["x"].settings == {"cross.a_to_b": 0.5, "cross.b_to_a": 0.0}


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        (
            {"x": Arm({"bata": 1})},
            "arm 'x' sets bata (perhaps you meant beta), which the separator does not have; it has",
        ),
        ({"x": Arm({}, ("on",))}, "arm 'x' searches on, which the search space does not have; it has beta, "),
        ({"x": Arm({"rate": 1}, ("rate", "beta"))}, "arm 'x' both sets and searches rate"),
        ({"x": Arm({"cros.*": 1})}, "arm 'x' sets cros.*, which fits no hyperparameter; there are beta, "),
        ({"x": Arm({"rate": "much"})}, "arm 'x' sets rate to 'much'; it must be a number"),
        ({"x": Arm({"rate": True})}, "arm 'x' sets rate to True; it must be a number"),
        ({"to {i}": Arm(), "to a": Arm()}, "two arms are called 'to a'"),
    ],
)
def test_wrong_arm_is_refused_in_one_line(arms, message):
    with pytest.raises(UsageError) as caught:
        made(arms)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_separator_with_a_hyperparameter_called_arm_has_no_arms():
    with pytest.raises(UsageError, match="a hyperparameter called 'arm' cannot have arms"):
        expand({"x": Arm()}, ("a", "b"), {}, {"arm"})


def test_settings_belong_to_the_arm_that_sets_the_most_of_them():
    found = made(ARMS)
    none = {"beta": 0.1, "rate": 0.1, "cross.a_to_b": 0.0, "cross.b_to_a": 0.0}
    assert of_settings(found, {"on": 0, **none}) == "off"
    assert of_settings(found, {"on": 1, **none}) == "plain"
    assert of_settings(found, {"on": 1, **none, "cross.a_to_b": 0.5}) == "cross a to b"
    assert of_settings(found, {"on": 1, **none, "cross.a_to_b": 0.5, "cross.b_to_a": 0.5}) == "cross all"
    assert of_settings(found, {"on": 2, **none}) is None
    assert of_settings(found, {"beta": 0.1}) is None


def test_hyperparameters_of_an_arm_are_what_it_searches_and_then_what_it_sets():
    values = {"on": 1, "beta": 0.5, "rate": 0.25, "arm": "off"}
    assert list(hyperparameters(made(ARMS)["off"], values).items()) == [("rate", 0.25), ("on", 0)]


def test_chosen_arms_keep_their_order():
    found = made(ARMS)
    assert list(chosen(found, ())) == list(found)
    assert list(chosen(found, ("cross all", "off"))) == ["off", "cross all"]
    with pytest.raises(
        UsageError, match=r"^there is no arm 'plane'; perhaps you meant 'plain'; there are: off, plain, "
    ):
        chosen(found, ("plane",))


def test_fixed_settings_leave_out_arms_that_contradict_them_and_repetitions():
    found = made(ARMS)
    kept, left_out = with_fixed(found, {"on": 1, "rate": 0.5})
    assert left_out == ("off",)
    assert kept["plain"] == Arm({"on": 1, "cross.a_to_b": 0.0, "cross.b_to_a": 0.0, "rate": 0.5}, ("beta",))
    everything = {"on": 1, "beta": 0.1, "rate": 0.5, "cross.a_to_b": 0.25, "cross.b_to_a": 0.0}
    kept, left_out = with_fixed(found, everything)
    assert (list(kept), left_out) == (["cross a to b"], ("off", "plain", "cross b to a", "cross all"))
    assert kept["cross a to b"] == Arm(everything, ())
    assert with_fixed(found, {}) == (found, ())


def test_arms_survive_json():
    import json

    assert restored(json.loads(json.dumps(plain(ARMS)))) == ARMS
