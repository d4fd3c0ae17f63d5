"""The items that models are scored on come from the task that is named, or the model's own with its settings."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from sepray.errors import UsageError
from sepray.models import items
from sepray.models.items import check_items, on_tensors, task_data
from sepray.models.model import load_model
from sepray.registry import UnknownNameError
from sepray.tasks import ecg, ecg_varied

from .functions import DATA, Config, model, shares_of_the_mixture
from .packaged import TASK

SECOND_TASK = """
from dataclasses import dataclass
import torch
from sepray.contracts import Signal, Split, TaskData


@dataclass(frozen=True)
class Config:
    def load(self, cache):
        sources = torch.rand(4, 2, 1, 96, generator=torch.Generator().manual_seed(0)) - 0.5
        split = Split(sources.sum(1), sources)
        return TaskData(Signal(("maternal", "fetal"), 1, (96,), 128.0), split, split, split, "ab" * 32)
"""


def test_own_task_has_the_settings_of_the_training(packaged, tmp_path):
    half = load_model(packaged.half)
    for task in (None, "ecg"):  # by its name, the same
        data = task_data(half, task, tmp_path / "cache")
        assert data.fingerprint == TASK.load(tmp_path / "cache").fingerprint
        assert [len(data.train), len(data.validation), len(data.test)] == [7, 5, 6]


def test_named_configuration_of_the_own_task_is_the_one_that_is_named():
    trained = shares_of_the_mixture("m", 0.5)
    trained.metadata = {"task": "sepray.tasks.ecg", "task_config": {"train": 7}}
    debug = items._config(trained, "ecg:debug")
    assert debug == ecg.DEBUG != items._config(trained, "ecg") == ecg.Config(train=7)
    assert items._config(trained, "ecg:varied") == ecg_varied.Config()
    assert items._config(trained, "ecg:varied_debug") == ecg_varied.DEBUG
    trained.metadata = {"task": "sepray.tasks.ecg_varied", "task_config": {"train": 7}}
    assert items._config(trained, "ecg:varied") == ecg_varied.Config(train=7)
    with pytest.raises(UnknownNameError, match="ecg has no configuration 'no_such'"):
        items._config(trained, "ecg:no_such")


def test_another_task_has_its_own_settings(packaged, tmp_path, monkeypatch):
    (tmp_path / "second_task.py").write_text(SECOND_TASK)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert len(task_data(load_model(packaged.half), "second_task", tmp_path).test) == 4


def test_configuration_is_taken_as_it_is(tmp_path):
    ready = shares_of_the_mixture("m", 0.5)
    assert task_data(ready, Config(), str(tmp_path)) is DATA
    other = model("m", lambda data: data, sources=("heart", "noise"))
    with pytest.raises(UsageError, match=r"^m separates heart, noise, but the task has heart, breath$"):
        task_data(other, Config(), tmp_path)


def test_cache_is_where_the_data_are_kept(tmp_path):
    seen = []

    @dataclass
    class Kept:
        def load(self, cache):
            seen.append(cache)
            return DATA

    task_data(shares_of_the_mixture("m", 0.5), Kept(), tmp_path / "there")
    assert seen == [tmp_path / "there"]


def test_what_there_is_not_is_refused():
    with pytest.raises(UnknownNameError, match=r"^unknown task 'no_such_task'; there are: "):
        check_items("no_such_task", "test", 1)
    with pytest.raises(UsageError, match=r"^unknown split 'tests'; there are: train, validation, test$"):
        check_items(None, "tests", 1)
    with pytest.raises(UsageError, match=r"^batch_size must be at least 1, not 0$"):
        check_items(None, "test", 0)
    check_items("ecg", "train", 1)
    check_items(Config(), "validation", 1)


def test_model_as_a_function_of_tensors():
    separate = on_tensors(shares_of_the_mixture("m", 0.25))
    estimates = separate(torch.arange(6.0).reshape(2, 1, 3))
    assert (estimates.dtype, list(estimates.shape)) == (torch.float32, [2, 2, 1, 3])
    np.testing.assert_allclose(estimates[1, 1, 0], [0.75, 1, 1.25])


def test_settings_that_the_task_does_not_have_are_refused_in_one_line(packaged, tmp_path):
    half = load_model(packaged.half)
    half.metadata = {**half.metadata, "task_config": {"no_such_field": 1}}
    with pytest.raises(
        UsageError, match=r"was trained with settings that the task sepray\.tasks\.ecg does not have here"
    ):
        task_data(half, None, tmp_path)


def test_bug_of_a_task_is_none_of_the_settings_and_other_tasks_settings_are_none_of_the_models(tmp_path, monkeypatch):
    (tmp_path / "t_post.py").write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Config:\n"
        "    def __post_init__(self):\n        len(3)\n    def load(self, cache):\n        pass\n"
    )
    (tmp_path / "t_needs.py").write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Config:\n    folder: str\n"
        "    def load(self, cache):\n        pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    half = shares_of_the_mixture("half", 0.5)
    with pytest.raises(TypeError, match=r"^object of type 'int' has no len\(\)$"):
        task_data(half, "t_post", tmp_path)
    with pytest.raises(UsageError, match=r"^the task t_needs has settings without a default \(.*'folder'\); give a C"):
        task_data(half, "t_needs", tmp_path)


def test_model_that_says_no_task_is_refused_without_one(packaged, tmp_path):
    half = load_model(packaged.half)
    half.metadata = {name: value for name, value in half.metadata.items() if name != "task"}
    with pytest.raises(UsageError, match=r"does not say which task it was trained on: give --task, in Python task=$"):
        task_data(half, None, tmp_path)
