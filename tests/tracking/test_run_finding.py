"""Runs are found by their tags or created, once: what MLflow is asked, with an MLflow of the test's own."""

from types import SimpleNamespace

import pytest

from sepray.tracking.calls import RefusedError
from sepray.tracking.outbox import KnownRun, Outbox, RunKey
from sepray.tracking.run_finding import STUDY_TAG, TRIAL_TAG, RunFinder

STUDY, TRIAL = RunKey("it's"), RunKey("it's", "3")
PARENT = {"experiment": "sepray", "name": "cass-ecg", "start": 1000}
CHILD = {"name": "trial 3", "start": 2000}


class Gone(Exception):
    error_code = "RESOURCE_DOES_NOT_EXIST"


class Page(list):
    token = None


class Mlflow:
    """Runs and experiments in memory; every call is noted."""

    def __init__(self):
        self.experiments, self.runs, self.calls, self.page = {}, {}, [], 2

    def __getattr__(self, name):
        method = getattr(type(self), f"do_{name}", None)
        if method is None:
            raise AttributeError(name)

        def call(*arguments, **named):
            self.calls.append((name, arguments, named))
            return method(self, *arguments, **named)

        return call

    def asked(self, name):
        return [(arguments, named) for called, arguments, named in self.calls if called == name]

    def do_get_experiment_by_name(self, name):
        return self.experiments.get(name)

    def do_create_experiment(self, name, artifact_location, tags):
        number = str(len(self.experiments) + 7)
        self.experiments[name] = SimpleNamespace(experiment_id=number, lifecycle_stage="active")
        return number

    def do_restore_experiment(self, number):
        next(e for e in self.experiments.values() if e.experiment_id == number).lifecycle_stage = "active"

    def do_create_run(self, experiment, start_time, tags, run_name):
        return self.add(f"run-{len(self.runs)}", experiment, tags, start_time)

    def do_get_run(self, run_id):
        if run_id not in self.runs:
            raise Gone(run_id)
        return self.runs[run_id]

    def do_restore_run(self, run_id):
        self.runs[run_id].info.lifecycle_stage = "active"

    def do_search_runs(self, experiments, filter_string, run_view_type, order_by, max_results, page_token):
        quoted = filter_string.partition(" = ")[2].strip("'").replace("''", "'")
        found = [r for r in self.runs.values() if r.data.tags[STUDY_TAG] == quoted and r.experiment in experiments]
        found.sort(key=lambda run: run.start)
        begin = int(page_token or 0)
        page = Page(found[begin : begin + self.page])
        page.token = str(begin + self.page) if begin + self.page < len(found) else None
        return page

    def do_get_metric_history(self, run_id, name):
        return [SimpleNamespace(step=step) for step in self.runs[run_id].metrics.get(name, ())]

    def add(self, run_id, experiment, tags, start=0, status="RUNNING", stage="active", metrics=None):
        info = SimpleNamespace(run_id=run_id, status=status, lifecycle_stage=stage)
        run = SimpleNamespace(info=info, data=SimpleNamespace(tags=dict(tags)), experiment=experiment, start=start)
        run.metrics = metrics or {}
        self.runs[run_id] = run
        return run


@pytest.fixture
def mlflow():
    return Mlflow()


@pytest.fixture
def outbox(tmp_path):
    box = Outbox(tmp_path / "outbox.db")
    yield box
    box.close()


@pytest.fixture
def told():
    return []


@pytest.fixture
def finder(outbox, mlflow, told):
    return RunFinder(outbox, "sqlite:////data/m.db", lambda: mlflow, lambda *given: told.append(given))


