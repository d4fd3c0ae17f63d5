"""Joining a cluster, with Ray's own calls replaced: what Ray is asked for, and what is said where it refuses."""

import contextlib
import json
import math
import os
import pickle
import re
from types import SimpleNamespace

import pytest
import ray
from ray.runtime_env.runtime_env import _merge_runtime_env
from ray.tune.search import Searcher

from sepray.errors import StorageError, UnreachableError, UsageError
from sepray.execution import capacity, cluster, ray_watch, worker_code
from sepray.execution.cluster import ClusterError, threads

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@pytest.mark.parametrize(("cpus", "count"), [(0.25, 1), (1.0, 1), (1.9, 1), (2.0, 2), (6.5, 6), (0.0, 1)])
def test_trial_has_as_many_threads_as_whole_cpus_and_at_least_one(cpus, count):
    assert threads(cpus) == count


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    """No Ray is started here whose workers could be forked."""
    monkeypatch.setattr(cluster.fork_server, "is_possible", lambda: False)


@pytest.fixture
def started(monkeypatch):
    """Options of every call of ``ray.init``."""
    calls = []
    for name in (*THREADS, *cluster._ALLOCATOR_SETTINGS):
        monkeypatch.setenv(name, "64")
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    monkeypatch.setattr(cluster.ray, "init", lambda *args, **options: calls.append(options))
    return calls


@pytest.mark.parametrize(
    ("concurrency", "cpus", "expected"),
    [(3, 1.0, 3), (3, 0.5, 2), (2, 4.0, 8), (1, 0.25, 1), (5, 0.0, None)],
)
def test_local_ray_has_the_cpus_of_as_many_trials(started, concurrency, cpus, expected):
    cluster._start_local(concurrency, cpus)
    [options] = started
    assert options["num_cpus"] == (expected if cpus else 1)
    assert options["include_dashboard"] is False
    assert options["address"] == "local"  # never the cluster that somebody else has started on this machine
    assert {os.environ[name] for name in THREADS} == {str(threads(cpus))}
    assert os.environ["MALLOC_TRIM_THRESHOLD_"] == str(2**28)
    assert os.environ["MALLOC_MMAP_THRESHOLD_"] == "64"  # the user's own


def test_local_ray_fills_the_cpus_that_this_process_may_use(started, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    for cpus, expected in ((1.0, 6), (0.5, 6), (4.0, 4), (16.0, 16)):
        cluster._start_local(0, cpus)
        assert started[-1]["num_cpus"] == expected == math.ceil(max(1, 6 // cpus) * cpus)


@pytest.mark.parametrize(("gpus", "possible"), [(0.0, True), (0.5, True), (0.0, False)])
def test_workers_of_a_local_ray_are_forked_where_they_have_no_gpu(started, monkeypatch, gpus, possible):
    """A process that is forked after CUDA was asked for cannot use it."""
    servers = []
    monkeypatch.setattr(cluster.fork_server, "is_possible", lambda: possible)
    monkeypatch.setattr(
        cluster.fork_server.ForkServer,
        "start",
        lambda server, raylet: servers.append((server.path, raylet, len(os.environ["RAY_AUTH_TOKEN"]))),
    )
    monkeypatch.setattr(cluster.private_ray, "raylet", lambda: 31)
    monkeypatch.setattr(cluster, "_capacity", lambda needs: 2)
    cluster.connect(None, 2, 1.0, gpus, [])
    [options] = started
    if gpus or not possible:
        assert servers == []
        assert "runtime_env" not in options
        return
    [(path, raylet, token)] = servers
    assert os.path.dirname(path) == os.path.dirname(options["_temp_dir"])
    assert (raylet, token) == (31, 64), "the server is started with the token of this Ray"
    assert options["runtime_env"] == {"py_executable": cluster.fork_server.python_for_workers(path)}
    cluster.private_ray.forget()


def test_local_ray_imports_from_where_this_process_does(monkeypatch, tmp_path):
    """Such as a folder that a notebook has put on its path."""
    seen = []
    monkeypatch.setattr(cluster.ray, "init", lambda **options: seen.append((os.environ["PYTHONPATH"], options)))
    monkeypatch.syspath_prepend(str(tmp_path))
    cluster._start_local(1, 1.0)
    [(paths, options)] = seen
    assert paths.split(os.pathsep)[0] == str(tmp_path)
    options["job_config"]._py_driver_sys_path.extend(["/elsewhere", str(tmp_path)])
    assert options["job_config"]._py_driver_sys_path == [str(tmp_path)]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            Exception("The current node timed out during startup. This could be"),
            "timed out during startup. It",
        ),
        (RuntimeError("Failed to start GCS.\nSee the logs"), "machine: Failed to start GCS. It waits"),
    ],
)
def test_ray_that_does_not_start_is_refused_in_a_line_that_says_what_to_do(monkeypatch, error, told):
    ended = []

    def init(**options):
        raise error

    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: ended.append(True))
    with pytest.raises(ClusterError) as caught:
        cluster._start_local(1, 1.0)
    assert told in str(caught.value)
    assert str(caught.value).endswith("nothing is lost: run the same command again when there is less to do")
    assert "\n" not in str(caught.value)
    assert ended == [True] * (3 if "timed out" in told else 1)


