"""A folder of the test's own, two packaged models of a user's separator, a finished study, and the command line."""

import json
import sys

import numpy as np
import optuna
import pytest
from packaging.version import Version

from sepray.cli import main as cli
from sepray.tasks import ecg

from ..kept.make import SCRIPTS, unpack
from ..models.packaged import two_models


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    with two_models(tmp_path_factory.mktemp("models")) as models:
        yield models


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("sepray.console.terminal.console.width", 30)  # what holds paths and commands is never wrapped


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch):
    """Figures of reports are files that nothing is drawn in, which takes seconds: tests/report looks at them."""
    from sepray.report.figures import LaidOutFigure

    monkeypatch.setattr(LaidOutFigure, "savefig", lambda figure, stream, **options: stream.write(b"<svg/>"))


@pytest.fixture
def wide(monkeypatch):
    """A console as wide as in a log, for tables and for what is wrapped."""
    monkeypatch.setattr("sepray.console.terminal.console.width", 140)


@pytest.fixture
def study():
    """Make a study of two trials in ``optuna.db``, or another storage, of the current folder; its name is ``small``."""
    from sepray.spec.study import StudySpec

    def make(storage="sqlite:///optuna.db"):
        made = optuna.create_study(storage=storage, study_name="small")
        spec = StudySpec(name="small", separator="constant_mask", task=ecg.DEBUG, space={})
        made.set_user_attr("fingerprint", {"objectives": {"validation/relative_l2": "minimize"}})
        made.set_user_attr("spec", json.loads(json.dumps(spec.plain())))
        made.set_user_attr("uid", "12ab")
        for value in (0.5, 0.4):
            outcome = {"seed": 1, "outcome": {"tag": "complete", "reason": ""}}
            made.add_trial(optuna.trial.create_trial(value=value, user_attrs=outcome, intermediate_values={1: value}))
        return made

    return make


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Studies of an older commit in the current folder: ``finished``, ``published`` and ``halfway``; see tests/kept."""
    import mlflow

    if Version(mlflow.__version__) < Version("3.17") or Version(optuna.__version__) < Version("5"):
        pytest.skip("the kept databases are of MLflow 3.17 and Optuna 5, which older ones cannot read")
    unpack(tmp_path)
    for script in SCRIPTS:  # of another test's folder
        monkeypatch.delitem(sys.modules, script.removesuffix(".py"), raising=False)
    return tmp_path / "sepray-results"


@pytest.fixture
def terminal(monkeypatch):
    """A terminal in which questions are answered; the answers to come, and the questions that were asked."""
    answers, asked = [], []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)

    def answer(question):
        asked.append(question)
        if not answers:
            raise EOFError
        return answers.pop(0)

    monkeypatch.setattr("builtins.input", answer)
    return answers, asked


@pytest.fixture
def run(capsys):
    """Run a command as the shell would; return what it printed."""

    def run(*arguments, status=0):
        with pytest.raises(SystemExit) as caught:
            cli.main([str(a) for a in arguments])
        printed = capsys.readouterr()
        assert (caught.value.code or 0) == status, printed.err
        return printed.out if status in (0, 1) else printed.err

    return run


def slow_wave(rate, seconds, channels=1):
    """Sinusoids far below what 128 Hz can hold, one a channel."""
    time = np.arange(round(rate * seconds)) / rate
    return np.stack([0.6 * np.sin(2 * np.pi * (3 + k) * time + k) for k in range(channels)])
