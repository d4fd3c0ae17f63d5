import pytest

from sepray.plain_text import in_own_style
from sepray.report import best_trials, cross_weights, example_items, hyperparameters, search_progress
from sepray.report.figures import STYLE, LaidOutFigure, MediaFile
from sepray.report.study_results import StudyResults

from .studies import finished_study


@pytest.fixture
def finished(tmp_path) -> StudyResults:
    """A study at its end: the champion is final 0, a CASS on five test items."""
    return finished_study(tmp_path)


@pytest.fixture
def drawn(monkeypatch):
    """Figures by the names of their files, kept before they become files."""
    kept = {}

    def keep(figure, name, description, caption=""):
        kept[name] = figure
        return MediaFile(name, b"", description, caption)

    for module in (search_progress, hyperparameters, cross_weights, best_trials, example_items):
        monkeypatch.setattr(module, "render", keep)
    with in_own_style(STYLE):  # as the report draws them
        yield kept


@pytest.fixture
def undrawn(monkeypatch):
    """The figures of reports have no content, for tests of what is beside them."""
    monkeypatch.setattr(LaidOutFigure, "savefig", lambda figure, stream, **options: None)


@pytest.fixture
def one_drawn(monkeypatch):
    """Draw only the figures of the best of three items, since those of the others differ in numbers alone."""

    def render(figure, name, description, caption=""):
        best = "-best." in name
        return draw(figure, name, description, caption) if best else MediaFile(name, b"", description, caption)

    draw = example_items.render
    monkeypatch.setattr(example_items, "render", render)
