"""The report: what its sentences say is what the study holds, and every kind of study has one."""

import datetime
import io
import json
import math
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial
from scipy.io import wavfile

from sepray.cli import main as cli
from sepray.contracts import Separator, Signal, Split, TaskData
from sepray.execution import checkpoint
from sepray.report import champion, crossing, items, parameters, report, search
from sepray.report.record import Objective, Record, words
from sepray.scoring import evaluation
from sepray.separators import cass
from sepray.spec.study import StudySpec
from sepray.tasks import ecg
from sepray.training.trainer import build

SPACE = {
    "adversarial": CategoricalDistribution([1, 0]),
    "cross.low_to_high": FloatDistribution(0.0, 1.0),
    "cross.high_to_low": FloatDistribution(0.0, 1.0),
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
}
ONE = (Objective("relative_l2", "minimize"),)
EACH = (Objective("low/relative_l2", "minimize"), Objective("high/relative_l2", "minimize"))
SIGNAL = Signal(("low", "high"), 1, (256,), 64.0)
START = datetime.datetime(2026, 1, 1)


def data(signal: Signal = SIGNAL, items_: int = 5) -> TaskData:
    generator = torch.Generator().manual_seed(0)

    def split() -> Split:
        sources = torch.rand(items_, len(signal.sources), signal.channels, *signal.shape, generator=generator)
        return Split(sources.sum(1), sources)

    return TaskData(signal, split(), split(), split(), "ab" * 32)


def spec(**fields) -> StudySpec:
    given = {"name": "small", "separator": cass.DEBUG, "task": ecg.DEBUG, "space": {}, "max_epochs": 4}
    return StudySpec(**given | fields)


def trial(
    number: int, curve: list[float], tag: str = "complete", values=None, params=None, distributions=None, **attrs
):
    """An Optuna record that ended with ``tag``; its values are the end of its curve unless they are given."""
    state = {"complete": "COMPLETE", "collapsed": "COMPLETE", "pruned": "PRUNED"}.get(tag, "FAIL")
    state = "RUNNING" if tag == "running" else state
    drawn = np.random.default_rng(number)
    given = params or {
        "adversarial": 1,
        "cross.low_to_high": float(drawn.random()),
        "cross.high_to_low": float(drawn.random()),
        "learning_rate": float(10 ** drawn.uniform(-4, -1)),
    }
    outcome = {} if tag == "running" else {"outcome": {"tag": tag, "reason": attrs.get("reason", "")}}
    made = create_trial(
        state=TrialState[state],
        values=(values or [curve[-1]]) if state == "COMPLETE" else None,
        params=given,
        distributions=distributions or {k: SPACE[k] for k in given},
        user_attrs={"seed": 1, **attrs, **outcome},
        intermediate_values=dict(enumerate(curve, 1)),
        system_attrs={"constraints": [1.0]} if tag == "collapsed" else {},
    )
    made.number = number
    made.datetime_start = START
    made.datetime_complete = None if tag == "running" else START + datetime.timedelta(seconds=150)
    if tag == "collapsed":
        made.system_attrs = {"constraints:collapsed": 1.0}
    return made


def searched() -> list:
    """Nine trials, of every outcome; number 7 is the best."""
    return [
        trial(0, [1.0, 0.95, 0.92, 0.9], label="published", params=None),
        trial(1, [0.8, 0.7, 0.65, 0.6]),
        trial(2, [1.1, 1.05], "pruned"),
        trial(3, [0.9, 0.6, 0.5, 0.405]),
        trial(4, [0.9], "diverged", reason="relative_l2 is nan at epoch 2"),
        trial(5, [0.7, 0.6, 0.5, 0.45]),
        trial(6, [0.99], "pruned"),
        trial(7, [0.8, 0.5, 0.41, 0.4]),
        trial(8, [0.1, 0.1, 0.1, 0.1], "collapsed"),
    ]


def record(tmp_path: Path, trials, objectives=ONE, **fields) -> Record:
    given = {"spec": spec(), "finals": [], "folder": tmp_path, "checkpoints": str(tmp_path)}
    return Record(objectives=objectives, search=trials, **given | fields)


