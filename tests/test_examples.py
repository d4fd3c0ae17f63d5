"""The examples: what their separator and their task do, by value. The pages that show them run their studies."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import nbclient
import nbformat
import numpy as np
import optuna
import pytest
import torch

from sepray.contracts import Signal, Split
from sepray.errors import UsageError
from sepray.loading import load_task
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

from .documents import ROOT, blocks

EXAMPLES = ROOT / "examples"
SIGNAL = Signal(("low", "high"), 1, (128,), 100.0)


def imported(file: str) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location(Path(file).stem, EXAMPLES / file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there for the types of their fields
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def separators() -> Iterator[ModuleType]:
    yield from imported("own_separator/adversarial_filters.py")


@pytest.fixture
def tasks() -> Iterator[ModuleType]:
    yield from imported("own_task/csv_columns.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten recordings of 50 samples: in number n, source "up" counts from 100 n, and "down" is less by 1000."""
    for number in range(10):
        up = 100 * number + np.arange(50)
        columns = np.stack((up, up - 1000), axis=1)
        np.savetxt(tmp_path / f"{number}.csv", columns, delimiter=",", header="up,down", comments="", fmt="%d")
    return tmp_path


@pytest.mark.parametrize("example", ["own_separator", "own_task"])
def test_a_page_shows_and_runs_every_file_of_an_example(example: str):
    page = (ROOT / f"docs/pages/{example.replace('_', '-')}.md").read_text()
    shown = set(re.findall(rf'^--8<-- "examples/{example}/(.+)"$', page, re.MULTILINE))
    assert shown == {file.name for file in (EXAMPLES / example).glob("*.py")}
    assert any(b.code == "python study.py" and not b.note("skip") for b in blocks(page))


