"""``--start``: every training begins with the weights of a trained model, which has a row of the final table."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sepray.contracts import Augmentation
from sepray.driver import driver, final_scores, initial_weights
from sepray.driver.champion import Champion
from sepray.driver.prepared import prepare
from sepray.driver.stage import trial_parameters
from sepray.driver.stores import StudyStores
from sepray.errors import UsageError
from sepray.execution.members import Members
from sepray.scoring import tables
from sepray.separators import cass, cass_published, supervised_mask
from sepray.spec.permissions import Permissions
from sepray.tracking import models, trust
from sepray.tracking.packaged_model import ModelError, PackagedModel

from .conftest import DATA, SIGNAL
from .hearts import HEARTS
from .hearts import SIGNAL as HEART_SIGNAL
from .test_final_scores import PLAN, SPEC, compared, trial


def trained(signal=SIGNAL, config=cass.DEBUG, **metadata):
    """A trained model of the separator, and the registry's answer to any address."""
    torch.manual_seed(5)
    separator = config.build(signal).eval()
    described = {"sources": list(signal.sources), "sample_rate": signal.sample_rate, "digest": "12ab"} | metadata

    def predict(data, params=None):
        return separator.separate(torch.from_numpy(data)).numpy()

    separation = SimpleNamespace(separator=separator, signal=signal, predict=predict)
    return separator, PackagedModel(Path("model"), described, None, separation)


@pytest.fixture
def model(monkeypatch):
    separator, loaded = trained()
    monkeypatch.setattr(models, "load", lambda *_: loaded)
    return separator


def test_every_member_of_every_trial_begins_with_the_models_weights(model, spec, tmp_path):
    prepared = prepare(spec.changed(start="some/folder"), DATA)
    parameters = trial_parameters("search", 2, prepared, str(tmp_path))
    members = Members(
        cass.DEBUG,
        SIGNAL,
        seed=3,
        count=2,
        train={"mixture": DATA.train.mixture, "sources": DATA.train.sources},
        hyperparameters={},
        device="cpu",
        augmentation=Augmentation(),
        weights=parameters["weights"],
    )
    expected = dict(model.named_parameters())
    for trainer in members.trainers:
        for name, value in trainer.separator.named_parameters():
            assert torch.equal(value, expected[name])
    first = next(iter(dict(members.trainers[0].separator.named_parameters())))
    members.trainers[0].epoch()
    moved = [dict(trainer.separator.named_parameters())[first] for trainer in members.trainers]
    assert not torch.equal(*moved)  # each has weights of its own
    assert np.array_equal(parameters["weights"][first], expected[first].detach().numpy())


def test_the_model_is_part_of_what_makes_a_study_the_same(model, spec):
    plain, started = prepare(spec, DATA), prepare(spec.changed(start="some/folder"), DATA)
    assert plain.weights is None
    assert "weights" not in plain.fingerprint
    assert {**plain.fingerprint, "weights": "12ab"} == started.fingerprint
    again = type(spec).restored(spec.changed(start="some/folder").plain())
    assert (again.start, type(spec).restored(spec.plain()).start) == ("some/folder", "")
    assert "start" not in spec.plain()  # as in studies of before


def test_a_study_that_goes_on_loads_the_model_once_with_the_trust_that_was_given(spec, tracker, monkeypatch):
    loads = []

    def load(*_):
        loads.append(trust.consented())
        return trained()[1]

    def begin(prepared, permitted):
        assert prepared.weights.digest == "12ab"
        raise UsageError("begun")

    monkeypatch.setattr(models, "load", load)
    spec = spec.changed(start="some/folder")
    StudyStores(prepare(spec, DATA)).close()
    loads.clear()
    monkeypatch.setattr(driver, "load_task", lambda *_: DATA)
    monkeypatch.setattr(driver, "StudyStores", begin)
    with pytest.raises(UsageError, match="begun"):
        driver.run(spec, Permissions(trust_model_code=True))
    assert loads == [True]