def test_ray_that_was_too_slow_to_start_is_started_again(started, monkeypatch):
    slow, ended, folders = [True, True], [], []
    start = cluster.ray.init

    def init(**options):
        folders.append(options["_temp_dir"])
        if slow and slow.pop():
            raise Exception("The current node timed out during startup.")
        start(**options)

    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: ended.append(True))
    cluster._start_local(3, 1.0)
    [options] = started
    assert options["num_cpus"] == 3
    assert ended == [True, True]
    assert len(set(folders)) == 3
    assert [os.path.exists(os.path.dirname(folder)) for folder in folders] == [False, False, True]
    cluster.private_ray.forget()


def test_error_is_shown_by_its_first_line():
    assert cluster._first_line(ConnectionError("\nno answer\nTraceback ...")) == "no answer"
    assert cluster._first_line(TimeoutError()) == "TimeoutError"


# -- joining a cluster -----------------------------------------------------------------------------------------------


class FakeRay:
    """Stands for ``ray``: a cluster with these resources, which every ``init`` joins or refuses."""

    exceptions = ray.exceptions
    SCRIPT_MODE = ray.SCRIPT_MODE

    def __init__(self, cpus=8.0, gpus=0.0, refusal=None):
        self.resources = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
        self.refusal, self.joined, self.cancelled, self.shut_down = refusal, [], [], 0
        self.shipped = []
        self.result = 0

    def is_initialized(self):
        return bool(self.joined)

    def init(self, address=None, **options):
        if self.refusal is not None:
            raise self.refusal
        self.joined.append((address, options))
        self.shipped += [os.path.basename(path) for path in options.get("runtime_env", {}).get("py_modules", ())]

    def nodes(self):
        return [{"Alive": True, "Resources": self.resources}]

    def cluster_resources(self):
        return self.resources

    def remote(self, **options):
        self.options = options
        return lambda function: SimpleNamespace(remote=lambda *arguments: (function, arguments))

    def get(self, running):
        if isinstance(self.result, BaseException):
            raise self.result
        function, arguments = running
        return function(*arguments)

    def cancel(self, running):
        self.cancelled.append(running)

    def get_runtime_context(self):
        return SimpleNamespace(worker=SimpleNamespace(mode=self.mode))

    def shutdown(self):
        self.shut_down += 1


@contextlib.contextmanager
def names_alone(modules):
    """Stand in for the copy of the code, which tests/execution/test_worker_code.py is about."""
    yield worker_code.Shipment([f"/copied/{name}" for name in modules], list(modules), 1, 1)


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(cluster, "shipment", names_alone)

    def made(**options):
        stands = FakeRay(**options)
        monkeypatch.setattr(cluster, "ray", stands)
        monkeypatch.setattr(capacity, "ray", stands)
        return stands

    for name in (*cluster._RAY_SETTINGS, *cluster._ALLOCATOR_SETTINGS, *THREADS, "TUNE_MAX_PENDING_TRIALS_PG"):
        monkeypatch.setenv(name, "to be put back")
        monkeypatch.delenv(name)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    return made