def test_the_task_divides_files_and_crops_them(tasks: ModuleType, folder: Path):
    config = tasks.Config(folder=str(folder), item_samples=20, items=30)
    assert config.recordings(folder) == {
        "train": ("0.csv", "1.csv", "2.csv", "3.csv", "4.csv", "5.csv"),
        "validation": ("6.csv", "7.csv"),
        "test": ("8.csv", "9.csv"),
    }
    data = load_task(config, folder)
    assert data.signal == Signal(("up", "down"), 1, (20,), 100.0)
    for split, numbers in (("train", range(6)), ("validation", (6, 7)), ("test", (8, 9))):
        sources = getattr(data, split).sources
        first = sources[:, 0, 0, :1]
        assert set((first.flatten() // 100).tolist()) == set(numbers)
        assert int((first % 100).max()) <= 30
        torch.testing.assert_close(sources[:, 0, 0], first + torch.arange(20), rtol=0, atol=0)
        torch.testing.assert_close(sources[:, 1], sources[:, 0] - 1000, rtol=0, atol=0)
        torch.testing.assert_close(getattr(data, split).mixture, sources.sum(1), rtol=0, atol=0)


def test_the_fingerprint_of_the_task_depends_on_its_data(tasks: ModuleType, folder: Path):
    def fingerprint(**changes: float) -> str:
        return (
            tasks.Config(**{"folder": str(folder), "item_samples": 20, "items": 4} | changes).load(folder).fingerprint
        )

    assert fingerprint() == fingerprint()
    assert len({fingerprint(), fingerprint(seed=1), fingerprint(sample_rate=50.0), fingerprint(item_samples=21)}) == 4


def test_the_task_refuses_too_few_files_and_other_columns(tasks: ModuleType, folder: Path):
    config = tasks.Config(folder=str(folder), item_samples=50)
    assert len(config.load(folder).train) == 64  # items of the whole length
    with pytest.raises(UsageError, match=r"0\.csv must have the columns up, down and 51 rows or more"):
        tasks.Config(folder=str(folder), item_samples=51, seed=5).load(folder)
    (folder / "5.csv").write_text("up,other\n" + "1,2\n" * 60)
    with pytest.raises(UsageError, match=r"5\.csv must have the columns up, down"):
        config.load(folder)
    for number in range(4, 10):
        (folder / f"{number}.csv").unlink()
    with pytest.raises(UsageError, match=re.escape(f"--task.folder {folder} has 4 CSV files, and 5 are needed")):
        config.load(folder)


def trained(module: ModuleType, weights: dict[str, float], epochs: int) -> tuple[Trainer, Split]:
    generator = torch.Generator().manual_seed(0)
    phase = 6.28 * torch.rand(64, 2, 1, 1, generator=generator)
    sources = torch.sin(torch.tensor([0.1, 1.5]).reshape(1, 2, 1, 1) * torch.arange(128) + phase)
    split = Split(sources.sum(1), sources)
    separator = build(module.DEBUG, SIGNAL, seed=0)
    seen = view(split, separator.supervision, generator, separator.paired_fraction)
    trainer = Trainer(separator, seen, weights, 0, module.DEBUG.batch_size, module.DEBUG.betas)
    for _ in range(epochs):
        trainer.epoch()
    return trainer, split


def test_the_separator_learns_to_separate(separators: ModuleType):
    trainer, split = trained(separators, {"learning_rate": 1e-2, "adversarial": 0.001}, epochs=30)
    error = (trainer.separator.separate(split.mixture) - split.sources).square().mean()
    assert error < 0.02  # a source's power is 0.5


def test_discriminators_are_trained_where_their_weight_is_above_0(separators: ModuleType):
    def changed(weight: float) -> set[str]:
        before = build(separators.DEBUG, SIGNAL, seed=0).state_dict()
        after = trained(separators, {"adversarial": weight}, epochs=1)[0].separator.state_dict()
        return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}

    assert changed(0.5) == {"filters", "discriminators"}
    assert changed(0.0) == {"filters"}


def test_the_losses_of_the_separator_are_those_of_its_description(separators: ModuleType):
    separator = build(separators.DEBUG, SIGNAL, seed=0)
    mixture = torch.randn(4, 1, 128, generator=torch.Generator().manual_seed(1))
    sources = torch.stack((0.75 * mixture, 0.25 * mixture), 1)
    batch = {"mixture": mixture, "sources": sources}
    loss = separators.filter_loss(separator, batch, {"adversarial": torch.tensor(0.5)}, {})
    estimates = separator.separate(mixture)
    assert estimates.shape == sources.shape
    assert torch.equal(loss.carry["estimates"], estimates)
    error, opinion = (estimates - sources).square().mean(), separator.judge(estimates)
    torch.testing.assert_close(loss.total, error + 0.5 * (1 - opinion).square().mean())
    second = separators.discriminator_loss(separator, batch | loss.carry, {}, {})
    torch.testing.assert_close(second.total, (1 - separator.judge(sources)).square().mean() + opinion.square().mean())


def test_the_separator_takes_any_length_and_refuses_images_and_even_filters(separators: ModuleType):
    separator = build(separators.DEBUG, SIGNAL, seed=0)
    assert separator.separate(torch.zeros(3, 1, 77)).shape == (3, 2, 1, 77)
    with pytest.raises(UsageError, match="signals of one channel, no images"):
        separators.DEBUG.build(Signal(("a", "b"), 1, (8, 8), None))
    with pytest.raises(UsageError, match="taps must be an odd number above 0, not 4"):
        separators.Config(taps=4)


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(EXAMPLES / "study.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) >= 8
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


def _text(output: nbformat.NotebookNode) -> str:
    """Return what is read of an output: what was printed, in a notebook's way or another."""
    return output.text if output.output_type == "stream" else output.data["text/plain"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_notebook_runs_and_ends_with_a_picture_of_both_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    notebook = nbformat.read(EXAMPLES / "study.ipynb", as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=500, kernel_name="python3", resources=resources).execute()
    outputs = {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}

    printed = {source: "".join(map(_text, found)) for source, found in outputs.items()}

    def shown(source: str, kind: str = "text/plain") -> str:
        [found] = [o for o in outputs[source] if o.output_type in ("execute_result", "display_data")]
        return found.data[kind]

    [estimated] = [text for source, text in printed.items() if source.endswith("estimator.show(estimate)")]
    assert re.search(r"trainings\s+4 trials in the search", estimated)
    assert "champion" in shown("result.table", "text/html")
    assert (
        shown("result.trials", "text/html").count("<tr") == 1 + 4 + 2 + 2
    )  # a header, the search, the retrainings of the best and of its control
    assert "[hyperparameters]\nsparsity = " in printed["print(result.settings())"]
    assert "('notes', 'bursts')" in shown(next(s for s in outputs if s.startswith("model = ")))
    assert shown(next(s for s in outputs if s.startswith("random = "))) == "(2, 2048)"
    assert len(shown(next(s for s in outputs if s.startswith("figure")), "image/png")) > 10_000
    storage = f"sqlite:///{tmp_path}/optuna.db"
    assert optuna.load_study(study_name="notebook", storage=storage).best_value > -5  # dB
