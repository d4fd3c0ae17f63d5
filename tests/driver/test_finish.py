"""The end of a study: one look at the test split, a model that is packaged, and its place in the registry.

Of the registry alone there is a stand-in, because it is a server; what it is asked and told is looked at.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import FloatDistribution

from sepray.driver import packaged_champion
from sepray.driver.champion import choose_champion
from sepray.driver.finish import Finish
from sepray.driver.finished_trials import Finished
from sepray.driver.retrainings import Retraining
from sepray.execution import checkpoint
from sepray.scoring.units import Units
from sepray.separators import cass, oracle
from sepray.tracking import models
from sepray.tracking.sources import PackagingError
from sepray.training.trainer import build

from .endings import CONTROL, DATA, PLAN, ROLE, SIGNAL, SPEC, TEST_ITEMS, Tracker, damage, scores, trained


def test_first_champion_is_scored_packaged_registered_and_shown(study, registry, screen):
    assert study.finish() == 0
    assert registry.registered == [("final-0", str(study.folder / "model"), "cass-ecg")]
    assert registry.champion == "7"

    result = study.result()
    assert (result["member"], result["role"], result["validation"]) == (0, ROLE, pytest.approx(0.35))
    np.testing.assert_allclose(result["scores"]["relative_l2"], scores(study.finals[0]), rtol=1e-5)
    on_validation = scores(study.finals[0], DATA.validation)
    np.testing.assert_allclose(result["validation_scores"]["relative_l2"], on_validation, rtol=1e-5)
    assert Units.restored(result["units"], TEST_ITEMS).words == f"{TEST_ITEMS} items"
    rows = {row["system"]: row["values"] for row in result["rows"]}
    assert list(rows) == [
        f"champion, {ROLE}",
        f"{ROLE}, mean of 2 seeds",
        f"{CONTROL}, mean of 2 seeds",
        "CASS (20 epochs; no published number)",
        "unprocessed mixture",
        "oracle: ideal ratio mask",
        "oracle: phase sensitive mask",
        "oracle: mixture phase",
    ]
    assert [row["bold"] for row in result["rows"]] == [True] + [False] * 7
    means = {f"champion, {ROLE}": [0], f"{ROLE}, mean of 2 seeds": [0, 1], f"{CONTROL}, mean of 2 seeds": [4, 5]}
    for name, members in means.items():
        expected = np.mean([scores(study.finals[k])[:, 1].mean() for k in members])
        assert rows[name]["high"][0] == pytest.approx(expected, rel=1e-5)
    assert rows["CASS (20 epochs; no published number)"]["mean"][0] == pytest.approx(
        scores(study.searched[1]).mean(), rel=1e-5
    )

    printed = screen.getvalue()
    answer = result["answer"]["sentence"]
    assert answer.startswith("Trial 1 changed the relative L2 error by ")
    assert re.search(
        r"% against plain autoencoder: no effect that 2 seeds can show; a claim needs \d+ at the least\.$", answer
    )
    order = [
        answer,
        "difference to plain autoencoder",
        "Settings of the champion, trial 1: beta 0.2 with all digits, as a file: sepray show sweep --settings",
    ]
    order += ["sweep: relative L2 error on the test split", f"mean over {TEST_ITEMS} test items [95% interval"]
    told = " ".join(printed.split())
    places = [told.index(text) for text in order]
    assert places == sorted(places)
    assert f"\n\n{answer[:60]}" in printed  # apart from what was said before
    assert f"mean over {TEST_ITEMS} test items [95% interval over items: the task does not say which" in printed
    sentence = "Registered as cass-ecg version 7, the first champion."
    assert sentence in printed
    assert "  sepray evaluate models:/cass-ecg@champion" in printed

    [(metrics, tags, note)] = study.tracker.told
    assert metrics == {
        "test/low/relative_l2": pytest.approx(scores(study.finals[0])[:, 0].mean(), rel=1e-5),
        "test/high/relative_l2": pytest.approx(scores(study.finals[0])[:, 1].mean(), rel=1e-5),
        "test/relative_l2": pytest.approx(scores(study.finals[0]).mean(), rel=1e-5),
    }
    assert tags == {"outcome": "finished", "champion": ROLE, "model_version": "7"}
    assert note.startswith(
        f"{answer}\n\n**relative L2 error on the test split: difference to plain autoencoder**\n\n| arm&emsp; |"
    )
    settings = f"**Settings of the champion, {ROLE}**\n\n| setting&emsp; | value |\n| --- | ---: |\n"
    settings += "| `beta`&emsp; | 0.2 |\n\n**sweep: "
    assert settings in note
    assert sentence in note
    assert f"| **champion, {ROLE}**&emsp; |" in note
    assert f"Data: `{DATA.fingerprint}`." in note
    origin = f"Champion of the study `sweep`; data `{DATA.fingerprint}`."
    assert registry.described == [registry.description] * 2
    assert registry.description.startswith(note.partition("\n\nRegistered")[0])
    assert registry.description.endswith(f"\n\n{origin}")
    assert registry.tags == {"study": "sweep", "trial": "final-0", "data_fingerprint": DATA.fingerprint}
    assert registry.scored == models.Scored(metrics, "ecg", DATA.fingerprint)


def test_second_run_shows_the_same_and_opens_the_test_split_no_more(ended, registry, screen, tested, monkeypatch):
    before = (ended.folder / "result.json").read_bytes()
    monkeypatch.setattr(packaged_champion, "package", lambda *_, **__: pytest.fail("packaged twice"))
    assert ended.finish() == 0
    assert tested == []
    assert (ended.folder / "result.json").read_bytes() == before
    assert registry.registered == [("final-0", str(ended.folder / "model"), "cass-ecg")]
    assert "cass-ecg version 7 is the champion." in screen.getvalue()
    assert f"champion, {ROLE}" in screen.getvalue()
    assert len(ended.tracker.told) == 1


def test_another_champion_after_an_extension_is_scored_anew(ended, registry, screen, tested):
    ended.finals += [trained(ended.folder, 6 + k, 0.05 + k / 100, "trial 9") for k in range(2)]
    plan = [*PLAN, *(Retraining(f"trial 9 seed {k}", "trial 9", {"beta": 0.2}, k) for k in (1, 2))]
    assert Finish(SPEC, DATA, ended.folder, ended.tracker).run(ended.searched, ended.finals, plan) == 0
    assert len(tested) == 6  # the champion, the pairs of the finalist before, the paper's
    assert ended.result()["member"] == 6
    assert registry.registered[-1][0] == "final-6"


def announce(study, spec=SPEC) -> str:
    Finish(spec, DATA, study.folder, study.tracker).announce(study.result())
    [(_, tags, note)] = study.tracker.told
    return f"{tags['model_version']}: {note}"


def test_better_challenger_takes_the_alias(ended, registry, screen):
    registry.champion = "3"
    registry.predict = lambda mixture: 50 * np.repeat(mixture[:, None], 2, axis=1)
    told = announce(ended)
    assert registry.champion == "7"
    won = "Registered as cass-ecg version 7, the new champion: it beats version 3"
    assert f"{won} (validation: relative L2 error, mean over the sources, " in told
    challenger, defender = (
        scores(ended.finals[0], DATA.validation).mean(1),
        told.rpartition(" against ")[2].split(",")[0],
    )
    error = 50 * DATA.validation.mixture[:, None] - DATA.validation.sources
    expected = (error.flatten(2).norm(dim=-1) / DATA.validation.sources.flatten(2).norm(dim=-1)).mean()
    assert float(defender) == pytest.approx(float(expected), abs=1e-3)
    assert f"over the sources, {challenger.mean():.4f} against" in told
    assert "sepray evaluate models:/cass-ecg@champion" in told


def test_challenger_that_is_not_better_is_registered_without_the_alias(ended, registry, screen):
    registry.champion = "3"
    registry.predict = lambda mixture: DATA.validation.sources.numpy()  # the truth itself
    told = announce(ended)
    assert registry.champion == "3"
    assert registry.registered
    assert told.startswith("7: ")
    kept = "Registered as cass-ecg version 7; version 3 stays the champion"
    assert f"{kept} (validation: relative L2 error, mean over the sources, " in told
    assert "against 0.0000" in told
    assert "sepray evaluate models:/cass-ecg/7" in told


def test_more_is_better_where_the_objective_is_maximised(study, registry, screen):
    spec = replace(SPEC, objective=("si_sdr",))
    study.finish(spec)
    assert "more is better" in screen.getvalue()
    assert "SI-SDR in dB on the test split" in screen.getvalue()
    study.tracker.told.clear()
    registry.champion, registry.predict = "3", lambda mixture: DATA.validation.sources.numpy()
    assert "version 3 stays the champion (validation: SI-SDR, mean over the sources, " in announce(study, spec)
    study.tracker.told.clear()
    registry.predict = lambda mixture: np.zeros((len(mixture), 2, 1, 128), np.float32)  # -60 dB
    assert "the new champion: it beats version 3" in announce(study, spec)


def test_server_that_does_not_answer_costs_only_the_registration(study, registry, screen, tested):
    registry.reachable = False
    assert study.finish() == 0
    printed = screen.getvalue()
    waits = f"does not answer; the model waits in {study.folder / 'model'}. Later: sepray reconcile sweep"
    assert waits in "".join(printed.splitlines())
    assert f"champion, {ROLE}" in printed
    assert study.tracker.told[0][1]["model_version"] == "waiting"
    assert "sepray evaluate" not in printed
    assert len(tested) == 5  # the pairs of two seeds, the champion among them, and the paper's

    registry.reachable = True  # what `sepray reconcile` does
    study.tracker.told.clear()
    assert "the first champion" in announce(study)
    assert len(tested) == 5


def test_server_that_answers_again_after_the_last_records_is_asked_once_more(study, registry, screen):
    registry.reachable = False

    def flush(timeout):
        registry.reachable = True
        return 0

    study.tracker.flush = flush
    assert study.finish() == 0
    assert registry.champion == "7"
    assert "Registered as cass-ecg version 7, the first champion." in screen.getvalue()


def test_study_that_registers_the_same_model_at_the_same_moment_is_compared_with(study, registry, screen, monkeypatch):
    """Nobody is the champion before this study registers its version; somebody is after."""
    register = registry.register

    def late(*given, **named):
        version = register(*given, **named)
        registry.champion = "6"
        return version

    monkeypatch.setattr(models, "register", late)
    assert study.finish() == 0
    assert "; version 6 stays the champion" in "".join(screen.getvalue().splitlines())


@pytest.mark.parametrize("text", ["", '{"member": 0, "role"', "[]", '{"member": 0}'])
def test_result_that_cannot_be_read_is_scored_again(ended, registry, screen, tested, text):
    before = ended.result()
    (ended.folder / "result.json").write_text(text)
    tested.clear()
    assert ended.finish() == 0
    assert tested
    assert ended.result() == before


def test_lost_weights_matter_where_something_is_still_to_be_scored_or_packaged(study, registry, screen):
    def lost():
        found = Finish(SPEC, DATA, study.folder, study.tracker).without_weights(study.finals, PLAN)
        return sorted(trial.number for trial in found)

    assert lost() == []
    for number in (1, 3):
        damage(study.finals[number])
    assert lost() == [1]  # 3 has lost, and is compared with nothing
    study.finals[1] = trained(study.folder, 6, 0.40, ROLE)
    assert lost() == []
    study.finish()
    damage(study.finals[4])
    assert lost() == []  # scored and packaged
    (study.folder / "result.json").unlink()
    assert lost() == [4]


def test_champion_that_is_compared_with_nothing_is_trained_again_where_it_is_to_be_scored(study, registry, screen):
    """The champion's model is packaged, but its result is gone, and its checkpoint too."""
    study.finish()
    plan = [each for each in PLAN if each.role == ROLE]
    champion = choose_champion(study.finals, [ROLE])
    assert champion is not None
    damage(champion.member)
    finish = Finish(SPEC, DATA, study.folder, study.tracker)
    (study.folder / "result.json").unlink()
    assert [trial.number for trial in finish.without_weights(study.finals, plan)] == [champion.member.number]


