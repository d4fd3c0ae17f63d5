"""The start of training from another separator's estimates, trained once or loaded; its refusals."""

import dataclasses
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray import identity
from sepray.contracts import Signal, Split, Supervision, TaskData
from sepray.driver import warm_start
from sepray.driver.prepared import prepare
from sepray.driver.stage import WARM_START, trial_parameters
from sepray.errors import UsageError
from sepray.execution import checkpoint
from sepray.separators import adversarial_masking, cass, neural_egg, supervised_mask
from sepray.tracking import load_check, models
from sepray.training.augmentation import PLAIN
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

SIGNAL = Signal(("low", "high"), 1, (256,), 128.0)
SEED = 3
OBSERVED = Supervision.OBSERVED_SOURCE


def split(items: int = 16) -> Split:
    sources = torch.randn(items, 2, 1, 256, generator=torch.Generator().manual_seed(0))
    return Split(sources.sum(1), sources)


def seen() -> dict[str, torch.Tensor]:
    return view(split(), OBSERVED, torch.Generator().manual_seed(SEED))


def egg(start: str, epochs: int = 2) -> neural_egg.Config:
    return dataclasses.replace(neural_egg.DEBUG, start=start, start_epochs=epochs)


def find(
    start: str, signal: Signal = SIGNAL, uri: str = "sqlite:///none.db", epochs: int = 2
) -> warm_start.WarmStart | None:
    return warm_start.find(egg(start, epochs), signal, OBSERVED, uri)


@pytest.fixture
def small(monkeypatch) -> str:
    """A separator of a user's own: adversarial masking, as small as can be."""
    module = types.ModuleType("small_masking")
    module.Config = lambda: adversarial_masking.DEBUG
    monkeypatch.setitem(sys.modules, "small_masking", module)
    return "small_masking"


def test_constant_start_and_separators_that_know_no_start_need_nothing():
    assert find("constant") is None
    assert warm_start.find(cass.DEBUG, SIGNAL, Supervision.PAIRED, "") is None
    for own in (0.5, "zeros"):  # a field of a user's separator that means something else
        assert warm_start.find(types.SimpleNamespace(start=own), SIGNAL, Supervision.PAIRED, "") is None


def test_named_separator_is_trained_on_the_same_view_from_the_studys_seed(small, tmp_path):
    added = find(small).add_to(seen(), PLAIN, SEED, "cpu", str(tmp_path))
    config = adversarial_masking.DEBUG
    trainer = Trainer(build(config, SIGNAL, SEED), seen(), {}, SEED, config.batch_size, config.betas)
    trainer.epoch(), trainer.epoch()
    assert torch.equal(added["start"], trainer.separator.separate(seen()["mixture"]))
    assert added["start"].shape == (8, 2, 1, 256)
    assert {name: tensor for name, tensor in added.items() if name != "start"}.keys() == seen().keys()
    assert all(torch.equal(added[name], tensor) for name, tensor in seen().items())


def test_start_is_trained_once_a_study_and_again_for_another_seed_or_budget(small, tmp_path):
    folder = str(tmp_path)
    first = find(small).add_to(seen(), PLAIN, SEED, "cpu", folder)["start"]
    untrained = dataclasses.replace(find(small), separator=lambda *_: pytest.fail("trained again"))
    assert torch.equal(untrained.add_to(seen(), PLAIN, SEED, "cpu", folder)["start"], first)
    other_seed = find(small).add_to(seen(), PLAIN, SEED + 1, "cpu", folder)["start"]
    other_budget = find(small, epochs=1).add_to(seen(), PLAIN, SEED, "cpu", folder)["start"]
    assert not torch.equal(other_seed, first)
    assert not torch.equal(other_budget, first)


def test_damaged_estimates_are_made_again(small, tmp_path):
    first = find(small).add_to(seen(), PLAIN, SEED, "cpu", str(tmp_path))["start"]
    [file] = tmp_path.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-10])
    assert checkpoint.newest(str(tmp_path)) is None
    assert torch.equal(find(small).add_to(seen(), PLAIN, SEED, "cpu", str(tmp_path))["start"], first)


