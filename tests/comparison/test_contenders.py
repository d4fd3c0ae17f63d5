"""The separators that take part in a comparison, with their settings."""

import re
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces import cass as cass_space
from search_spaces import cass_published as published_space
from search_spaces import neural_egg as egg_space
from search_spaces import sepgan as sepgan_space
from search_spaces import supervised_mask as mask_space
from sepray.comparison.contenders import LeftOut, contenders, task_config
from sepray.comparison.spec import Comparison
from sepray.console.exit_status import format_error
from sepray.contracts import Signal
from sepray.errors import UsageError
from sepray.separators import cass_published, neural_egg, sepgan
from sepray.tasks import notes_and_bursts

from .conftest import PAPER, SIGNAL, SPACE, SPACES


def test_contender_has_its_first_published_setting_and_nothing_varies(own_modules):
    comparison = Comparison(separators=("my_separator", "picky"))
    [found], [refused] = contenders(comparison, SPACES, SIGNAL)
    assert (found.key, found.system) == ("my_separator", "my_separator (careful)")
    assert found.points == {"careful": PAPER["careful"]}
    assert found.space == {k: CategoricalDistribution([v]) for k, v in PAPER["careful"].items()}
    assert found.parameters == 2 * 9
    assert found.supervision == "paired"
    assert refused == LeftOut("picky", "images [only]")
    assert refused.bug is None
    assert comparison.study("x", found.config, "ecg", found.space, found.points).budget.trials == 1


def test_contender_is_searched_from_all_its_published_settings(own_modules):
    comparison = Comparison(separators=("my_separator",), trials=7)
    [found], _ = contenders(comparison, SPACES, SIGNAL)
    assert found.system == "my_separator"
    assert dict(found.space) == SPACE
    assert dict(found.points) == PAPER
    assert comparison.study("x", found.config, "ecg", found.space, found.points).budget.trials == 7


def test_given_settings_go_to_the_config_or_fix_a_hyperparameter(own_modules):
    given = ("my_separator.taps=5", "my_separator.betas=0.5,0.9", "my_separator.weight=0.5")
    comparison = Comparison(separators=("my_separator",), settings=given, trials=7)
    [found], _ = contenders(comparison, SPACES, SIGNAL)
    assert (found.config.taps, found.config.betas) == (5, (0.5, 0.9))
    assert found.space["weight"] == CategoricalDistribution([0.5])
    assert found.space["learning_rate"] == SPACE["learning_rate"]
    assert {p["weight"] for p in found.points.values()} == {0.5}
    assert found.system == "my_separator (taps 5, betas 0.5,0.9, weight 0.5)"


def test_named_setting_is_a_row_of_its_own(own_modules):
    both = Comparison(separators=("my_separator", "my_separator:bold & FAST"), reference="my_separator:bold & FAST")
    first, second = contenders(both, SPACES, SIGNAL)[0]
    assert (second.key, second.system) == ("my_separator-bold-FAST", "my_separator (Bold & fast)")
    assert second.points == {"Bold & fast": PAPER["Bold & fast"]}
    assert first.key != second.key


def test_named_configuration_has_its_own_space_or_that_of_the_separator():
    modules = {"cass_published": published_space, "sepgan": sepgan_space}
    spaces = {name: (module.SPACE, module.PAPER) for name, module in modules.items()}
    asked = Comparison(separators=("sepgan:small", "cass:published_small"), trials=3)
    found = contenders(asked, spaces, notes_and_bursts.DEBUG.load(Path()).signal)[0]
    assert [one.config for one in found] == [sepgan.SMALL, cass_published.SMALL]
    assert [one.system for one in found] == ["sepgan:small", "cass:published_small"]
    assert dict(found[0].space) == sepgan_space.SPACE
    assert "cross.notes_to_bursts" in found[1].space


def test_separator_without_a_space_has_its_defaults_searched_or_not(own_modules):
    for trials in (0, 5):
        comparison = Comparison(separators=("my_separator",), trials=trials)
        [found], _ = contenders(comparison, {}, SIGNAL)
        assert found.system == "my_separator"
        assert found.points == {"defaults": {"learning_rate": 1e-2, "weight": 1.0}}
        assert comparison.study("x", found.config, "ecg", found.space, found.points).budget.trials == 1


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"separators": ("my_separator:slow",)},
            "my_separator has no published setting 'slow'; there are: careful, Bol",
        ),
        ({"settings": ("my_separator.tapes=3",)}, "my_separator has no 'tapes' in its Config, nor among its hyperpar"),
        ({"settings": ("my_separator.weight=much",)}, "my_separator.weight must be a number, not 'much'"),
        ({"settings": ("my_separator.taps=few",)}, "--settings of my_separator: "),
        ({"separators": ("picky",)}, "no separator takes the signal of notes_and_bursts: picky: images"),
        ({"measures": ("psnr",)}, "--measures psnr: psnr measures images"),
    ],
)
def test_contenders_are_refused_in_one_line(own_modules, changes, line):
    comparison = Comparison(**{"separators": ("my_separator",), **changes})
    with pytest.raises(UsageError, match=re.escape(line)):
        contenders(comparison, SPACES, SIGNAL)


