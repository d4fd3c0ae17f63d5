"""Commands, used as their help says: a packaged model on recordings, against another model, in lists; the doctor."""

import io
import json
import sys
from dataclasses import dataclass

import numpy as np
import optuna
import pytest
import soundfile
import torch

from sepray.cli import doctor as doctor_module
from sepray.cli import main as cli
from sepray.cli.picture import Envelope
from sepray.tasks import ecg
from sepray.tracking import models
from sepray.tracking.connection import connect

SEPARATOR = '''
"""Shares of the mixture: of a low-pass, and what is left."""
from dataclasses import dataclass
import torch
from sepray.contracts import Separator


@dataclass(frozen=True)
class Config:
    share: float = 0.5
    batch_size: int = 20
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, signal):
        return Shares(signal, self)


class Shares(Separator):
    """Source 0 is `share` of the mixture, source 1 the rest."""

    def __init__(self, signal, config):
        super().__init__(signal)
        self.register_buffer("share", torch.tensor(config.share))

    def hyperparameters(self):
        return {}

    def separate(self, mixture):
        return torch.stack([self.share * mixture, (1 - self.share) * mixture], dim=1)
'''


@dataclass(frozen=True)
class Place:
    """A folder with two packaged models of the separator above, shares 0.5 and 0.9, for 128 Hz."""

    half: str
    most: str


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    from sepray.contracts import Signal
    from sepray.identity import plain
    from sepray.tracking.packaging import package_model

    folder = tmp_path_factory.mktemp("models")
    (folder / "cli_shares.py").write_text(SEPARATOR)
    sys.path.insert(0, str(folder))
    import cli_shares

    signal = Signal(("maternal", "fetal"), 1, (96,), 128.0)
    described = {
        "study": "shares",
        "metric": "relative_l2",
        "sources": list(signal.sources),
        "sample_rate": 128.0,
        "task": "sepray.tasks.ecg",
        "task_config": plain(ecg.DEBUG),
        "n_fft": 16,
        "hop": 8,
    }
    for name, share in (("half", 0.5), ("most", 0.9)):
        config = cli_shares.Config(share)
        package_model(
            folder / name,
            separator=config.build(signal),
            config=config,
            example=np.zeros((1, 1, 96), np.float32),
            metadata=described,
        )
    yield Place(str(folder / "half"), str(folder / "most"))
    sys.path.remove(str(folder))


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def run(capsys, *arguments, status=0):
    """Run a command as the shell would; return what it printed."""
    with pytest.raises(SystemExit) as caught:
        cli.main([str(a) for a in arguments])
    printed = capsys.readouterr()
    assert (caught.value.code or 0) == status, printed.err
    return printed.out


def slow_wave(rate, seconds, channels=1):
    """Sinusoids far below what 128 Hz can hold, one a channel."""
    time = np.arange(round(rate * seconds)) / rate
    return np.stack([0.6 * np.sin(2 * np.pi * (3 + k) * time + k) for k in range(channels)])


def test_separate_keeps_length_rate_type_and_level_of_each_channel(place, tmp_path, capsys):
    wave = slow_wave(8000, 3.2174, channels=2)
    soundfile.write("belly.wav", wave.T, 8000, subtype="PCM_24")
    out = run(capsys, "separate", place.half, "belly.wav", "-o", "deep/out")
    assert "3 s at 8000 Hz, separated at 128 Hz" in out
    files = sorted(p.name for p in (tmp_path / "deep/out").iterdir())
    assert files == ["belly.fetal.wav", "belly.maternal.wav", "belly.png"]
    for name in ("fetal", "maternal"):
        estimate, rate = soundfile.read(f"deep/out/belly.{name}.wav")
        assert (rate, estimate.shape) == (8000, (25739, 2))
        assert soundfile.info(f"deep/out/belly.{name}.wav").subtype == "PCM_24"
        # half of it, but for the ends, where the change of rate misses what lies beyond
        np.testing.assert_allclose(estimate.T[:, 1000:-1000], wave[:, 1000:-1000] / 2, atol=1e-3)
    assert (tmp_path / "deep/out/belly.png").read_bytes().startswith(b"\x89PNG")


