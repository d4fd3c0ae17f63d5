"""The flagship study in a short form, by real commands: from data to a registered champion of ECG of every shape."""

import shutil

import pytest

from ..documents import ROOT


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a minute on an idle machine
def test_short_form_registers_a_champion_that_separates(laboratory):
    shutil.copy(ROOT / "studies" / "cass_ecg_varied.py", laboratory.folder)
    items = ("--task.train", "60", "--task.validation", "20", "--task.test", "20", "--task.item-samples", "500")
    flags = ("--max-epochs", "2", "--cache", str(laboratory.folder / "cache"))

    printed = laboratory.run(*flags, *items, script="cass_ecg_varied.py", timeout=900)

    trials = laboratory.trials("cass-ecg-varied")
    assert [trial.params["arm"] for trial in trials] == ["no adversaries", "CASS", "cross all"]
    assert all(len(trial.values) == 2 for trial in trials)
    finals = laboratory.trials("cass-ecg-varied/finals")
    assert len({trial.user_attrs["seed"] for trial in finals}) == 1
    assert "fetal beat F1" in printed
    assert "Registered as cass-ecg version 1" in printed
    assert "shape (3, 2, 1, 50)" in laboratory.load_elsewhere("models:/cass-ecg@champion")
