"""Lost workers on a cluster of several nodes: a node that dies is told from code that ends its own process."""

import os
import threading
import time

import pytest
import ray
from ray import tune
from ray.cluster_utils import Cluster
from ray.tune.search import Searcher

from sepray.execution.lost_workers import WorkerLossWatch
from sepray.fault import Whose, WorkerLoss

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Epochs(tune.Trainable):
    """Says where it runs, and then ends its process or waits for its node to die."""

    def step(self):
        if self.iteration == 0:
            return {"node": ray.get_runtime_context().get_node_id()}
        if self.config["kind"] == "exit":
            os._exit(7)
        time.sleep(600)
        return {}


class Kinds(Searcher):
    """Hands out one trial of each kind, and keeps why each has lost its worker."""

    def __init__(self, watch: WorkerLossWatch, remove) -> None:
        super().__init__()
        self.watch, self.remove = watch, remove
        self.left, self.kinds, self.losses = ["exit", "node"], {}, {}

    def suggest(self, trial_id):
        if not self.left:
            return Searcher.FINISHED
        self.kinds[trial_id] = self.left.pop()
        return {"kind": self.kinds[trial_id]}

    def on_trial_result(self, trial_id, result):
        if self.kinds[trial_id] == "node":
            threading.Thread(target=self.remove, args=(result["node"],)).start()

    def on_trial_complete(self, trial_id, result=None, error=False):
        assert error
        self.losses[self.kinds[trial_id]] = self.watch.of(trial_id)

    def save(self, checkpoint_path):
        pass

    def __getstate__(self):
        return {}


def _node(cluster, cpus):
    try:
        return cluster.add_node(num_cpus=cpus)
    except Exception as error:  # Ray waits for 30 s, whatever is set
        if "timed out during startup" not in str(error):
            raise
        pytest.skip("a node of Ray's has not started in time: the machine is busy")


def test_node_that_dies_is_told_from_code_that_ends_its_process(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    cluster = Cluster()
    try:
        _, *nodes = [_node(cluster, cpus) for cpus in (0, 1, 1)]
        ray.init(cluster.address, log_to_driver=False)

        def remove(node_id):
            [node] = [node for node in nodes if node.node_id == node_id]
            cluster.remove_node(node, allow_graceful=False)

        watch = WorkerLossWatch()
        kinds = Kinds(watch, remove)
        tune.Tuner(
            tune.with_resources(Epochs, tune.PlacementGroupFactory([{"CPU": 1}])),
            tune_config=tune.TuneConfig(search_alg=kinds, num_samples=-1, max_concurrent_trials=2),
            run_config=tune.RunConfig(
                storage_path=str(tmp_path),
                verbose=0,
                callbacks=[watch],
                failure_config=tune.FailureConfig(max_failures=0),
            ),
        ).fit()
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert kinds.losses["exit"] == WorkerLoss(Whose.TRIAL, "its process has ended")
    assert kinds.losses["node"].whose is Whose.EXECUTOR
    assert kinds.losses["node"].why in ("its node has died", "its node does not answer")
