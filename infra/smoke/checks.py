"""What smoke.sh asks of its cluster: ``checks.py COMMAND ARGUMENTS``; each function below is a command.

The exit status is 1 where the answer is no. ``promises`` prints a line for each promise.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

MODEL, EPOCHS, TRIALS = "my-separator-my-task", 60, 12
"""As in my_study.py."""


def ports(count: str) -> None:
    """Print free ports, with spaces between."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(count))]
    print(*(s.getsockname()[1] for s in sockets))


def answers(url: str) -> None:
    """Ask for a page."""
    urllib.request.urlopen(url, timeout=5).close()


def nodes(address: str, count: str) -> None:
    """Say whether so many nodes of the Ray cluster are alive."""
    import ray

    ray.init(address, log_to_driver=False, logging_level="ERROR")
    alive = sum(node["Alive"] for node in ray.nodes())
    sys.exit(alive != int(count))


def user(uri: str, name: str, password_file: str) -> None:
    """Make a user of MLflow with a random password, as its administrator; check that nobody gets in without."""
    assert _status(f"{uri}/api/2.0/mlflow/experiments/search?max_results=1") == 401
    assert _status(f"{uri}/api/2.0/mlflow/experiments/search?max_results=1", "admin", "wrong-password") == 401
    path = Path(password_file)
    path.touch(0o600)
    path.write_text(secrets.token_hex(16))
    admin = Path(os.environ["MLFLOW_PASSWORD_FILE"]).read_text()
    body = json.dumps({"username": name, "password": path.read_text()}).encode()
    assert _status(f"{uri}/api/2.0/mlflow/users/create", "admin", admin, body) == 200