def test_task_takes_its_settings(own_modules):
    assert task_config(Comparison(task="my_task", settings=("task.items=7", "task.seed=3"))).items == 7
    with pytest.raises(UsageError, match="the task my_task has no pieces; it has items, seed"):
        task_config(Comparison(task="my_task", settings=("task.pieces=7",)))


def test_setting_with_the_methods_own_name_is_not_told_twice(own_modules):
    named = {"my_separator": (SPACE, {"My Separator": PAPER["careful"]})}
    assert contenders(Comparison(separators=("my_separator",)), named, SIGNAL)[0][0].system == "my_separator"
    empty = {"my_separator": ({}, {"my-separator": {}})}
    [found], _ = contenders(Comparison(separators=("my_separator",), trials=9), empty, SIGNAL)
    assert (found.system, dict(found.space), found.points) == ("my_separator", {}, {"my-separator": {}})


def test_parameters_are_weights_or_what_a_method_without_gradients_fits():
    comparison = Comparison(separators=("nmf", "constant_mask"), settings=("nmf.components=3",))
    nmf, mask = contenders(comparison, {}, Signal(("low", "high"), 1, (4096,), 8000.0))[0]
    assert nmf.parameters == 2 * 3 * 129  # two sets of bases, of the bins of a window of 25 ms: 256 samples
    assert mask.parameters == 0


def test_bug_in_one_separator_is_kept_with_its_traceback_and_stops_no_other(own_modules):
    [found], [left] = contenders(Comparison(separators=("broken", "my_separator")), SPACES, SIGNAL)
    assert found.key == "my_separator"
    assert (left.system, left.reason.partition(":")[0]) == ("broken", "RuntimeError")
    assert "broken.py" in format_error("broken", left.bug)
    with pytest.raises(RuntimeError):  # nothing is left to compare, and that is no bad input
        contenders(Comparison(separators=("broken",)), SPACES, SIGNAL)


def test_separator_of_another_package_brings_its_settings(lab):
    comparison = Comparison(separators=("echo", "echo:wide"), trials=3)
    found, refused = contenders(comparison, {}, SIGNAL)
    assert refused == []
    assert [(c.key, c.system) for c in found] == [("echo", "echo"), ("echo-wide", "echo:wide")]
    for contender in found:
        assert contender.space == {"learning_rate": FloatDistribution(1e-3, 1e-1, log=True)}
        assert contender.points == {"of the paper": {"learning_rate": 0.01}}
        assert contender.supervision == "unpaired sources"


def test_what_arms_decide_is_one_of_the_published_values():
    spaces = {"cass": (cass_space.SPACE, cass_space.PAPER)}
    [found], _ = contenders(Comparison(separators=("cass",), trials=3), spaces, SIGNAL)
    assert found.space["adversarial"] == CategoricalDistribution([0, 1])
    assert set(found.points["CASS"]) == set(found.space)
    [fixed], _ = contenders(Comparison(separators=("cass:CASS",)), spaces, SIGNAL)
    assert fixed.space["adversarial"] == CategoricalDistribution([1])


MASKS = {n: (m.SPACE, m.PAPER) for n, m in (("neural_egg", egg_space), ("supervised_mask", mask_space))}
IMAGES = Signal(("low", "high"), 1, (32, 32), None)


def test_nes_ft_and_nes_from_am_stand_in_one_table_at_published_sizes():
    asked = Comparison(
        separators=(
            "NES=neural_egg",
            "FT=neural_egg:paper start=glo_masking:paper start.learning-rate=0.002 start.width=32",
            "NES-AM=neural_egg:paper start=adversarial_masking:paper",
            "adversarial_masking",
            "glo_masking",
            "supervised_mask",
        )
    )
    found, refused = contenders(asked, MASKS, IMAGES)
    assert refused == []
    assert [c.key for c in found[:3]] == [c.system for c in found[:3]] == ["NES", "FT", "NES-AM"]
    assert [c.config.start for c in found[:3]] == [
        "constant",
        "glo_masking:paper learning-rate=0.002 width=32",
        "adversarial_masking:paper",
    ]
    assert {(c.config.width, c.config.batch_size) for c in found} == {(64, 64)}
    assert {c.config.epochs_per_iteration for c in found[:3]} == {25}
    assert found[1].what.startswith("neural_egg:paper (authors' code, speech; start glo_masking:paper ")


