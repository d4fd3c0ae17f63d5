"""Two models on the same items: the difference, how certain it is, and the sentence that says so."""

import numpy as np
import pytest

from sepray.errors import UsageError
from sepray.models import comparison
from sepray.models.comparison import compare
from sepray.scoring.statistics import compare_systems

from .functions import FIRST, SECOND, Config, model, shares_of_the_mixture

BETTER = shares_of_the_mixture(FIRST, 0.45)  # 0.9 of either source: a relative error of 0.1
WORSE = shares_of_the_mixture(SECOND, 0.25)  # 0.5 of either source


def test_result_says_which_is_better_and_by_how_much():
    found = compare(BETTER, WORSE, Config())
    assert (found.names, found.metric, found.unit, found.direction) == (
        *((FIRST, SECOND), "relative_l2", "", "minimize"),  # the measure that the first model was chosen by
    )
    assert (found.split, found.items, found.wins, found.better) == ("test", 7, 7, FIRST)
    assert found.means == pytest.approx((0.1, 0.5), rel=1e-5)
    assert found.difference == pytest.approx(-0.4, rel=1e-5)
    assert found.interval == pytest.approx((-0.4, -0.4), rel=1e-5)
    assert found.rank_biserial == -1
    assert found.p_wilcoxon == pytest.approx(2 / 2**7)
    assert found.p_sign_flips == pytest.approx(2 / 2**7)
    np.testing.assert_allclose(found.scores, [[0.1] * 7, [0.5] * 7], rtol=1e-4)
    assert found.conclusion.startswith(f"Conclusion: {FIRST} separates better than {SECOND} by relative L2 error")
    assert repr(found) == f"ModelComparison({found.conclusion!r})"


def test_document_has_every_figure():
    found = compare(WORSE, BETTER, Config(), "validation", "si_sdr")
    assert found.document == {
        "metric": "si_sdr",
        "unit": "dB",
        "direction": "maximize",
        "split": "validation",
        "items": 6,
        "means": {SECOND: found.means[0], FIRST: found.means[1]},
        "difference": found.difference,
        "interval": list(found.interval),
        "cut_from": "6 items",
        "p_sign_flips": found.p_sign_flips,
        "p_wilcoxon": found.p_wilcoxon,
        "rank_biserial": found.rank_biserial,
        "wins": found.wins,
        "conclusion": found.conclusion,
        "seen": list(found.seen),
    }
    result = compare_systems((SECOND, FIRST), *found.scores, "si_sdr")
    assert (found.difference, found.interval) == (*(result.paired.difference, (result.paired.low, result.paired.high)),)
    assert (found.p_sign_flips, found.p_wilcoxon) == (result.paired.p_value, result.p_wilcoxon)
    assert (found.wins, found.better) == (result.wins, result.better)


def test_batch_size_and_split_say_what_is_separated_at_once():
    sizes = []
    pair = [shares_of_the_mixture(name, 0.3, sizes) for name in (FIRST, SECOND)]
    assert compare(*pair, Config(), "train", "relative_l1", batch_size=3).items == 5
    assert sizes == [3, 2, 3, 2]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"metric": "psnr"}, "metric psnr: psnr measures images, and the task's signals are over time"),
        ({"metric": "loudness"}, "unknown metric 'loudness'; there are: relative_l1"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"split": "all"}, "unknown split 'all'"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"other": "nowhere"}, "nowhere is neither a folder with a model"),
        (
            {"other": model(SECOND, lambda data: data, sources=("a", "b"))},
            f"{FIRST} and {SECOND} separate different sources: heart, breath and a, b",
        ),
    ],
)
def test_what_does_not_fit_is_refused(settings, line):
    with pytest.raises(UsageError) as refusal:
        compare(**{"model": BETTER, "other": WORSE, "task": Config(), **settings})
    assert str(refusal.value).startswith(line)


def test_model_that_has_no_metric_needs_one():
    first = shares_of_the_mixture(FIRST, 0.3)
    first.metadata = {"task": "any"}
    with pytest.raises(UsageError, match=r"^models:/first/1 does not say which metric it was chosen by: give --metric"):
        compare(first, WORSE, Config())


def test_both_models_are_loaded_from_where_they_are_said_to_be(packaged, monkeypatch):
    asked = []
    monkeypatch.setattr(comparison, "loaded", lambda *given: asked.append(given) or BETTER)
    compare(packaged.half, packaged.most, Config(), tracking_uri="sqlite:///x.db", device="cpu")
    assert asked == [(name, "sqlite:///x.db", "cpu") for name in (packaged.half, packaged.most)]