def test_identity_tells_budgets_and_settings_apart_and_is_part_of_a_studys_fingerprint(small, monkeypatch):
    digest = lambda start: identity.digest({"start": start.identity})  # noqa: E731
    assert digest(find(small)) == digest(find(small)) != digest(find(small, epochs=3))
    other = dataclasses.replace(adversarial_masking.DEBUG, width=8)
    before = digest(find(small))
    monkeypatch.setattr(sys.modules[small], "Config", lambda: other)
    assert digest(find(small)) != before


def test_neural_egg_trains_from_what_was_added(small, tmp_path):
    config, data = egg(small), find(small).add_to(seen(), PLAIN, SEED, "cpu", str(tmp_path))
    trainer = Trainer(build(config, SIGNAL, 0), data, {}, 0, 8, config.betas)
    shown = trainer.separator.before_epoch(trainer.data, 0, trainer.generator)
    assert torch.equal(shown["unknown"], data["start"][:, 0])
    assert trainer.epoch()["l1"] > 0


@pytest.fixture
def unchecked(monkeypatch):
    """Packages models without the clean process, which takes seconds."""
    monkeypatch.setattr(load_check, "require_working", lambda *_: None)


def packaged(folder: Path, module=adversarial_masking, **changes: object) -> tuple[str, torch.nn.Module]:
    separator = build(module.DEBUG, SIGNAL, 1)
    metadata = {"sources": ["low", "high"], "sample_rate": 128.0, "supervision": separator.supervision.value}
    example = np.zeros((1, 1, 256), np.float32)
    models.package_model(
        folder, separator=separator, config=module.DEBUG, example=example, metadata={**metadata, **changes}
    )
    return str(folder), separator


