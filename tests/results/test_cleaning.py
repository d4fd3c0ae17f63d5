"""Files that are deleted, and that nothing misses: the report, a continuation, an extension, the model."""

import os
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from sepray.driver import final_scores
from sepray.execution import checkpoint, weights
from sepray.report import report
from sepray.report.study_results import StudyResults
from sepray.results import cleaning
from sepray.results.cleaning import Deletable, deletable_in_cache, deletable_in_study, in_sentences, orphans
from sepray.results.deletion import held
from sepray.separators import cass
from sepray.spec.folder import lock

from ..driver.conftest import DATA, SIGNAL
from ..simulation import Killed
from .conftest import found, save_weights


def deletable_of(spec):
    saved = found(spec).saved
    with held(saved):
        return deletable_in_study(saved)


def clean(spec):
    for item in deletable_of(spec):
        cleaning.delete(item)


def age(path, hours):
    then = time.time() - 3600 * hours
    os.utime(path, (then, then))


def test_finished_study_needs_no_weights_of_proposed_trials(finished, spec):
    search = f"{finished.folder}/search"
    sizes = {n: checkpoint.tensor_bytes(f"{search}/trial-{n:05d}") for n in range(4)}
    before = {n: checkpoint.newest(f"{search}/trial-{n:05d}") for n in range(4)}
    numbers = sum(t.numel() for t in cass.DEBUG.build(SIGNAL).state_dict().values() if t.is_floating_point())
    assert sizes[1] >= 4 * numbers > 0
    # Trial 0 has published settings.
    assert deletable_of(spec) == [Deletable("small", "weights", f"{search}/trial-{n:05d}", sizes[n]) for n in (1, 2, 3)]

    clean(spec)

    for number in (1, 2, 3):
        kept = checkpoint.newest(f"{search}/trial-{number:05d}")
        assert (kept.epoch, kept.tensors) == (3, {})
        assert kept.metadata == {"number": number, "history": before[number].metadata["history"]}
        assert len(list(Path(f"{search}/trial-{number:05d}").iterdir())) == 1
    assert deletable_of(spec) == []
    weights.load_separator(cass.DEBUG, SIGNAL, f"{search}/trial-00000")
    for number in range(4):
        weights.load_separator(cass.DEBUG, SIGNAL, f"{finished.folder}/finals/trial-{number:05d}")
    assert (finished.folder / "model" / "MLmodel").is_file()
    assert found(spec).conclusion == finished.conclusion


@pytest.mark.slow
def test_report_is_the_same_afterwards(run_study, spec):
    run_study(spec.changed(trials=9))

    def page():
        saved = found(spec).saved
        results = StudyResults.read(
            found(spec).spec, saved.studies["search"], saved.studies["finals"], saved.folder, DATA
        )
        return report.build(results)

    before = page()
    assert "Which direction of information flow helps" in before.html
    clean(spec)
    after = page()
    assert after.html == before.html
    assert after.files == before.files


def test_study_can_be_extended_and_another_champion_is_scored_anew(finished, run_study, spec, simulation):
    clean(spec)
    assert run_study(spec) == 0
    assert simulation.trained == []  # the same command repeats nothing
    assert run_study(spec.changed(trials=14)) == 0
    assert len({n for stage, n, _ in simulation.trained if stage == "search"}) == 10
    extended = found(spec)
    assert extended.result["role"] != finished.result["role"]
    systems = [row["system"] for row in extended.result["rows"]]
    assert systems[0] == f"champion, {extended.result['role']}"
    published = next(system for system in systems if system.startswith("published (3 epochs"))
    old = {row["system"]: row["values"] for row in finished.result["rows"]}
    new = {row["system"]: row["values"] for row in extended.result["rows"]}
    assert new[published] == old[published]
    assert (extended.folder / "model" / "MLmodel").read_text() == f"member {extended.result['member']}\n"


@pytest.mark.slow
def test_retrainings_of_a_role_that_comes_again_are_still_there(finished, run_study, spec):
    clean(spec)
    assert run_study(spec.changed(final_seeds=3)) == 0
    result = final_scores.load_result(finished.folder)
    assert result["role"] == finished.result["role"]


def test_interrupted_study_keeps_all_that_it_goes_on_from(run_study, simulation, spec):
    simulation.endings = {1: {"outcome": "diverged", "reason": "mse is not finite"}}
    simulation.kill_after = 7
    with pytest.raises(Killed):
        run_study(spec)
    result = found(spec)
    states = {t.number: t.state for t in result.trials_of["search"]}
    running = [n for n, state in states.items() if state is TrialState.RUNNING]
    assert states[0] is TrialState.COMPLETE
    assert states[1] is TrialState.FAIL
    folders = {n: f"{result.folder}/search/trial-{n:05d}" for n in states}
    for number in (1, *running):
        save_weights(folders[number], 2)
    size = sum(path.stat().st_size for path in Path(folders[1]).iterdir())
    assert deletable_of(spec) == [Deletable("small", "ended", folders[1], size)]
    clean(spec)
    assert {n: Path(f).exists() for n, f in folders.items()} == {n: n != 1 for n in folders}
    assert checkpoint.tensor_bytes(folders[0]) > 0
    simulation.kill_after = None
    assert run_study(spec) == 0
    assert found(spec).state == "finished"


