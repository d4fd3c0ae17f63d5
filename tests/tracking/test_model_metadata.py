"""Limits of a packaged model's description: another type, size or a loop is noticed by its name."""

import pytest

from sepray.tracking import model_metadata
from sepray.tracking.model_metadata import is_bounded, wrong

GOOD = {
    "sources": ["low", "high"],
    "sample_rate": 128.0,
    "task_config": {"items": 5},
    "hyperparameters": {"beta": 0.5},
    "mixture_level": {"low": -3.0, "usual": 0, "high": 2.5},
    "source_baseline": 0.1,
    "hearts": {"rates": [["heart", 60, 200.0]], "pulses": ["heart"], "later": 1},
    "n_fft": 1,
    "hop": 2**20,
    "digest": "ab",
    "task": "ecg",
    "another": {"seed": 2**63, "share": float("inf"), "told": [None, True, "x"]},
}


def test_what_sepray_writes_and_what_is_missing_is_not_wrong():
    assert wrong(GOOD) is None
    assert wrong({}) is None
    assert wrong({**GOOD, "sample_rate": None, "mixture_level": None}) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sources", "low"),
        ("sources", ["low", 3]),
        *(("sample_rate", value) for value in ("128", True, [])),
        *(("task_config", value) for value in ([], {1: 2})),
        ("hyperparameters", []),
        *(("mixture_level", value) for value in ({"low": 1, "high": 2}, {"low": 1, "usual": "x", "high": 2}, 5)),
        ("mixture_level", {"low": 1, "usual": 1, "high": 2, "more": 3}),
        *(("hearts", {"rates": value, "pulses": []}) for value in ([["a", 1]], [["a", 1, "2"]], [[1, 1, 2]], "a")),
        ("hearts", {"rates": []}),
        ("source_baseline", "0.1"),
        ("hearts", {"rates": [], "pulses": [5]}),
        *(("hearts", {"rates": [[name, 40, 200]], "pulses": []}) for name in ("", "a/b", "a\0b", "a" * 101)),
        *(
            ("hearts", {"rates": [["a", *rates]], "pulses": []})
            for rates in ((0.5, 9), (9, 1001), (9, 8), (float("nan"), 9), (9, float("inf")), (9, 10**400))
        ),
        *(("sample_rate", value) for value in (float("nan"), float("inf"), 10**400, 1.1e30)),
        ("mixture_level", {"low": 0, "usual": float("nan"), "high": 1}),
        *((name, value) for name in ("n_fft", "hop") for value in (0, 2**20 + 1, 5.0, True)),
        *((name, 5) for name in ("digest", "signature", "task", "metric", "supervision", "data_fingerprint", "study")),
    ],
)
def test_other_values_are_named(name, value):
    assert wrong({**GOOD, name: value}) == name


def test_size_counts_values_and_characters_written_out(monkeypatch):
    value = {"abc": [1, 2], "d": ("xy",)}  # 1 + 4 + 2 + (1 + 1 + 1) + (1 + 3)
    monkeypatch.setattr(model_metadata, "_MOST_VALUES", 14)
    assert is_bounded(value)
    monkeypatch.setattr(model_metadata, "_MOST_VALUES", 13)
    assert not is_bounded(value)


def test_aliases_of_aliases_and_loops_are_not_bounded():
    level = ["x"]
    for _ in range(40):
        level = [level, level]
    assert not is_bounded(level)
    loop = {"a": []}
    loop["a"].append(loop)
    assert not is_bounded(loop)
