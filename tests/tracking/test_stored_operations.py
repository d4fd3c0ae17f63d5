"""An outbox in a folder of a group's asks for no file of who delivers it, deletes none, and holds nobody up."""

import contextlib
import json
import math
import sqlite3

import pytest

from sepray.disk.files import open_lock
from sepray.errors import UsageError
from sepray.spec import folder as study_folder
from sepray.tracking.outbox import Operation, Outbox, OutboxError, RunKey
from sepray.tracking.stored_operations import is_copy, is_sound

from .test_delivery import STUDY, begin, end

UUID = "0123456789abcdef" * 2


@pytest.fixture
def home(tmp_path):
    """A folder of who delivers, which nobody else may read or write."""
    (tmp_path / "home" / "keys").mkdir(parents=True)
    (tmp_path / "home" / "keys" / "id_rsa").write_text("private")
    return tmp_path / "home" / "keys"


def planted(outbox, kind, body):
    outbox.put(STUDY, kind, body)


def test_copies_are_those_of_the_outbox_alone():
    assert is_copy(f"{UUID}/a.txt")
    for name in (
        "a.txt",
        f"{UUID}",
        f"{UUID}/",
        f"{UUID}/..",
        f"{UUID}/.",
        f"../{UUID}/a",
        f"/{UUID}/a",
        f"{UUID}/a/b",
    ):
        assert not is_copy(name)
    for name in ("/home/me/.ssh/id_rsa", "..", "", None, 5, [], f"{UUID.upper()}/a", f"{UUID}/a\0"):
        assert not is_copy(name)


@pytest.mark.parametrize("link", ["file", "folder"])
def test_no_file_of_who_delivers_is_sent_or_deleted(outbox, delivery, read, home, link):
    begin(outbox)
    for file in (home / "id_rsa", f"../home/keys/{'id_rsa'}", f"{UUID}/../../home/keys/id_rsa"):
        planted(outbox, "artifact", {"name": "id_rsa", "file": str(file)})
    outbox.files.mkdir(exist_ok=True)
    if link == "file":
        (outbox.files / UUID).mkdir()
        (outbox.files / UUID / "id_rsa").symlink_to(home / "id_rsa")
    else:
        (outbox.files / UUID).symlink_to(home)
    planted(outbox, "artifact", {"name": "id_rsa", "file": f"{UUID}/id_rsa"})
    end(outbox, "")
    assert delivery.deliver(2000) == (7, None)
    found = read()
    assert not found.client.list_artifacts(found.runs[""].info.run_id)
    assert found.runs[""].info.status == "FINISHED"
    assert [r.kind for r in outbox.rejected()] == ["artifact"] * 4
    assert (home / "id_rsa").read_text() == "private"


def test_damaged_rows_are_set_aside_and_hold_up_nobody(outbox, delivery, read):
    begin(outbox)
    rows = [(b"\xff", 1.5, None, "[]"), ("s", "", "run", "[" * 100_000), ("s", "", "log", "nonsense")]
    rows += [("s", "", kind, json.dumps(body)) for kind, body in DAMAGED]
    with sqlite3.connect(outbox.path) as connection:
        connection.execute("DROP TABLE operations")
        connection.execute("CREATE TABLE operations (number INTEGER PRIMARY KEY, study, label, kind, body)")
        connection.executemany("INSERT INTO operations (study, label, kind, body) VALUES (?, ?, ?, ?)", rows)
    connection.close()
    begin(outbox)
    end(outbox, "")
    assert delivery.deliver(2000) == (len(rows) + 3, None)
    assert len(outbox.rejected()) == len(rows)
    assert read().runs[""].info.status == "FINISHED"