def test_study_that_is_being_extended_keeps_its_weights(finished, run_study, spec, simulation):
    simulation.kill_after = 2
    with pytest.raises(Killed):
        run_study(spec.changed(trials=6))
    assert deletable_of(spec) == []
    # No driver on this machine has the study, so what Ray left of the last one is of no use.
    (finished.folder / "ray").mkdir()
    (finished.folder / "ray" / "x").write_bytes(b"xyz")
    assert deletable_of(spec) == [Deletable("small", "temporary", f"{finished.folder}/ray", 3)]


@pytest.mark.parametrize("file", ["result.json", "registration.json"])
def test_study_whose_end_is_not_on_file_keeps_its_weights(finished, spec, file):
    (finished.folder / file).unlink()
    assert deletable_of(spec) == []


def test_outcomes_that_keep_no_checkpoints(finished, spec):
    """All but ``complete``: a driver that was killed could not delete them."""
    stored = optuna.load_study(study_name="small", storage=spec.stores.storage)
    expected = []
    for tag, state in (("pruned", "PRUNED"), ("collapsed", "COMPLETE"), ("lost", "FAIL"), ("out_of_memory", "FAIL")):
        attributes = {"outcome": {"tag": tag, "reason": ""}}
        values = {"value": 1.0} if state == "COMPLETE" else {}
        stored.add_trial(optuna.trial.create_trial(state=TrialState[state], user_attrs=attributes, **values))
        folder = f"{finished.folder}/search/trial-{3 + len(expected) + 1:05d}"
        save_weights(folder, 1)
        expected.append(folder)
    assert [item.location for item in deletable_of(spec) if item.kind == "ended"] == expected


def test_leftovers_of_killed_processes_go_when_they_are_old(finished, spec):
    folder = finished.folder
    (folder / ".model-ab1").mkdir()
    (folder / "ray" / "run").mkdir(parents=True)
    leftovers = {
        ".result.json.0a1b2c3d": 5,
        "search/trial-00001/.epoch-000003-0123456789abcdef.safetensors.0a1b2c3d": 7,
        ".model-ab1/MLmodel": 11,
        ".model-ab1/weights": 2,
        "ray/run/state.json": 3,
    }
    for name, size in leftovers.items():
        (folder / name).write_bytes(b"x" * size)
        age(folder / name, 2)
    (folder / ".registration.json.0a1b2c3d").write_bytes(b"x")  # just written
    (folder / ".model-new").mkdir()
    (folder / ".model-new" / "old").write_bytes(b"x")
    (folder / ".model-new" / "new").write_bytes(b"x")
    age(folder / ".model-new" / "old", 2)
    (folder / ".hidden").write_bytes(b"x")
    age(folder / ".hidden", 2)
    assert {i.location.removeprefix(f"{folder}/"): i.size for i in deletable_of(spec) if i.kind == "temporary"} == {
        "ray": 3,
        ".model-ab1": 13,
        ".result.json.0a1b2c3d": 5,
        "search/trial-00001/.epoch-000003-0123456789abcdef.safetensors.0a1b2c3d": 7,
    }
    clean(spec)
    assert not (folder / ".model-ab1").exists()
    assert not (folder / "ray").exists()
    assert not (folder / ".result.json.0a1b2c3d").exists()
    assert (folder / ".registration.json.0a1b2c3d").exists()
    assert (folder / ".model-new" / "old").exists()


def test_leftover_in_a_folder_that_goes_is_not_counted_twice(run_study, simulation, spec):
    simulation.endings = {1: {"outcome": "diverged", "reason": "x"}}
    run_study(spec)
    folder = found(spec).folder / "search" / "trial-00001"
    folder.mkdir(exist_ok=True)
    (folder / ".epoch-000001-0123456789abcdef.safetensors.0a1b2c3d").write_bytes(b"xxxx")
    age(next(folder.iterdir()), 2)
    of_trial = [item for item in deletable_of(spec) if str(folder) in item.location]
    assert of_trial == [Deletable("small", "ended", str(folder), 4)]


