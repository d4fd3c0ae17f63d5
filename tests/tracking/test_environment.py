import os
import re
import sqlite3
import subprocess
import threading
from contextlib import closing

import pytest

from sepray.errors import UsageError
from sepray.tracking import environment
from sepray.tracking.environment import artifact_location, default_variables, environment_tags, resolve_uri


def test_the_default_is_the_database_that_a_bare_mlflow_ui_reads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    here = tmp_path.resolve()
    assert resolve_uri(None) == f"sqlite:///{here}/mlflow.db"
    assert resolve_uri("runs.db") == f"sqlite:///{here}/runs.db"
    assert resolve_uri("sqlite:///runs.db", here / "other") == f"sqlite:///{here}/other/runs.db"
    assert resolve_uri("sqlite:////elsewhere/m.db") == "sqlite:////elsewhere/m.db"
    assert resolve_uri("sqlite+pysqlite:///runs.db") == f"sqlite:///{here}/runs.db", "by its whole name it is the same"
    assert resolve_uri("http://host:5000") == "http://host:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other")
    assert resolve_uri(None) == "http://other"
    assert resolve_uri("http://host:5000") == "http://host:5000"


def test_programs_that_others_have_put_into_a_local_database_are_refused(uri, folder):
    """MLflow would wait for a view without end at the first question, and a trigger change each run."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert set(environment.MLFLOW_TABLES) - there <= {"workspaces"}  # which the oldest allowed version lacks
        connection.execute("CREATE VIEW of_my_own AS SELECT run_uuid FROM runs")
        connection.commit()
        assert resolve_uri(uri) == uri
        connection.execute("CREATE TRIGGER t AFTER INSERT ON tags BEGIN DELETE FROM runs; END")
        connection.commit()
    wrong = (
        r"mlflow\.db has a trigger in the place of, or on, the table tags, which MLflow has not made: go back to a copy"
    )
    for given in (uri, str(folder / "mlflow.db")):
        with pytest.raises(UsageError, match=wrong):
            resolve_uri(given)
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        connection.execute("DROP TRIGGER t")
        connection.execute("ALTER TABLE registered_models RENAME TO others")
        forever = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) SELECT x FROM c"
        connection.execute(f"CREATE VIEW registered_models AS {forever}")
        connection.commit()
    with pytest.raises(
        UsageError, match=r"mlflow\.db has a view in the place of, or on, the table registered_models, "
    ):
        resolve_uri(uri)


def test_artifacts_lie_beside_a_local_database_and_where_a_server_says():
    assert artifact_location("sqlite:////a/mlflow.db", "cass ecg/1") == "/a/mlruns/cass-ecg-1"
    assert artifact_location("http://host", "x") is None


def test_tags_name_versions_the_platform_and_the_lock_file(tmp_path):
    lock = tmp_path / "run.txt"
    lock.write_bytes(b"abc")
    tags = environment_tags(lock, tmp_path)
    assert tags["lock_file.sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert re.fullmatch(r"\d+\.\d+\.\d+", tags["version.python"])
    assert {"version.torch", "version.mlflow", "version.optuna", "version.ray", "platform"} <= set(tags)
    assert "mlflow.source.git.commit" not in tags
    assert "lock_file.sha256" not in environment_tags(tmp_path / "none.txt", tmp_path)


@pytest.fixture
def git(tmp_path, monkeypatch):
    """Runs git in a new repository with one file that is tracked, and one that is not."""
    for name in ("GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "first")
    (tmp_path / "not tracked").write_text("")
    return git


def test_tags_name_the_commit_of_the_folder_and_whether_it_is_dirty(tmp_path, git):
    tags = environment_tags(None, tmp_path)
    assert (tags["mlflow.source.git.commit"], tags["git.dirty"]) == (git("rev-parse", "HEAD"), "false")
    (tmp_path / "file").write_text("2")
    assert environment_tags(None, tmp_path)["git.dirty"] == "true"

    # A repository of a stranger's, unpacked: its settings are commands.
    monitor, driver, hook = tmp_path / "monitor", tmp_path / "driver", tmp_path / ".git" / "hooks" / "post-index-change"
    git("config", "core.fsmonitor", f"touch {monitor}; false")
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {monitor}\n")
    hook.chmod(0o755)
    os.utime(tmp_path / "file", (1, 1))
    assert environment_tags(None, tmp_path)["git.dirty"] == "true"
    (tmp_path / "more").write_text(f"[filter 'x']\nclean = touch {driver}; cat\n".replace("'", '"'))
    git("config", "include.path", str(tmp_path / "more"))
    (tmp_path / ".gitattributes").write_text("file filter=x\n")
    (tmp_path / "file").write_text("1")
    tags = environment_tags(None, tmp_path)
    assert "git.dirty" not in tags
    assert tags["mlflow.source.git.commit"]
    assert not monitor.exists()
    assert not driver.exists()


def _asked(monkeypatch):
    asked = []
    monkeypatch.setattr(environment, "_git", lambda folder, *words, **options: asked.append(words[0]))
    return asked


@pytest.mark.parametrize("name", ["HEAD", "config", "index", "packed-refs", "info/exclude", "refs/heads/main"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_git_is_not_asked_where_it_would_wait_for_a_pipe(tmp_path, monkeypatch, git, name, kind):
    """The wait cost 10 s, also in a folder below one that anybody may write to."""
    git("branch", "-M", "main")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    asked = _asked(monkeypatch)
    environment_tags(None, below)
    assert asked == ["rev-parse"]
    place = tmp_path / ".git" / name
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    os.mkfifo(place) if kind == "pipe" else place.symlink_to("/dev/zero")
    environment_tags(None, below)
    assert asked == ["rev-parse"]


def test_pipes_are_found_where_a_file_names_the_repository_and_where_it_has_no_tree(tmp_path, monkeypatch, git):
    git("branch", "-M", "main")
    git("worktree", "add", str(tmp_path / "other"))
    git("clone", "--bare", ".", str(tmp_path / "bare"))
    asked = _asked(monkeypatch)
    for folder, pipe in (("other", ".git/worktrees/other/HEAD"), ("bare", "bare/HEAD"), (".", ".git/config")):
        environment_tags(None, tmp_path / folder)
        assert asked == ["rev-parse"], folder
        content = (tmp_path / pipe).read_bytes()
        (tmp_path / pipe).unlink()
        os.mkfifo(tmp_path / pipe)
        environment_tags(None, tmp_path / folder)
        assert asked == ["rev-parse"], folder
        (tmp_path / pipe).unlink()
        (tmp_path / pipe).write_bytes(content)
        asked.clear()
    git("worktree", "remove", "other")
    (tmp_path / ".git" / "HEAD").write_text("ref: " + "x" * 5000)  # longer than any path
    environment_tags(None, tmp_path)
    (tmp_path / "odd").mkdir()
    os.mkfifo(tmp_path / "odd" / ".git")  # which git passes over
    environment_tags(None, tmp_path / "odd")
    assert asked == ["rev-parse"] * 2


def test_settings_of_a_submodule_run_nothing(tmp_path, git):
    ran, inner = tmp_path / "ran", tmp_path / "inner"
    git("init", str(inner))
    (inner / "file").write_text("1")
    (inner / ".gitattributes").write_text("* filter=x\n")
    git("-C", str(inner), "add", ".")
    git("-C", str(inner), "commit", "-m", "first")
    git("add", "inner")
    git("commit", "-m", "second")
    git("-C", str(inner), "config", "filter.x.clean", f"touch {ran}; cat")
    (inner / "file").write_text("2")
    os.utime(inner / "file", (1, 1))
    assert environment_tags(None, tmp_path)["git.dirty"] == "false"
    assert not ran.exists()


@pytest.mark.parametrize("partial", [("extensions.partialClone", "origin"), ("remote.origin.promisor", "true")])
def test_what_a_partial_clone_lacks_is_not_fetched(tmp_path, monkeypatch, git, partial):
    ran = tmp_path / "ran"
    tree = git("rev-parse", "HEAD^{tree}")
    (tmp_path / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    git("config", "core.repositoryFormatVersion", "1")
    git("config", "remote.origin.url", "ssh://host/x")
    git("config", "core.sshCommand", f"touch {ran} #")
    git("config", *partial)
    assert "git.dirty" not in environment_tags(None, tmp_path)
    monkeypatch.setattr(environment, "_runs_commands", lambda folder: False)  # what would be without the question
    assert "git.dirty" not in environment_tags(None, tmp_path)
    assert not ran.exists()


@pytest.mark.parametrize("failure", [None, subprocess.TimeoutExpired("git", 10)])
def test_a_repository_whose_settings_git_does_not_tell_is_not_looked_at(tmp_path, monkeypatch, failure):
    asked = []

    def run(command, **named):
        asked.append(words := [word for word in command if word in ("rev-parse", "config", "status")])
        if words == ["config"] and failure:
            raise failure
        return subprocess.CompletedProcess(command, 129 if words == ["config"] else 0, "abc", "")

    monkeypatch.setattr(environment.subprocess, "run", run)
    assert "git.dirty" not in environment_tags(None, tmp_path)
    assert asked == [["rev-parse"], ["config"]]


def test_default_variables_hold_inside_the_block_and_yield_to_the_users(monkeypatch):
    monkeypatch.setenv("SEPRAY_TEST_GIVEN", "users")
    monkeypatch.delenv("SEPRAY_TEST_NEW", raising=False)

    def values():
        return os.environ["SEPRAY_TEST_GIVEN"], os.environ.get("SEPRAY_TEST_NEW")

    def fail():
        assert values() == ("users", "ours")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), default_variables({"SEPRAY_TEST_GIVEN": "ours", "SEPRAY_TEST_NEW": "ours"}):
        fail()
    assert values() == ("users", None)


def test_two_threads_have_the_variables_that_each_asked_for(monkeypatch):
    monkeypatch.delenv("SEPRAY_TEST_NEW", raising=False)
    found = []

    def other():
        with default_variables({"SEPRAY_TEST_NEW": "theirs"}):
            found.append(os.environ.get("SEPRAY_TEST_NEW"))

    thread = threading.Thread(target=other)
    with default_variables({"SEPRAY_TEST_NEW": "ours"}):
        thread.start()
        thread.join(0.05)
    thread.join()
    assert found == ["theirs"]
    assert "SEPRAY_TEST_NEW" not in os.environ


def test_address_that_another_thread_has_set_for_a_while_is_not_the_users(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://users")
    found = []
    thread = threading.Thread(target=lambda: found.append(resolve_uri(None)))
    with environment.one_at_a_time:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other")
        thread.start()
        thread.join(0.05)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://users")
    thread.join()
    assert found == ["http://users"]


def test_tags_name_the_script_and_the_user_if_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(environment.sys, "argv", ["/far/away/study.py", "--trials", "3"])
    monkeypatch.setattr(environment.getpass, "getuser", lambda: "anna")
    tags = environment_tags(None, tmp_path)
    assert (tags["mlflow.source.type"], tags["mlflow.source.name"]) == ("LOCAL", "study.py")
    assert tags["mlflow.user"] == "anna"
    monkeypatch.setattr(environment.sys, "argv", [""])
    for error in (KeyError("1001"), OSError("no name")):
        monkeypatch.setattr(environment.getpass, "getuser", lambda error=error: raised(error))
        tags = environment_tags(None, tmp_path)
        assert "mlflow.user" not in tags
        assert tags["mlflow.source.name"] == "python"


def raised(error):
    raise error


def test_package_that_is_not_installed_has_no_version(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "_PACKAGES", ("optuna", "no-such-package"))
    assert {name for name in environment_tags(None, tmp_path) if name.startswith("version.")} == {
        "version.optuna",
        "version.python",
        "version.sepray",
    }


@pytest.mark.parametrize("failure", [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 10)])
def test_without_git_there_is_no_commit(tmp_path, monkeypatch, failure):
    asked = []

    def run(command, **named):
        asked.append((command, named["cwd"], named["timeout"]))
        raise failure

    monkeypatch.setattr(environment.subprocess, "run", run)
    tags = environment_tags(None, tmp_path)
    assert not {"mlflow.source.git.commit", "git.dirty"} & set(tags)
    command, *named = asked[-1]
    assert (command[0], command[-2:], *named) == ("git", ["rev-parse", "HEAD"], tmp_path, 5)


def test_requests_end_in_seconds_and_mlflow_reports_nothing():
    assert environment.REQUEST_LIMITS == {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "60",
    }
    assert (environment.QUIET["MLFLOW_DISABLE_TELEMETRY"], environment.QUIET["DO_NOT_TRACK"]) == ("true", "true")
