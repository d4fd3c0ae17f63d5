"""The text of a dry run."""

import io
import sys
from dataclasses import replace

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from rich.console import Console

from sepray.arms import Arm
from sepray.dry_run import text as printed
from sepray.dry_run.estimate import Disk, Estimate, Memory, SplitSize
from sepray.dry_run.schedule import EstimateRange
from sepray.dry_run.stored import StudyProgress
from sepray.dry_run.text import basis, command, lines, short, show, span

from .conftest import SIGNAL
from .test_measurement import MEASURED

MIB = 1 << 20
PROGRESS = StudyProgress(False, 0, 0, 4, ("published",), 0, 4, 4)


@pytest.fixture
def found(spec) -> Estimate:
    return Estimate(
        spec=spec,
        supervision="paired",
        signal=SIGNAL,
        splits=(SplitSize("train", 1400, (1, 128), 3 * MIB), SplitSize("test", 5, (1, 128), 7680)),
        space={
            "adversarial": CategoricalDistribution([1, 0]),
            "beta": FloatDistribution(1e-5, 0.2, log=True),
            "depth": IntDistribution(1, 9, step=2),
            "width": IntDistribution(1, 9),
            "share": FloatDistribution(0.0, 1.0, step=0.25),
        },
        reference_points={"published": {}, "older": {}},
        controls={"plain": {}},
        progress=PROGRESS,
        slots=2,
        measurement=MEASURED,
        epoch_seconds=EstimateRange(6.0, 7.0, 7.25),
        seconds=EstimateRange(100.0, 150.0, 4000.0),
        search_seconds=EstimateRange(60.0, 90.0, 3900.0),
        memory=Memory(300 * MIB, 200 * MIB, 500 * MIB, 1300 * MIB, 8192 * MIB, 4096 * MIB, 0, 0),
        disk=Disk(2 * MIB, 16, MIB, 33 * MIB, 1024 * MIB),
    )


WHOLE = """
small: a dry run, nothing is trained to its end and nothing is kept
study         new: the storage has none of this name
separator     cass, trained on: paired; 240 parameters, 1000 B with its buffers
task          ecg: low, high; 64 Hz
              train         1,400 items of 1 x 128          3.0 MiB
              test              5 items of 1 x 128          7.5 KiB
objective     relative_l2
search space  adversarial  1, 0
              beta         1e-05 to 0.2, log scale
              depth        1 to 9, in steps of 2
              width        1 to 9
              share        0 to 1, in steps of 0.25
published     published; older
controls      plain
trainings     4 trials in the search, then at most 4 retrainings (the best
              setting and 1 control, on 2 new seeds); up to 3 epochs each
at once       2 trials, each with 1 CPU
an epoch      7.2 s, measured with 2 trials at once: 8 steps of 0.5 s, 2.5 s
              around them, 10 s in the first, 0.75 s of validation
time          about 2 min 30 s; at most 1 h 06 min, at least 1 min 40 s (the
              search 1 min 30 s, the rest 1 min 00 s). At most: no trial is
              stopped early. About: as none's rule stops trials that come in a
              random order. At least: every trial ends as soon as it may.
              Computed from CPU time, for a machine with nothing else to do. Not
              counted: the start of Ray, packaging, the report.
memory        1.3 GiB = 2 x 300 MiB a trial + 200 MiB shared + 500 MiB the
              driver; 4.0 GiB of 8.0 GiB are free
disk          at most 33.0 MiB: 16 checkpoints of 2.0 MiB, and the model twice,
              1.0 MiB; 1.0 GiB are free. Not counted: the databases and the
              report.

To run it:
  python studies/x.py --trials 4
"""


@pytest.fixture(autouse=True)
def called(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["/bin/python3", "studies/x.py", "--dry-run", "--trials", "4"])


def text(found: Estimate, **changes) -> str:
    return "\n".join(lines(replace(found, **changes)))


def row(found: Estimate, label: str, **changes) -> str:
    """The text of one row, its lines joined."""
    shown = text(found, **changes).splitlines()
    [start] = [k for k, line in enumerate(shown) if line.startswith(f"{label} ")]
    rest = [line.strip() for line in shown[start + 1 :]]
    indented = [line.startswith(" ") for line in shown[start + 1 :]]
    end = indented.index(False) if False in indented else len(rest)
    return " ".join([shown[start][14:], *rest[:end]])