def _status(url: str, name: str = "", password: str = "", body: bytes | None = None) -> int:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if body else {})
    if name:
        login = base64.b64encode(f"{name}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def running(storage: str, epochs: str) -> None:
    """Print how many trials run that have reported so many epochs or more."""
    import psycopg

    query = """SELECT t.number, count(v.*) FROM trials t JOIN trial_intermediate_values v USING (trial_id)
               WHERE t.state = 'RUNNING' GROUP BY t.number HAVING count(v.*) >= %s"""
    with psycopg.connect(storage.replace("+psycopg", "")) as connection:
        print(len(connection.execute(query, [int(epochs)]).fetchall()))


def promises(work: str, storage: str, address: str) -> None:
    """Check what was promised of a study that has ended; print a line for each promise."""
    folder = Path(work)
    finished = _trials(storage)
    print(f"      {finished} trials and retrainings: all complete or stopped early, none lost, every epoch told once")
    print(f"      {_retrained(folder, storage)}")
    print(f"      {_runs(storage)}")
    print(f"      {_model(folder)}")
    print(f"      {_objects()}")
    print(f"      {_strangers(address)}")
    print(f"      {_secrets(folder, storage)}")
    print(f"      report and outbox: {_local(folder).relative_to(folder / 'user')}, in the folder of the driver")


def _studies(storage: str) -> list:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return [optuna.load_study(study_name=name, storage=storage) for name in ("smoke", "smoke/finals")]


def _trials(storage: str) -> int:
    search, finals = _studies(storage)
    assert len(search.trials) >= TRIALS, f"{len(search.trials)} trials"
    assert [t.number for t in search.trials] == list(range(len(search.trials)))
    for trial in (*search.trials, *finals.trials):
        states = {"COMPLETE": trial.last_step == EPOCHS, "PRUNED": (trial.last_step or 0) < EPOCHS}
        assert states.get(trial.state.name), f"trial {trial.number} is {trial.state.name} at epoch {trial.last_step}"
        epochs = sorted(trial.intermediate_values)
        assert epochs == list(range(epochs[0], epochs[0] + len(epochs))), f"trial {trial.number} has epochs {epochs}"
        assert epochs[0] <= 1
    return len(search.trials) + len(finals.trials)


def _retrained(folder: Path, storage: str) -> str:
    """Compare the steps that the nodes counted with the epochs reported; an epoch is one step."""
    told = sum(len(t.intermediate_values) for study in _studies(storage) for t in study.trials)
    trained = sum(file.stat().st_size for file in folder.glob("node*/home/steps"))
    extra = trained - told
    # The killed node's trial goes on from its checkpoint, at most 3 s (8 epochs of 0.4 s) and an epoch old; trials that
    # were stopped early may have begun another epoch. Training from the start again would cost more than 10 epochs.
    assert extra <= EPOCHS, f"{extra} epochs were trained again"
    return f"{told} epochs told, {trained} trained: the failures cost {extra}"


def _runs(storage: str) -> str:
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(MODEL)
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    trials = [run for run in runs if "trial" in run.data.tags]
    told = {run.data.tags["stage"] + run.data.tags["trial"]: run for run in trials}
    search, finals = _studies(storage)
    assert len(told) == len(trials) == len(search.trials) + len(finals.trials), sorted(told)
    assert {run.info.status for run in runs} == {"FINISHED"}, [(r.info.run_name, r.info.status) for r in runs]
    points = 0
    for trial in search.trials:
        run = told[f"search{trial.number}"]
        history = client.get_metric_history(run.info.run_id, "objective")
        steps = sorted({metric.step for metric in history})
        assert steps == sorted(trial.intermediate_values), f"trial {trial.number}: {steps}"
        points += len(steps)
    return f"MLflow has {len(runs)} runs, all finished, and {points} objectives, as Optuna has"


def _model(folder: Path) -> str:
    signal = folder / "user" / "mixture.csv"
    signal.write_text("\n".join(str(k % 7 / 7) for k in range(256)))
    command = [sys.executable, "-m", "sepray", "separate", f"models:/{MODEL}@champion", str(signal), "--rate", "100"]
    done = subprocess.run([*command, "-o", "separated"], cwd=folder / "user", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = sorted(p.name for p in (folder / "user" / "separated").rglob("*.csv"))
    assert len(made) == 2, made
    return f"the champion came from MLflow and separates: {', '.join(made)}"


def _objects() -> str:
    import boto3

    s3 = boto3.client("s3")
    lists = {name: s3.list_objects_v2(Bucket=name).get("Contents", ()) for name in ("studies", "mlflow")}
    keys = {name: [found["Key"] for found in objects] for name, objects in lists.items()}
    assert any(".safetensors" in key for key in keys["studies"]), keys["studies"]
    assert any("model" in key for key in keys["mlflow"]), keys["mlflow"]
    return f"checkpoints ({len(keys['studies'])} objects) and models ({len(keys['mlflow'])}) lie in the object store"


def _strangers(address: str) -> str:
    program = f"import ray; ray.init({address!r}, log_to_driver=False, logging_level='CRITICAL')"
    unset = {k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH")}
    environment = {**unset, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(24)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=120)
    assert done.returncode, "Ray let a stranger in"
    uri = os.environ["MLFLOW_TRACKING_URI"]
    assert _status(f"{uri}/api/2.0/mlflow/experiments/search?max_results=1") == 401
    return "who has no token or login is refused by Ray and MLflow"


def _secrets(folder: Path, storage: str) -> str:
    """Look for every secret in all that was written, shown or stored."""
    named = ("postgres_password", "mlflow_password", "alice", "ray_token")
    values = {name: (folder / "secrets" / name).read_text() for name in named}
    identity = json.loads((folder / "secrets" / "s3_identities.json").read_text())["identities"][0]["credentials"][0]
    values["s3"] = identity["secretKey"]
    places = [folder / "logs", folder / "ray", folder / "user", folder / "home", *folder.glob("node*")]
    files = [p for place in places for p in place.rglob("*") if p.is_file() and not p.is_symlink()]
    texts = {str(path): path.read_bytes() for path in files}
    attributes = [[study.user_attrs, [t.user_attrs for t in study.trials]] for study in _studies(storage)]
    texts["Optuna's attributes"] = json.dumps(attributes).encode()
    for place, text in texts.items():
        for name, value in values.items():
            assert value.encode() not in text, f"{name} stands in {place}"
    return f"no secret stands in {len(files)} files (logs of all nodes, results, process list) or in the storage"


def _local(folder: Path) -> Path:
    (outbox,) = (folder / "user").rglob("outbox.db")
    assert (outbox.parent / "report.html").exists(), sorted(outbox.parent.iterdir())
    return outbox.parent


if __name__ == "__main__":
    command = {f.__name__: f for f in (ports, answers, nodes, user, running, promises)}[sys.argv[1]]
    command(*sys.argv[2:])