def test_checkpoint_of_another_trial_counts_as_lost(study, registry, screen):
    [path] = Path(study.finals[0].folder).iterdir()
    path.unlink()
    weights = build(cass.DEBUG, SIGNAL, seed=3).state_dict()
    tensors = {f"0/separator.{name}": tensor for name, tensor in weights.items()}
    checkpoint.save(study.finals[0].folder, 3, tensors, {"number": 5, "seed": 1})
    found = Finish(SPEC, DATA, study.folder, study.tracker).without_weights(study.finals, PLAN)
    assert [trial.number for trial in found] == [0]


def test_published_settings_without_their_weights_have_no_row_and_a_note(study, registry, screen):
    damage(study.searched[1])
    assert study.finish() == 0
    assert (
        "CASS (20 epochs; no published number) has no row: the checkpoints of trial 0 are damaged or gone"
        in screen.getvalue()
    )
    assert all("CASS" not in row["system"] for row in study.result()["rows"])


def test_without_a_finished_retraining_there_is_nothing_to_register(study, registry, screen, tested):
    study.finals = []
    assert study.finish() == 1
    why = "none of the best configurations could be trained again"
    note = f"Study `sweep` has ended, and there is nothing to register: {why}."
    assert study.tracker.told == [({}, {"outcome": "nothing to register"}, note)]
    assert "there is nothing to register" in screen.getvalue()
    assert tested == registry.registered == []
    assert not (study.folder / "result.json").exists()


