"""The table of bad input: one line that says what is wrong, exit status 2, at once, and nothing is left behind."""

import json
import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import pytest
import soundfile
from optuna.distributions import CategoricalDistribution

from sepray import choices, registry
from sepray.identity import plain
from sepray.spec import folder
from sepray.tracking.connection import connect

from .end_to_end.conftest import SEPARATOR, TASK

STUDY = """
from optuna.distributions import FloatDistribution
from sepray.study import StudySpec, main

SPACE = {"learning_rate": FloatDistribution(1e-3, 1e-1, log=True)}
main(StudySpec(name="lab", separator="%s", task="%s", space=SPACE))
"""
# Scripts whose description is refused as it is built, before main is called.
BUILDS = """
from sepray.comparison.command import main as compare
from sepray.comparison.spec import Comparison
from sepray.study import StudySpec, main


class Config:
    pass


def study(**fields):
    main(StudySpec(**{"name": "lab", "separator": "nmf", "task": "ecg", "space": {}, **fields}))


"""
BUILT = {
    "no_space": 'main(StudySpec(name="lab", separator="nmff", task="ecg"))',
    "no_trials": "study(trials=-1)",
    "one_objective": 'study(objective="si_sdr")',
    "trails": "study(trails=3)",
    "no_epochs": 'study(max_epochs="x")',
    "own_config": "study(separator=Config())",
    "few_trials": "compare(Comparison(trials=-1))",
}
LIGHT = 200
"""Megabytes that a process stays below which has imported neither torch, Ray nor MLflow: bad input is said at once."""


@dataclass(frozen=True)
class Case:
    """A command that is typed, and the one line that answers it; ``re:`` begins a regular expression."""

    typed: str
    line: str


