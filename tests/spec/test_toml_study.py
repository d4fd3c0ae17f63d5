"""A study in a TOML file is the study that Python would describe; what is wrong with it is said in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sepray import shipped
from sepray.arms import Arm
from sepray.errors import UsageError
from sepray.separators import cass
from sepray.spec.parts import Budget, Resources, Search, Stores
from sepray.spec.study import StudySpec
from sepray.spec.toml_study import read_study
from sepray.tasks import ecg

WHOLE = """
name = "mine"
separator = {name = "cass:small", width = 8, betas = [0.5, 0.9]}
objective = ["si_sdr", "fetal/relative_l2"]
seed = 3
trials = 6

[task]
name = "ecg"
sample_rate = 256
maternal_bpm = [60, 80.5]

[budget]
max_epochs = 4

[search]
sampler = "gp"
reduction_factor = 2

[resources]
gpus_per_trial = 0.5
address = "auto"

[stores]
cache = "data"
checkpoint_seconds = 2

[space]
adversarial = {choices = [1, 0]}
beta = {low = 1e-5, high = 0.2, log = true}
"cross.{i}_to_{j}" = {low = 0, high = 1, step = 0.25}
steps = {low = 1, high = 9, step = 2, integer = true}
layers = {low = 1, high = 64, log = true, integer = true}

[reference_points.CASS]
adversarial = 1
"cross.{i}_to_{j}" = 0.0

[controls."plain autoencoder"]
adversarial = 0

[first_settings.old]
beta = 0.1

[fixed_settings]
autoencoder_learning_rate = 1e-3
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text)
    return path


def test_every_part_of_a_study_can_be_in_the_file(tmp_path):
    small = cass.SMALL
    assert read_study(write(tmp_path, WHOLE)) == StudySpec(
        name="mine",
        separator=type(small)(**{**vars(small), "width": 8, "betas": (0.5, 0.9)}),
        task=ecg.Config(sample_rate=256, maternal_bpm=(60.0, 80.5)),
        objective=("si_sdr", "fetal/relative_l2"),
        seed=3,
        budget=Budget(trials=6, max_epochs=4),
        search=Search(sampler="gp", reduction_factor=2.0),
        resources=Resources(gpus_per_trial=0.5, address="auto"),
        stores=Stores(cache=Path("data"), checkpoint_seconds=2.0),
        space={
            "adversarial": CategoricalDistribution([1, 0]),
            "beta": FloatDistribution(1e-5, 0.2, log=True),
            "cross.{i}_to_{j}": FloatDistribution(0.0, 1.0, step=0.25),
            "steps": IntDistribution(1, 9, step=2),
            "layers": IntDistribution(1, 64, log=True),
        },
        reference_points={"CASS": {"adversarial": 1, "cross.{i}_to_{j}": 0.0}},
        controls={"plain autoencoder": {"adversarial": 0}},
        first_settings={"old": {"beta": 0.1}},
        fixed_settings={"autoencoder_learning_rate": 1e-3},
    )


def test_shortest_study_has_the_published_search_space(tmp_path):
    made = read_study(write(tmp_path, 'name = "short"\nseparator = "cass"\ntask = "ecg"\n'))
    published = shipped.search_space("cass")
    assert (made.space, made.reference_points) == (published.space, published.reference_points)
    assert made.arms == published.arms
    assert list(made.arms)[:2] == ["no adversaries", "CASS"]
    assert made == StudySpec(name="short", separator="cass", task="ecg")


def test_one_objective_needs_no_list(tmp_path):
    text = 'name = "short"\nseparator = "cass"\ntask = "ecg"\nobjective = "si_sdr"\n'
    assert read_study(write(tmp_path, text)).objective == ("si_sdr",)


def test_separator_and_task_that_are_only_named_are_not_imported(tmp_path):
    path = write(tmp_path, 'name = "short"\nseparator = "cass"\ntask = "ecg"\n')
    script = f"import sys; from sepray.spec.toml_study import read_study; read_study({str(path)!r}); "
    subprocess.run([sys.executable, "-c", script + "assert 'torch' not in sys.modules"], check=True, timeout=50)


