"""The studies of the campaign: eight trials of six epochs on the laboratory's filters, two at once.

Of the study ``given`` all settings are reference points, so that every run has the same trials, whatever interrupts it.
The study ``stopped`` stops trials early, in the same way in every run (``deterministic``). The separator misbehaves as
the file ``misbehave.json`` beside it says: ``{"kind": "raise", "epoch": 3, "once": true}``.
"""

from ..end_to_end.conftest import SCRIPTS as LABORATORY
from ..end_to_end.conftest import SEPARATOR

TRIALS, EPOCHS = 8, 6
MISBEHAVING = 3
"""Number of the trial that misbehaves; its settings are never the best."""

STUDY = """
from optuna.distributions import FloatDistribution
from sepray.study import StudySpec, main

if __name__ == "__main__":
    rates = (3e-3, 6e-3, 1e-2, 1e-3, 2e-2, 3e-2, 5e-2, 8e-2)
    main(StudySpec(
        name="lab",
        separator="my_separator",
        task="my_task",
        space={"learning_rate": FloatDistribution(1e-3, 1e-1, log=True)},
        first_settings={f"rate {k}": {"learning_rate": rate} for k, rate in enumerate(rates)},
        trials=8,
        max_epochs=6,
        finalists=1,
        final_seeds=1,
        scheduler="none",
        sampler="random",
        concurrency=2,
        checkpoint_seconds=0.001,
    ))
"""
_BEFORE = """    def before_epoch(self, data, epoch, generator):
        time.sleep(self.pause)
"""
_MISBEHAVING = """    def before_epoch(self, data, epoch, generator):
        time.sleep(self.pause)
        self.bad = 1.0
        plan = json.loads(FAULT.read_text()) if FAULT.exists() else {}
        if plan and self.rate == 1e-3 and epoch == plan["epoch"] - 1:
            if plan["once"]:
                FAULT.unlink()
            self.misbehave(plan["kind"])
"""
_METHODS = """    def set_hyperparameters(self, hyperparameters):
        self.rate = hyperparameters["learning_rate"]

    def misbehave(self, kind):
        if kind in ("nan", "inf"):
            self.bad = float(kind)
        elif kind == "raise":
            raise RuntimeError("a mistake")
        elif kind == "hang":
            time.sleep(10_000)
        elif kind == "exit":
            os._exit(7)
        elif kind == "segfault":
            ctypes.string_at(0)
        elif kind == "memory":
            raise MemoryError

"""


_CHANGES = {
    "import time\n": "import ctypes\nimport json\nimport os\nimport pathlib\nimport time\n",
    "\n@dataclass": '\nFAULT = pathlib.Path(__file__).with_name("misbehave.json")\n\n\n@dataclass',
    _BEFORE: _METHODS + _MISBEHAVING,
    "self.pause = config.pause\n": "self.pause, self.rate, self.bad = config.pause, 0.0, 1.0\n",
    'total = weights["weight"] * error': 'total = self.bad * weights["weight"] * error',
    "pause: float = 0.0": "pause: float = 0.2",
}


def _separator() -> str:
    text = SEPARATOR
    for before, after in _CHANGES.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


FILES = {**LABORATORY, "my_separator.py": _separator(), "study.py": STUDY}

_POINTS = '        reference_points={f"rate {k}": {"learning_rate": rate} for k, rate in enumerate(rates)},\n'
_STOPPED = STUDY.replace(_POINTS, "        deterministic=True,\n        grace_period=1,\n").replace('"none"', '"asha"')
STUDIES = {"given": FILES, "stopped": {**FILES, "study.py": _STOPPED}}
"""Name of a study of the campaign -> its files."""
