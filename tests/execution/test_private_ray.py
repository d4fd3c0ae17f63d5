"""A study's own Ray, really started: strangers are refused, other machines do not reach it, no disk has the token."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray
from ray._private import ray_constants

from sepray.execution import fork_server, private_ray

OWNER = """
import json, os, psutil, ray, sys, threading
from sepray.execution import cluster, fork_server, private_ray
slots = cluster.connect(None, 1, 1.0, 0.0, ["sepray"])
inside = ray.get(ray.remote(lambda: {k: v for k, v in os.environ.items() if k.startswith("RAY_AUTH")}).remote())
seen_from = ray.get(ray.remote(lambda: [os.path.abspath(path) for path in sys.path]).remote())
parent = ray.get(ray.remote(lambda: (psutil.Process().parent().cmdline(), "torch" in sys.modules)).remote())
@ray.remote(num_cpus=0)
class Drawing:
    def ids(self):
        thread = threading.Thread(target=lambda: drawn.append(ray.put(0).hex()))
        drawn = [ray.WorkerID.from_random().hex()]
        thread.start()
        thread.join()
        return drawn
    def scores(self):
        return [open(f"/proc/{pid}/oom_score_adj").read() for pid in (os.getpid(), os.getpgid(0))]
drawing = [Drawing.remote() for _ in range(2)]
ids = ray.get([one.ids.remote() for one in drawing])
scores = ray.get(drawing[0].scores.remote()) if fork_server.is_possible() else []
processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
print(json.dumps({
    "slots": slots,
    "address": ray.get_runtime_context().gcs_address,
    "listening": [(p.name(), c.laddr.ip) for p in processes for c in p.net_connections() if c.status == "LISTEN"],
    "token": inside["RAY_AUTH_TOKEN"], "mode": inside["RAY_AUTH_MODE"],
    "own": [name for name in os.environ if name.startswith("RAY_AUTH")],
    "told": [" ".join(p.cmdline()) for p in processes],
    "path": seen_from, "own_path": [os.path.abspath(path) for path in sys.path],
    "parent": parent, "ids": ids, "scores": scores, "folder": private_ray._folders[0], "asks": cluster.asks_for_token(),
}), flush=True)
sys.stdin.read()
cluster.disconnect()
"""

STRANGER = """
import ray, sys
ray.init(sys.argv[1], log_to_driver=False, logging_level="ERROR")
print(ray.get(ray.remote(lambda: "ran as the owner").remote()))
"""


@pytest.fixture(scope="module")
def owner(tmp_path_factory):
    """Values that a process has seen of the Ray that it has started, which runs meanwhile."""
    home = tmp_path_factory.mktemp("home")
    environment = {**without_ray(), "HOME": str(home), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    (home / "numpy.py").write_text("raise SystemExit('planted')")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-P", "-c", OWNER], cwd=home, env=environment, **pipes)
    try:
        seen = json.loads(process.stdout.readline())
        yield {**seen, "home": home}
    finally:
        process.stdin.close()
        assert process.wait(60) == 0
    assert not Path(seen["folder"]).exists(), "Ray's folder goes with it"


def without_ray():
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


def test_strangers_cannot_run_code(owner, tmp_path):
    """Without a token and with a guess; on the same machine, knowing the address, on the same loopback interface."""
    local = {
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",
        "RAY_NUM_REDIS_GET_RETRIES": "3",
    }  # 20 seconds of tries if not
    path = {"PYTHONPATH": os.path.dirname(os.path.dirname(ray.__file__)), "HOME": str(tmp_path)}
    command, strangers = [sys.executable, "-c", STRANGER, owner["address"]], []
    for guess in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64}):
        environment = {**without_ray(), **local, **path, **guess}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        strangers.append(subprocess.Popen(command, env=environment, **pipes))
    for stranger in strangers:
        said = stranger.communicate(timeout=120)[0]
        assert stranger.returncode != 0
        assert "ran as the owner" not in said
        assert "uthenticat" in said


def test_workers_import_from_where_the_driver_does_and_in_its_order(owner):
    """Ray itself puts the folder that a study was started in before all others, /tmp too."""
    assert str(owner["home"]) not in owner["own_path"]
    assert str(owner["home"]) not in owner["path"]
    installed = (sys.prefix, sys.base_prefix)
    own = [path for path in dict.fromkeys(owner["own_path"]) if not path.startswith(installed)]
    assert own
    assert [path for path in dict.fromkeys(owner["path"]) if path in own] == own


@pytest.mark.skipif(not fork_server.is_possible(), reason="workers are forked on Linux alone")
def test_workers_are_forked_with_their_imports(owner):
    command, has_torch = owner["parent"]
    assert fork_server._CODE in command
    assert command[-3:] == list(fork_server.IMPORTED)
    assert has_torch
    own, of_client = owner["scores"]
    assert own == of_client, (
        "Ray raises that of the client, so that the system ends workers first where memory is short"
    )


def test_workers_give_objects_ids_of_their_own(owner):
    """Two that were forked after Ray had drawn its first random number would call different objects by one id."""
    assert len({drawn for each in owner["ids"] for drawn in each}) == 4


def test_nothing_listens_where_other_machines_could_connect(owner):
    assert {name for name, _ in owner["listening"]} >= {"gcs_server", "raylet"}
    assert {address.removeprefix("::ffff:") for _, address in owner["listening"]} == {"127.0.0.1"}


def test_token_is_long_and_in_no_file_and_no_command(owner):
    token = owner["token"]
    assert len(bytes.fromhex(token)) == 32
    assert owner["mode"] == "token"
    assert not any(token in told for told in owner["told"])
    assert list(owner["home"].rglob("auth_token")) == []
    files = [path for path in Path(owner["folder"]).rglob("*") if path.is_file()]
    assert files, "Ray has logs"
    assert not any(token.encode() in path.read_bytes() for path in files)


def test_token_stays_out_of_the_environment_of_what_the_study_starts(owner):
    assert owner["own"] == []


def test_folder_of_the_session_is_below_one_that_nobody_else_may_enter(owner):
    assert Path(owner["folder"]).stat().st_mode & 0o777 == 0o700
    assert (Path(owner["folder"]) / "ray" / "session_latest").exists()


def test_cluster_says_that_it_asks_for_a_token(owner):
    assert owner["asks"] is True


def test_environment_is_as_it_was(monkeypatch, tmp_path):
    """The user's own token, of a cluster, is neither used nor lost."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of the cluster")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    before = dict(os.environ)
    with private_ray.private() as options:
        assert os.environ["RAY_AUTH_MODE"] == "token"
        assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
        assert Path(options["_temp_dir"]).parents[1] == tmp_path
    assert not private_ray.outlives_studies()
    with private_ray.kept():
        assert private_ray.outlives_studies()
    assert dict(os.environ) == before
    assert ray_constants.ENABLE_RAY_CLUSTER is True
    private_ray.forget()
    assert list(tmp_path.iterdir()) == []
    with private_ray.kept():
        assert not private_ray.outlives_studies()
