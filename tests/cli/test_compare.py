"""``sepray compare`` on models that are functions: its settings arrive, and it prints what the statistics say."""

import json
from types import SimpleNamespace

import pytest

from sepray.cli import compare as command
from sepray.errors import UsageError
from sepray.models import comparison

from ..models.functions import DATA, FIRST, SECOND, shares_of_the_mixture


@pytest.fixture
def sizes(monkeypatch) -> list[int]:
    """Models that estimate each source as a share of the mixture, which is twice either source; sizes of batches."""
    sizes: list[int] = []
    found = {name: shares_of_the_mixture(name, share, sizes) for name, share in ((FIRST, 0.45), (SECOND, 0.25))}
    monkeypatch.setattr(comparison, "loaded", lambda name, uri, device: found[name])
    monkeypatch.setattr(comparison, "task_data", lambda model, task, cache: DATA)
    return sizes


def test_json_has_both_means_and_the_conclusion(sizes, capsys):
    command.compare(FIRST, SECOND, json=True, batch_size=4)
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [
        *("metric", "unit", "direction", "split", "items", "means", "difference", "interval"),
        *("cut_from", "p_sign_flips", "p_wilcoxon", "rank_biserial", "wins", "conclusion", "seen"),
    ]
    assert sizes == [4, 3, 4, 3]
    assert (found["metric"], found["direction"], found["split"], found["items"]) == (
        *("relative_l2", "minimize", "test", 7),
    )
    # 0.9 and 0.5 of either source.
    assert found["means"] == {FIRST: pytest.approx(0.1, rel=1e-4), SECOND: pytest.approx(0.5, rel=1e-4)}
    assert found["difference"] == pytest.approx(-0.4, rel=1e-4)
    assert found["rank_biserial"] == -1
    assert found["wins"] == 7
    assert found["conclusion"].startswith(f"Conclusion: {FIRST} separates better than {SECOND} by relative L2 error")


def test_split_and_metric_arrive(sizes, capsys):
    command.compare(FIRST, SECOND, split="validation", metric="relative_l1")
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == f"relative L1 error on 6 validation items: {FIRST} 0.1000, {SECOND} 0.5000"
    assert second.startswith("difference -0.4000 [-0.4000, -0.4000] (95% over items), p ")
    assert sizes == [6, 6]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"metric": "psnr"}, "metric psnr: psnr measures images"),
        ({"metric": "loudness"}, "unknown metric 'loudness'; there are: relative_l1"),
        ({"batch_size": 0}, "--batch-size must be at least 1, not 0"),
        ({"task": "no_such_task"}, "unknown task 'no_such_task'; there are: "),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(sizes, settings, line):
    with pytest.raises(UsageError) as refusal:
        command.compare(FIRST, SECOND, **settings)
    assert str(refusal.value).startswith(line)
    assert "\n" not in str(refusal.value)
    assert not sizes


def test_units_stand_with_figures_and_small_p_values_are_powers_of_ten():
    units = SimpleNamespace(told=True, words="3 recordings", name="recordings")
    given = {"metric": "si_sdr", "unit": "dB", "split": "test", "items": 7, "names": ("a", "b"), "means": (1.5, 2.25)}
    given |= {"difference": -0.75, "interval": (-1.0, 0.5), "p_sign_flips": 0.001, "p_wilcoxon": 0.00099}
    given |= {"rank_biserial": -0.5, "wins": 2, "seen": ("Seen.",), "conclusion": "Conclusion."}
    assert command._text(SimpleNamespace(**given, result=SimpleNamespace(units=units))).splitlines() == [
        "SI-SDR on 7 test items of 3 recordings: a 1.5000 dB, b 2.2500 dB",
        "difference -0.7500 dB [-1.0000, +0.5000] (95% over recordings), p 0.001 by sign flips; Wilcoxon p 9.9e-04",
        "effect size: rank-biserial -0.50; a is the better one on 2 of 7 items",
        "Seen.",
        "Conclusion.",
    ]