@pytest.mark.parametrize(
    ("has", "concurrency", "needs", "slots"),
    [
        ((8.0, 0.0), 0, (1.0, 0.0), 8),
        ((8.0, 0.0), 3, (1.0, 0.0), 3),
        ((8.0, 0.0), 20, (1.0, 0.0), 8),
        ((8.0, 0.0), 0, (3.0, 0.0), 2),
        ((7.0, 0.0), 0, (0.14, 0.0), 50),  # 7 / 0.14 is a little less than 50 in floating point
        ((8.0, 2.0), 0, (1.0, 0.5), 4),
        ((8.0, 1.0), 0, (0.0, 0.25), 4),
        ((3.0, 4.0), 0, (1.0, 0.5), 3),
    ],
)
def test_as_many_trials_at_once_as_fit_and_no_more_than_asked_for(fake, has, concurrency, needs, slots):
    fake(cpus=has[0], gpus=has[1])
    assert cluster.connect("auto", concurrency, *needs, ["sepray"]) == slots
    assert os.environ["TUNE_MAX_PENDING_TRIALS_PG"] == "1000"
    os.environ.pop("MALLOC_MMAP_THRESHOLD_", None)
    assert cluster.connect(None, concurrency, *needs, ["sepray"]) == slots
    assert os.environ["TUNE_MAX_PENDING_TRIALS_PG"] == str(slots)


@pytest.mark.parametrize(
    ("address", "needs", "message"),
    [
        (None, (9.0, 0.0), "a trial asks for 9 CPUs and 0 GPUs, but there are 8 CPUs and 1 GPUs"),
        (None, (1.0, 2.0), "a trial asks for 1 CPUs and 2 GPUs, but there are 8 CPUs and 1 GPUs"),
        (
            "auto",
            (9.0, 0.0),
            "a trial needs 9 CPUs on one node, and the largest of the cluster's 1 node has 8 CPUs: give",
        ),
        (
            "auto",
            (1.0, 2.0),
            "a trial needs 1 CPU and 2 GPUs on one node, and the largest of the cluster's 1 node has ",
        ),
    ],
)
def test_trial_that_does_not_fit_is_refused_in_one_line(fake, address, needs, message):
    fake(cpus=8.0, gpus=1.0)
    with pytest.raises(ClusterError) as refusal:
        cluster.connect(address, 0, *needs, ["sepray"])
    assert str(refusal.value).startswith(message)
    assert isinstance(refusal.value, UnreachableError)


@pytest.mark.parametrize("address", [None, "", "local"])
def test_without_an_address_ray_is_started_here_with_a_token(fake, monkeypatch, address):
    stands = fake()
    cluster.connect("host:6379", 0, 1.0, 0.0, ["sepray"])
    assert [joined for joined, _ in stands.joined] == ["host:6379"]
    for environment in ("other:6379", "local", ""):
        monkeypatch.setenv("RAY_ADDRESS", environment)
        stands.joined.clear()
        cluster.connect(address, 3, 2.0, 0.0, ["sepray"])
        [(joined, options)] = stands.joined
        assert (joined, options["num_cpus"], options["_node_ip_address"]) == ("local", 6, "127.0.0.1")


def test_ray_that_has_started_already_is_used(fake):
    stands = fake(cpus=5.0)
    stands.joined.append(("by a notebook", {}))
    assert cluster.connect("host:6379", 0, 1.0, 0.0, ["sepray"]) == 5
    assert len(stands.joined) == 1


def test_code_is_shipped_and_its_size_said(fake, monkeypatch):
    stands, said = fake(), []
    monkeypatch.setattr(cluster, "shipment", worker_code.shipment)
    cluster.connect("auto", 0, 1.0, 0.0, ["sepray"], said.append)
    assert "sepray" in stands.shipped
    assert stands.joined[0][1]["runtime_env"]["env_vars"] == cluster._ALLOCATOR_SETTINGS
    assert re.match(r"code for the workers: sepray, .*\(\d+ files, \d+\.\d MB\)$", said[0])


@pytest.mark.parametrize(
    ("job", "is_shipped"),
    [
        ({}, True),
        ({"runtime_env": {}, "metadata": {"job_submission_id": "raysubmit_1"}}, True),
        ({"runtime_env": None}, True),
        ({"runtime_env": {"pip": ["torch"], "env_vars": {"MALLOC_TRIM_THRESHOLD_": "9", "A": "b"}}}, True),
        ({"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}}, False),
        ({"runtime_env": {"py_modules": ["gcs://_ray_pkg_1.zip"]}}, False),
    ],
)
def test_job_of_rays_is_sent_the_code_unless_it_brings_code_itself(fake, monkeypatch, job, is_shipped):
    stands, said = fake(), []
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(job))
    cluster.connect("auto", 0, 1.0, 0.0, ["sepray"], said.append)
    own = stands.joined[0][1].get("runtime_env", {})
    assert own.get("py_modules", []) == ["/copied/sepray"] * is_shipped
    assert len(said) == is_shipped
    assert _merge_runtime_env(job.get("runtime_env"), own) is not None  # Ray refuses what is named in both


def test_settings_of_tune_are_made_unless_the_user_has_made_them(fake, monkeypatch):
    fake()
    monkeypatch.setenv("TUNE_GLOBAL_CHECKPOINT_S", "5")
    cluster.connect("auto", 0, 1.0, 0.0, ["sepray"])
    assert os.environ["TUNE_GLOBAL_CHECKPOINT_S"] == "5"
    assert os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] == "1"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