SEPARATE = "sepray separate models:/filters@champion"
CASES = [
    # A study's own flags
    Case("study --trails 4", "lab: unknown: --trails; perhaps you meant --trials; see study.py --help"),
    Case("study --trials 0", "lab: --trials must be at least 1, not 0"),
    Case(
        "study --trials many",
        "lab: --trials: invalid literal for int() with base 10: 'many'; see study.py --help",
    ),
    Case("study --reduction-factor 1", "lab: --reduction-factor must be more than 1, not 1"),
    Case("study --cpus-per-trial 0", "lab: --cpus-per-trial must be more than 0, not 0"),
    Case("study --name a/b", "a/b: --name must be of letters, digits, dots, dashes and underscores, not 'a/b'"),
    Case(
        "study --sampler tpee",
        "lab: unknown sampler 'tpee'; there are: tpe, random, gp, cmaes, nsgaii, nsgaiii, qmc, grid, bruteforce, "
        "any class of optuna.samplers, and package.module:Class",
    ),
    Case(
        "study --scheduler ascha",
        "lab: unknown scheduler 'ascha'; there are: asha, hyperband, median, none, pbt",
    ),
    Case(
        "study --scheduler pbt",
        "lab: pbt changes hyperparameters while they are trained, which would mislead the sampler 'tpe'; "
        "use one of random, qmc, grid, bruteforce, or another scheduler",
    ),
    Case(
        "study --objective slow/ssmi",
        "lab: unknown objective 'slow/ssmi'; perhaps you meant ssim; there are {measures}, such as si_sdr, "
        "fetal/si_sdr (one source) or si_sdr:each (one per source)",
    ),
    Case(
        "study --objective sdr",
        "lab: sdr (BSS Eval) takes seconds for each item, too long for every epoch: search by si_sdr, "
        "and see `sepray evaluate --bss-eval`",
    ),
    Case(
        "no_separator",
        "lab: unknown separator 'casss'; perhaps you meant cass; there are: {separators}, or a module of your own",
    ),
    Case("no_task", "lab: unknown task 'eeg'; perhaps you meant ecg; there are: {tasks}, or a module of your own"),
    # ... in the script itself
    Case(
        "no_space",
        "no_space.py: unknown separator 'nmff'; perhaps you meant nmf; there are: {separators}, "
        "or a module of your own",
    ),
    Case("no_trials", "no_trials.py: --trials must be at least 0, not -1"),
    Case("no_trials --trials 4", "no_trials.py: --trials must be at least 0, not -1"),
    Case(
        "one_objective",
        "one_objective.py: objective must be a tuple of names, such as ('si_sdr',), not 'si_sdr'",
    ),
    Case(
        "own_config",
        "own_config.py: put the Config of the separator into a file of its own: models and workers import it",
    ),
    Case("trails", r"re:trails\.py: unknown field trails; perhaps you meant trials; there are name, separator, .*"),
    Case("no_epochs", "no_epochs.py: max_epochs must be a whole number (int), not 'x'"),
    Case("few_trials", "few_trials.py: --trials must be at least 0, not -1"),
    # ... its stores and resources
    Case(
        "study --storage postgresql://user:secret@127.0.0.1:{port}/optuna",
        "lab: storage postgresql://user:***@127.0.0.1:{port}/optuna does not answer: Connection refused",
    ),
    Case(
        "study --storage optuna.db",
        "lab: storage optuna.db is not a URL: give sqlite:///file.db, postgresql://..., mysql://... or journal://file",
    ),
    Case(
        "study --storage nosql://h/x",
        "lab: storage nosql://h/x cannot be used: Can't load plugin: sqlalchemy.dialects:nosql; "
        "check the URL and its driver",
    ),
    Case(
        "study --storage sqlite:///tone.wav",
        "lab: tone.wav is no SQLite database: give another file, or move it away",
    ),
    Case(
        "study --storage sqlite:///file:x.db?uri=true",
        "lab: storage sqlite:///file:x.db?uri=true has options of SQLite's, and sepray has its own: give the file, "
        "sqlite:///file.db",
    ),
    Case(
        "study --storage-path {read_only}/x",
        "lab: cannot write to {read_only}/x: {reason}; choose another folder with --storage-path",
    ),
    Case(
        "study --storage-path tone.wav",
        "lab: cannot write to tone.wav: {here}/tone.wav is a file; choose another folder with --storage-path",
    ),
    Case(
        "study --cache tone.wav/x",
        "lab: cannot write to tone.wav/x: {here}/tone.wav is a file; choose another folder with --cache",
    ),
    Case(
        "study --tracking-uri ./mlruns",
        "lab: ./mlruns is a folder, and this MLflow keeps no runs in folders: give sqlite:///mlflow.db or a server's "
        "address (`mlflow migrate-filestore` moves the runs of a folder into a database)",
    ),
    Case(
        "study --address http://head:8265",
        "lab: http://head:8265 is the address of Ray's dashboard, which `ray job submit` takes: give --address "
        "ray://HOST:10001, HOST:6379 or auto, or unset RAY_ADDRESS",
    ),
    Case(
        "study --storage postgresql://user:secret@127.0.0.1:99999/optuna",
        "lab: storage postgresql://user:***@127.0.0.1:99999/optuna has an impossible host or port; "
        "ports are 1 to 65535",
    ),
    Case(
        "study --address 127.0.0.1:{port}",
        "lab: the Ray cluster 127.0.0.1:{port} does not answer: Connection refused",
    ),
    Case(
        "study --address ray://127.0.0.1:{port} --storage sqlite:////x/o.db --tracking-uri http://127.0.0.1:{port}",
        "lab: the Ray cluster ray://127.0.0.1:{port} does not answer: Connection refused",
    ),
    Case(
        "study --gpus-per-trial 64",
        r"re:lab: a trial asks for 64 GPUs, but there are \d+ on this machine",
    ),
    Case(
        "study --separator.tips 3",
        "lab: unknown: --separator.tips, which the separator my_separator does not have; "
        "perhaps you meant --separator.taps; see study.py --help",
    ),
    Case(
        "study --task.colour=red",
        "lab: unknown: --task.colour, which the task my_task does not have; --task.colour is a flag of the tasks "
        "image_pairs; see study.py --help",
    ),
    # Commands
    Case(
        "sepray",
        "sepray: expected one of {{clean, compare, delete, doctor, evaluate, explain, list, reconcile, report, "
        "reproduce, run, separate, show}}; see sepray --help",
    ),
    Case(
        "sepray seperate",
        "sepray: unknown: seperate; perhaps you meant separate; available subcommands: clean, compare, delete, doctor, "
        "evaluate, explain, list, reconcile, report, reproduce, run, separate, show; see sepray --help",
    ),
    Case(
        "sepray evaluate models:/filters@champion --spilt test",
        "sepray: unknown: --spilt; perhaps you meant --split; see sepray --help",
    ),
    Case(
        "sepray list model",
        "sepray: invalid choice 'model' for argument 'what'. Expected one of "
        "('models', 'studies', 'tasks', 'separators', 'measures'); see sepray list --help",
    ),
    Case(
        "sepray separate models:/filters@champion",
        "sepray: no recording to separate; give a file, a folder, or - for standard input",
    ),
    Case(
        "sepray evaluate models:/filters@champion --task eeg",
        "sepray: unknown task 'eeg'; perhaps you meant ecg; there are: {tasks}, or a module of your own",
    ),
    Case(
        "sepray compare models:/filters/1 models:/filters/2 --metric sharpness",
        "sepray: unknown metric 'sharpness'; there are: {all_measures}",
    ),
    Case("sepray evaluate models:/filters@champion --batch-size 0", "sepray: --batch-size must be at least 1, not 0"),
    Case(
        "sepray evaluate models:/filters@champion --museval tone.wav",
        "sepray: cannot write to tone.wav: {here}/tone.wav is a file",
    ),
    # ... on a recording
    Case(f"{SEPARATE} none.wav", "sepray: there is no file none.wav"),
    Case(f"{SEPARATE} empty.wav", "sepray: empty.wav is empty"),
    Case(f"{SEPARATE} header.wav", "sepray: header.wav is empty: it has no samples"),
    Case(f"{SEPARATE} cut.wav", "sepray: cut.wav is truncated: 2044 bytes were promised, 1000 are there"),
    Case(
        f"{SEPARATE} text.wav",
        "sepray: text.wav is neither a sound file that can be read (WAV, FLAC ...), nor CSV or NPY",
    ),
    Case(f"{SEPARATE} nan.wav", "sepray: nan.wav has a sample that is not a finite number, at 0.5 s"),
    Case(f"{SEPARATE} silent.wav", "sepray: silent.wav is silent: all of its samples are 0"),
    Case(f"{SEPARATE} nan.csv --rate 4", "sepray: nan.csv has a sample that is not a finite number, at 0.5 s"),
    Case(
        f"{SEPARATE} words.csv --rate 4",
        "sepray: words.csv has a cell that is not a number in line 3, column 1 (ecg): 'two'",
    ),
    Case(f"{SEPARATE} prose.txt", "sepray: prose.txt holds no rows of numbers"),
    Case(f"{SEPARATE} plain.csv", "sepray: plain.csv has no time column to tell its rate; give --rate, in Hz"),
    Case(f"{SEPARATE} tone.npy", "sepray: tone.npy does not say its rate; give --rate, in Hz"),
    Case(
        f"{SEPARATE} cube.npy --rate 9",
        "sepray: cube.npy must be [time] or [channel, time] of real numbers, not [2, 3, 4] of float64",
    ),
    Case(
        f"{SEPARATE} tone.wav --rate 50", "sepray: tone.wav says that its rate is 100 Hz; leave out the rate of 50 Hz"
    ),
    Case(f"{SEPARATE} tone.wav -o -", "sepray: standard output takes one source: name it with --source"),
    Case(
        f"{SEPARATE} sepray-results -o out",
        r"re:sepray: there are no recordings in sepray-results: no file named \*\.wav, \*\.flac, .*, \*\.npy, .*",
    ),
    Case(
        f"{SEPARATE} sepray-results -o sepray-results",
        "sepray: sepray-results would hold recordings and results alike: give another folder for the results",
    ),
    Case(f"{SEPARATE} tone.wav -o tone.wav", "sepray: cannot write to tone.wav: {here}/tone.wav is a file"),
    Case(f"{SEPARATE} tone.wav -o {{read_only}}/x", "sepray: cannot write to {read_only}/x: {reason}"),
    Case(
        f"{SEPARATE} tone.wav --device gpu",
        "sepray: unknown device 'gpu'; there are cpu, cuda, cuda:1 ..., mps and auto",
    ),
    Case(
        f"{SEPARATE} tone.wav --device cuda:64", r"re:sepray: there is no device 'cuda:64': this machine has \d+ GPUs"
    ),
    # ... with a model
    Case(
        "sepray separate models:/filters tone.wav",
        "sepray: 'models:/filters' is not the address of a model; give models:/NAME@champion or models:/NAME/VERSION",
    ),
    Case(
        "sepray evaluate filters",
        "sepray: filters is neither a folder with a model (no MLmodel in it) nor an address such as "
        "models:/NAME@champion",
    ),
    Case(
        "sepray evaluate models:/filters@champion --tracking-uri http://user:secret@127.0.0.1:{port}",
        "sepray: the tracking server http://user:***@127.0.0.1:{port} does not answer: Connection refused",
    ),
    Case(
        "sepray list models --tracking-uri sqlite:///none.db",
        "sepray: there is no MLflow database sqlite:///{here}/none.db: is this the folder of the study? "
        "Give --tracking-uri, in Python tracking_uri=",
    ),
    Case(
        f"{SEPARATE} tone.wav",
        "sepray: models:/filters@champion: no version of filters has the alias 'champion' in sqlite:///{here}/mlflow.db",
    ),
    Case(
        "sepray evaluate models:/filters/3",
        "sepray: models:/filters/3: filters has no version 3 in sqlite:///{here}/mlflow.db",
    ),
    Case(
        "sepray evaluate models:/nobody@champion",
        "sepray: models:/nobody@champion: there is no registered model 'nobody' in sqlite:///{here}/mlflow.db",
    ),
    Case(
        "sepray list models --tracking-uri http://user:pa/ss@127.0.0.1",
        "sepray: the tracking server http://user:***@127.0.0.1 has an impossible host or port; ports are 1 to 65535",
    ),
    # ... and with a study
    Case("sepray reconcile nobody", "sepray: no study 'nobody' in sqlite:///optuna.db; there are: busy, other"),
    Case("sepray show nobody", "sepray: no study 'nobody' in sqlite:///optuna.db; there are: busy, other"),
    Case("sepray show other", "sepray: other in sqlite:///optuna.db is not a study of sepray"),
    Case(
        "sepray delete other",
        "sepray: other in sqlite:///optuna.db is not a study of sepray",
    ),
    Case("sepray delete nobody --yes", "sepray: no study 'nobody' in sqlite:///optuna.db; there are: busy, other"),
    Case("sepray delete other --yes", "sepray: other in sqlite:///optuna.db is not a study of sepray"),
    Case(
        "sepray delete other --yes --runs --tracking-uri http://user:secret@127.0.0.1:{port}",
        "sepray: other in sqlite:///optuna.db is not a study of sepray",
    ),
    Case("sepray clean nobody --yes", "sepray: no study 'nobody' in sqlite:///optuna.db; there are: busy, other"),
    Case("sepray clean --yes --cache-data -1", "sepray: --cache-data must be at least 0, not -1"),
    Case(
        "sepray clean --yes --storage sqlite:///none.db",
        "sepray: there is no Optuna storage sqlite:///none.db: is this the folder of the study? Give --storage",
    ),
    Case("sepray report nobody", "sepray: no study 'nobody' in sqlite:///optuna.db; there are: busy, other"),
    Case(
        "sepray report lab --storage journal://none.log",
        "sepray: there is no Optuna storage journal://none.log: is this the folder of the study? Give --storage",
    ),
    Case(
        "sepray list studies --storage sqlite:///none.db",
        "sepray: there is no Optuna storage sqlite:///none.db: is this the folder of the study? Give --storage",
    ),
    Case(
        "sepray list studies --storage sqlite:///tone.wav",
        "sepray: tone.wav is no SQLite database: give another file, or move it away",
    ),
    Case(
        "sepray report lab --storage optuna.db",
        "sepray: the storage optuna.db is not a URL: give sqlite:///file.db, postgresql://..., mysql://... or "
        "journal://file",
    ),
    Case(
        "sepray reconcile lab --storage nosql://h/x",
        "sepray: the storage nosql://h/x cannot be used: Can't load plugin: sqlalchemy.dialects:nosql; "
        "check the URL and its driver",
    ),
]