def test_checkpoints_in_an_object_store_are_cleaned_there(run_study, spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    remote = spec.changed(storage_path=f"file://{tmp_path}/bucket")
    assert run_study(remote) == 0
    saved = found(remote).saved
    assert saved.checkpoints == f"file://{tmp_path}/bucket/small/{saved.uid}"
    assert saved.folder == tmp_path / "sepray-results" / "small" / saved.uid
    save_weights(f"{saved.checkpoints}/ray", 1)
    places = [item.location.removeprefix(f"{saved.checkpoints}/") for item in deletable_of(remote)]
    assert places == ["search/trial-00001", "search/trial-00002", "search/trial-00003", "ray"]
    clean(remote)
    assert deletable_of(remote) == []
    assert checkpoint.tensor_bytes(f"{saved.checkpoints}/search/trial-00001") == 0
    assert checkpoint.tensor_bytes(f"{saved.checkpoints}/finals/trial-00001") > 0
    # A driver elsewhere would hold no lock here: as long as a trial is not finished, its folder of Ray's is left alone.
    optuna.load_study(study_name="small", storage=spec.stores.storage).ask()
    save_weights(f"{saved.checkpoints}/ray", 1)
    assert deletable_of(remote) == []


def test_orphans_are_folders_of_studies_that_the_storage_does_not_have(finished, spec):
    root, uid = Path(spec.stores.storage_path), finished.saved.uid
    for location in ("small/0a1b2c3d", "gone/11112222", "running/33334444", "gone/not-an-id", "gone/55556666"):
        (root / location).mkdir(parents=True)
        (root / location / "weights").write_bytes(b"x" * 10)
    for location in ("small/0a1b2c3d/lock", "running/33334444/lock", "gone/not-an-id/lock"):
        (root / location).touch()
    (root / "gone/11112222/outbox.db").write_bytes(b"x")
    driver = lock(root / "running/33334444", "running")
    assert orphans({("small", uid)}, str(root)) == [
        Deletable("gone", "orphan", f"{root}/gone/11112222", 11),
        Deletable("small", "orphan", f"{root}/small/0a1b2c3d", 10),
    ]
    driver.close()
    assert f"{root}/small/{uid}" in [item.location for item in orphans({("other", uid)}, f"{root}/")]
    for item in orphans({("small", uid)}, str(root)):
        cleaning.delete(item)
    assert sorted(path.name for path in root.iterdir()) == ["gone", "small"]
    assert [path.name for path in (root / "small").iterdir()] == [uid]


def test_orphan_that_is_the_last_of_its_name_leaves_no_empty_folder(tmp_path):
    (tmp_path / "gone" / "0a1b2c3d").mkdir(parents=True)
    (tmp_path / "gone" / "0a1b2c3d" / "lock").touch()
    [item] = orphans(set(), str(tmp_path))
    cleaning.delete(item)
    assert list(tmp_path.iterdir()) == []


def test_orphans_in_an_object_store_hold_nothing_but_checkpoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = f"file://{tmp_path}/bucket"
    for location in ("gone/0a1b2c3d/search/trial-00000", "gone/0a1b2c3d/finals/trial-00000", "mine/0a1b2c3d/other"):
        save_weights(f"{root}/{location}", 1)
    (tmp_path / "sepray-results" / "gone" / "0a1b2c3d").mkdir(parents=True)
    (tmp_path / "sepray-results" / "gone" / "0a1b2c3d" / "lock").touch()
    found = orphans(set(), root)
    assert [item.location for item in found] == [
        f"{tmp_path}/sepray-results/gone/0a1b2c3d",
        f"{root}/gone/0a1b2c3d",
    ]
    assert found[1].size == sum(p.stat().st_size for p in (tmp_path / "bucket" / "gone").rglob("*.safetensors"))


def test_cache_entries_that_nobody_has_read_for_days(tmp_path):
    old, read, new = (tmp_path / f"ecg-{digit * 16}.safetensors" for digit in "012")
    others = [tmp_path / "weights.safetensors", tmp_path / "ecg-0123.safetensors"]
    for path in (old, read, new, *others):
        path.write_bytes(b"x" * 4)
        age(path, 24 * 10)
    os.utime(read, (time.time(), read.stat().st_mtime))
    age(new, 24 * 2)
    (tmp_path / f"folder-{'0' * 16}.safetensors").mkdir()
    assert deletable_in_cache(tmp_path, 3) == [Deletable("", "cached", str(old), 4)]
    assert [item.location for item in deletable_in_cache(tmp_path, 1)] == [str(old), str(new)]
    assert deletable_in_cache(tmp_path / "none", 0) == []


def test_cache_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / f"ecg-{'0' * 16}.safetensors"
    path.write_bytes(b"x")
    age(path, 48)
    assert [item.location for item in deletable_in_cache(Path("~"), 1)] == [str(path)]


def test_sentences_count_and_add_up():
    deletable = [
        Deletable("a", "weights", "/a/1", 1000),
        Deletable("a", "weights", "/a/2", 500),
        Deletable("a", "temporary", "/a/x", 7),
        Deletable("b", "weights", "/b/1", 2_000_000),
        Deletable("b", "ended", "/b/2", 10),
        Deletable("x", "orphan", "/x/1", 1),
        Deletable("y", "orphan", "s3://key:secret@bucket/y", 2),
        Deletable("", "cached", "/c/1", 3),
        Deletable("", "cached", "/c/2", 3),
    ]
    assert list(in_sentences(deletable)) == [
        "a: weights of 2 trials that nobody needs any more (their curves are kept), 1.5 KiB",
        "a: 1 leftover of killed processes, 7 B",
        "b: weights of 1 trial that nobody needs any more (their curves are kept), 1.9 MiB",
        "b: checkpoints of 1 trial that did not run the whole budget, 10 B",
        "2 folders of studies that this storage does not have, 3 B",
        "  /x/1, 1 B",
        "  s3://key:***@bucket/y, 2 B",
        "2 entries of the data cache, 6 B",
    ]
    assert list(in_sentences([])) == []