REFUSALS = [
    (ConnectionError("no GCS\nat all"), "no Ray cluster answers at {}: no GCS"),
    (RuntimeError("Version mismatch: 2.60 and 2.40\nThis process"), "the Ray cluster at {} cannot be joined: Version"),
    (ValueError("Package size (300 MiB) exceeds the maximum"), "the Ray cluster at {} cannot be joined: Package size"),
    (ray.exceptions.AuthenticationError("wrong token"), "the Ray cluster at {} cannot be joined: "),
]


@pytest.mark.parametrize(("refusal", "message"), REFUSALS, ids=lambda value: type(value).__name__)
def test_cluster_that_cannot_be_joined_is_refused_in_one_line(fake, refusal, message):
    fake(refusal=refusal)
    with pytest.raises(ClusterError) as failure:
        cluster.connect("host:6379", 0, 1.0, 0.0, ["sepray"])
    assert str(failure.value).startswith(message.format("host:6379"))
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("refusal", "reason", "attempts"),
    [
        (ConnectionAbortedError("Initialization failure from server:\nTraceback ...\n  PermissionError: /tmp/ray\n"),
         "PermissionError: /tmp/ray", 3),
        (ConnectionError("ray client connection timeout"), "ray client connection timeout", 3),
        (RuntimeError("Version mismatch: 2.60 and 2.40"), "Version mismatch: 2.60 and 2.40", 3),
        (ray.exceptions.AuthenticationError("wrong token"), None, 1),
        (ValueError("Package size (300 MiB) exceeds"), "Package size (300 MiB) exceeds", 1),
    ],
)  # fmt: skip
def test_ray_client_is_tried_again_and_the_last_line_of_its_reason_told_with_jobs(
    fake, monkeypatch, refusal, reason, attempts
):
    stands, slept = fake(refusal=refusal), []
    monkeypatch.setattr(cluster, "time", SimpleNamespace(sleep=slept.append))
    with pytest.raises(ClusterError) as failure:
        cluster.run_on_head("ray://host:10001", int, [], ["sepray"])
    told = str(failure.value)
    assert told.startswith(f"no driver can be started through ray://host:10001: {reason or ''}")
    assert "ray job submit --address http://HEAD:8265" in told
    assert "\n" not in told
    assert slept == [2.0, 5.0][: attempts - 1]
    assert stands.shut_down == attempts - 1


def test_ray_client_that_connects_at_last_runs_the_driver(fake, monkeypatch):
    stands = fake(refusal=ConnectionError("timeout"))

    def sleep(seconds):
        stands.refusal = None

    monkeypatch.setattr(cluster, "time", SimpleNamespace(sleep=sleep))
    assert cluster.run_on_head("ray://host:10001", divmod, [17, 5], ["sepray"]) == (3, 2)


def test_error_that_is_no_refusal_passes(fake):
    fake(refusal=TypeError("a bug"))
    with pytest.raises(TypeError, match="a bug"):
        cluster.connect("host:6379", 0, 1.0, 0.0, ["sepray"])
    with pytest.raises(TypeError, match="a bug"):
        cluster.run_on_head("ray://host:10001", int, [], ["sepray"])


@pytest.mark.parametrize(
    ("own", "there", "asks"),
    [("TOKEN", "token", True), ("TOKEN", "", False), ("DISABLED", "", False), ("TOKEN", None, True)],
)
def test_cluster_that_asks_for_no_token_is_noticed(fake, monkeypatch, own, there, asks):
    """Whether or not this process has a token; a cluster too busy to say whether it asks for one is not accused."""
    stands = fake()
    stands.get = lambda running, timeout: running[0]()
    monkeypatch.setattr(cluster, "get_authentication_mode", lambda: getattr(cluster.AuthenticationMode, own))
    monkeypatch.setenv("RAY_AUTH_MODE", there or "")
    if there is None:
        stands.get = lambda running, timeout: (_ for _ in ()).throw(ray.exceptions.GetTimeoutError())
    assert cluster.asks_for_token() is asks


# -- a driver on the head --------------------------------------------------------------------------------------------