def test_separate_at_the_models_own_rate_has_no_seams(place, capsys):
    wave = slow_wave(128, 20).astype(np.float32)
    np.save("wave.npy", wave[0])
    shown = json.loads(run(capsys, "separate", place.most, "wave.npy", "--rate", 128, "--no-picture", "--json"))
    assert shown["files"] == ["wave.fetal.npy", "wave.maternal.npy"]
    assert (shown["rate"], shown["frames"], shown["channels"]) == (128, 2560, 1)
    np.testing.assert_allclose(np.load("wave.maternal.npy"), 0.9 * wave[0], atol=1e-6)
    np.testing.assert_allclose(np.load("wave.fetal.npy"), 0.1 * wave[0], atol=1e-6)


def test_separate_reads_standard_input_and_writes_standard_output(place, tmp_path, capsys, monkeypatch):
    wave = slow_wave(128, 2)[0]
    typed = io.TextIOWrapper(io.BytesIO("".join(f"{v:.6f}\n" for v in wave).encode()))
    printed = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdin", typed)
    monkeypatch.setattr(sys, "stdout", printed)
    arguments = ["separate", place.most, "-", "--rate", "128", "-o", "-", "--source", "fetal"]
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 0
    printed.flush()
    estimate = np.loadtxt(io.BytesIO(printed.buffer.getvalue()))
    np.testing.assert_allclose(estimate, 0.1 * wave, atol=1e-6)
    assert not list(tmp_path.iterdir())


def test_separate_says_what_it_clipped_and_prints_nothing_when_quiet(place, capsys):
    np.save("counts.npy", (100 * slow_wave(128, 2)[0]).astype(np.int8))
    assert run(capsys, "separate", place.most, "counts.npy", "--rate", "128", "--quiet") == ""
    expected = np.rint(np.float32(0.9) * np.load("counts.npy").astype(np.float32))
    assert np.abs(np.load("counts.maternal.npy") - expected).max() <= 1
    assert np.load("counts.maternal.npy").dtype == np.int8


def test_separation_that_fails_leaves_nothing(place, tmp_path, capsys, monkeypatch):
    np.save("wave.npy", slow_wave(128, 2)[0])

    def broken(*arguments):
        raise ValueError("the picture cannot be drawn")

    monkeypatch.setattr("sepray.cli.main.separate.draw", broken)
    run(capsys, "separate", place.most, "wave.npy", "--rate", "128", "-o", "a/b", status=2)
    assert [p.name for p in tmp_path.iterdir()] == ["wave.npy"]


def test_evaluate_writes_the_scores_of_each_item(place, tmp_path, capsys):
    arguments = ["--json", "scores.json", "--quiet", "--cache", tmp_path / "cache"]
    assert run(capsys, "evaluate", place.half, *arguments) == ""
    scores = json.loads((tmp_path / "scores.json").read_text())
    test = ecg.DEBUG.load(tmp_path / "cache").test
    error = (test.mixture[:, None] / 2 - test.sources).flatten(2).norm(dim=-1) / test.sources.flatten(2).norm(dim=-1)
    np.testing.assert_allclose(scores["scores"][place.half]["relative_l2"]["items"], error.tolist(), rtol=1e-4)
    assert {"unprocessed mixture", "oracle: ideal ratio mask"} < set(scores["scores"])


def test_compare_finds_the_better_one_whichever_comes_first(place, tmp_path, capsys):
    cache = ["--cache", tmp_path / "cache"]
    found = json.loads(run(capsys, "compare", place.most, place.half, "--json", *cache))
    test = ecg.DEBUG.load(tmp_path / "cache").test
    norm = test.sources.flatten(2).norm(dim=-1)

    def errors(share):
        estimates = torch.stack([share * test.mixture, (1 - share) * test.mixture], 1)
        return ((estimates - test.sources).flatten(2).norm(dim=-1) / norm).mean(1)

    differences = errors(0.9) - errors(0.5)
    assert found["items"] == len(test)
    assert found["difference"] == pytest.approx(float(differences.mean()), rel=1e-3)
    assert found["wins"] == int((differences < 0).sum())
    back = json.loads(run(capsys, "compare", place.half, place.most, "--json", *cache))
    assert back["difference"] == pytest.approx(-found["difference"])
    assert back["rank_biserial"] == pytest.approx(-found["rank_biserial"])
    same = run(capsys, "compare", place.half, place.half, *cache)
    assert same.splitlines()[-1] == f"Conclusion: {place.half} and {place.half} do the same by relative l2."


