"""The end of a study: one look at the test split, a model that is packaged, and its place in the registry.

Of the registry alone there is a stand-in, because it is a server; what it is asked and told is looked at.
"""

import io
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from optuna.distributions import FloatDistribution
from rich.console import Console

from sepray.console import terminal
from sepray.contracts import Signal, Split, TaskData
from sepray.driver import final_scores, finish, selection
from sepray.driver.finish import Finish
from sepray.driver.selection import Finished, Retraining
from sepray.errors import UnreachableError
from sepray.execution import checkpoint, weights
from sepray.scoring.units import Units
from sepray.search.samplers import make_sampler
from sepray.search.storage import open_study
from sepray.separators import cass, oracle
from sepray.spec.study import StudySpec
from sepray.tasks import ecg
from sepray.tracking import load_check, models
from sepray.tracking.sources import PackagingError
from sepray.training.trainer import build

SIGNAL = Signal(("low", "high"), 1, (128,), 64.0)
TEST_ITEMS = 7


def split(seed: int, items: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    phase, gain = torch.rand(2, items, 2, 1, 1, generator=generator)
    rate = torch.tensor([0.2, 1.5]).reshape(1, 2, 1, 1)
    sources = (0.5 + gain) * torch.sin(rate * torch.arange(128) + 2 * math.pi * phase)
    return Split(sources.sum(1), sources)


DATA = TaskData(SIGNAL, split(0, 4), split(1, 8), split(2, TEST_ITEMS), "ab" * 32)
SPEC = StudySpec(
    name="sweep",
    separator=cass.DEBUG,
    task=ecg.DEBUG,
    space={},
    reference_points={"CASS": {"beta": 0.1}},
    controls={"plain autoencoder": {"adversarial": 0}},
)
ROLE, CONTROL = "trial 1", "plain autoencoder at the settings of trial 1"
PLAN = [Retraining(f"{role} seed {k}", role, {"beta": 0.2}, k) for role in (ROLE, "trial 0", CONTROL) for k in (1, 2)]


class Tracker:
    """Keeps what the study's run is told."""

    uri = "http://user:secret@tracker:5000"
    study = "sweep-1"

    def experiment_id(self):
        return "3"

    def __init__(self) -> None:
        self.told: list[tuple] = []
        self.flush = lambda timeout: 3  # records that still wait

    def study_finished(self, metrics, tags, note=""):
        self.told.append((dict(metrics), dict(tags), note))


class Registry:
    """A stand-in for MLflow's: the versions, which of them is champion, and what that separates."""

    def __init__(self) -> None:
        self.champion: str | None = None
        self.registered: list[tuple[str, str, str]] = []
        self.predict = lambda mixture: np.zeros((len(mixture), 2, 1, 128), np.float32)
        self.reachable = True
        self.described: list[str] = []

    def incumbent(self, name, uri=None):
        if not self.reachable:
            raise UnreachableError("MLflow at http://tracker:5000 does not answer")
        return models.Incumbent(self.champion, "run") if self.champion else None

    def register(self, tracker, label, folder, name, *, tags, description, scored):
        assert (folder / "MLmodel").is_file()
        self.incumbent(name)
        self.tags, self.description, self.scored = tags, description, scored
        self.described.append(description)
        self.registered.append((label, str(folder), name))
        return "7"

    def set_champion(self, name, version, uri, description):
        assert uri == Tracker.uri
        self.described.append(description)
        self.champion = version

    def has_files(self, name, version, uri):
        return True

    def describe(self, model, uri=None):
        return {"data_fingerprint": DATA.fingerprint}

    def load(self, model, uri=None):
        assert model == f"models:/cass-ecg/{self.champion}"
        return self


@pytest.fixture
def registry(monkeypatch):
    stands = Registry()
    for name in ("incumbent", "register", "set_champion", "has_files", "load", "describe"):
        monkeypatch.setattr(models, name, getattr(stands, name))
    monkeypatch.setattr(models, "as_function", lambda loaded: lambda x: torch.from_numpy(loaded.predict(x.numpy())))
    monkeypatch.setattr(load_check, "require_working", lambda *_: None)  # a process of its own, for seconds
    return stands


@pytest.fixture
def tested(monkeypatch):
    """How often a separator was given the test split's mixtures."""
    calls = []
    separate = cass.Cass.separate

    def counted(self, mixture):
        if len(mixture) == TEST_ITEMS:
            calls.append(self)
        return separate(self, mixture)

    monkeypatch.setattr(cass.Cass, "separate", counted)
    return calls


@pytest.fixture
def screen(monkeypatch):
    console = Console(file=io.StringIO(), width=140, highlight=False)
    for module in (finish, final_scores, terminal):
        monkeypatch.setattr(module, "console", console)
    return console.file


def trained(folder, number, value, role=None, label=None) -> Finished:
    """A trial with weights of its own, drawn from its number."""
    place = str(folder / f"{'finals' if role else 'search'}-{number}")
    weights = build(cass.DEBUG, SIGNAL, seed=number + (100 if role else 0)).state_dict()
    checkpoint.save(place, 3, {f"0/separator.{name}": tensor for name, tensor in weights.items()}, {"members": []})
    attributes = {"role": role, "seed": 1 + number % 2} if role else {}
    return Finished(number, label, {"beta": 0.2}, value, place, attributes)


class Study:
    """The trials that a study has when it comes to its end."""

    def __init__(self, folder) -> None:
        self.folder, self.tracker = folder, Tracker()
        self.searched = [trained(folder, 1, 0.3), trained(folder, 0, 0.9, label="CASS")]
        self.finals = [
            trained(folder, 0, 0.30, ROLE),
            trained(folder, 1, 0.40, ROLE),
            trained(folder, 2, 0.10, "trial 0"),
            trained(folder, 3, 0.80, "trial 0"),
            trained(folder, 4, 0.70, CONTROL),
            trained(folder, 5, 0.60, CONTROL),
        ]

    def finish(self, spec=SPEC, **ranges) -> int:
        return Finish(spec, DATA, self.folder, self.tracker, **ranges).run(self.searched, self.finals, PLAN)

    def result(self) -> dict:
        return json.loads((self.folder / "result.json").read_text())


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def scores(trial: Finished, of: Split = DATA.test) -> np.ndarray:
    """The relative L2 error of a trial's separator, worked out anew, ``[item, source]``."""
    separator = weights.load_separator(cass.DEBUG, SIGNAL, trial.folder)
    error = separator.separate(of.mixture) - of.sources
    return (error.flatten(2).norm(dim=-1) / of.sources.flatten(2).norm(dim=-1)).numpy()


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


def test_setting_at_the_edge_of_its_range_is_told_beside_the_settings(study, registry, screen):
    asked = []

    def ranges(arm):
        asked.append(arm)
        return {"beta": FloatDistribution(0.0, 0.2)}

    study.finish(ranges=ranges)
    sentence = "beta 0.2 is at the upper end of its range (0 to 0.2): widen it"
    assert asked == [""]
    assert study.result()["edges"] == [sentence]
    assert f"\n{sentence}.\n" in screen.getvalue()
    assert f"\n\n{sentence}.\n\n" in study.tracker.told[0][2]
    assert f"\n\n{sentence}.\n\n" in registry.description


def test_packaged_model_separates_as_the_champion_and_says_what_it_is(study, registry, screen):
    study.finish()
    loaded = __import__("mlflow").pyfunc.load_model(str(study.folder / "model"))
    mixture = DATA.test.mixture.numpy()
    expected = weights.load_separator(cass.DEBUG, SIGNAL, study.finals[0].folder).separate(DATA.test.mixture)
    np.testing.assert_allclose(loaded.predict(mixture), expected.numpy(), atol=1e-6)
    described = loaded.metadata.metadata
    assert (described["study"], described["metric"], described["sources"]) == ("sweep", "relative_l2", ["low", "high"])
    assert (described["task"], described["data_fingerprint"]) == ("sepray.tasks.ecg", DATA.fingerprint)
    assert described["hyperparameters"] == {"beta": 0.2}
    assert (described["n_fft"], described["hop"]) == (cass.DEBUG.n_fft, cass.DEBUG.hop)
    assert described["task_config"]["train"] == ecg.DEBUG.train


@pytest.fixture
def ended(study, registry, screen):
    """A study with a result and a package already; what is left is the registry."""
    study.finish()
    registry.registered.clear()
    study.tracker.told.clear()
    screen.truncate(0)
    return study


def test_second_run_shows_the_same_and_opens_the_test_split_no_more(ended, registry, screen, tested, monkeypatch):
    before = (ended.folder / "result.json").read_bytes()
    monkeypatch.setattr(finish, "package", lambda *_, **__: pytest.fail("packaged twice"))
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


def test_equal_challenger_is_not_better(ended, registry, screen):
    registry.champion = "3"
    same = weights.load_separator(cass.DEBUG, SIGNAL, ended.finals[0].folder)
    registry.predict = lambda mixture: same.separate(torch.from_numpy(mixture)).numpy()
    assert "version 3 stays the champion" in announce(ended)
    assert registry.champion == "3"


def test_incumbent_that_cannot_separate_this_test_split_does_not_end_the_study(ended, registry, screen):
    """It was trained on three sources, before the task was changed; the result is shown all the same."""
    registry.champion = "3"
    registry.predict = lambda mixture: np.zeros((len(mixture), 3, 1, 128), np.float32)
    told = announce(ended)
    assert registry.champion == "3"
    assert "cass-ecg version 7" in told
    assert "version 3" in told
    assert f"champion, {ROLE}" in screen.getvalue()


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


def damage(trial: Finished) -> None:
    for path in Path(trial.folder).iterdir():
        path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("text", ["", '{"member": 0, "role"', "[]", '{"member": 0}'])
def test_result_that_cannot_be_read_is_scored_again(ended, registry, screen, tested, text):
    before = ended.result()
    (ended.folder / "result.json").write_text(text)
    tested.clear()
    assert ended.finish() == 0
    assert tested
    assert ended.result() == before


@pytest.mark.parametrize("loss", ["folder", "description"])
def test_model_that_is_gone_is_packaged_again(ended, registry, screen, tested, loss):
    tested.clear()
    shutil.rmtree(ended.folder / "model") if loss == "folder" else (ended.folder / "model" / "MLmodel").write_text("")
    assert ended.finish() == 0
    assert (ended.folder / "model" / "MLmodel").stat().st_size > 0
    assert tested == []


@pytest.mark.parametrize("how", ["damaged", "truncated", "missing"])
def test_model_that_is_damaged_is_packaged_again(ended, registry, screen, tested, how):
    weights = ended.folder / "model" / "data" / "separator" / "weights.safetensors"
    before = weights.read_bytes()
    if how == "missing":
        weights.unlink()
    else:
        weights.write_bytes(before[:-8] + (bytes(8) if how == "damaged" else b""))
    assert ended.finish() == 0
    assert weights.read_bytes() == before


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
    """Its model is packaged, but its result is gone, and its checkpoint too."""
    study.finish()
    plan = [each for each in PLAN if each.role == ROLE]
    champion = selection.champion(study.finals, [ROLE])
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


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("here/my study/report.html", "'my study/report.html'"),
        ("else where/report.html", "'{}/else where/report.html'"),
    ],
)
def test_report_is_opened_by_a_path_from_here_that_a_shell_takes_as_one(
    study, registry, screen, monkeypatch, tmp_path, place, shown
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(finish, "make_report", lambda *_: tmp_path / place)
    study.finish()
    assert f"  python -m webbrowser {shown.format(tmp_path)}\n" in screen.getvalue()
    [(_, _, note)] = study.tracker.told
    assert "all of them on one page in `report.html`" in note


def test_report_is_made_of_both_stages_and_the_data_and_goes_to_the_run(study, registry, screen, monkeypatch, tmp_path):
    spec = replace(SPEC, objective=("relative_l2",)).changed(storage=f"sqlite:///{tmp_path}/optuna.db")
    storage = spec.stores.storage
    for name in ("sweep", "sweep/finals"):
        opened = open_study(
            storage,
            name,
            ["minimize"],
            {"objectives": {"validation/relative_l2": "minimize"}},
            make_sampler("random", 0, {}, existing=0),
        )
        opened.set_user_attr("uid", "ab")
    files = []
    monkeypatch.setattr(study.tracker, "log_file", lambda label, name, path: files.append((label, name)), raising=False)
    page = finish.make_report(spec, DATA, tmp_path, study.tracker)
    assert page == tmp_path / "report.html"
    assert ("", "report.html") in files
    assert "sweep" in page.read_text()


def test_model_that_cannot_be_packaged_costs_the_registration_and_not_the_result(study, registry, screen, monkeypatch):
    def refused(*_):
        raise PackagingError("the separator imports secret_library, which does not travel with it")

    monkeypatch.setattr(finish, "package", refused)
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
        finish, "package", lambda spec, data, member, folder: packaged.append((member.number, folder.exists()))
    )
    ended.finals += [trained(ended.folder, 6 + k, 0.05 + k / 100, "trial 9") for k in range(2)]
    plan = [*PLAN, *(Retraining(f"trial 9 seed {k}", "trial 9", {"beta": 0.2}, k) for k in (1, 2))]
    Finish(SPEC, DATA, ended.folder, ended.tracker).run(ended.searched, ended.finals, plan)
    assert packaged == [(6, False)]


def test_commands_and_reasons_are_never_broken_into_lines(study, registry, screen, monkeypatch):
    """A narrow window may break prose; a command is copied, and a reason searched for."""
    finish.console.width = 20
    monkeypatch.setattr(finish, "make_report", lambda *_: study.folder / "report.html")
    study.finish()
    assert f"\n  python -m webbrowser {study.folder}/report.html\n" in screen.getvalue()


def test_report_that_fails_costs_a_line_that_is_never_broken(monkeypatch):
    def fail(*arguments):
        raise ValueError("no figure\nof this")

    narrow = Console(file=io.StringIO(), width=20)
    monkeypatch.setattr(finish, "console", narrow)
    monkeypatch.setattr(finish, "load_study", fail)
    assert finish.make_report(SPEC, DATA, Path("nowhere"), Tracker()) is None
    assert narrow.file.getvalue() == (
        "the report could not be made (ValueError: no figure; of this); later: sepray report sweep\n"
    )
