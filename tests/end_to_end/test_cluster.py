"""A study on a real Ray cluster of this machine, whose nodes are processes: what it refuses, ships and follows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
NODE = {"object_store_memory": 100_000_000}


@pytest.fixture(scope="module")
def cluster():
    """A head without CPUs, a node of one CPU, and one that says that it has a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **NODE})
        try:
            made.add_node(num_cpus=1, **NODE)
            made.add_node(num_cpus=1, num_gpus=1, **NODE)
            yield made
        finally:
            made.shutdown()


def run(folder: Path, *command: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """The ended process of a command, started in a folder."""
    path = os.pathsep.join([str(ROOT), str(folder)])
    own = {
        **os.environ,
        "PYTHONPATH": path,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        **variables,
    }
    return subprocess.run(
        [sys.executable, *command], cwd=cwd or folder, env=own, capture_output=True, text=True, timeout=500
    )


def sepray(folder: Path, *flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A short study of a user's three files, which the smoke test of infra/ has too."""
    for name in ("my_separator.py", "my_task.py", "my_study.py"):
        text = (ROOT / "infra" / "smoke" / name).read_text()
        (folder / name).write_text(text.replace("time.sleep(0.4)", "time.sleep(0.01)"))
    short = ["--trials", "3", "--max-epochs", "2", "--cache", str(folder / "cache")]
    return run(folder, "my_study.py", *short, *flags, **variables)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("concurrency", [(), ("--concurrency", "3")])
def test_trial_of_two_cpus_is_refused_on_nodes_of_one(cluster, tmp_path, concurrency):
    done = sepray(tmp_path, "--address", cluster.address, "--cpus-per-trial", "2", *concurrency)
    assert done.returncode == 2, done.stderr
    told = (
        "smoke: a trial needs 2 CPUs on one node, and the largest of the cluster's 3 nodes has 1 CPU: give less with "
    )
    assert last_line(done).startswith(told)
    assert len(done.stderr.strip().splitlines()) == 1


def test_node_without_cuda_ends_the_study_at_its_first_trial(cluster, tmp_path):
    done = sepray(tmp_path, "--gpus-per-trial", "1", RAY_ADDRESS=cluster.address)
    assert done.returncode == 2, done.stderr
    [told] = done.stderr.strip().splitlines()
    assert told.startswith("smoke: node ")
    assert " cannot run trials: " in told
    assert told.endswith("or take it out of the cluster, and the same command goes on")
    assert "code for the workers: sepray, my_separator, my_task (" in done.stdout


SHIPS = """
import shutil, sys
import ray
from sepray.execution import cluster
import my_separator  # and what it imports
cluster.connect(sys.argv[1], 0, 1.0, 0.0, ["sepray", "my_separator"])
shutil.rmtree(sys.argv[2])  # so that a worker has nothing but what it was sent
sys.path.remove(sys.argv[2])

@ray.remote(num_cpus=1)
def look():
    import helpers, my_separator, tools.filters
    return [module.__file__ for module in (helpers, my_separator, tools.filters)]

print(*ray.get(look.remote()), sep="\\n")
"""


def test_worker_has_all_local_modules_though_the_users_folder_is_not_there(cluster, tmp_path):
    files = {"my_separator.py": "import helpers", "helpers.py": "import tools.filters", "tools/__init__.py": ""}
    for name, text in {**files, "tools/filters.py": "", "secrets.env": "TOKEN=x"}.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    project = str(tmp_path / "project")
    done = run(tmp_path / "project", "-c", SHIPS, cluster.address, project, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    places = done.stdout.strip().splitlines()
    assert len(places) == 3
    assert not any(place.startswith(project) for place in places)


FOLLOWS = """
import sys, time
import ray
from sepray.execution import capacity, cluster
said = []
slots = cluster.connect(sys.argv[1], 0, 1.0, 0.0, ["sepray"], said.append)
print(slots, flush=True)
input()
deadline = time.monotonic() + 300
while capacity.Slots({"CPU": 1.0}, 0).now() == slots and time.monotonic() < deadline:
    time.sleep(0.2)
print(capacity.Slots({"CPU": 1.0}, 0).now(), capacity.Slots({"CPU": 1.0}, 0).given())
"""


def test_node_that_joins_later_counts(cluster):
    own = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", FOLLOWS, cluster.address], env=own, **pipes) as process:
        assert process.stdout.readline().split() == ["2"]
        late = cluster.add_node(num_cpus=2, **NODE)
        try:
            out, _ = process.communicate("\n", timeout=400)
        finally:
            cluster.remove_node(late)
    assert out.split() == ["4", "5"]


def test_two_studies_share_a_cluster_each_with_its_concurrency(cluster, tmp_path):
    """Both are told of the cluster by Ray's own variable; either alone would have room for two trials."""
    started = {}
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("my_separator.py", "my_task.py", "my_study.py"):
            text = (ROOT / "infra" / "smoke" / file).read_text().replace("time.sleep(0.4)", "time.sleep(0.01)")
            (folder / file).write_text(text)
        flags = ["--name", name, "--trials", "2", "--max-epochs", "2", "--concurrency", "1"]
        own = {
            **os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]), "RAY_ADDRESS": cluster.address,
            "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, "my_study.py", *flags, "--cache", str(tmp_path / "cache")]
        started[name] = subprocess.Popen(command, cwd=folder, env=own, **pipes)
    for name, process in started.items():
        out, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors
        assert f"study {name}: my_separator on my_task, 2 trials of up to 2 epochs, 1 at once" in out
        assert "Registered as my-separator-my-task version 1" in out


FETCHES = """
import os, sys
import numpy as np
import ray, torch
from sepray.disk import mapping
from sepray.execution import cluster, items

cluster.connect(sys.argv[1], 0, 1.0, 0.0, ["sepray"])
mapping._COPIED_BYTES = 0
items_there = mapping.Scratch(__import__("pathlib").Path(sys.argv[2])).kept(torch.arange(3_000_000.0))
parameters = {"train": {"mixture": items.handed(items_there, True)}, "validation": {}, "context": 1}

@ray.remote(num_cpus=1)
def look(view, hidden):
    opened = mapping.opened
    items.mapping.opened = lambda place: None if place.path.startswith(hidden) else opened(place)
    items.PIECE_BYTES = 1 << 20
    found = [items.tensors(view, "cpu")["mixture"] for _ in range(2)]
    return float(found[0].double().sum()), torch.equal(*found), mapping.slice_of(found[1]).path

with items.served(parameters, sys.argv[3], True) as given:
    total, equal, path = ray.get(look.remote(given["train"], sys.argv[2]))
assert total == 3_000_000 * 2_999_999 / 2 and equal, (total, equal)
print(path)
"""


def test_node_that_does_not_see_the_items_fetches_them_through_ray(cluster, tmp_path):
    done = run(tmp_path, "-c", FETCHES, cluster.address, str(tmp_path / "driver"), str(tmp_path / "node"))
    assert done.returncode == 0, done.stderr
    [copy] = (tmp_path / "node" / f"fetched-{os.geteuid()}").glob("[0-9a-f]*")
    assert done.stdout.strip() == str(copy)
    assert copy.stat().st_size == 12_000_000
