"""The dry run of a comparison: one line a separator, and all together."""

import io
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from sepray.comparison import dry_run
from sepray.comparison.contenders import Contender, LeftOut
from sepray.comparison.dry_run import ComparisonEstimate, lines, show
from sepray.comparison.spec import Comparison
from sepray.contracts import Signal
from sepray.dry_run.estimate import Disk, Estimate, Memory, SplitSize
from sepray.dry_run.schedule import EstimateRange
from sepray.dry_run.stored import StudyProgress
from sepray.errors import UsageError
from sepray.spec.study import StudySpec

from ..dry_run.test_measurement import MEASURED
from .conftest import SPACES

MIB = 1 << 20
SPEC = StudySpec(name="x", separator="cass", task="ecg", space={})


def contender(key: str, parameters: int = 0) -> Contender:
    return Contender(key, key, None, {}, {}, parameters, "paired")


def estimate(**changes) -> Estimate:
    values = {
        "spec": SPEC,
        "supervision": "paired",
        "signal": Signal(("notes", "bursts"), 1, (128,), 8000.0),
        "splits": (SplitSize("train", 1256, (1, 128), 1), SplitSize("validation", 64, (1, 128), 1)),
        "space": {},
        "reference_points": {},
        "controls": {},
        "progress": StudyProgress(False, 0, 0, 12, (), 0, 3, 3),
        "slots": 2,
        "epoch_seconds": EstimateRange(5.0, 6.0, 7.0),
        "seconds": EstimateRange(50.0, 65.0, 130.0),
        "memory": Memory(1, 1, 1, 900 * MIB, 1, 1, 0, 0),
        "disk": Disk(1, 1, 1, 60 * MIB, 100 * MIB),
        **changes,
    }
    return Estimate(**values)


BOTH = ComparisonEstimate(
    Comparison(name="lab", task="notes_and_bursts"),
    (
        (contender("nmf", 12_345), estimate()),
        (
            contender("cass:small (width 8, depth 3)", 1_234_567),
            estimate(
                progress=StudyProgress(True, 1, 1, 0, (), 0, 3, 3),
                seconds=EstimateRange(20.0, None, 40.0),
                memory=Memory(1, 1, 1, 2048 * MIB, 1, 1, 0, 0),
                disk=Disk(1, 1, 1, 41 * MIB, 100 * MIB),
                warnings=("It is large.",),
            ),
        ),
    ),
    (LeftOut("oracle", "it is a bound"),),
)
WHOLE = """
lab: a dry run, nothing is trained to its end and nothing is kept
task          notes_and_bursts: notes, bursts; 1,256 train, 64 validation items
at once       2 trials

separator             weights trainings   an epoch        time   memory     disk
nmf                    12,345        15        7 s  1 min 05 s  900 MiB 60.0 MiB
cass:small (width 8, depth 3)
                    1,234,567         3        7 s        40 s  2.0 GiB 41.0 MiB
all together                         18             1 min 45 s  2.0 GiB  101 MiB

time          about 1 min 45 s; at most 2 min 50 s, at least 1 min 10 s, one
              study after another. Not counted: the start of Ray, packaging, the
              reports, the table.
left out      oracle: it is a bound
WARNING       cass:small (width 8, depth 3): It is large.
WARNING       All studies together would need up to 101 MiB on disk, but 100 MiB
              are free.

To run it:
  python compare.py --name lab
"""


@pytest.fixture(autouse=True)
def called(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["/bin/python3", "compare.py", "--name", "lab", "--dry-run"])


@pytest.fixture
def screen(monkeypatch) -> io.StringIO:
    console = Console(file=io.StringIO(), width=200, highlight=False, markup=False)
    monkeypatch.setattr(dry_run, "console", console)
    return console.file


def test_every_separator_has_a_line_and_all_together_one(screen):
    show(BOTH)
    assert screen.getvalue() == WHOLE
    assert max(map(len, WHOLE.splitlines())) <= 80


def test_totals():
    assert (BOTH.trainings, BOTH.memory, BOTH.disk) == (15 + 3, 2048 * MIB, 101 * MIB)
    assert BOTH.seconds == EstimateRange(70.0, 105.0, 170.0)
    nothing = replace(BOTH, studies=())
    assert (nothing.trainings, nothing.memory, nothing.disk, nothing.seconds) == (0, 0, 0, EstimateRange(0, 0, 0))


def test_disk_of_all_is_a_warning_where_no_study_has_one_of_its_own():
    def warnings(*sizes, free=100):
        disks = [Disk(1, 1, 1, each, free) for each in sizes]
        return replace(BOTH, studies=tuple((contender("a"), estimate(disk=disk)) for disk in disks)).warnings

    assert warnings(50, 50) == ()
    assert len(warnings(50, 51)) == 1
    assert warnings(101, 1) == ()  # the study itself says so
    assert warnings(500, 500, free=None) == ()


def test_study_that_is_done_and_one_that_fails():
    nothing = {"seconds": None, "epoch_seconds": None, "memory": None, "disk": None}
    done = estimate(**nothing, progress=StudyProgress(True, 12, 12, 0, (), 3, 0, 3))
    trace = 'Traceback:\n  File "/mine.py", line 1, in f\n    1 / 0\nZeroDivisionError: x\n'
    failed = estimate(**nothing, failure=trace, bug=True)
    both = replace(BOTH, studies=((contender("done"), done), (contender("bad"), failed)), left_out=())
    shown = "\n".join(lines(both))
    assert f"\n{'done':18}{'':11}{'0':>10}{'':11}{'done':>12}\n" in shown
    assert f"\n{'bad':18}{'':11}{'15':>10}{'':11}{'failed':>12}\n" in shown
    assert "ZeroDivisionError: x\nWARNING       bad: the trial that was tried raised the error above." in shown