# Sources, and what a study in a storage has in common with the one that is asked for, are known once the task's data
# is loaded, for which all parts of a study are imported.
AFTER_LOADING = [
    Case(
        "study --objective middle/si_sdr",
        "lab: unknown objective 'middle/si_sdr'; there are {measures}, "
        "such as si_sdr, fetal/si_sdr (one source) or si_sdr:each (one per source); sources: slow, fast",
    ),
    Case("study --name busy", "busy: busy is running already, in another process on this machine"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with recordings, a registered name without versions, and studies; no case may change what is in it."""
    here = tmp_path_factory.mktemp("bad")
    for name, text in (("my_separator", SEPARATOR), ("my_task", TASK)):
        (here / f"{name}.py").write_text(text)
    (here / "study.py").write_text(STUDY % ("my_separator", "my_task"))
    (here / "no_separator.py").write_text(STUDY % ("casss", "my_task"))
    (here / "no_task.py").write_text(STUDY % ("my_separator", "eeg"))
    for name, line in BUILT.items():
        (here / f"{name}.py").write_text(f"{BUILDS}{line}\n")
    tone = np.sin(np.arange(1000) / 5)
    soundfile.write(here / "tone.wav", tone, 100)
    soundfile.write(here / "silent.wav", 0 * tone, 100)
    soundfile.write(here / "header.wav", tone[:0], 100)
    soundfile.write(here / "nan.wav", np.where(np.arange(1000) == 50, np.nan, tone), 100, subtype="FLOAT")
    (here / "cut.wav").write_bytes((here / "tone.wav").read_bytes()[:1000])
    (here / "empty.wav").touch()
    (here / "text.wav").write_text("a mixture of maternal and fetal\n")
    (here / "nan.csv").write_text("ecg\n1\n2\nnan\n")
    (here / "words.csv").write_text("ecg\n1\ntwo\n")
    (here / "prose.txt").write_text("a mixture of maternal and fetal\n")
    (here / "plain.csv").write_text("1\n2\n1\n")
    np.save(here / "tone.npy", tone)
    np.save(here / "cube.npy", np.zeros((2, 3, 4)))
    connect(f"sqlite:///{here}/mlflow.db").create_registered_model("filters")
    storage = f"sqlite:///{here}/optuna.db"
    other = {"max_epochs": 7, "search space": {"learning_rate": CategoricalDistribution([0.1])}}
    optuna.create_study(storage=storage, study_name="other").set_user_attr("fingerprint", plain(other))
    optuna.create_study(storage=storage, study_name="busy").set_user_attr("uid", "0badcafe")
    with folder.lock(folder.study_folder(str(here / "sepray-results"), "busy", "0badcafe"), "busy"):
        yield here


@pytest.fixture(scope="module")
def names(place):
    """Return the texts that differ between machines, by their names in the table."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    return {
        "here": place.resolve(),
        "port": port,
        "read_only": "/proc",
        "reason": "No such file or directory" if os.getuid() == 0 else "Permission denied",
        "measures": ", ".join(choices.OBJECTIVES),
        "all_measures": ", ".join(choices.MEASURES),
        "tasks": ", ".join(registry.names("sepray.tasks")),
        "separators": ", ".join(registry.names("sepray.separators")),
    }


# A process of its own between: one that is forked from pytest counts pytest's memory as its own.
MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, capture_output=True, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
unit = 2**20 if sys.platform == "darwin" else 2**10
print(json.dumps([done.returncode, done.stdout, done.stderr, used.ru_maxrss / unit]))
"""


def measured(command, place):
    """Run a command; return its status, what it printed to both outputs, and its largest memory in MB."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "RAY", "SEPRAY", "COV", "PYTEST"))}
    environment = kept | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(place), "COLUMNS": "80"}
    environment["MPLCONFIGDIR"] = str(place.parent / "matplotlib")  # its list of fonts is the library's own affair
    run = [sys.executable, "-S", "-c", MEASURE, *command]
    return json.loads(subprocess.run(run, cwd=place, env=environment, capture_output=True, check=True).stdout)