@pytest.fixture
def finished(tmp_path) -> Record:
    """A study at its end: the champion is final 0, a CASS of five test items."""
    task, place = data(), tmp_path / "finals" / "trial-00000"
    separator = build(cass.DEBUG, SIGNAL, seed=3)
    history = [
        {"epoch": e, "validation/low/relative_l2": 1 / e, "validation/high/relative_l2": 2 / e} for e in range(1, 5)
    ]
    weights = {f"0/separator.{name}": tensor for name, tensor in separator.state_dict().items()}
    checkpoint.save(str(place), 4, weights, {"history": history, "members": []})
    scores = evaluation.score_split(separator.eval().separate, task.test)["relative_l2"]
    rows = [("champion (trial 7)", 0.30), ("plain at the settings of trial 7", 0.25), ("paper: published", 0.9)]
    rows += [("unprocessed mixture", 2.0), ("oracle: mixture phase", 0.5), ("oracle: ideal ratio mask", 0.2)]
    result = {
        "member": 0,
        "role": "trial 7",
        "metric": "relative_l2",
        "validation": 0.4,
        "hyperparameters": {},
        "scores": {"relative_l2": scores.tolist()},
        "rows": [
            {"system": s, "bold": k == 0, "values": dict.fromkeys(("low", "high", "mean"), (v, v - 0.01, v + 0.01))}
            for k, (s, v) in enumerate(rows)
        ],
    }
    finals = [trial(k, [0.5, v], role="trial 7") for k, v in enumerate((0.40, 0.42))]
    finals += [trial(k, [0.5, v], role="plain at the settings of trial 7") for k, v in ((2, 0.41), (3, 0.45))]
    registration = {"sentence": "Registered as cass-ecg version 3.", "commands": ["mlflow ui", "sepray evaluate <it>"]}
    return record(tmp_path, searched(), data=task, finals=finals, result=result, registration=registration)


def text_of(html: str) -> str:
    return re.sub(r"<[^>]+>", " ", re.sub(r'src="data:[^"]*"', "", html))


def test_sentences_say_what_the_study_holds(finished):
    """Every figure was worked out by hand from ``searched``: 4 epochs of budget, 9 trials."""
    said = search.history(finished).sentence
    assert said == (
        "The best of 9 trials is trial 7: relative L2 error 0.4 on validation; 1 of the other 4 that ran their budget "
        "come within 5% of it. The best published setting, published, reached 0.9."
    )
    said = search.pruning(finished).sentence
    assert said == (
        "2 of 9 trials were stopped early (1 at epoch 1, 1 at epoch 2), which saved 5 of 36 epochs (14%); 1 failed "
        "(relative_l2 is nan at epoch 2)."
    )
    said = search.learning(finished).sentence
    assert said == (
        "The relative L2 error of trial 7 went from 0.8 after epoch 1 to 0.4 after epoch 4; its last 1 epoch improved "
        "it by 2.4%, so more epochs may well help; those stopped early stood between 0.99 and 1.05 when they were."
    )
    said = champion.seeds(finished).sentence
    assert said == (
        "Trial 7 reached 0.41 on average (0.4 to 0.42) over 2 new seeds; next comes plain at the settings of trial 7 "
        "with 0.43 on average (0.41 to 0.45): a difference of 0.02, less than the seeds differ among themselves."
    )
    said = champion.errors(finished, "finals", 0, "the champion").sentence
    assert said == (
        "In 4 epochs the relative L2 error of the champion went from 1 to 0.25 (low) and from 2 to 0.5 (high)."
    )