def test_estimate_is_shown_in_80_columns(found):
    assert text(found) == WHOLE.removesuffix("\n")
    assert max(map(len, text(found).splitlines())) <= 80


def test_estimate_goes_to_the_console_whole(found, monkeypatch):
    console = Console(file=io.StringIO(), width=30, highlight=False, markup=False)
    monkeypatch.setattr(printed, "console", console)
    show(found)
    assert console.file.getvalue() == WHOLE


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "new: the storage has none of this name"),
        ({"found": True, "asked": 4, "ended": 1, "left": 3}, "continues: 1 of 4 trials are done"),
        (
            {"found": True, "asked": 4, "ended": 4, "left": 6, "retrained": 3},
            "extends: it was asked for 4 trials, 4 of 10 trials are done, and 3 retrainings",
        ),
        (
            {"found": True, "asked": 4, "ended": 4, "left": 0, "retrained": 1, "retrainings_left": 3},
            "continues: 4 of 4 trials are done, and 1 retraining",
        ),
        (
            {"found": True, "asked": 4, "ended": 4, "left": 0, "retrained": 4, "retrainings_left": 0},
            "4 of 4 trials are done, and 4 retrainings: nothing is left to train, the command shows the result again",
        ),
        ({"found": True, "asked": 0, "ended": 0, "left": 4}, "continues: 0 of 4 trials are done"),
    ],
)
def test_state_of_the_study(found, changes, told):
    assert row(found, "study", progress=replace(PROGRESS, **changes)) == told


@pytest.mark.parametrize(
    ("budget", "progress", "told"),
    [
        (
            {"seeds_per_trial": 3, "finalists": 2},
            {},
            "4 trials in the search of 3 seeds each, then at most 4 retrainings (the best 2 settings and 1 control, "
            "on 2 new seeds); up to 3 epochs each",
        ),
        (
            {"final_seeds": 1, "max_epochs": 1},
            {"found": True, "ended": 4, "left": 0, "retrained": 3, "retrainings_left": 1},
            "4 trials in the search, then 4 retrainings (the best setting and 1 control, on 1 new seed); "
            "up to 1 epoch each; 1 of 8 are left",
        ),
    ],
)
def test_trainings(found, budget, progress, told):
    changes = {"spec": found.spec.changed(**budget), "progress": replace(PROGRESS, **progress)}
    assert row(found, "trainings", **changes) == told


def test_trainings_without_controls(found):
    assert "(the best setting, on 2 new seeds)" in row(found, "trainings", controls={})
    assert row(found, "controls", controls={}) == "none"
    assert row(found, "published", reference_points={}) == "no settings"
    assert row(found, "search space", space={}) == "empty"


def test_resources(found):
    spec = found.spec.changed(cpus_per_trial=2.0, gpus_per_trial=0.5)
    assert row(found, "at once", spec=spec, slots=1) == "1 trial, each with 2 CPUs and 0.5 GPUs"
    there = found.spec.changed(address="ray://me:secret@head:10001")
    told = row(found, "at once", spec=there, slots=0)
    assert told == "as many as the cluster ray://me:***@head:10001 takes (a dry run does not ask it); a trial has 1 CPU"
    assert "at least 1 min 40 s, if the cluster ran one trial at a time (the" in row(found, "time", spec=there, slots=0)


def test_epoch_of_a_method_without_steps(found):
    fits = replace(MEASURED, steps=0, step=0.0, phases=(), at_once=1, epochs=(0.5, 0.4))
    told = row(found, "an epoch", measurement=fits)
    assert told == "7.2 s, measured: 0.4 s of fitting, 0.75 s of validation"
    plain = replace(MEASURED, epochs=(0.0009, 0.0001))
    told = row(found, "an epoch", measurement=plain)
    assert told == "7.2 s, measured with 2 trials at once: 8 steps of 0.5 s, 0.75 s of validation"


