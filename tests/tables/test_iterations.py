"""Estimates after each iteration of a method: which iterations are shown, and of which training they are."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from sepray.comparison.publishing import ComparisonResult
from sepray.comparison.running import Training
from sepray.comparison.spec import Comparison
from sepray.contracts import Augmentation, Signal, Split, TaskData
from sepray.execution.members import Members
from sepray.separators import neural_egg
from sepray.tables import beside, figures, forms, iterations
from sepray.tables.spec import Data, Figure, Form, Part, Row, Table

from ..comparison.conftest import entry

SIGNAL = Signal(("known", "other"), 1, (512,), 128.0)
PART = Part("", Data("my_task", (), "noise"), (Row("NES", "neural_egg"),), ("other",))
FIGURE = Figure("iterations", "Figure 2", ("NES",))
TABLE = Table("lab-1", "Lab, Table 1", ("snr",), (PART,), Form(6, 1), Form(6, 1), figures=(FIGURE,))
CONFIG = replace(neural_egg.DEBUG, iterations=3, epochs_per_iteration=2)


@pytest.fixture
def data():
    sources = torch.randn(12, 2, 1, 512, generator=torch.Generator().manual_seed(0))
    split = Split(sources.sum(1), sources)
    return TaskData(SIGNAL, split, split, split, "")


def members(data):
    train = {"mixture": data.train.mixture[:6], "observed": data.train.sources[6:, 0]}
    return Members(
        CONFIG,
        SIGNAL,
        seed=7,
        count=1,
        train=train,
        hyperparameters={"learning_rate": 0.01},
        device="cpu",
        augmentation=Augmentation(),
    )


@pytest.mark.parametrize(
    ("count", "shown"), [(0, []), (3, [1, 2, 3]), (6, [1, 2, 3, 4, 5, 6]), (10, [1, 3, 5, 6, 8, 10])]
)
def test_first_and_last_iterations_are_among_at_most_six(count, shown):
    assert iterations.chosen(count) == shown


@pytest.fixture
def asked(monkeypatch, data):
    """Return the questions that the stores are asked; the training itself is a real one."""
    asked = []

    def again(record, cache, stage, number):
        asked.append((record, stage, number))
        trained = members(data)
        split = {"mixture": data.validation.mixture, "sources": data.validation.sources}
        return SimpleNamespace(
            members=trained, context=SimpleNamespace(device="cpu"), epoch=lambda: trained.epoch(split, 12)
        )

    monkeypatch.setattr(iterations, "read_saved_study", lambda name, storage, folder: f"record of {name}")
    monkeypatch.setattr(iterations.reproduction, "repetition", again)
    return asked


def test_each_panel_is_of_the_training_at_the_end_of_that_iteration(data, asked, monkeypatch):
    drawn = {}
    monkeypatch.setattr(figures, "_image", lambda axes, image, *_: drawn.setdefault(len(drawn), image))
    one = entry("NES", "NES", [[1, 2, 3, 4]])
    one = replace(
        one,
        contender=replace(one.contender, config=CONFIG),
        trainings=(Training([{"epoch": k} for k in range(1, 7)], "gone", 3, 0),),
    )
    part = beside.part_table(TABLE, PART, forms.chosen_form(TABLE, "minutes", ()), None)
    result = ComparisonResult(Comparison(name="lab", task="my_task"), 0, data)

    figure = figures._drawn(FIGURE, [figures.Drawn("NES", one)], part, result)

    titles = ["mixture", "iteration 1", "iteration 2", "iteration 3", "truth"]
    assert [axes.get_title() for axes in figure.axes] == titles
    assert asked == [("record of lab-NES", "finals", 3)]
    trained, expected = members(data), []
    split = {"mixture": data.validation.mixture, "sources": data.validation.sources}
    for _ in range(3):
        for _ in range(2):
            trained.epoch(split, 12)
        expected.append(trained.trainers[0].separator.separate(data.test.mixture[:1])[0, 1])
    torch.testing.assert_close(drawn[0], data.test.mixture[0])
    for place, estimate in enumerate(expected, 1):
        torch.testing.assert_close(drawn[place], estimate, rtol=1e-5, atol=1e-6)
    assert (expected[0] - expected[2]).abs().max() > 1e-3
    torch.testing.assert_close(drawn[4], data.test.sources[0, 1])


def test_threads_of_the_process_are_as_before_and_the_error_is_shown(data, asked, monkeypatch, capsys):
    before = torch.get_num_threads()

    def fails(*_):
        torch.set_num_threads(before + 1)
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(iterations.reproduction, "repetition", fails)
    part = beside.part_table(TABLE, PART, forms.chosen_form(TABLE, "minutes", ()), None)
    one = replace(entry("NES", "NES", [[1, 2, 3, 4]]), trainings=(Training([], "gone", 3, 0),))
    result = ComparisonResult(Comparison(name="lab", task="my_task"), 0, data)
    assert figures._drawn(FIGURE, [figures.Drawn("NES", one)], part, result) == "RuntimeError: the disk is gone"
    assert f'File "{__file__}"' in capsys.readouterr().err
    assert torch.get_num_threads() == before