def test_driver_on_the_head_gets_the_arguments_and_its_status_is_returned(fake):
    stands = fake()
    assert cluster.run_on_head("ray://host:10001", divmod, [17, 5], ["sepray"]) == (3, 2)
    [(address, options)] = stands.joined
    assert address == "ray://host:10001"
    assert options["runtime_env"]["env_vars"] == cluster._ALLOCATOR_SETTINGS
    assert "sepray" in stands.shipped
    assert stands.options == {"num_cpus": 0, "max_retries": 0}


def test_interrupt_is_passed_on_to_the_driver_on_the_head(fake):
    stands = fake()
    stands.result = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        cluster.run_on_head("ray://host:10001", int, ["7"], ["sepray"])
    assert stands.cancelled == [(int, ("7",))]


def failed_on_the_head(cause):
    text = "Traceback (most recent call last):\n  in build, line 7"
    return ray.exceptions.RayTaskError("run", text, cause).as_instanceof_cause()


def test_what_a_user_can_put_right_on_the_head_is_said_in_one_line(fake):
    fake().result = failed_on_the_head(UsageError("unknown separator 'x'"))
    with pytest.raises(UsageError) as failure:
        cluster.run_on_head("ray://host:10001", int, [], ["sepray"])
    assert str(failure.value) == "unknown separator 'x'"


def test_bug_on_the_head_keeps_the_traceback_of_the_head(fake):
    fake().result = failed_on_the_head(KeyError("width"))
    with pytest.raises(ray.exceptions.RayTaskError, match="in build, line 7"):
        cluster.run_on_head("ray://host:10001", int, [], ["sepray"])


@pytest.mark.parametrize(("mode", "joined", "ends"), [("script", True, 1), ("worker", True, 0), ("script", False, 0)])
def test_ray_ends_with_the_study_unless_this_process_is_a_worker_of_it(fake, mode, joined, ends):
    stands = fake()
    stands.mode = ray.SCRIPT_MODE if mode == "script" else ray.WORKER_MODE
    stands.joined = [("auto", {})] if joined else []
    cluster.disconnect()
    assert stands.shut_down == ends


def test_ray_of_this_process_that_is_kept_outlives_a_study_and_a_joined_cluster_is_left(fake, monkeypatch):
    stands = fake()
    stands.mode, stands.joined = ray.SCRIPT_MODE, [("auto", {})]
    monkeypatch.setattr(cluster.private_ray, "_folders", [])
    counts = []
    with cluster.private_ray.kept():
        for own in (["its folder"], []):
            cluster.private_ray._folders[:] = own
            cluster.disconnect()
            counts.append(stands.shut_down)
        cluster.private_ray._folders[:] = ["its folder"]
        cluster.end()
        counts.append(stands.shut_down)
    cluster.disconnect()
    assert [*counts, stands.shut_down] == [0, 1, 2, 3]


# -- the experiment of Tune ------------------------------------------------------------------------------------------


@pytest.fixture
def experiments(monkeypatch):
    """Return the parts of every ``tune.Tuner``, and whether it was run."""
    made = []

    class Tuner:
        def __init__(self, trainable, *, tune_config, run_config):
            self.trainable, self.tune_config, self.run_config, self.ran = trainable, tune_config, run_config, False
            made.append(self)

        def fit(self):
            self.ran = True

    monkeypatch.setattr(cluster.tune, "Tuner", Tuner)
    monkeypatch.setattr(cluster.tune, "with_parameters", lambda trainable, **parameters: (trainable, parameters))
    monkeypatch.setattr(cluster.tune, "with_resources", lambda trainable, group: (*trainable, group.bundles))
    return made


@pytest.mark.parametrize(
    ("has", "slots", "most"),
    [
        (8.0, 8, 10),  # a quarter more wait for a slot
        (2.0, 2, 3),  # at least one
        (8.0, 4, 4),  # where there is room they would start
    ],
)
def test_experiment_of_tune_is_made_of_what_was_given(fake, experiments, tmp_path, has, slots, most):
    fake(cpus=has)
    searcher, scheduler = Searcher(), object()
    options = {"searcher": searcher, "scheduler": scheduler, "folder": str(tmp_path), "name": "search"}
    cluster.run_trials(int, {"train": 1, "validation": 2}, **options, slots=slots, cpus=1.0, gpus=0.0)
    [made] = experiments
    assert made.ran
    assert made.trainable == (int, {"train": 1, "validation": 2}, [{"CPU": 1.0}])
    chosen, run = made.tune_config, made.run_config
    assert (chosen.search_alg.searcher, chosen.scheduler, chosen.num_samples) == (searcher, scheduler, -1)
    assert (chosen.search_alg.max_concurrent, chosen.reuse_actors) == (most, True)
    assert (run.name, run.storage_path, run.verbose) == ("search", str(tmp_path), 0)
    assert run.failure_config.max_failures == 0
    assert (run.checkpoint_config.num_to_keep, run.checkpoint_config.checkpoint_at_end) == (1, False)