RUN = {"name": "n", "start": 5, "tags": {"a": "b"}}
DATASET = dict.fromkeys(("name", "digest", "source", "profile", "context"), "x")
SOUND = [
    *(("run", body) for body in (RUN, {**RUN, "experiment": "e"}, {**RUN, "tags": {}})),
    *(("log", body) for body in ({}, {"metrics": [["a", 1.5, 2, 3], ["a", math.nan, 2, 3]], "params": {"a": "b"}})),
    *(("status", body) for body in ({"status": "KILLED", "end": None}, {"status": "FINISHED", "end": 5})),
    *(("name", {"name": "n"}), ("dataset", DATASET)),
    *(("artifact", {"name": name, "text": ""}) for name in ("a.txt", "a/b c.txt", "a/..b")),
    ("artifact", {"name": "a.txt", "file": f"{UUID}/a.txt"}),
]
DAMAGED = [
    *(("run", {**RUN, name: value}) for name, value in (("name", 5), ("start", "x"), ("tags", []), ("experiment", 5))),
    *(("run", {k: v for k, v in RUN.items() if k != name}) for name in RUN),
    *(
        ("run", {**RUN, "tags": {"a": 5}}),
        ("other", {}),
        ("", {}),
        ("log", {"params": []}),
        ("log", {"tags": {"a": []}}),
    ),
    *(
        ("log", {"metrics": rows})
        for rows in (
            *(5, [5], [["a", 1]], [[5, 1, 2, 3]], [["a", "b", 2, 3]], [["a", 1, "x", 3]]),
            *([["a", 10**400, 2, 3]], [["a", 1, 10**400, 3]], [["a", 1, 2, math.nan]], [["a", 1, 2, 1e19]]),
        )
    ),
    *(("status", body) for body in ({}, {"status": 5}, {"status": "DONE"}, {"status": "KILLED", "end": "x"})),
    *(("name", {}), ("name", {"name": 5}), ("dataset", {**DATASET, "name": 5}), ("dataset", {"name": "x"})),
    *(("artifact", {"name": name, "text": ""}) for name in ("../a", "/a", "a/../../b", "", "a//b", 5, "a\\b", "..")),
    *((kind, {**body, "file": f"{UUID}/artifacts"}) for kind, body in SOUND if kind != "artifact"),
    ("artifact", {"name": "a.txt", "text": "", "file": f"{UUID}/a.txt"}),
    *(("artifact", {"name": "a", **more}) for more in ({}, {"text": 5}, {"file": "/etc/passwd"}, {"file": 5})),
]


def test_what_is_sound():
    assert [(kind, body) for kind, body in SOUND if not is_sound(kind, body)] == []
    assert [(kind, body) for kind, body in DAMAGED if is_sound(kind, body)] == []
    assert not is_sound("log", [])


def test_links_in_the_place_of_own_files_are_not_written_through(tmp_path):
    (tmp_path / "theirs").write_text("whole")
    (tmp_path / "outbox.db.lock").symlink_to(tmp_path / "theirs")
    box = Outbox(tmp_path / "outbox.db")
    with pytest.raises(OSError, match=r"outbox\.db\.lock"), box.exclusive():
        pass
    box.close()
    (tmp_path / "lock").symlink_to(tmp_path / "empty")
    with pytest.raises(OSError, match="lock"):
        study_folder.lock(tmp_path, "s")
    assert not (tmp_path / "empty").exists()
    (tmp_path / "other.db").symlink_to(tmp_path / "outbox.db")
    with pytest.raises(OutboxError, match=r"other\.db is a link, which sepray has not made"):
        Outbox(tmp_path / "other.db")
    assert (tmp_path / "theirs").read_text() == "whole"


@pytest.mark.parametrize("kind", ["artifact", "name"])
def test_nothing_is_deleted_through_a_link_in_the_place_of_the_copies(tmp_path, kind):
    """A link that a group has put there may lead to any folder of the user who delivers, such as MLflow's."""
    (tmp_path / "mlruns" / UUID).mkdir(parents=True)
    (tmp_path / "mlruns" / UUID / "artifacts").write_text("whole")
    with contextlib.closing(Outbox(tmp_path / "outbox.db")) as box:
        planted(box, kind, {"name": "artifacts", "file": f"{UUID}/artifacts"})
        box.files.symlink_to(tmp_path / "mlruns")
        box.acknowledge(box.take(9))
        assert (tmp_path / "mlruns" / UUID / "artifacts").read_text() == "whole"
        with pytest.raises(OutboxError, match=r"outbox\.db\.files is a link"):
            box.put_text(STUDY, "a.txt", "a" * 200_000)
        box.files.unlink()
        (box.files / UUID).mkdir(parents=True)
        box.acknowledge([Operation(1, STUDY, "name", {"name": "a", "file": f"{UUID}/a"})])
        assert (box.files / UUID).is_dir()  # no other kind of row has a copy


def test_no_link_is_put_into_the_outbox_as_what_it_leads_to(tmp_path, home):
    (tmp_path / "figure.svg").symlink_to(home / "id_rsa")
    with contextlib.closing(Outbox(tmp_path / "outbox.db")) as box:
        with pytest.raises(OSError, match=r"figure\.svg"):
            box.put_file(STUDY, "figure.svg", tmp_path / "figure.svg")
        assert box.pending() == 0


def test_outbox_of_a_study_behind_a_link_is_refused(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "ab12").symlink_to(tmp_path / "theirs")
    with pytest.raises(OutboxError, match=r"ab12 is a link"):
        Outbox(tmp_path / "small" / "ab12" / "outbox.db")
    with pytest.raises(UsageError, match=r"ab12 is a link"):
        study_folder.lock(tmp_path / "small" / "ab12", "small")
    assert list((tmp_path / "theirs").iterdir()) == []


def test_lock_keeps_what_is_in_it(tmp_path):
    for text in ("a", "b"):
        with open_lock(tmp_path / "lock") as file:
            file.write(text)
    assert (tmp_path / "lock").read_text() == "ab"
    assert RunKey("s") == STUDY