def test_a_new_study_has_an_experiment_and_a_run_with_its_tags(finder, outbox, mlflow, told):
    assert finder.find_or_create(STUDY, PARENT, {"outcome": "running"}) == ("run-0", "RUNNING", {})
    [(arguments, named)] = mlflow.asked("create_experiment")
    assert arguments == ("sepray",)
    assert named["artifact_location"] == "/data/mlruns/sepray"
    assert named["tags"] == {"mlflow.experimentKind": "custom_model_development"}
    [(arguments, named)] = mlflow.asked("create_run")
    assert arguments == ("7",)
    tags = {STUDY_TAG: "it's", TRIAL_TAG: "", "outcome": "running"}
    assert named == {"start_time": 1000, "tags": tags, "run_name": "cass-ecg"}
    assert outbox.run(STUDY) == KnownRun("run-0", "7", "RUNNING")
    assert told == [(STUDY, "run-0", "7")]
    [(arguments, named)] = mlflow.asked("search_runs")
    assert arguments == (["7"],)
    assert named["filter_string"] == f"tags.`{STUDY_TAG}` = 'it''s'"
    assert (named["order_by"], named["max_results"]) == (["attributes.start_time ASC"], 500)


def test_experiment_that_another_study_makes_at_the_same_moment_is_taken(finder, outbox, mlflow, monkeypatch):
    class There(Exception):
        error_code = "RESOURCE_ALREADY_EXISTS"

    def create(self, name, artifact_location, tags):
        self.experiments[name] = SimpleNamespace(experiment_id="9", lifecycle_stage="active")
        raise There

    monkeypatch.setattr(Mlflow, "do_create_experiment", create)
    assert finder.find_or_create(STUDY, PARENT, {})[0] == "run-0"
    assert outbox.run(STUDY) == KnownRun("run-0", "9", "RUNNING")

    def refuse(self, name, artifact_location, tags):
        raise Gone("no such place")

    monkeypatch.setattr(Mlflow, "do_create_experiment", refuse)
    with pytest.raises(RefusedError, match="no such place"):
        finder.find_or_create(RunKey("another"), {**PARENT, "experiment": "other"}, {})


def test_a_trials_run_is_within_its_studys(finder, outbox, mlflow, told):
    finder.find_or_create(STUDY, PARENT, {})
    assert finder.find_or_create(TRIAL, CHILD, {"arm": "CASS"}) == ("run-1", "RUNNING", {})
    tags = {STUDY_TAG: "it's", TRIAL_TAG: "3", "arm": "CASS", "mlflow.parentRunId": "run-0"}
    assert mlflow.asked("create_run")[1] == (("7",), {"start_time": 2000, "tags": tags, "run_name": "trial 3"})
    assert told[1:] == [(TRIAL, "run-1", "7")]
    assert len(mlflow.asked("search_runs")) == 1  # the study was looked for once
    assert finder.find_or_create(TRIAL, CHILD, {"a": "b"}) == ("run-1", "RUNNING", {"a": "b"})
    assert finder.find_or_create(TRIAL, None, {"a": "b"}) == ("run-1", "RUNNING", {"a": "b"})
    assert told[2:] == [(TRIAL, "run-1", "7")]
    assert len(mlflow.asked("create_run")) == 2


def test_tags_beyond_what_a_request_takes_are_left_to_be_set(finder, mlflow):
    _, _, left = finder.find_or_create(STUDY, PARENT, {f"tag {k}": str(k) for k in range(100)})
    assert left == {"tag 98": "98", "tag 99": "99"}
    assert len(mlflow.asked("create_run")[0][1]["tags"]) == 100


def test_runs_of_another_outbox_are_found_on_all_pages_the_oldest_of_a_label(finder, outbox, mlflow, told):
    mlflow.experiments["sepray"] = SimpleNamespace(experiment_id="4", lifecycle_stage="active")
    for start, (run_id, label) in enumerate([("p", ""), ("a", "1"), ("b", "3"), ("c", "3"), ("d", "4")]):
        mlflow.add(run_id, "4", {STUDY_TAG: "it's", TRIAL_TAG: label}, start, "FINISHED", metrics={"loss": (0, 1)})
    mlflow.add("other", "4", {STUDY_TAG: "its", TRIAL_TAG: "9"})
    assert finder.find_or_create(TRIAL, {**CHILD, "experiment": "sepray"}, {"x": "y"}) == ("b", "FINISHED", {"x": "y"})
    assert outbox.run_ids("it's") == {"": "p", "1": "a", "3": "b", "4": "d"}
    assert outbox.run(TRIAL) == KnownRun("b", "4", "FINISHED")
    assert [named["page_token"] for _, named in mlflow.asked("search_runs")] == [None, "2", "4"]
    assert told == [(TRIAL, "b", "4")]
    assert mlflow.asked("create_run") == []
    assert finder.steps(TRIAL, "b", {"loss", "error"}) == {("loss", 0), ("loss", 1)}
    assert finder.steps(TRIAL, "b", {"loss"}) == {("loss", 0), ("loss", 1)}
    assert sorted(arguments for arguments, _ in mlflow.asked("get_metric_history")) == [("b", "error"), ("b", "loss")]


