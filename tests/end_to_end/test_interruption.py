"""Studies go on after kill -9 of the driver, after Ctrl-C, with more trials, and while the tracking server is dead."""

import math
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import psutil
import pytest
from optuna.trial import TrialState

from .conftest import kill

SLOW = ("--separator.pause", "0.8", "--trials", "4", "--max-epochs", "5", "--scheduler", "none", "--final-seeds", "1")

# Less than a minute each on an idle machine; whole studies, in processes of their own, wait for busy ones.
pytestmark = pytest.mark.timeout(600)


def assert_everything_once(laboratory, trials, epochs):
    """Check: exactly the trials asked for, none twice, none RUNNING anywhere, every epoch logged once."""
    for name, count in (("lab", trials), ("lab/finals", None)):
        records = laboratory.trials(name)
        assert count is None or len(records) == count
        assert all(t.state in (TrialState.COMPLETE, TrialState.FAIL) for t in records)
        assert all(len(t.intermediate_values) == epochs for t in records if t.state is TrialState.COMPLETE)
        stage = "search" if name == "lab" else "finals"
        runs = laboratory.query(
            "select t.value, r.status from runs r join tags t using (run_uuid) join tags s using (run_uuid) "
            "where t.key = 'trial' and s.key = 'stage' and s.value = ?",
            stage,
        )
        assert sorted(int(number) for number, _ in runs) == [t.number for t in records]
        assert "RUNNING" not in {status for _, status in runs}
    assert laboratory.query("select count(*) from runs r join tags t using (run_uuid) where t.value = 'study'") == [
        (1,)
    ]
    repeated = laboratory.query(
        "select run_uuid, key, step, count(*) from metrics group by 1, 2, 3 having count(*) > 1"
    )
    assert repeated == []
    best, expected = math.inf, []
    for trial in laboratory.trials():
        best = min([best, *(trial.values or ())])
        expected += [(trial.number, best)] if best < math.inf else []
    charted = laboratory.query("select step, value from metrics where key = 'best so far/relative_l2' order by step")
    assert charted == expected


def has_one_in_the_middle(laboratory, name="lab"):
    """Say whether a trial of a stage is in its middle."""
    trials = laboratory.trials(name)
    return any(t.state is TrialState.RUNNING and 2 <= len(t.intermediate_values) < 5 for t in trials)


def is_halfway(laboratory):
    """Say whether some trial of the search has ended and another is in its middle."""
    complete = any(t.state is TrialState.COMPLETE for t in laboratory.trials())
    return complete and has_one_in_the_middle(laboratory)


@pytest.mark.slow
def test_killed_and_extended_study_goes_on_with_the_same_trials_and_runs(laboratory):
    process = laboratory.start(*SLOW)
    laboratory.wait(lambda: is_halfway(laboratory), process)
    kill(process)
    before = {t.number: dict(t.intermediate_values) for t in laboratory.trials()}
    seeds = {t.number: (t.params, t.user_attrs["seed"]) for t in laboratory.trials() if "seed" in t.user_attrs}
    known = dict(laboratory.query("select value, run_uuid from tags where key = 'sepray.trial'"))
    laboratory.run(*SLOW, "--trials", "5")
    assert_everything_once(laboratory, trials=5, epochs=5)
    for trial in laboratory.trials():
        for epoch, value in before.get(trial.number, {}).items():
            assert trial.intermediate_values[epoch] == value, "an epoch was trained again, from another state"
        if trial.number in seeds:
            assert (trial.params, trial.user_attrs["seed"]) == seeds[trial.number]
    after = dict(laboratory.query("select value, run_uuid from tags where key = 'sepray.trial'"))
    assert known.items() <= after.items()
    model = "models:/my-separator-my-task@champion"
    assert "identical over 5 epochs" in laboratory.sepray("reproduce", model).stdout


@pytest.mark.slow
def test_killed_worker_is_told_in_one_line_without_those_of_ray(laboratory):
    process = laboratory.start(*SLOW)
    laboratory.wait(lambda: has_one_in_the_middle(laboratory), process)
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [child for child in children if "ray::" in (line := " ".join(child.cmdline())) and "Trainable" in line]
    for worker in workers:
        worker.kill()
    printed, _ = process.communicate(timeout=400)
    assert process.returncode == 0, printed
    told = [line for line in printed.splitlines() if "has lost its worker (its process has ended), and goes on" in line]
    assert 1 <= len(told) <= len(workers), printed
    assert not [line for line in printed.splitlines() if "raylet" in line or "SYSTEM_ERROR" in line], printed
    assert_everything_once(laboratory, trials=4, epochs=5)


@pytest.mark.slow
def test_study_that_is_interrupted_among_its_retrainings_says_how_to_go_on_and_goes_on(laboratory):
    process = laboratory.start(*SLOW)
    laboratory.wait(lambda: has_one_in_the_middle(laboratory, "lab/finals"), process)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 130, printed
    assert "The same command goes on where it stopped" in printed
    assert "Traceback" not in printed
    assert all(status != "RUNNING" for (status,) in laboratory.query("select status from runs"))
    before = {t.number: dict(t.intermediate_values) for t in laboratory.trials("lab/finals")}
    laboratory.run(*SLOW)
    assert_everything_once(laboratory, trials=4, epochs=5)
    finals = {t.number: t.intermediate_values for t in laboratory.trials("lab/finals")}
    assert all(values.items() <= finals[number].items() for number, values in before.items())


def answers(uri):
    """Say whether a tracking server answers at ``uri``; its first answer waits until its database is made."""
    try:
        with urllib.request.urlopen(f"{uri}/api/2.0/mlflow/experiments/get?experiment_id=0", timeout=60) as answer:
            return answer.status == 200
    except urllib.error.URLError:
        return False


@pytest.mark.slow
def test_tracking_server_that_is_dead_throughout_costs_nothing_and_gets_all_later(laboratory, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    printed = laboratory.run("--tracking-uri", uri, "--trials", "2", "--max-epochs", "2", "--final-seeds", "1")
    assert [t.state for t in laboratory.trials()].count(TrialState.RUNNING) == 0
    assert laboratory.champion(printed)
    assert "sepray reconcile lab" in printed

    def reconcile(status=0):
        return laboratory.sepray("reconcile", "lab", "--tracking-uri", uri, status=status)

    still_dead = reconcile(status=2)
    assert len(still_dead.stderr.strip().splitlines()) == 1, still_dead.stderr

    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--port", str(port), "mlflow.server.fastapi_app:app", "--log-level", "error"],
        cwd=tmp_path,
        env=os.environ
        | {"_MLFLOW_SERVER_FILE_STORE": "sqlite:///mlflow.db", "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/"}
        | {"_MLFLOW_SERVER_SERVE_ARTIFACTS": "true", "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(tmp_path / "served")},
    )
    try:
        laboratory.wait(lambda: answers(uri), server)
        done = reconcile()
        assert "the first champion" in done.stdout
        assert_everything_once(laboratory, trials=2, epochs=2)
        again = reconcile()
        assert "0 waiting updates delivered, 0 runs created, 0 states corrected, 0 missing" in again.stdout
        assert "version 1 is the champion" in again.stdout
    finally:
        server.kill()
        server.wait()
