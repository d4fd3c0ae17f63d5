"""``--json`` means the same in every command: one document on standard output, messages on standard error."""

import contextlib
import json
import math

import numpy as np
import pytest

from sepray.cli import application
from sepray.cli import main as cli
from sepray.cli.main import MODULES
from sepray.tracking.delivery import Delivery
from sepray.tracking.outbox import Outbox

from .conftest import slow_wave

# Command -> its arguments beside --json, and keys of its document (of the first of several, where it is a list).
ON_STUDIES = {
    "show": ("finished", {"study", "state", "answer", "trials"}),
    "report": ("finished", {"study", "report"}),
    "reconcile": ("finished", {"study", "sent", "delivered", "created", "rejected"}),
    "list": ("studies", {"study", "trials"}),
    "clean": ("--dry-run", {"deleted", "bytes", "items"}),
    "delete": ("finished --yes", {"study", "deleted", "deletes", "keeps"}),
    "doctor": ("", {"ok", "findings"}),
}
ON_MODELS = {
    "evaluate": ("{half} --cache cache", {"model", "split", "scores"}),
    "compare": ("{half} {most} --cache cache", {"difference", "conclusion"}),
    "separate": ("{most} wave.npy --rate 128 --no-picture -o out", {"input", "files"}),
}
# tests/results/test_reproduction.py and tests/cli/test_explain.py, which have studies that can be trained again.
ELSEWHERE = {"reproduce", "explain"}
NONE = {"run"}  # a study, whose flags are its own


@pytest.fixture
def document(capsys):
    """Run a command with ``--json``; return its document and what it says beside it."""

    def run(name, arguments, status=0):
        with pytest.raises(SystemExit) as end:
            cli.main([name, *arguments.split(), "--json"])
        printed = capsys.readouterr()
        assert (end.value.code or 0) in (status, 1), printed.err  # doctor may miss something
        return json.loads(printed.out, parse_constant=pytest.fail), printed.err

    return run


def keys(document):
    return set(document[0] if isinstance(document, list) else document)


def test_every_command_is_tried():
    assert {*ON_STUDIES, *ON_MODELS} | ELSEWHERE | NONE == set(MODULES)


class SenderHere:
    """Delivers to MLflow in this process: another takes seconds to start (tests/tracking/test_sender.py has some)."""

    def __init__(self, outbox, uri, **_):
        self._outbox, self._uri = outbox, uri

    def send(self, command):
        with contextlib.closing(Outbox(self._outbox)) as outbox:
            delivery = Delivery(outbox, self._uri)
            while command == "finish" and outbox.pending():
                assert delivery.deliver(1000)[1] is None

    def wait(self, timeout):
        assert timeout > 0


@pytest.mark.parametrize("name", ON_STUDIES)
def test_command_on_studies_prints_one_document(name, kept, document, monkeypatch):
    monkeypatch.setattr("sepray.tracking.tracker.Sender", SenderHere)
    arguments, expected = ON_STUDIES[name]
    found, _ = document(name, arguments)
    assert expected <= keys(found)


@pytest.mark.parametrize("name", ON_MODELS)
def test_command_on_models_prints_one_document(name, models, document):
    np.save("wave.npy", slow_wave(128, 2)[0])
    arguments, expected = ON_MODELS[name]
    found, _ = document(name, arguments.format(half=models.half, most=models.most))
    assert expected <= keys(found)


def test_messages_are_on_standard_error(kept, document):
    found, told = document("clean", "--dry-run")
    assert "would be freed" in told or "nothing to delete" in told
    assert found["deleted"] is False
    assert found["bytes"] == sum(item["size"] for item in found["items"])
    found, told = document("delete", "halfway --yes")
    assert told.splitlines()[-1] == "halfway is deleted"
    assert found["deleted"] is True
    assert any("trial" in line for line in found["deletes"])
    found, _ = document("delete", "finished --yes")
    assert found["study"] == "finished"


def test_champions_settings_are_a_document_too(kept, document):
    found, _ = document("show", "finished --settings")
    assert set(found) == {"separator", "hyperparameters", "origin"}
    assert found["origin"]["study"] == "finished"


def test_nothing_is_on_standard_output_where_a_command_fails(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["show", "nothing", "--json"])
    printed = capsys.readouterr()
    assert (end.value.code, printed.out) == (2, "")
    assert printed.err.startswith("sepray: there is no Optuna storage")


def test_a_recording_cannot_share_standard_output_with_a_document(models, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["separate", models.most, "wave.npy", "-o", "-", "--source", "fetal", "--json"])
    assert end.value.code == 2
    assert "--json prints to standard output" in capsys.readouterr().err


def test_numbers_that_json_lacks_are_null(capsys):
    application.print_json({"a": [math.nan, (math.inf, 1)], "b": {"c": -math.inf}, "d": 0.5})
    assert json.loads(capsys.readouterr().out) == {"a": [None, [None, 1]], "b": {"c": None}, "d": 0.5}