@pytest.mark.usefixtures("unchecked")
def test_packaged_model_gives_its_estimates_and_its_digest(tmp_path):
    path, separator = packaged(tmp_path / "model")
    start = find(path)
    added = start.add_to(seen(), PLAIN, SEED, "cpu", str(tmp_path / "start"))
    torch.testing.assert_close(added["start"], separator.separate(seen()["mixture"]))
    copied = tmp_path / "copied"
    (tmp_path / "model").rename(copied)
    assert find(str(copied)).identity == start.identity
    assert len(start.identity["model"]) == 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sources": ["high", "low"]},
            r"the warm start .* does not separate the sources of the task: low, high at 128 Hz",
        ),
        ({"sample_rate": 64.0}, r"the warm start .* does not separate the sources of the task: low, high at 128 Hz"),
        (
            {"supervision": "paired"},
            r"the warm start .* was trained on more than this separator may see: paired, not observed source",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_model_that_does_not_fit_is_refused_in_one_line(tmp_path, changes, message):
    path, _ = packaged(tmp_path / "model", **changes)
    with pytest.raises(UsageError, match=rf"^{message}$"):
        find(path)


def test_start_that_saw_the_hidden_source_is_refused():
    message = (
        r"^the warm start supervised_mask was trained on more than this separator may see: paired, not observed source$"
    )
    with pytest.raises(UsageError, match=message):
        find("supervised_mask")
    allowed = warm_start.find(egg("supervised_mask"), SIGNAL, Supervision.PAIRED, "")
    assert allowed.identity["hyperparameters"] == build(supervised_mask.DEBUG, SIGNAL, 0).hyperparameters()


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (
            "glo",
            r"there is no warm start 'glo': give constant, a separator \(adversarial_masking, .*\), a registered model",
        ),
        (".glo", r"there is no warm start '.glo': give constant, a separator "),
        ("", r"there is no warm start '': give constant, a separator "),
        (" ", r"there is no warm start ' ': give constant, a separator "),
        (f"glo {'width=8 ' * 40}", r"there is no warm start 'glo': give constant, a separator "),
        ("no/such/folder", r"there is no warm start 'no/such/folder': give constant, a separator "),
        ("tests", r"tests is neither a models:/ address nor a folder with a packaged model"),
        ("oracle", r"the warm start oracle is an oracle, which cannot separate anything without the true sources"),
        ("models:/egg@champion", r"there is no MLflow database .*none.db with the warm start models:/egg@champion"),
    ],
)
def test_bad_name_or_address_is_refused_in_one_line(start, message, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    with pytest.raises(ValueError, match=rf"^{message}") as refusal:
        find(start)
    assert "\n" not in str(refusal.value)
    assert not Path("none.db").exists()


def test_separator_that_the_task_does_not_suit_is_refused(small):
    three = Signal(("a", "b", "c"), 1, (256,), 128.0)
    with pytest.raises(
        UsageError, match=r"^the warm start small_masking does not fit the task: a mask separates 2 sources"
    ):
        find(small, three)


def test_start_that_diverges_is_told_in_one_line_and_keeps_nothing(small, tmp_path):
    data = {name: torch.full_like(tensor, torch.nan) for name, tensor in seen().items()}
    with pytest.raises(
        UsageError, match=r"^the warm start small_masking cannot be trained: .* is not finite .* instead$"
    ):
        find(small).add_to(data, PLAIN, SEED, "cpu", str(tmp_path / "start"))
    assert not (tmp_path / "start").exists()


@pytest.mark.timeout(180)  # a process of its own, on a busy machine
@pytest.mark.slow
def test_study_with_a_bad_start_ends_with_status_2_and_leaves_nothing(tmp_path):
    script = Path(__file__).parents[2] / "studies" / "neural_egg_notes_and_bursts.py"
    command = [sys.executable, str(script), "--separator.start", "glo", "--task.train", "8"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=150)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("neural-egg-notes-and-bursts: there is no warm start 'glo': give constant, a separator (")
    assert not list(tmp_path.iterdir())


def test_settings_of_a_start_follow_its_name(small, tmp_path):
    start = find(f"{small} width=6 batch-size=4 mask_learning_rate=0.5 betas=0.1,0.2")
    config = start.identity["config"]
    assert (config.width, config.batch_size, config.betas) == (6, 4, (0.1, 0.2))
    defaults = find(small).identity["hyperparameters"]
    assert start.identity["hyperparameters"] == {**defaults, "mask_learning_rate": 0.5}
    assert start.identity["separator"] == small
    given = find(f"{small} mask_learning_rate=0.5").add_to(seen(), PLAIN, SEED, "cpu", str(tmp_path / "a"))["start"]
    config = adversarial_masking.DEBUG
    settings = {"mask_learning_rate": 0.5}
    trainer = Trainer(build(config, SIGNAL, SEED), seen(), settings, SEED, config.batch_size, config.betas)
    trainer.epoch(), trainer.epoch()
    assert torch.equal(given, trainer.separator.separate(seen()["mixture"]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("width=few", "'width=few' is no setting FIELD=VALUE"),
        ("width", "'width' is no setting FIELD=VALUE .it has no value"),
        ("wide=3", "has no setting wide; it has window_seconds, "),
    ],
)
def test_bad_settings_of_a_start_are_refused_in_one_line(small, settings, message):
    with pytest.raises(UsageError, match=f"^the warm start {small}:? ?.*{message}"):
        find(f"{small} {settings}")


def test_seconds_of_a_start_are_kept_with_its_estimates(small, tmp_path):
    arguments = (seen(), PLAIN, SEED, "cpu", str(tmp_path))
    first, seconds = find(small).estimates(*arguments)
    assert seconds > 0
    again, kept = find(small).estimates(*arguments)
    assert torch.equal(again, first)
    assert kept == seconds


def test_each_seed_of_the_retrainings_has_a_start_of_its_own_and_the_search_has_one(small, spec, tmp_path):
    data = TaskData(SIGNAL, split(), split(), split(), "ab" * 32)
    study = spec.changed(separator=egg(small), space={}, reference_points={}, controls={}, trials=1)
    prepared = prepare(study, data)
    search = trial_parameters("search", 1, prepared, str(tmp_path))
    assert "start" in search["train"]
    assert "warm_starts" not in search
    finals = trial_parameters("finals", 1, prepared, str(tmp_path), [3, 5])
    assert "start" not in finals["train"]
    assert sorted(finals["warm_starts"]) == [3, 5]
    (third, took), (fifth, _) = finals["warm_starts"][3], finals["warm_starts"][5]
    assert took > 0
    assert not np.array_equal(third, fifth)
    assert finals["context"].origin[WARM_START] == "of its own seed"
    assert WARM_START not in search["context"].origin


@pytest.mark.parametrize(("gpus", "device"), [(0.5, ""), (0, "mps")])
def test_driver_without_the_device_computes_the_start_on_its_cpu_while_trials_keep_theirs(
    spec, tmp_path, monkeypatch, capsys, gpus, device
):
    data = TaskData(SIGNAL, split(), split(), split(), "ab" * 32)
    study = spec.changed(separator=egg("constant"), space={}, reference_points={}, controls={})
    study = study.changed(gpus_per_trial=gpus, device=device)
    device = device or "cuda"
    devices = []

    def halves(view, augmentation, seed, device):
        devices.append(device)
        return lambda mixture: torch.stack([mixture, mixture], 1) / 2

    start = warm_start.WarmStart("halves", {"halves": 1}, halves)
    prepared = dataclasses.replace(prepare(study, data), warm_start=start)
    asked = []
    monkeypatch.setattr(warm_start, "is_here", lambda device: asked.append(device))
    search = trial_parameters("search", 1, prepared, str(tmp_path))
    assert (asked, devices, search["context"].device) == ([device], ["cpu"], device)
    np.testing.assert_array_equal(search["train"]["start"][:, 0], search["train"]["mixture"] / 2)
    [line] = capsys.readouterr().out.splitlines()
    assert line == (
        f"this process has no {device}: the warm start halves is computed on its CPU; trials are on {device}"
    )
    trial_parameters("search", 1, prepared, str(tmp_path))  # reads what is kept, and has nothing to tell
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("seeds", [[], [3]])
@pytest.mark.parametrize("deterministic", [False, True])
def test_warm_starts_of_a_deterministic_study_are_trained_so(spec, tmp_path, deterministic, seeds):
    data = TaskData(SIGNAL, split(), split(), split(), "ab" * 32)
    study = spec.changed(separator=egg("constant"), space={}, reference_points={}, controls={})
    told = []

    def halves(view, augmentation, seed, device):
        told.append(torch.are_deterministic_algorithms_enabled())
        return lambda mixture: torch.stack([mixture, mixture], 1) / 2

    start = warm_start.WarmStart("halves", {"halves": 1}, halves)
    prepared = prepare(study.changed(deterministic=deterministic), data)
    trial_parameters("search", 1, dataclasses.replace(prepared, warm_start=start), str(tmp_path), seeds)
    assert (told, torch.are_deterministic_algorithms_enabled()) == ([deterministic], False)


@pytest.mark.parametrize(
    ("trials", "here", "own"),
    [("cuda", ["cpu", "cuda"], "cuda"), ("cuda", ["cpu"], "cpu"), ("mps", ["cpu"], "cpu"), ("cpu", ["cpu"], "cpu")],
)
def test_driver_computes_the_start_on_the_device_of_the_trials_where_it_has_it(
    tmp_path, monkeypatch, trials, here, own
):
    monkeypatch.setattr(warm_start, "is_here", lambda device: device in here)

    def told(view, augmentation, seed, device):
        raise UsageError(f"asked for {device}")

    with pytest.raises(UsageError, match=f"asked for {own}$"):
        warm_start.WarmStart("told", {}, told).estimates(seen(), PLAIN, SEED, trials, str(tmp_path))