class Artifacts:
    """Keeps what it is told to add to a run."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def log_file(self, number, name, path):
        assert path.is_file()
        self.told.append((number, name))


def test_page_holds_result_figures_and_commands_and_needs_nothing_else(finished):
    made = report.build(finished)
    text = text_of(made.html)
    assert "The champion, trial 7, has a relative L2 error of 0.3 on test (low 0.3, high 0.3)" in text
    assert "the best published setting, published, 0.9" in text
    assert (
        "The champion is better than 1 of 2 other trained systems, and worse than plain at the settings of trial 7 "
        "(0.25), which validation had not preferred; it passes 1 of 2 oracles (mixture phase)." in text
    )
    assert "0.300" in text
    assert "[0.290, 0.310]" in text
    assert "Registered as cass-ecg version 3." in text
    assert "sepray evaluate &lt;it&gt;\nsepray report small" in made.html
    scores = np.array(finished.result["scores"]["relative_l2"])
    order = scores.mean(1).argsort()
    for rank, index in zip(("best", "median", "worst"), order[[0, 2, 4]], strict=True):
        low, high = scores[index]
        assert f"The {rank} item, number {index}: relative L2 error low {low:.3f}, high {high:.3f}" in text

    outside = re.findall(r'(?:src|href)="(?!data:|#)', made.html) + re.findall(r"url\(|@import", made.html)
    assert not outside
    assert "<script" not in made.html
    assert len(made.html) < 8_000_000
    anchors = re.findall(r'href="#([^"]+)"', made.html)
    assert len(anchors) == len(set(anchors)) >= 10
    assert all(f'id="{anchor}"' in made.html for anchor in anchors)
    assert made.html.count("<img") == len(made.files) == made.html.count('alt="')
    assert {f"figures/{k}-{r}.png" for k in ("waveforms", "spectrograms") for r in ("best", "median", "worst")} < set(
        made.files
    )

    artifacts, stale = Artifacts(), finished.folder / "figures" / "of-an-earlier-report.svg"
    stale.parent.mkdir()
    stale.write_text("")
    page = report.publish(finished, artifacts)
    assert page == finished.folder / "report.html"
    assert page.read_text() == made.html  # equal stores, equal page
    assert not stale.exists()
    assert artifacts.told == [("", name) for name in (*sorted(made.files), "report.html")]
    assert all((finished.folder / name).read_bytes() == content for name, content in made.files.items())


def test_importances_find_the_parameter_that_matters_and_leave_out_published_settings(tmp_path):
    trials = []
    for k in range(14):
        made = trial(k, [0.0] * 4)
        value = abs(math.log10(made.params["learning_rate"]) + 2)
        stopped = value > 1.2
        trials.append(
            trial(k, [value, value], "pruned", params=made.params)
            if stopped
            else trial(k, [value] * 4, params=made.params)
        )
    assert any(t.state is TrialState.PRUNED for t in trials)
    far = {"adversarial": 0, "cross.low_to_high": 1.0, "cross.high_to_low": 1.0, "learning_rate": 1e-2}
    trials += [trial(14 + k, [9.0] * 4, params=far, label=f"published {k}") for k in range(3)]
    said = parameters.importances(record(tmp_path, trials)).sentence
    assert said.startswith("learning_rate explains ")
    assert "differences between 14 trials" in said


def test_parallel_coordinates_name_what_the_best_quarter_shares(tmp_path):
    rates = [0.02, 0.021, 1e-4, 1e-3, 3e-4, 0.09, 5e-4, 2e-4]
    trials = []
    for k, rate in enumerate(rates):
        params = {"adversarial": k % 2, "cross.low_to_high": [0.1, 0.9][k % 2], "learning_rate": rate}
        trials.append(trial(k, [k + 1.0], params=params, distributions={n: SPACE[n] for n in params}))
    said = parameters.parallel(record(tmp_path, trials)).sentence
    assert said == (
        "The best 2 of 8 have most in common in one parameter: learning_rate lies between 0.02 and 0.021 "
        "(searched: 0.0001 to 0.1)."
    )


def test_rank_correlation_against_a_hand_computation():
    found = crossing.rank_correlation([1, 2, 3, 4, 5, 6], [10, 30, 20, 50, 40, 60])
    # Differences of ranks 0, 1, 1, 1, 1, 0: rho = 1 - 6 * 4 / (6 * 35).
    assert found.value == pytest.approx(1 - 24 / 210)
    half = 1.959964 * math.sqrt((1 + found.value**2 / 2) / 3)
    assert found.low == pytest.approx(math.tanh(math.atanh(found.value) - half))
    assert found.high == pytest.approx(math.tanh(math.atanh(found.value) + half))
    assert found.low > 0
    assert found.sure
    four = crossing.rank_correlation([1, 2, 3, 4, 5, 6], [10, 30, 20, 50, 40, 60], together=4)
    assert math.atanh(found.value) - math.atanh(four.low) == pytest.approx(half * 2.497705 / 1.959964)  # z of 0.05 / 8
    assert not four.sure
    assert crossing.rank_correlation([1, 2, 3, 4], [1, 2, 3, 4]) == crossing.Correlation(0.0, -1.0, 1.0)
    assert crossing.rank_correlation([1] * 9, list(range(9))).sure is False
    assert crossing.rank_correlation(list(range(12)), list(range(12, 0, -1))).high < 0


def test_cross_map_tells_a_direction_only_where_it_can(tmp_path):
    """12 trials of the sampler in which low -> high lowers the error of high, and nothing else does anything."""
    noise = np.random.default_rng(5).permutation(12) / 12
    trials = []
    for k in range(12):
        params = {"adversarial": 1, "cross.low_to_high": k / 12, "cross.high_to_low": float(noise[k])}
        values = [0.3 + 0.01 * float(noise[-k]), 0.9 - k / 24]
        trials.append(trial(k, [0.5], values=values, params=params))
    off = {"adversarial": 0, "cross.low_to_high": 1.0, "cross.high_to_low": 1.0}
    trials.append(trial(12, [0.5], values=[5.0, 5.0], params=off))
    trials.append(trial(13, [0.5], values=[5.0, 5.0], params=off | {"adversarial": 1}, label="published"))
    made = crossing.section(record(tmp_path, trials, EACH, data=data(), spec=spec(objective=("relative_l2:each",))))
    assert made.sentence.startswith(
        "Over 12 trials with adversaries, more weight on low → high went with a better high relative"
    )
    assert "(-1.00 [" in made.sentence
    assert "high → low" not in made.sentence
    assert "Left out: 2 finished trials" in made.note
    assert [p.name for p in made.pictures] == ["cross-map.svg", "cross-trials.svg"]

    few = crossing.section(record(tmp_path, trials[:4], EACH, data=data()))
    assert not few.pictures
    assert "of 4 trials that ran their budget only 4 were proposed by the sampler" in few.sentence


def test_pareto_front_is_that_of_the_trials(tmp_path):
    values = [[0.1, 0.9], [0.5, 0.5], [0.6, 0.6], [0.9, 0.1]]
    trials = [trial(k, [0.5], values=v) for k, v in enumerate(values)]
    said = search.pareto(record(tmp_path, trials, EACH)).sentence
    assert said == (
        "3 of 4 finished trials are beaten by no other in all objectives; the best in low relative L2 error is trial 0 "
        "with 0.1; the best in high relative L2 error is trial 3 with 0.1."
    )
    assert search.pareto(record(tmp_path, searched())) is None


CATEGORICAL = {"kind": CategoricalDistribution(["a", "b", None]), "deep": CategoricalDistribution([True, False])}
THREE = tuple(Objective(f"{s}/si_sdr", "maximize") for s in "abc")
ODD = {
    "no trial": ([], ONE, "No trial has started yet."),
    "all failed": (
        [trial(k, [], "error", reason="boom") for k in range(3)],
        ONE,
        "None of the 3 trials has a final value: 3 failed.",
    ),
    "one trial": ([trial(0, [0.5, 0.4])], ONE, "The best of 1 trial is trial 0: relative L2 error 0.4 on validation."),
    "one that runs": ([trial(0, [0.5], "running")], ONE, "1 trial reported up to 1 epochs, and none its whole budget."),
    "no pruned": (
        [trial(k, [0.5, 0.4]) for k in range(3)],
        ONE,
        "No trial was stopped early: 3 trials trained 6 epochs",
    ),
    "all equal": ([trial(k, [0.5]) for k in range(6)], ONE, "Nothing can be said of what matters: nothing varied"),
    "negative values": (
        [trial(k, [-9.0, -5.0 + k]) for k in range(7)],
        (Objective("si_sdr", "maximize"),),
        "The best of 7 trials is trial 6: SI-SDR 1 on validation",
    ),
    "categorical space": (
        [trial(k, [0.5 + k], params={"kind": "ab"[k % 2], "deep": k < 3}, distributions=CATEGORICAL) for k in range(8)],
        ONE,
        "deep is True in 2 of them",
    ),
    "three objectives": (
        [trial(k, [-1.0], values=[float(k), 5.0 - k, 2.0]) for k in range(6)],
        THREE,
        "6 of 6 finished trials are beaten by no other in all objectives; the best in a SI-SDR is trial 5 with 5",
    ),
    "nothing finite": ([trial(k, [math.nan], "diverged", reason="nan") for k in range(2)], ONE, "2 failed"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_studies_have_a_report_too(tmp_path, kind):
    trials, objectives, sentence = ODD[kind]
    metric = objectives[0].key.rpartition("/")[2]
    made = report.build(record(tmp_path, trials, objectives, spec=spec(objective=(metric,))))
    assert sentence in text_of(made.html)


@dataclass(frozen=True)
class Shares:
    """Gives every source an equal share of the mixture."""

    batch_size: int = 2
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, signal):
        return SharesSeparator(signal)


class SharesSeparator(Separator):
    def __init__(self, signal):
        super().__init__(signal)
        self.register_buffer("one", torch.ones(1))

    def hyperparameters(self):
        return {}

    def separate(self, mixture):
        return torch.stack([mixture / len(self.signal.sources)] * len(self.signal.sources), 1)


@pytest.mark.parametrize(
    "signal",
    [Signal(("a", "b", "c"), 1, (9, 7), None), Signal(("a", "b", "c"), 2, (8000,), 8000.0)],
    ids=["images", "stereo sound"],
)
def test_interrupted_study_shows_its_best_trial_on_validation(tmp_path, signal):
    """Three sources; the test split stays closed, the champion's part is that of the best trial so far."""
    checkpoint.save(str(tmp_path / "search/trial-00001"), 2, {"0/separator.one": torch.ones(1)}, {"history": []})
    task = data(signal, items_=3)
    object.__setattr__(task, "test", None)
    trials = [trial(0, [0.5]), trial(1, [0.4]), trial(2, [0.9], "running")]
    made = report.build(record(tmp_path, trials, data=task, spec=spec(separator=Shares())))
    text = text_of(made.html)
    assert "its best trial so far is trial 1, with a relative L2 error of 0.4 on validation" in text
    errors = (task.validation.mixture[:, None] / 3 - task.validation.sources).flatten(2).norm(dim=-1)
    errors = errors / task.validation.sources.flatten(2).norm(dim=-1)
    worst = int(errors.mean(1).argmax())
    assert f"The worst item, number {worst}: relative L2 error a {errors[worst, 0]:.3f}" in text
    kinds = {name.partition("/")[2].partition("-")[0] for name in made.files if name.endswith(".png")}
    assert kinds == ({"images"} if len(signal.shape) == 2 else {"waveforms", "spectrograms"})
    sounds = [name for name in made.files if name.startswith("audio/")]
    assert len(sounds) == (0 if len(signal.shape) == 2 else 3 * (1 + 2 * 3))
    assert made.html.count("<audio") == len(sounds)


