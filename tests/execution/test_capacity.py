"""Trials on the nodes of a cluster: how many fit, whether nodes are waited for, how those that come are followed."""

from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial
from ray.tune.search import ConcurrencyLimiter, Searcher

from sepray.execution import capacity
from sepray.execution.capacity import ClusterError, Follower, Following, Slots, fitting, slots_of_cluster

ONE, TWO, GPU = {"CPU": 1.0}, {"CPU": 2.0}, {"CPU": 1.0, "GPU": 1.0}
HEAD = {"memory": 1e9}  # a node without CPUs


class Cluster:
    """Stands for ``ray``: its nodes can be changed, and an autoscaler may have told which nodes it starts."""

    def __init__(self, *nodes, started=None, free=None):
        self.all, self.free = list(nodes), free or {}
        groups = [SimpleNamespace(resources=group, max_count=most) for group, most in started or ()]
        config = None if started is None else SimpleNamespace(node_group_configs=groups)
        state = SimpleNamespace(get_cluster_config=lambda: config)
        self._private = SimpleNamespace(state=SimpleNamespace(state=state))

    def nodes(self):
        dead = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
        return [dead, *({"Alive": True, "Resources": node} for node in self.all)]

    def cluster_resources(self):
        return {kind: sum(node.get(kind, 0) for node in self.all) for kind in ("CPU", "GPU")}

    def available_resources(self):
        return self.free


@pytest.fixture
def cluster_of(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))

    def made(*nodes, **more):
        stands = Cluster(*nodes, **more)
        monkeypatch.setattr(capacity, "ray", stands)
        return stands

    return made


@pytest.mark.parametrize(
    ("nodes", "needs", "fits"),
    [
        ([ONE, ONE], TWO, 0),  # two halves are no whole: one trial is on one node
        ([{"CPU": 3.0}, {"CPU": 3.0}], TWO, 2),
        ([{"CPU": 0.7}] * 2, {"CPU": 0.14}, 10),  # 0.7 / 0.14 is a little less than 5 in floating point
        ([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}], GPU, 1),
        ([{"CPU": 8.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 2.0}], {"CPU": 1.0, "GPU": 0.5}, 5),
        ([HEAD], ONE, 0),
        ([], ONE, 0),
    ],
)
def test_trials_are_counted_node_by_node(cluster_of, nodes, needs, fits):
    cluster_of(*nodes)
    assert fitting(needs) == fits


@pytest.mark.parametrize("concurrency", [0, 3])
def test_trial_larger_than_every_node_is_refused_whatever_was_asked_for(cluster_of, concurrency):
    cluster_of(HEAD, ONE, ONE)
    with pytest.raises(ClusterError) as refusal:
        slots_of_cluster(TWO, concurrency, pytest.fail)
    assert str(refusal.value) == (
        "a trial needs 2 CPUs on one node, and the largest of the cluster's 3 nodes has 1 CPU: give less with "
        "--cpus-per-trial and --gpus-per-trial, or start larger nodes"
    )


def test_refusal_names_the_node_that_comes_closest_for_a_gpu(cluster_of):
    cluster_of({"CPU": 64.0}, {"CPU": 4.0, "GPU": 1.0})
    with pytest.raises(ClusterError, match=r"needs 1 CPU and 2 GPUs on .* nodes has 4 CPUs and 1 GPU: give"):
        slots_of_cluster({"CPU": 1.0, "GPU": 2.0}, 0, pytest.fail)


@pytest.mark.parametrize(("nodes", "needs"), [([HEAD], ONE), ([HEAD, ONE], GPU)])
def test_nodes_of_a_kind_that_is_not_there_yet_are_waited_for_with_concurrency(cluster_of, nodes, needs):
    cluster_of(*nodes)
    with pytest.raises(ClusterError, match="start nodes first, or give --concurrency N, which waits for them"):
        slots_of_cluster(needs, 0, pytest.fail)
    said = []
    assert slots_of_cluster(needs, 3, said.append) == 3
    [told] = said
    assert told.endswith("the study waits for nodes to join")


@pytest.mark.parametrize(
    ("started", "waits"),
    [([({"CPU": 8}, 4)], True), ([({"CPU": 1}, 4)], False), ([({"CPU": 8}, 0)], False), ([], False)],
)
def test_autoscaler_says_which_nodes_may_come(cluster_of, started, waits):
    cluster_of(ONE, started=started)
    if waits:
        assert slots_of_cluster(TWO, 3, lambda text: None) == 3
    else:
        with pytest.raises(ClusterError, match="start larger nodes"):
            slots_of_cluster(TWO, 3, pytest.fail)