def test_cluster_is_not_asked():
    there = replace(BOTH, studies=((contender("nmf"), estimate(slots=0)),))
    shown = " ".join(" ".join(lines(there)).split())
    assert "at once as many as the cluster takes (a dry run does not ask it); times are for one at a time" in shown


def test_bug_that_was_found_before_is_shown_with_its_traceback(monkeypatch):
    try:
        raise ZeroDivisionError("x")
    except ZeroDivisionError as error:
        left = LeftOut("bad", "ZeroDivisionError: x", error)
    shown = "\n".join(lines(replace(BOTH, left_out=(left,))))
    assert "left out      bad: ZeroDivisionError: x" in shown
    assert "ZeroDivisionError: x\nbad: this is a bug" in shown
    assert "--traceback shows the whole traceback" in shown
    monkeypatch.setattr(sys, "argv", ["compare.py", "--dry-run", "--traceback"])
    assert "--traceback" not in "\n".join(lines(replace(BOTH, left_out=(left,))))


def test_comparison_whose_studies_would_all_fail_proposes_no_command():
    bad = (contender("bad"), estimate(failure="killed"))
    assert "To run it" not in "\n".join(lines(replace(BOTH, studies=(bad,))))
    assert "To run it" in "\n".join(lines(replace(BOTH, studies=(bad, *BOTH.studies))))


@pytest.mark.parametrize(
    ("statuses", "left", "status"),
    [
        ([0], [], 0),
        ([3, 0], [], 3),
        ([2, 0], [], 0),
        ([3, 2, 1], [], 3),
        ([1, 2], [], 2),
        ([1], [], 1),
        ([], [], 1),
        ([1], [LeftOut("a", "x", ValueError())], 3),
        ([0], [LeftOut("a", "x", ValueError())], 3),
        ([], [LeftOut("a", "x")], 1),
    ],
)
def test_exit_status(statuses, left, status):
    made = {0: estimate(), 1: estimate(failure="killed"), 3: estimate(failure="trace", bug=True)}
    made[2] = estimate(failure="no such width", refused=True)
    studies = tuple((contender("a"), made[each]) for each in statuses)
    assert replace(BOTH, studies=studies, left_out=tuple(left)).status == status


@pytest.fixture
def asked(monkeypatch, data):
    """Studies that are estimated, in the place of measuring them; those named ``...-c`` are refused."""
    seen = []

    def fake(spec, given):
        seen.append((spec, given))
        if spec.name.endswith("refused"):
            raise UsageError("another study\nof this name")
        if spec.name.endswith("broken"):
            raise RuntimeError("no layer")
        return estimate(spec=spec)

    monkeypatch.setattr(dry_run.estimator, "estimate", fake)
    monkeypatch.setattr(dry_run, "load_task", lambda task, cache: data)
    return seen


def test_each_study_is_estimated_as_the_comparison_runs_it(own_modules, asked, screen, data):
    comparison = Comparison(
        name="lab", separators=("my_separator", "picky", "broken"), task="my_task", trials=7, settings=("task.items=7",)
    )
    found = dry_run.estimate(comparison, SPACES)
    [(spec, given)] = asked
    assert given is data
    assert (spec.name, spec.budget.trials, spec.task.items) == ("lab-my_separator", 7, 7)
    assert dict(spec.space) == SPACES["my_separator"][0]
    assert dict(spec.first_settings) == SPACES["my_separator"][1]
    [(contender, own)] = found.studies
    assert (contender.key, contender.parameters, own.spec) == ("my_separator", 18, spec)
    assert [left.system for left in found.left_out] == ["picky", "broken"]
    assert screen.getvalue() == "loading the data of my_task; what the cache does not hold is generated ...\n"


def test_study_that_is_refused_costs_the_others_nothing(monkeypatch, asked, screen, no_specs):
    taking_part = [contender("refused"), contender("sound"), contender("broken")]
    monkeypatch.setattr(dry_run, "contenders", lambda *_: (taking_part, [LeftOut("oracle", "a bound")]))
    monkeypatch.setattr(dry_run, "task_config", lambda comparison: SPEC.task)
    monkeypatch.setattr(Comparison, "study", lambda self, name, *_: replace_name(name))
    found = dry_run.estimate(Comparison(name="lab"), {})
    assert [one.key for one, _ in found.studies] == ["sound"]
    assert found.left_out[0] == LeftOut("refused", "another study; of this name")
    assert found.left_out[1] == LeftOut("broken", "RuntimeError: no layer")
    assert isinstance(found.left_out[1].bug, RuntimeError)
    assert found.left_out[2] == LeftOut("oracle", "a bound")
    assert [spec.name for spec, _ in asked] == ["lab-refused", "lab-sound", "lab-broken"]


def replace_name(name: str) -> StudySpec:
    return SPEC.changed(name=name)


def test_basis_of_the_time_is_the_slowest_measurement():
    slow = replace(MEASURED, slowdown=2.0)
    studies = tuple(
        (each, replace(study, measurement=m)) for (each, study), m in zip(BOTH.studies, (slow, MEASURED), strict=True)
    )
    told = " ".join(line.strip() for line in lines(replace(BOTH, studies=studies)))
    assert "one study after another. Computed from CPU time, for a machine with nothing else to do; beside " in told
    assert "2.0 times as long: about 3 min 30 s. Not counted:" in told