def test_trial_asks_for_a_gpu_where_it_needs_one(fake, experiments, tmp_path):
    fake(cpus=8.0, gpus=1.0)
    options = {"searcher": Searcher(), "scheduler": None, "folder": str(tmp_path), "name": "search"}
    cluster.run_trials(int, {}, **options, slots=2, cpus=2.0, gpus=0.5)
    [made] = experiments
    assert made.trainable[2] == [{"CPU": 2.0, "GPU": 0.5}]
    assert made.tune_config.search_alg.max_concurrent == 3, "two fit on the GPU, so the third waits"


@pytest.mark.parametrize("own", [True, False])
def test_error_of_the_user_that_tune_has_wrapped_is_raised_as_it_was(fake, experiments, tmp_path, monkeypatch, own):
    """Tune turns what the searcher raises for a result into a TuneError whose message is the traceback."""

    def fit(self):
        try:
            raise StorageError("the storage has failed") if own else ValueError("a bug")
        except Exception:
            raise cluster.tune.TuneError("Traceback ...")  # noqa: B904 - as Tune does

    monkeypatch.setattr(cluster.tune.Tuner, "fit", fit)
    fake(cpus=2.0)
    options = {"searcher": Searcher(), "scheduler": None, "folder": str(tmp_path), "name": "search"}
    with pytest.raises(StorageError if own else cluster.tune.TuneError) as raised:
        cluster.run_trials(int, {}, **options, slots=1, cpus=1.0, gpus=0.0)
    assert ("storage has failed" in str(raised.value)) is own


@pytest.mark.parametrize(
    ("ended", "said"),
    [(["raylet"], "Ray has died (raylet); the same command goes on"), (["log_monitor"], ""), ([], "")],
)
def test_death_of_ray_is_noticed_in_tunes_loop(fake, experiments, tmp_path, monkeypatch, ended, said):
    """Not as an Exception, for which Tune would wait for Ray to clean up."""
    node = SimpleNamespace(dead_processes=lambda: [(name, None) for name in ended])
    fake(cpus=2.0)
    started = SimpleNamespace(_private=SimpleNamespace(worker=SimpleNamespace(_global_node=node)))
    monkeypatch.setattr(ray_watch, "ray", started)
    now = 0.0
    monkeypatch.setattr(ray_watch, "time", SimpleNamespace(monotonic=lambda: now))

    def fit(self):
        nonlocal now
        [watch, _] = self.run_config.callbacks
        pickle.dumps(watch)
        now = 0.5
        watch.on_step_end(0, [])  # too early to look
        now = 1.0
        try:
            watch.on_step_end(1, [])
        except Exception:
            raise AssertionError("Tune would catch it") from None

    monkeypatch.setattr(cluster.tune.Tuner, "fit", fit)
    options = {"searcher": Searcher(), "scheduler": None, "folder": str(tmp_path), "name": "search"}
    expected = pytest.raises(ClusterError, match=re.escape(said)) if said else contextlib.nullcontext()
    with expected:
        cluster.run_trials(int, {}, **options, slots=1, cpus=1.0, gpus=0.0)


def test_ray_of_others_is_not_watched(monkeypatch):
    for node in (None, SimpleNamespace()):
        monkeypatch.setattr(cluster.ray._private.worker, "_global_node", node)
        assert ray_watch.dead_processes() == []


def test_rays_processes_are_in_process_groups_of_their_own(monkeypatch):
    """A program that signals the group of a study, such as ``timeout``, leaves Ray to the study."""
    groups = []

    def init(**_):
        process = ray._private.services.ConsolePopen(["sleep", "60"])
        groups.append((os.getpgid(process.pid), process.pid))
        process.kill()
        process.wait()

    before = ray._private.services.ConsolePopen
    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(cluster, "_capacity", lambda needs: 1)
    cluster.connect("", 1, 1.0, 0.0, [])
    assert groups[0][0] == groups[0][1] != os.getpgid(0)
    assert ray._private.services.ConsolePopen is before
