"""A folder of the test's own, two packaged models of a user's separator, a finished study, and the command line."""

import json
import sys
from dataclasses import dataclass, replace

import numpy as np
import optuna
import pytest

from sepray.cli import main as cli
from sepray.tasks import ecg

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


TASK = replace(ecg.DEBUG, train=7, validation=5, test=6)
"""Task of the models: its splits differ in the number of items."""


@dataclass(frozen=True)
class Models:
    """Folders of two packaged models of the separator above, shares 0.5 and 0.9, for 128 Hz."""

    half: str
    most: str


@pytest.fixture(scope="session")
def models(tmp_path_factory):
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
        "task_config": plain(TASK),
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
    yield Models(str(folder / "half"), str(folder / "most"))
    sys.path.remove(str(folder))


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


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