def test_head_of_ray_up_may_start_any_node(cluster_of, tmp_path):
    cluster_of(ONE)
    (tmp_path / "ray_bootstrap_config.yaml").touch()
    assert slots_of_cluster(TWO, 2, lambda text: None) == 2


@pytest.mark.parametrize(
    ("cpus", "concurrency", "now", "given"),
    [
        (8, 0, 8, 10),  # a quarter more wait for a slot
        (2, 0, 2, 3),  # at least one
        (8, 4, 4, 4),  # where there is room they would start
        (2, 8, 2, 3),  # nodes that join get theirs then
        (0, 5, 5, 5),  # all wait for nodes
        (0, 0, 0, 1),  # all nodes have left
    ],
)
def test_tune_gets_as_many_trials_as_fit_and_a_few_that_wait(cluster_of, cpus, concurrency, now, given):
    cluster_of(*[ONE] * cpus)
    slots = Slots(ONE, concurrency)
    assert (slots.now(), slots.given()) == (now, given)


def test_autoscaler_is_asked_for_all_trials_at_once(cluster_of):
    cluster_of(ONE, started=[({"CPU": 1}, 100)])
    assert Slots(ONE, 8).given() == 8
    assert Slots(ONE, 0).given() == 2  # as many as fit, and one more


class Followed:
    """A study that follows a cluster, by a clock of its own."""

    def __init__(self, monkeypatch, cluster, concurrency=0):
        self.now, self.said, self.counts, self.cluster = 0.0, [], [], cluster
        monkeypatch.setattr(capacity, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.limiter = ConcurrencyLimiter(Searcher(), 1)
        following = Following(concurrency, self.said.append, self.counts.append)
        self.follower = Follower(ONE, self.limiter, following)

    def step(self, seconds, *statuses):
        self.now += seconds
        self.follower.on_step_begin(0, [SimpleNamespace(status=status) for status in statuses])


def test_nodes_that_join_later_are_used_and_those_that_leave_are_not(monkeypatch, cluster_of):
    cluster = cluster_of(HEAD, ONE)
    study = Followed(monkeypatch, cluster)
    assert study.limiter.max_concurrent == 2
    cluster.all += [ONE, TWO]
    study.step(4.9, Trial.RUNNING)
    assert (study.limiter.max_concurrent, study.counts) == (2, [])  # looked at every five seconds
    study.step(0.1, Trial.RUNNING)
    assert (study.limiter.max_concurrent, study.counts) == (5, [4])
    assert study.said == ["the cluster's nodes have changed: 4 trials at once, 1 before"]
    study.step(5, Trial.RUNNING)
    assert len(study.said) == 1
    cluster.all[:] = [HEAD]
    study.step(5, Trial.RUNNING)
    assert (study.limiter.max_concurrent, study.counts) == (1, [4, 0])


def test_most_trials_at_once_hold_however_many_nodes_join(monkeypatch, cluster_of):
    cluster = cluster_of(ONE)
    study = Followed(monkeypatch, cluster, concurrency=2)
    cluster.all += [ONE] * 9
    study.step(5, Trial.RUNNING)
    assert (study.limiter.max_concurrent, study.counts) == (2, [2])


def test_study_that_waits_for_its_turn_says_so_once(monkeypatch, cluster_of):
    study = Followed(monkeypatch, cluster_of(ONE, ONE, free={"CPU": 0.5}))
    study.step(59.9, Trial.PENDING)
    assert study.said == []
    study.step(5, Trial.PENDING)
    study.step(5, Trial.PENDING)
    [told] = study.said
    assert told.startswith("no trial has begun for 60 s: 1.5 of 2 CPUs of the cluster are in use, and the study waits")
    assert "--concurrency" in told
    study.step(5, Trial.RUNNING, Trial.PENDING)
    study.step(60, Trial.PENDING)
    assert study.said == [told, told]  # after it has run, once more


def test_study_that_waits_for_nodes_says_so(monkeypatch, cluster_of):
    study = Followed(monkeypatch, cluster_of(HEAD), concurrency=2)
    study.step(60, Trial.PENDING)
    [told] = study.said
    assert told.endswith("has 0 CPUs: the study waits for a node to join")


def test_nothing_of_a_follower_is_pickled(monkeypatch, cluster_of):
    assert Followed(monkeypatch, cluster_of(ONE)).follower.__getstate__() == {}