def test_models_of_a_study_are_loaded_again_where_its_signal_has_changed(model, spec):
    before = prepare(spec.changed(start="some/folder"), DATA)
    other = replace(DATA, signal=replace(SIGNAL, sample_rate=32.0))
    assert prepare(before.spec, DATA, before).weights is before.weights
    with pytest.raises(UsageError, match="does not separate the sources of the task"):
        prepare(before.spec, other, before)


@pytest.mark.parametrize(
    ("own", "line"),
    [
        (
            {"signal": replace(SIGNAL, sources=("a", "b"))},
            "the initial model x does not separate the sources of the task: low",
        ),
        (
            {"signal": replace(SIGNAL, sample_rate=32.0)},
            "the initial model x does not separate the sources of the task: low",
        ),
        (
            {"config": supervised_mask.DEBUG},
            r"the initial model x is another separator, .*: supervised_mask of",
        ),
        (
            {"config": cass_published.DEBUG},
            r"the initial model x is another separator, .*: cass:published of",
        ),
        (
            {"config": replace(cass.DEBUG, width=8)},
            r"the initial model x is another separator, or of other sizes: cass of",
        ),
        (
            {"signal": replace(SIGNAL, template=True)},
            r"the initial model x is another separator, .*, 1 channel\(s\), with --task\.template",
        ),
    ],
)
def test_a_model_that_does_not_fit_is_refused_in_one_line(own, line, monkeypatch):
    monkeypatch.setattr(models, "load", lambda *_: trained(**own)[1])
    with pytest.raises(UsageError, match=f"^{line}"):
        initial_weights.find("x", cass.DEBUG.build(SIGNAL), "")


def test_a_name_that_no_model_of_seprays_has_is_refused():
    with pytest.raises(UsageError, match=r"^no model 'pretrained:none' comes with sepray"):
        initial_weights.find("pretrained:none", cass.DEBUG.build(SIGNAL), "")


def test_weights_that_run_in_a_process_of_their_own_are_not_handed_out(monkeypatch):
    loaded = trained()[1]
    del loaded.separation.separator
    monkeypatch.setattr(models, "load", lambda *_: loaded)
    with pytest.raises(UsageError, match=r"^the initial model x runs in a process of its own"):
        initial_weights.find("x", cass.DEBUG.build(SIGNAL), "")


def test_the_model_as_it_comes_has_a_row_of_the_final_table(monkeypatch, tmp_path, capsys):
    separator, loaded = trained(HEART_SIGNAL)
    monkeypatch.setattr(models, "load", lambda *_: loaded)
    finals = [trial(tmp_path, 0, "trial 1")]
    champion = Champion("trial 1", 0.05, finals[0])
    systems = compared(finals, PLAN, SPEC.controls)
    spec = SPEC.changed(start="pretrained:ppg")
    result = final_scores.score_all(spec, HEARTS, champion, [], systems)
    row = next(row for row in result["rows"] if row["system"] == "pretrained:ppg, as it comes")
    expected = tables.score(separator, HEARTS.test, signal=HEARTS.signal)[SPEC.metric][:, 0].mean()
    assert row["values"]["heart"][0] == pytest.approx(expected)
    without = final_scores.score_all(SPEC, HEARTS, champion, [], systems)
    assert len(without["rows"]) == len(result["rows"]) - 1

    def gone(*_):
        raise ModelError("it is gone")

    monkeypatch.setattr(models, "load", gone)
    assert len(final_scores.score_all(spec, HEARTS, champion, [], systems)["rows"]) == len(without["rows"])
    assert "pretrained:ppg has no row: it is gone" in capsys.readouterr().out


def test_initial_weights_are_shown_by_their_digest_alone():
    assert repr(initial_weights.InitialWeights("12ab", {"a": 3})) == "InitialWeights(digest='12ab')"