def test_sounds_are_the_signals_at_one_gain():
    signal = Signal(("voice", "to/1"), 2, (100,), 8000.0)
    generator = torch.Generator().manual_seed(1)
    sources, estimates = torch.rand(2, 2, 2, 100, generator=generator) - 0.5
    item = items.Item("best", 4, 0.1, 4 * sources.sum(0), sources, estimates, [0.1, 0.1])
    files = {file.name: wavfile.read(io.BytesIO(file.content)) for file in items.sounds(item, signal)}
    assert list(files) == [
        "best/mixture.wav",
        "best/voice-truth.wav",
        "best/voice-estimate.wav",
        "best/to_1-truth.wav",
        "best/to_1-estimate.wav",
    ]
    gain = 32000 / float(item.mixture.abs().max())
    for name, wanted in (("best/mixture.wav", item.mixture), ("best/to_1-estimate.wav", estimates[1])):
        rate, samples = files[name]
        assert rate == 8000
        np.testing.assert_allclose(samples, gain * wanted.T.numpy(), atol=0.51)
    assert items.sounds(item, Signal(signal.sources, 2, (100,), 128.0)) == []


@pytest.mark.parametrize(
    ("scores", "direction", "expected"),
    [
        ([3, 1, 2, 5, 4], "minimize", {"best": 1, "median": 0, "worst": 3}),
        ([3, 1, 2, 5, 4], "maximize", {"best": 3, "median": 0, "worst": 1}),
        ([7, 8], "minimize", {"best": 0, "worst": 1}),
        ([7], "minimize", {"best": 0}),
    ],
)
def test_ranks(scores, direction, expected):
    assert items.ranks(np.array(scores, dtype=float), direction) == expected