def test_a_run_of_this_outbox_has_no_steps_that_were_told_before(finder, mlflow):
    finder.find_or_create(STUDY, PARENT, {})
    mlflow.runs["run-0"].metrics = {"loss": (0,)}
    assert finder.steps(STUDY, "run-0", {"loss"}) == set()


def test_deleted_run_and_experiment_of_a_study_are_restored_but_no_trials(finder, mlflow):
    mlflow.experiments["sepray"] = SimpleNamespace(experiment_id="4", lifecycle_stage="deleted")
    mlflow.add("p", "4", {STUDY_TAG: "it's"}, stage="deleted")
    mlflow.add("t", "4", {STUDY_TAG: "it's", TRIAL_TAG: "3"}, stage="deleted")
    finder.find_or_create(STUDY, PARENT, {})
    assert mlflow.experiments["sepray"].lifecycle_stage == "active"
    assert (finder.lifecycle("p"), finder.lifecycle("t"), finder.lifecycle("none")) == ("active", "deleted", None)
    mlflow.runs["p"].info.lifecycle_stage = "deleted"
    finder.find_or_create(STUDY, PARENT, {})
    assert finder.lifecycle("p") == "active"
    mlflow.runs["p"].info.lifecycle_stage = "deleted"
    finder.find_or_create(STUDY, None, {})
    assert finder.lifecycle("p") == "deleted"  # only running the study again asks for it
    assert finder.find_or_create(TRIAL, CHILD, {})[0] == "t"
    assert finder.lifecycle("t") == "deleted"


def test_runs_of_a_database_that_was_lost_are_made_anew(finder, outbox, mlflow):
    finder.find_or_create(STUDY, PARENT, {})
    finder.find_or_create(TRIAL, CHILD, {})
    mlflow.runs.clear()
    assert finder.find_or_create(STUDY, PARENT, {})[0] == "run-0"
    assert outbox.run_ids("it's") == {"": "run-0"}
    assert len(mlflow.asked("create_run")) == 3


def test_a_creation_whose_answer_was_lost_is_looked_for(finder, outbox, mlflow):
    finder.find_or_create(STUDY, PARENT, {})
    outbox.begin_creation(TRIAL)
    mlflow.add("made", "7", {STUDY_TAG: "it's", TRIAL_TAG: "3"}, status="RUNNING")
    assert finder.find_or_create(TRIAL, CHILD, {}) == ("made", "RUNNING", {})
    outbox.begin_creation(RunKey("it's", "5"))
    with pytest.raises(RefusedError, match=r"^no run is known for '5'$"):
        finder.find_or_create(RunKey("it's", "5"), None, {})


def test_what_cannot_be_created_is_refused(finder):
    with pytest.raises(RefusedError, match=r'^the study "it\'s" has no run of its own$'):
        finder.find_or_create(STUDY, None, {})
    with pytest.raises(RefusedError, match=r'^the study "it\'s" has no run of its own$'):
        finder.find_or_create(TRIAL, CHILD, {})
    with pytest.raises(RefusedError, match=r"^no run is known for '3'$"):
        finder.find_or_create(TRIAL, None, {})
    finder.find_or_create(RunKey("other"), PARENT, {})
    finder._outbox.forget_runs("other")
    finder._searched.add("it's")
    with pytest.raises(RefusedError, match="has no run of its own"):
        finder.find_or_create(TRIAL, CHILD, {})