def test_lists_name_what_there_is(place, capsys):
    client = connect("sqlite:///mlflow.db")
    uri = f"file://{place.half}"
    client.create_registered_model("shares")
    client.create_model_version("shares", uri)
    client.create_model_version("shares", uri)
    models.set_champion("shares", "1", "sqlite:///mlflow.db")
    newest, oldest = json.loads(run(capsys, "list", "models", "--json"))
    assert (newest["model"], newest["alias"]) == ("models:/shares/2", [])
    assert (oldest["model"], oldest["alias"]) == ("models:/shares/1", ["champion"])
    assert (oldest["sources"], oldest["rate_hz"], oldest["metric"]) == (["maternal", "fetal"], 128.0, "relative_l2")
    study = optuna.create_study(storage="sqlite:///optuna.db", study_name="sweep", direction="maximize")
    study.set_user_attr("fingerprint", {"objectives": {"validation/si_sdr": "maximize"}, "task": {"name": "ecg"}})
    for value in (1.5, 2.5):
        study.add_trial(optuna.trial.create_trial(value=value))
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED))
    study.ask()
    [row] = json.loads(run(capsys, "list", "studies", "--json"))
    assert (row["study"], row["trials"], row["complete"], row["pruned"], row["running"]) == ("sweep", 4, 2, 1, 1)
    assert (row["objective"], row["best"]) == (["si_sdr"], 2.5)
    tasks = json.loads(run(capsys, "list", "tasks", "--json"))
    assert next(t["needs"] for t in tasks if t["task"] == "ecg").startswith("The ECG task;")
    separators = json.loads(run(capsys, "list", "separators", "--json"))
    assert [s["needs"] for s in separators if s["separator"] == "cass"] == ["paired"]


def test_doctor_finds_all_here_and_says_what_is_missing(tmp_path, capsys, monkeypatch):
    where = ["--cache", tmp_path / "cache", "--storage-path", tmp_path / "results"]
    whole = json.loads(run(capsys, "doctor", "--json", *where))
    found = {f["what"]: f for f in whole["findings"]}
    assert whole["ok"] is True
    assert (found["torch"]["found"], found["torch"]["state"]) == (torch.__version__.partition("+")[0], "ok")
    assert found["MLflow"]["state"] == "note"  # not there yet
    assert not list(tmp_path.iterdir())  # looking makes nothing
    (tmp_path / "optuna.db").write_text("no database")
    monkeypatch.setattr(doctor_module.importlib.metadata, "requires", lambda name: ["numpy>=99", "no-such-package>=1"])
    said = run(capsys, "doctor", "--quiet", *where, status=1).splitlines()
    assert [line.split()[:2] for line in said] == [
        ["MISSING", "numpy"],
        ["MISSING", "no-such-package"],
        ["MISSING", "Optuna"],
    ]
    assert said[1].endswith("not installed -> pip install 'no-such-package>=1'")


def test_help_has_an_example_of_every_command(capsys):
    shown = run(capsys, "--help")
    for command in ("compare", "doctor", "evaluate", "list", "reconcile", "report", "separate"):
        assert f"Example: sepray {command} " in " ".join(shown.replace("│", " ").split())
    assert "Exit status: 0 done" in shown
    assert "complete" in run(capsys, "--tyro-print-completion", "bash")


def test_envelope_holds_the_extremes_of_each_part():
    signal = np.random.default_rng(0).normal(size=8000).astype(np.float32)
    envelope = Envelope(8000)
    for start in range(0, 8000, 333):
        envelope.add(signal[start : start + 333])
    np.testing.assert_array_equal(envelope.low, signal.reshape(1600, 5).min(axis=1))
    np.testing.assert_array_equal(envelope.high, signal.reshape(1600, 5).max(axis=1))
    short = Envelope(10)
    short.add(signal[:10])
    np.testing.assert_array_equal(short.low, signal[:10])