def test_discriminator_outputs_are_probabilities_of_truth_own_and_foreign():
    class Critics(torch.nn.Module):
        """Logits are the first value of what is shown, plus the discriminator's number."""

        def __init__(self):
            super().__init__()
            self.discriminators = [lambda x, k=k: x[:, 0] + k for k in range(2)]

        def estimate(self, mixture):
            return [mixture, 2 * mixture]

        def targets(self, mixture, sources):
            return [sources[:, 0], sources[:, 1]]

    split = Split(torch.tensor([[1.0], [2.0]]), torch.tensor([[[0.0], [5.0]], [[-1.0], [6.0]]]))
    found = champion.discriminator_outputs(Critics(), split, ("a", "b"))

    def sigmoid(*x):
        return pytest.approx([1 / (1 + math.exp(-v)) for v in x])

    assert found["a"] == {"truth": sigmoid(0, -1), "a estimate": sigmoid(1, 2), "b estimate": sigmoid(2, 4)}
    assert found["b"] == {"truth": sigmoid(6, 7), "b estimate": sigmoid(3, 5), "a estimate": sigmoid(2, 3)}
    assert champion.discriminator_outputs(SharesSeparator(SIGNAL), split, ("a", "b")) is None


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("relative_l2", "relative L2 error"), ("relative_linf", "relative L∞ error"), ("si_sdr", "SI-SDR")],
)
def test_words(metric, expected):
    assert words(metric) == expected