def test_later_epochs_that_were_not_measured_are_told(found):
    first = replace(MEASURED, epochs=(10.0,))
    told = "0.75 s of validation; later epochs, which were not measured, may be shorter"
    assert row(found, "an epoch", measurement=first).endswith(told)
    one = found.spec.changed(max_epochs=1)
    assert row(found, "an epoch", measurement=first, spec=one).endswith("0.75 s of validation")


def test_time_that_is_certain(found):
    certain = EstimateRange(50.0, 50.0, 50.0)
    told = row(found, "time", seconds=certain, search_seconds=EstimateRange(20.0, 20.0, 20.0))
    assert told == (
        "about 50 s (the search 20 s, the rest 30 s). Computed from CPU time, for a machine with nothing else to do. "
        "Not counted: the start of Ray, packaging, the report."
    )
    told = row(found, "time", seconds=certain, search_seconds=EstimateRange(0.0, 0.0, 0.0))
    assert told == (
        "about 50 s. Computed from CPU time, for a machine with nothing else to do. Not counted: the start of Ray, "
        "packaging, the report."
    )


def test_time_where_the_scheduler_does_not_tell(found):
    told = row(found, "time", seconds=EstimateRange(50.0, None, 90.0), search_seconds=EstimateRange(20.0, None, 60.0))
    assert told.startswith(
        "at most 1 min 30 s, at least 50 s (the search 1 min 00 s, the rest 30 s). At most: no trial"
    )
    assert "About" not in told


def test_memory_of_a_gpu_and_of_one_trial(found):
    gpu = replace(found.memory, gpu=5 * MIB, gpu_machine=80 * 1024 * MIB)
    told = row(found, "memory", memory=gpu, slots=1)
    assert told.startswith("1.3 GiB = 300 MiB a trial + ")
    assert told.endswith("; 5.0 MiB a trial of the GPU's 80.0 GiB")


def test_disk_of_an_object_store(found):
    told = row(found, "disk", disk=replace(found.disk, free=None, files=1))
    assert told.startswith("at most 33.0 MiB: 1 checkpoint of 2.0 MiB, and the model twice, 1.0 MiB. Not counted")


def test_large_spaces_are_cut(found):
    space = {f"weight.{k}": FloatDistribution(0, 1) for k in range(14)}
    told = row(found, "search space", space=space)
    assert told.count("weight") == 12
    assert told.endswith("and 2 more")
    thirteen = dict(list(space.items())[:13])
    assert row(found, "search space", space=thirteen).count("weight") == 13


def test_images_have_no_rate(found):
    assert row(found, "task", signal=replace(SIGNAL, sample_rate=None)).startswith("ecg: low, high; images")


def test_warnings_are_shown(found):
    told = text(found, warnings=("It does not fit.", "Nor does this."))
    assert "WARNING       It does not fit.\nWARNING       Nor does this.\n\nTo run it:" in told


def test_study_that_is_done_has_nothing_measured(found):
    nothing = {"measurement": None, "seconds": None, "search_seconds": None, "epoch_seconds": None}
    told = text(found, **nothing, memory=None, disk=None)
    assert row(found, "separator", **nothing) == "cass, trained on: paired"
    nothing["spec"] = found.spec.changed(separator="cass:published", task="ecg:varied")
    assert row(found, "separator", **nothing) == "cass:published, trained on: paired"
    assert row(found, "task", **nothing).startswith("ecg:varied: low, high; ")
    for label in ("an epoch", "time ", "memory", "disk"):
        assert f"\n{label}" not in told


def test_failure_shows_the_users_own_frames(found, tmp_path, monkeypatch):
    trace = (
        "Traceback (most recent call last):\n"
        f'  File "{printed.__file__}", line 3, in run\n    step()\n'
        f'  File "{tmp_path}/mine.py", line 7, in loss\n    return 1 / 0\n'
        "ZeroDivisionError: division by zero at https://me:secret@host\n"
    )
    told = text(found, failure=trace, bug=True)
    assert "mine.py" in told
    assert "text.py" not in told
    assert "https://me:***@host\nWARNING       The trial that was tried raised the error above. So would" in told
    assert "every trial of the study. --traceback shows the whole traceback." in row(
        found, "WARNING", failure=trace, bug=True
    )
    monkeypatch.setattr(sys, "argv", ["study.py", "--dry-run", "--traceback"])
    whole = text(found, failure=trace, bug=True)
    assert "text.py" in whole
    assert "--traceback" not in whole
    killed = text(found, failure="its process was killed by signal 9", bug=False)
    assert "--traceback" not in killed
    assert "To run it" not in told + killed
    assert "WARNING       The trial that was tried could not be trained: its process was\n" in killed


