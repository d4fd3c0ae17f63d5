"""A journal file is cut off after its last line break before something is appended; a signal cuts no write off."""

import json
import os
import signal
import time

import optuna
import pytest
from optuna.storages.journal import _file

from sepray.errors import StorageError
from sepray.search import journal
from sepray.search.journal import RepairingBackend, drop_torn_line
from sepray.search.storage import connect, load_study, summaries


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"", b""),
        (b"one\n", b"one\n"),
        (b"one\ntwo\n", b"one\ntwo\n"),
        (b"one\nto", b"one\n"),
        (b"on", b""),
        (b"\n", b"\n"),
        (b"\nx", b"\n"),
        (b"one\n" + b"x" * 9, b"one\n"),  # the line break is in an earlier chunk, of 4 bytes
        (b"one\n" + b"x" * 8, b"one\n"),
        (b"12345\n" + b"x" * 10, b"12345\n"),
        (b"x" * 13, b""),
    ],
)
def test_torn_line_is_dropped(content, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "_CHUNK", 4)
    path = tmp_path / "journal.log"
    path.write_bytes(content)
    assert drop_torn_line(str(path)) == len(content) - len(kept)
    assert path.read_bytes() == kept


def test_whole_file_is_not_written_to(tmp_path, monkeypatch):
    """Others may append to it at the same time on a file system whose locks do not hold."""
    path = tmp_path / "journal.log"
    path.write_bytes(b"one\n")
    monkeypatch.setattr(journal.os, "truncate", lambda *given: pytest.fail("it was cut off"))
    assert drop_torn_line(str(path)) == 0


def test_records_follow_the_last_whole_line(tmp_path):
    path = tmp_path / "journal.log"
    backend = RepairingBackend(str(path))
    one, two, three = ({"op_code": 1, "worker_id": "w", "study_id": number} for number in (1, 2, 3))
    backend.append_logs([one])
    with path.open("ab") as file:
        file.write(b'{"op_code": 2')
    backend.append_logs([two, three])
    assert list(backend.read_logs(0)) == [one, two, three]
    assert list(backend.read_logs(2)) == [three]


@pytest.mark.parametrize("moment", ["rename", "symlink"])
def test_signal_during_a_write_is_raised_after_it(tmp_path, monkeypatch, request, moment):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run with Ctrl-C ignored
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = connect(f"journal://{tmp_path}/journal.log")
    study = optuna.create_study(storage=storage, study_name="s")
    done = getattr(os, moment)

    def interrupted(*arguments):
        monkeypatch.undo()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        done(*arguments)

    monkeypatch.setattr(_file.os, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.set_user_attr("a", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["journal.log"]
    study.set_user_attr("b", 2)
    assert optuna.load_study(storage=connect(f"journal://{tmp_path}/journal.log"), study_name="s").user_attrs == {
        "a": 1,
        "b": 2,
    }


@pytest.mark.parametrize(
    "record",
    [
        *([], 5, {}, {"op_code": 11}, {"op_code": -1}, {"op_code": "4"}, {"op_code": True, "study_id": 0}),
        *({"op_code": 4, **more} for more in ({}, {"study_id": "../x", "datetime_start": None}, {"study_id": 0})),
        {"op_code": 4, "study_id": 0, "datetime_start": 5},
        {"op_code": 0, "study_name": 5, "directions": [1]},
        {"op_code": 0, "study_name": "x", "directions": ["x"]},
        {"op_code": 2, "study_id": 0, "user_attr": {}},
        {"op_code": 5, "trial_id": 0, "param_name": "a", "param_value_internal": "x", "distribution": "{}"},
        {"op_code": 6, "trial_id": 0, "state": 1, "values": ["x"]},
        {"op_code": 7, "trial_id": 0, "step": "x", "intermediate_value": 1.0},
        {"op_code": 9, "trial_id": 10**40, "system_attr": {"a": 1}},
    ],
)
def test_record_that_optuna_never_writes_is_told_in_one_line(record, tmp_path):
    path = tmp_path / "journal.log"
    optuna.create_study(study_name="n", storage=connect(f"journal://{path}"))
    worker = {"worker_id": "x"} if isinstance(record, dict) else {}
    with path.open("a") as file:
        file.write(json.dumps({**record, **worker} if worker else record) + "\n")
    with pytest.raises(StorageError, match=r"journal\.log cannot be read: line 2 is not as Optuna writes it; delete"):
        load_study(f"journal://{path}", "n")
    with pytest.raises(StorageError, match=r"line 2 is not as Optuna writes it"):
        summaries(f"journal://{path}")


def test_records_that_optuna_writes_are_taken(tmp_path):
    url = f"journal://{tmp_path / 'journal.log'}"
    study = optuna.create_study(study_name="n", storage=connect(url), directions=["minimize", "maximize"])
    study.set_user_attr("a", {"b": [1]})
    study.optimize(
        lambda trial: (trial.suggest_float("x", 0, 1), trial.suggest_categorical("c", [None, "a"]) is None), 2
    )
    study.enqueue_trial({"x": 0.5})
    study.ask().set_user_attr("b", None)
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))
    one = optuna.create_study(study_name="one", storage=connect(url))
    one.add_trial(study_trial := optuna.trial.create_trial(value=1.0, intermediate_values={1: float("nan"), 2: 3.0}))
    trial = one.ask()
    trial.report(2.5, 1)
    one.tell(trial, state=optuna.trial.TrialState.PRUNED)
    optuna.delete_study(study_name="one", storage=connect(url))
    assert study_trial.value == 1.0
    assert len(load_study(url, "n").trials) == 4