def test_command_makes_it_from_the_stores_alone(tmp_path, monkeypatch, capsys):
    """The tracking server is dead, and the task's data is built anew."""
    monkeypatch.chdir(tmp_path)
    study = optuna.create_study(storage="sqlite:///optuna.db", study_name="small")
    described = spec(storage_path="results")
    study.set_user_attr("fingerprint", {"objectives": {"validation/relative_l2": "minimize"}})
    study.set_user_attr("spec", json.loads(json.dumps(described.plain())))
    study.set_user_attr("uid", "12ab")
    study.add_trials([t for t in searched() if t.state.is_finished()])
    where = ["--storage-path", "results", "--cache", str(tmp_path), "--tracking-uri", "http://127.0.0.1:9"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["report", "small", *where])
    assert ended.value.code == 0, capsys.readouterr()
    page = tmp_path / "results" / "small" / "12ab" / "report.html"
    printed = capsys.readouterr().out
    assert str(page) in printed
    assert "it is not in MLflow: the tracking server http://127.0.0.1:9 does not answer" in printed
    assert "its best trial so far is trial 7" in page.read_text()


def test_a_study_starts_without_what_only_the_report_needs():
    code = "import sys, sepray.finish; print([m for m in ('matplotlib', 'sklearn', 'plotly') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
