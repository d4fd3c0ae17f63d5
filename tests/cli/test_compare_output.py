"""``sepray compare`` on models that are functions: its settings arrive, and it prints what the statistics say."""

import json

import pytest
import torch

from sepray.cli import application
from sepray.cli import compare as command
from sepray.contracts import Signal, Split, TaskData
from sepray.errors import UsageError
from sepray.tracking import models

FIRST, SECOND = "models:/first/1", "models:/second/1"
SIGNAL = Signal(("heart", "breath"), 1, (64,), 64.0, heart_sources=("heart",))
DESCRIBED = {"sources": ["heart", "breath"], "metric": "relative_l2", "task": "any", "task_config": {}}


@pytest.fixture
def sizes(monkeypatch) -> list[int]:
    """Models that estimate each source as a share of the mixture, which is twice either source; sizes of batches."""
    sizes: list[int] = []

    def split(items: int) -> Split:
        sources = torch.randn(items, 1, 1, 64, generator=torch.Generator().manual_seed(items)).expand(-1, 2, -1, -1)
        return Split(sources.sum(1), sources)

    data = TaskData(SIGNAL, split(5), split(6), split(7), "ab" * 32)
    shares = {FIRST: 0.45, SECOND: 0.25}

    def separator(model, uri):
        assert uri == "the registry"

        def separate(mixture):
            sizes.append(len(mixture))
            return shares[model] * mixture[:, None].expand(-1, 2, -1, -1)

        return separate

    class Task:
        def load(self, cache):
            return data

    monkeypatch.setattr(application, "require_models", lambda *_: "the registry")
    monkeypatch.setattr(models, "describe", lambda model, uri: dict(DESCRIBED))
    monkeypatch.setattr(command, "check_task", lambda task: None)
    monkeypatch.setattr(command, "task_config", lambda task, described: Task())
    monkeypatch.setattr(command, "separator", separator)
    return sizes


def test_json_has_both_means_and_the_conclusion(sizes, capsys):
    command.compare(FIRST, SECOND, json=True, batch_size=4)
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [
        *("metric", "unit", "direction", "split", "items", "means", "difference", "interval"),
        *("p_bootstrap", "p_wilcoxon", "rank_biserial", "wins", "conclusion"),
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
    assert found["conclusion"].startswith(f"Conclusion: {FIRST} separates better than {SECOND} by relative l2")


def test_split_and_metric_arrive(sizes, capsys):
    command.compare(FIRST, SECOND, split="validation", metric="relative_l1")
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == f"relative l1 on 6 validation items: {FIRST} 0.1000, {SECOND} 0.5000"
    assert second.startswith("difference -0.4000 [-0.4000, -0.4000] (paired bootstrap, 95%), p ")
    assert sizes == [6, 6]


@pytest.mark.parametrize(
    ("changes", "settings", "line"),
    [
        ({}, {"metric": "psnr"}, "--metric psnr: psnr measures images"),
        ({}, {"metric": "loudness"}, "unknown metric 'loudness'; there are: relative_l1"),
        ({}, {"batch_size": 0}, "--batch-size must be at least 1, not 0"),
        ({"sources": ["a", "b"]}, {}, f"{FIRST} separates a, b, but the task has heart, breath"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(sizes, monkeypatch, changes, settings, line):
    monkeypatch.setattr(models, "describe", lambda model, uri: DESCRIBED | changes)
    with pytest.raises(UsageError) as refusal:
        command.compare(FIRST, SECOND, **settings)
    assert str(refusal.value).startswith(line)
    assert "\n" not in str(refusal.value)
    assert not sizes


def test_models_of_different_sources_are_refused(sizes, monkeypatch):
    described = {FIRST: DESCRIBED, SECOND: DESCRIBED | {"sources": ["a", "b"]}}
    monkeypatch.setattr(models, "describe", lambda model, uri: described[model])
    with pytest.raises(UsageError, match="separate different sources: heart, breath and a, b"):
        command.compare(FIRST, SECOND)