HEAD = 'name = "x"\nseparator = "cass"\ntask = "ecg"\n'
WRONG = {
    "trails = 3\n": "unknown key trails; perhaps you meant trials; there are name, separator, task, space, ",
    "[serch]\n": "unknown key serch; perhaps you meant search; ",
    "[budget]\ntrails = 3\n": "unknown key budget.trails; perhaps you meant trials; there are trials, max_epochs, ",
    "trials = 3\n[budget]\ntrials = 3\n": "trials is given twice, at the top and in [budget]",
    'trials = "3"\n': 'trials = "3": input should be a valid integer',
    "trials = true\n": "trials = true: input should be a valid integer",
    "trials = 0\n": "trials must be at least 1, not 0",
    "[budget]\nmax_epochs = 0\n": "budget.max_epochs must be at least 1, not 0",
    "[search]\nreduction_factor = 1\n": "search.reduction_factor must be more than 1, not 1",
    "objective = []\n": "objective must name one metric or more, each once, not ''",
    "seed = 1979-05-27\n": 'seed = "1979-05-27": input should be a valid integer',
    'objective = ["si_sdr", 3]\n': "objective[1] = 3: input should be a valid string",
    "budget = 3\n": "budget must be a table, [budget], not 3",
    "[space]\nbeta = 3\n": "space.beta must be a table, [space.beta], not 3",
    "[space]\nbeta = {low = 1}\n": "space.beta.high is missing: give low and high, or choices",
    "[space]\nbeta = {low = 1, high = 2, lgo = true}\n": "unknown key space.beta.lgo; perhaps you meant ",
    "[space]\nbeta = {choices = [1], log = true}\n": "unknown key space.beta.log; there are choices",
    "[space]\nbeta = {choices = 1}\n": "space.beta.choices must be a list of numbers, texts or truth values, not 1",
    "[space]\nbeta = {choices = []}\n": "space.beta.choices must be a list of numbers, texts or truth values, not []",
    "[space]\nbeta = {low = 2, high = 1}\n": "space.beta: `low <= high` must hold, but got (low=2.0, high=1.0)",
    '[space]\nbeta = {low = "a", high = 1}\n': 'space.beta.low = "a": input should be a valid number',
    "[space]\nn = {low = 1.5, high = 2, integer = true}\n": "space.n.low = 1.5: input should be a valid integer",
    "[reference_points]\nbeta = 1\n": "reference_points.beta must be a table, [reference_points.beta], not 1",
    "[reference_points.a]\ncross.x = 1\n": "reference_points.a.cross is a table; a name with a dot in it needs quotes: "
    '"cross.x" = 1',
    "[fixed_settings]\nbeta = [1]\n": "fixed_settings.beta must be a number, a text or a truth value, not [1]",
    "a = \n": "it is not TOML: Invalid value (at line 4, column 5)",
}


@pytest.mark.parametrize("rest", WRONG)
def test_wrong_file_is_refused_in_one_line_that_names_it(tmp_path, rest):
    path = write(tmp_path, HEAD + rest)
    with pytest.raises(UsageError) as refused:
        read_study(path)
    message = str(refused.value)
    assert message.startswith(f"study file {path}: {WRONG[rest]}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nseparator = "cass"\n', "task is missing"),
        (
            'name = "x"\nseparator = "cas"\ntask = "ecg"\n',
            "unknown separator 'cas'; perhaps you meant cass; there are: ",
        ),
        ('name = "x"\nseparator = {width = 3}\ntask = "ecg"\n', "separator.name is missing: separator is a name, or "),
        ('name = "x"\nseparator = {name = "cass", wdth = 3}\ntask = "ecg"\n', "unknown key separator.wdth; perhaps "),
        (
            'name = "x"\nseparator = "cass"\ntask = {name = "ecgs"}\n',
            "unknown task 'ecgs'; perhaps you meant ecg; there are: ",
        ),
        ('name = "x"\nseparator = "cass"\ntask = {name = "ecg", fetal_bpm = [1]}\n', "task.fetal_bpm"),
        ('name = "x"\nseparator = {name = "cass", representation = "x"}\ntask = "ecg"\n', "separator.representation"),
        ('name = "x"\nseparator = 3\ntask = "ecg"\n', "separator must be a table, [separator], not 3"),
    ],
)
def test_wrong_separator_or_task_is_refused(tmp_path, text, message):
    with pytest.raises(UsageError) as refused:
        read_study(write(tmp_path, text))
    assert str(refused.value).startswith(f"study file {tmp_path / 'study.toml'}: {message}")


def test_file_that_cannot_be_read_is_refused(tmp_path):
    for path, why in ((tmp_path / "none.toml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(UsageError) as refused:
            read_study(path)
        assert str(refused.value) == f"study file {path}: it cannot be read ({why})"
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"\n')
    with pytest.raises(UsageError, match=r"latin\.toml: it is not text in UTF-8$"):
        read_study(tmp_path / "latin.toml")


ARMS = """
name = "x"
separator = "cass"
task = "ecg"

[space]
beta = {low = 0.0, high = 1.0}

[arms.off]
settings = {adversarial = 0}

[arms."cross {i} to {j}"]
settings = {adversarial = 1, "cross.*" = 0.0}
searched = ["beta", "cross.{i}_to_{j}"]
"""


def test_arms_are_read_and_restored(tmp_path):
    made = read_study(write(tmp_path, ARMS))
    assert made.arms == {
        "off": Arm({"adversarial": 0}),
        "cross {i} to {j}": Arm({"adversarial": 1, "cross.*": 0.0}, ("beta", "cross.{i}_to_{j}")),
    }
    given = json.loads(json.dumps(made.plain_given()))
    restored = StudySpec.restored(json.loads(json.dumps(made.plain())), given)
    assert (restored.arms, restored.space) == (made.arms, made.space)
    del given["arms"]  # as in a study that was begun before there were arms
    assert StudySpec.restored(made.plain(), given).arms == {}


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("settings = {adversarial = 0}", "setings = {}", "unknown key arms.off.setings; perhaps you meant settings; "),
        ("settings = {adversarial = 0}", 'searched = "beta"', 'arms.off.searched = "beta": '),
        (
            "{adversarial = 0}",
            '{adversarial = ["a"]}',
            "arms.off.settings.adversarial must be a number, a text or a tr",
        ),
        ("{adversarial = 0}", "3", "arms.off.settings must be a table, [arms.off.settings], not 3"),
    ],
)
def test_wrong_arms_are_refused_in_one_line(tmp_path, old, new, line):
    path = write(tmp_path, ARMS.replace(old, new))
    with pytest.raises(UsageError) as caught:
        read_study(path)
    assert str(caught.value).startswith(f"study file {path}: {line}")
    assert "\n" not in str(caught.value)