def test_an_oracle_is_scored_and_neither_packaged_nor_registered(tmp_path, registry, screen):
    checkpoint.save(str(tmp_path / "final"), 1, {}, {"members": []})
    member = Finished(0, None, {}, 0.2, str(tmp_path / "final"), {"role": ROLE})
    spec, tracker = replace(SPEC, separator=oracle.DEBUG, reference_points={}, controls={}), Tracker()
    assert Finish(spec, DATA, tmp_path, tracker).run([member], [member], PLAN) == 0
    assert registry.registered == []
    assert not (tmp_path / "model").exists()
    assert "An oracle is told the true sources: it is a bound, and no model is registered." in screen.getvalue()
    [(metrics, tags, _)] = tracker.told
    assert tags["model_version"] == "none"
    sources, mixture = DATA.test.sources, DATA.test.mixture
    estimates = oracle.DEBUG.build(SIGNAL).separate_given(mixture, sources)
    error = (estimates - sources).flatten(2).norm(dim=-1) / sources.flatten(2).norm(dim=-1)
    assert metrics["test/relative_l2"] == pytest.approx(error.mean().item(), rel=1e-4)


def test_model_that_cannot_be_packaged_costs_the_registration_and_not_the_result(study, registry, screen, monkeypatch):
    def refused(*_):
        raise PackagingError("the separator imports secret_library, which does not travel with it")

    monkeypatch.setattr(packaged_champion, "package", refused)
    for _ in range(2):  # the same command tries again
        assert study.finish() == 1
    printed = screen.getvalue()
    sentence = "No model is registered: the separator imports secret_library, which does not travel with it."
    assert printed.count(sentence) == 2
    assert f"champion, {ROLE}" in printed
    assert registry.registered == []
    assert study.tracker.told[0][1]["model_version"] == "none"
    assert study.result()["role"] == ROLE


def test_model_of_an_earlier_champion_is_never_registered_for_a_later_one(ended, registry, screen, monkeypatch):
    packaged = []
    monkeypatch.setattr(
        packaged_champion,
        "package",
        lambda spec, data, member, folder: packaged.append((member.number, folder.exists())),
    )
    ended.finals += [trained(ended.folder, 6 + k, 0.05 + k / 100, "trial 9") for k in range(2)]
    plan = [*PLAN, *(Retraining(f"trial 9 seed {k}", "trial 9", {"beta": 0.2}, k) for k in (1, 2))]
    Finish(SPEC, DATA, ended.folder, ended.tracker).run(ended.searched, ended.finals, plan)
    assert packaged == [(6, False)]


def test_setting_at_the_edge_of_the_range_of_the_champions_arm_is_told(ended, registry, screen):
    asked = []

    def ranges(arm):
        asked.append(arm)
        return {"beta": FloatDistribution(0.0, 0.2)}

    ended.finish(ranges=ranges)
    sentence = "beta 0.2 is at the upper end of its range (0 to 0.2): widen it"
    assert asked == [""]
    assert ended.result()["edges"] == [sentence]
    assert f"\n\n{sentence}.\n\n" in registry.description
