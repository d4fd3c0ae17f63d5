"""A study that a signal ends, at any stage, unwinds, has the signal's status, and goes on with the same command."""

import os
import signal
import subprocess
import sys
import time

import pytest

from .test_interruption import assert_everything_once, has_one_in_the_middle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

COMMAND = ("--separator.pause", "0.4", "--trials", "3", "--max-epochs", "5", "--scheduler", "none")
COMMAND += ("--final-seeds", "1")
STAGES = {
    "start-up": lambda laboratory: (laboratory.folder / "optuna.db").exists(),
    "search": has_one_in_the_middle,
    "finals": lambda laboratory: has_one_in_the_middle(laboratory, "lab/finals"),
    "packaging": lambda laboratory: any(laboratory.folder.glob("sepray-results/lab/*/result.json")),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("stage", STAGES)
def test_signal_at_every_stage(laboratory, stage, number):
    process = laboratory.start(*COMMAND)
    laboratory.wait(lambda: STAGES[stage](laboratory), process)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 128 + number, printed
    assert "Traceback" not in printed
    assert "SIGABRT" not in printed
    if stage != "start-up":  # MLflow's database may not have been made yet
        assert laboratory.query("select count(*) from runs where status = 'RUNNING'") == [(0,)]
    laboratory.run(*COMMAND, timeout=300)
    assert laboratory.query("select count(*) from runs where status = 'RUNNING'") == [(0,)]
    assert_everything_once(laboratory, trials=3, epochs=5)


def test_timeout_signals_the_whole_group(laboratory):
    """``timeout`` signals its command, and then every process of its group, Ray's among them."""
    process = laboratory.start(*COMMAND)
    laboratory.wait(lambda: has_one_in_the_middle(laboratory), process)
    process.terminate()
    os.killpg(process.pid, signal.SIGTERM)
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 143, printed
    assert "nothing is lost. The same command goes on" in printed
    laboratory.run(*COMMAND, timeout=300)
    assert_everything_once(laboratory, trials=3, epochs=5)


def test_comparison_is_interrupted_as_a_study_is(laboratory):
    script = laboratory.folder / "compare.py"
    script.write_text(
        "from sepray.comparison.command import Comparison, main\n\nif __name__ == '__main__':\n"
        "    main(Comparison(name='both', task='my_task', separators=('my_separator', 'oracle'), trials=0,\n"
        "                    max_epochs=200, final_seeds=1))\n"
    )
    process = laboratory.start(script="compare.py")
    laboratory.wait(
        lambda: any(t.intermediate_values for t in laboratory.trials("both-my_separator/finals")), process, seconds=150
    )
    time.sleep(1)
    process.terminate()
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 143, printed
    assert laboratory.query("select count(*) from runs where status = 'RUNNING'") == [(0,)]


def test_reader_that_goes_and_an_ascii_terminal_end_nothing(laboratory):
    command = " ".join([sys.executable, "study.py", *COMMAND])
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} | head -2"],
        cwd=laboratory.folder,
        env=laboratory.environment | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2), done.stderr
    assert_everything_once(laboratory, trials=3, epochs=5)