def test_command_runs_it(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["/bin/python3", "my study.py", "--name", "a b", "--dry-run"])
    assert command("x") == "python 'my study.py' --name 'a b'"
    monkeypatch.setattr(sys, "orig_argv", ["/bin/python3", "/bin/sepray", "run", "cass_ppg", "--dry_run"])
    assert command("x") == "sepray run cass_ppg"
    monkeypatch.setattr(sys, "orig_argv", ["/bin/python3", "x.py", "--dry-run", "--traceback", "--trials", "4"])
    assert command("x") == "python x.py --trials 4"
    monkeypatch.setattr(sys, "orig_argv", ["/bin/python3", "-m", "ipykernel"])
    assert command("x") == "sepray.run(spec)  # of the study x"


def test_settings_that_are_not_tried_are_named(found):
    told = row(found, "not tried", left_out=("CASS", "baseline"))
    assert told == "CASS; baseline: they differ from the fixed settings"
    assert "not tried" not in text(found)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0123, "12 ms"),
        (0.0994, "99 ms"),
        (0.0996, "0.1 s"),
        (9.96, "10 s"),
        (1.26, "1.3 s"),
        (10.4, "10 s"),
        (75, "1 min 15 s"),
    ],
)
def test_times(seconds, told):
    assert short(seconds) == told


def test_spans():
    assert span(EstimateRange(5, 5, 5)) == "about 5 s"
    assert span(EstimateRange(5, None, 8)) == "at most 8 s, at least 5 s"
    assert span(EstimateRange(5, 6, 8)) == "about 6 s; at most 8 s, at least 5 s"


def test_arms_are_listed_and_what_is_trained_again_is_said(found):
    arms = {"no adversaries": Arm({"adversarial": 0}), "CASS": Arm({"adversarial": 1}, ("beta",))}
    assert row(found, "arms", arms=arms) == "no adversaries; CASS"
    told = row(found, "trainings", arms=arms)
    assert "(the best settings in every arm, each arm's best and 1 control, on 2 new seeds)" in told
    assert row(found, "not tried", left_out=("CASS",), arms=arms) == "CASS: no arm has them"


def test_long_words_such_as_paths_are_never_broken():
    path = "/" + "long/" * 30
    assert list(printed.row("folder", f"it is in {path} now")) == [
        f"{'folder':14}it is in",
        f"{'':14}{path}",
        f"{'':14}now",
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([], "Computed from CPU time, for a machine with nothing else to do."),
        ([{}], "Computed from CPU time, for a machine with nothing else to do."),
        ([{"slowdown": 1.19}], "Computed from CPU time, for a machine with nothing else to do."),
        (
            [{}, {"slowdown": 1.5}],
            "Computed from CPU time, for a machine with nothing else to do; beside what runs on it now, 1.5 times as "
            "long: about 2 min 00 s.",
        ),
        ([{}, {"by_cpu": False, "slowdown": 1.5}], "Timed by the clock, on this machine as it is now."),
    ],
)
def test_basis_of_the_time_is_told(changes, told):
    assert basis([replace(MEASURED, **each) for each in changes], 80.0) == told


def test_names_of_a_space_have_a_column_of_34_characters_at_most():
    half = FloatDistribution(0.5, 2)
    told = [line.split("search space")[-1] for line in printed._space({40 * "a": half, "b": half})]
    assert [line.strip() for line in told] == [f"{40 * 'a'}  0.5 to 2", f"{'b':34}  0.5 to 2"]
    told = [line.split("search space")[-1] for line in printed._space({"long": half, "b": half})]
    assert [line.strip() for line in told] == ["long  0.5 to 2", "b     0.5 to 2"]
