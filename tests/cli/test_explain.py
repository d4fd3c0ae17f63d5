"""``sepray explain``: what it asks, what it prints at 80 columns, and what it refuses."""

import json
import sys
from typing import ClassVar

import pytest

from sepray.cli import main as cli
from sepray.console import terminal as terminal_module
from sepray.results import explaining, study_result
from sepray.scoring.explanation import Change, Gap, Step, explained

RATE = Change("autoencoder_learning_rate", 1e-05, 0.0171832, {})
ARM = Change("arm", "CASS with cross adversarial training", "no adversaries", {"adversarial": (1, 0)})
BETA = Change("discriminator_learning_rate", 1e-06, 2.68e-05, {})
FIRST, AFTER = {1: 1.04, 2: 1.05, 3: 1.06}, {1: 0.60, 2: 0.62, 3: 0.64}
STEPS = [(RATE, AFTER), (ARM, {1: 0.59, 2: 0.63, 3: 0.63}), (BETA, {1: 0.58, 2: 0.60, 3: 0.62})]
PATH = explained(
    "CASS", "the published settings 'CASS'", "relative L2 error", "minimize", "greedy", 3, 12, FIRST, STEPS
)
PUBLISHED = "slow alone, published"


class FakeTraining:
    """Stands in for the training of a path; keeps what it was asked for."""

    asked: ClassVar[list[explaining.PathOptions]] = []
    left = 42
    interrupted = False

    def __init__(self, result, options):
        self.asked.append(options)
        self.beginning = type("Beginning", (), {"name": "the published settings 'CASS'"})
        self.names, self.order, self.seeds, self.epochs, self.seconds = ("a", "b"), "greedy", (1, 2, 3), 12, 10.0
        self.left = FakeTraining.left

    def train(self):
        if FakeTraining.interrupted:
            raise KeyboardInterrupt
        return PATH


@pytest.fixture
def training(monkeypatch):
    monkeypatch.setattr(explaining, "PathTraining", FakeTraining)
    monkeypatch.setattr(FakeTraining, "asked", [])
    monkeypatch.setattr(terminal_module.console, "width", 80)
    yield FakeTraining
    terminal_module.console.stderr = False


def keep(folder, **changes):
    """Keep a path in the result of the finished study."""
    [file] = folder.glob("finished/*/result.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "explanation": PATH.plain(), **changes}))


def test_says_what_it_will_train_asks_and_prints_the_path(run, kept, training, terminal):
    answers, asked = terminal
    answers.append("y")
    lines = run("explain", "finished").splitlines()
    told = " ".join(" ".join(lines).split())
    assert told.startswith(
        "From the published settings 'CASS' to the champion's settings, 2 settings must change: a, b. Each step tries "
        "all changes that are left, on 3 seeds: at most 42 trainings of 12 epochs left, about "
    )
    assert " at once, about 10 s each). From the published settings" in told
    assert asked == ["Train them? [y/N] "]
    assert training.asked == [explaining.PathOptions()]
    assert (
        "From the published settings 'CASS' to the champion's settings, relative L2 error on validation fell from "
        "1.050 to 0.600 (3 seeds of 12 epochs). 96% (by seed 95% to 96%) of the gain came with "
        "autoencoder_learning_rate 1e-05 -> 0.01718. "
        "What changed with arm and discriminator_learning_rate stayed within the seeds' spread."
    ) in told
    assert all(len(line) <= 80 for line in lines)
    assert "The arm brings its settings: adversarial 1 -> 0." in told


def test_nothing_is_trained_without_a_yes(run, kept, training, terminal, monkeypatch):
    answers, _ = terminal
    answers += ["n", "n"]
    assert run("explain", "finished").splitlines()[-1] == "nothing is trained"
    assert json.loads(run("explain", "finished", "--json")) == {"study": "finished", "explained": False}
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    line = run("explain", "finished", status=2).strip()
    assert line == "sepray: nothing is trained without an answer: run it in a terminal, or give --yes"


def test_json_alone_is_on_standard_output(kept, training, capsys, run):
    with pytest.raises(SystemExit) as ended:
        cli.main(["explain", "finished", "--json", "--yes"])
    assert not ended.value.code
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert (said["study"], said["origin"], said["steps"][0]["change"]["name"]) == ("finished", "CASS", RATE.name)
    assert said["sentence"].startswith("From the published settings 'CASS'")
    assert "at most 42 trainings" in printed.err
    assert said["explained"]


def test_flags_are_the_wish_and_a_path_that_meets_it_is_only_shown(run, kept, training):
    keep(kept)
    shown = run("explain", "finished")
    assert "96% (by seed 95% to 96%) of the gain came" in " ".join(shown.split())
    run("explain", "finished", "--from", "CASS", "--order", "greedy", "--seeds", "3", "--epochs", "12")
    assert training.asked == []
    run("explain", "finished", "--from", PUBLISHED, "--order", "given", "--seeds", "5", "--epochs", "2", "--yes")
    assert training.asked == [explaining.PathOptions(PUBLISHED, "given", 5, 2)]


def test_interruption_says_how_it_goes_on(run, kept, training, monkeypatch):
    monkeypatch.setattr(training, "interrupted", True)
    with pytest.raises(SystemExit) as ended:
        cli.main(["explain", "finished", "--yes"])
    assert ended.value.code == 130


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--seeds", "1"], "sepray: --seeds must be at least 2, not 1"),
        (["--epochs", "0"], "sepray: --epochs must be at least 1, not 0"),
    ],
)
def test_refuses_numbers_that_make_no_path(run, kept, arguments, line):
    assert run("explain", "finished", *arguments, status=2).strip() == line


def test_study_of_an_older_commit_is_refused_in_words_where_nothing_is_to_be_compared(run, kept):
    line = run("explain", "halfway", "--yes", status=2).strip()
    assert line.startswith("sepray: halfway has no champion that could be explained: halfway is not finished")


def test_show_has_the_path_or_the_command_that_makes_it(run, kept, monkeypatch):
    monkeypatch.setattr(terminal_module.console, "width", 80)
    assert "sepray explain finished" in run("show", "finished")
    assert json.loads(run("show", "finished", "--json"))["explanation"] is None
    keep(kept)
    lines = run("show", "finished").splitlines()
    told = " ".join(" ".join(lines).split())
    assert "96% (by seed 95% to 96%) of the gain came with autoencoder_learning_rate" in told
    assert "sepray explain" not in told
    assert told.index("Settings of the champion") < told.index("Which setting earned what") < told.index("Trials, the")
    table = lines[lines.index("Which setting earned what") :]
    [row] = [line for line in table if line.startswith("  autoencoder_learning_rate")]
    assert row.split()[1:] == ["0.620", "-0.430", "96%", "(95%", "to", "96%)"]
    assert json.loads(run("show", "finished", "--json"))["explanation"]["first"] == pytest.approx(1.05)


def test_steps_that_failed_have_no_difference():
    assert Step(RATE, None, None, None).gap is None
    assert Gap(0.1, None, None).beyond_seeds is False


def test_stored_result_is_what_show_reads(kept, run):
    keep(kept)
    result = study_result.load_study("finished")
    assert result.ablation_path == PATH