def contents(place: Path) -> dict[str, int]:
    """Every file below a folder and its size; a database's own side files come and go."""
    files = (p for p in place.rglob("*") if p.is_file() and not p.name.endswith(("-wal", "-shm", ".pyc")))
    return {str(p.relative_to(place)): p.stat().st_size for p in files}


def often(cases):
    """Every tenth case is tried in the default suite, and the others with the slow tests: each takes a second."""
    return [
        pytest.param(case, id=case.typed, marks=() if index % 10 == 0 else pytest.mark.slow)
        for index, case in enumerate(cases)
    ]


@pytest.mark.parametrize("case", often(CASES))
def test_bad_input_gets_one_line_at_once(case, place, names):
    assert check(case, place, names) < LIGHT


@pytest.mark.slow
@pytest.mark.parametrize("case", AFTER_LOADING, ids=lambda case: case.typed)
def test_what_only_the_data_tells_gets_one_line_too(case, place, names):
    check(case, place, names)


@pytest.mark.slow  # in this process: tests/driver/test_other_settings.py
def test_other_settings_of_a_study_are_told_a_line_each(place):
    status, output, errors, _ = measured([sys.executable, "study.py", "--name", "other"], place)
    first, *lines = errors.splitlines()
    assert (status, told(output)) == (2, [])
    assert first == (
        "other: study 'other' exists in sqlite:///optuna.db with other settings; choose another name, or go back to:"
    )
    assert "  max_epochs: 7 -> 20" in lines
    assert "  search space.learning_rate: fixed to 0.1 -> 0.001 to 0.1 (log)" in lines


def told(output):
    """Return what a command printed beside what it waited for: ``lab: importing torch, Ray and Optuna ...``."""
    return [line for line in output.splitlines() if not line.endswith(" ...")]


def check(case, place, names):
    """Run a command and compare its answer; return the memory that it took, in MB."""
    program, *arguments = case.typed.format(**names).split()
    command = ["-c", "from sepray.cli.main import main; main()"] if program == "sepray" else [f"{program}.py"]
    before = contents(place)
    status, output, errors, megabytes = measured([sys.executable, *command, *arguments], place)
    assert (status, told(output)) == (2, []), errors
    assert errors.endswith("\n")
    assert errors.count("\n") == 1, errors
    if case.line.startswith("re:"):
        assert re.fullmatch(case.line.removeprefix("re:"), errors.strip())
    else:
        assert errors.strip() == case.line.format(**names)
    assert "secret" not in errors
    assert contents(place) == before
    return megabytes