def test_defaults_are_a_separators_own_config():
    [found], _ = contenders(Comparison(separators=("neural_egg:defaults",)), MASKS, IMAGES)
    assert found.config == neural_egg.Config()
    assert found.system.startswith("neural_egg:defaults (")


def test_cass_is_cass_and_not_the_autoencoder():
    spaces = {"cass": (cass_space.SPACE, cass_space.PAPER)}
    for name in ("cass", "cass:small"):
        [found], _ = contenders(Comparison(separators=(name,)), spaces, SIGNAL)
        assert (found.system, list(found.points), found.points["CASS"]["adversarial"]) == (name, ["CASS"], 1)
    [found], _ = contenders(Comparison(separators=("cass:baseline autoencoder",)), spaces, SIGNAL)
    assert found.points["baseline autoencoder"]["adversarial"] == 0


def test_fields_may_be_written_as_their_flags_are(own_modules):
    given = ("my_separator.learning-rate=0.5", "task.items=3")
    [found], _ = contenders(Comparison(separators=("my_separator",), settings=given), SPACES, SIGNAL)
    assert found.points["careful"]["learning_rate"] == 0.5
    asked = Comparison(separators=("nmf",), settings=("nmf.observed-updates=7",))
    assert contenders(asked, {}, SIGNAL)[0][0].config.observed_updates == 7


def test_settings_of_a_row_are_its_own(own_modules):
    asked = Comparison(
        separators=("A=my_separator taps=5", "B=my_separator", "my_separator"),
        settings=("B.taps=7", "my_separator.weight=0.5"),
    )
    found, _ = contenders(asked, SPACES, SIGNAL)
    assert [(c.key, c.config.taps) for c in found] == [("A", 5), ("B", 7), ("my_separator", found[2].config.taps)]
    assert found[2].config.taps not in (5, 7)
    assert {c.points["careful"]["weight"] for c in found} == {0.5}


def test_baselines_stand_beside_the_named_where_they_take_the_signal(own_modules):
    asked = Comparison(separators=("my_separator",), baselines=("supervised_mask", "my_separator"), trials=5)
    found, refused = contenders(asked, {**SPACES, **MASKS}, Signal(("low", "high"), 1, (4096,), 8000.0))
    assert ([c.key for c in found], refused) == (["my_separator", "supervised_mask"], [])
    assert found[1].space["learning_rate"] == mask_space.SPACE["learning_rate"]  # the same search as all others have
    three = Signal(("a", "b", "c"), 1, (4096,), 8000.0)
    found, refused = contenders(asked, {**SPACES, **MASKS}, three)
    assert ([c.key for c in found], refused) == (["my_separator"], [])


@pytest.mark.parametrize(
    ("budget", "epochs", "own", "system"),
    [
        ("study", 20, None, "my_separator (careful; 20 of 500 epochs)"),
        ("published", 20, 500, "my_separator (careful)"),
        ("study", 500, None, "my_separator (careful)"),
    ],
)
def test_row_that_is_trained_for_less_than_in_its_paper_says_so(own_modules, budget, epochs, own, system):
    spaces = {"my_separator": (SPACE, PAPER, {"careful": 500})}
    asked = Comparison(separators=("my_separator", "X=my_separator"), max_epochs=epochs, reference_budget=budget)
    found, named = contenders(asked, spaces, SIGNAL)[0]
    assert (found.system, found.epochs, found.published_epochs) == (system, own, 500)
    assert named.system == ("X (20 of 500 epochs)" if (budget, epochs) == ("study", 20) else "X")
    other = contenders(asked.changed(separators=("my_separator:bold & fast",)), spaces, SIGNAL)[0][0]
    assert (other.epochs, other.published_epochs) == (None, 0)  # the paper is silent
    assert contenders(asked.changed(trials=3), spaces, SIGNAL)[0][0].published_epochs is None  # it is searched
    fixed = contenders(asked.changed(settings=("my_separator.learning_rate=0.5",)), spaces, SIGNAL)[0][0]
    assert (fixed.epochs, fixed.published_epochs) == (None, None)  # it is not what the paper has trained
