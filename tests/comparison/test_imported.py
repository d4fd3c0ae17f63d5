"""Results of SiSEC beside ours: shared tracks alone, labelled, and tested like any other row."""

import csv
import io
import json

import numpy as np
import pytest
import torch

from sepray.comparison import figure, formats, imported, table
from sepray.comparison.running import ComparisonFigures, SeparatorFigures
from sepray.comparison.spec import Comparison
from sepray.contracts import TaskData, Tracks
from sepray.errors import UsageError

from ..scoring.test_museval_results import results
from .conftest import SIGNAL, entry

MEASURES = ("sdr", "si_sdr")
NAMES = tuple(f"Track {k}" for k in range(8))


@pytest.fixture
def whole(data) -> TaskData:
    sources = tuple(torch.randn(2, 1, 300 + k, generator=torch.Generator().manual_seed(k)) for k in range(8))
    tracks = Tracks(NAMES, tuple(own.sum(0) for own in sources), sources, tuple((name,) for name in NAMES))
    return TaskData(SIGNAL, data.train, data.validation, data.test, "cd" * 32, unit_names=("tracks",), tracks=tracks)


@pytest.fixture(autouse=True)
def bounds(monkeypatch):
    """The mixture's figures are given: museval would need frames of more than 512 samples."""
    given = {"si_sdr": np.zeros((8, 2)), "sdr": np.full((8, 2), -1.0)}
    monkeypatch.setattr(table.tables, "references", lambda *_: {"unprocessed mixture": given})


def ours(key: str, sdr: list[float], silent: int | None = None) -> SeparatorFigures:
    made = entry(key, key, [[1.0 + k for k in range(8)]] * 2)
    values = np.array(sdr)[None, :, None] + np.array([0.0, 2.0])
    values = np.repeat(values, 2, axis=0)
    if silent is not None:
        values[:, silent] = np.nan
    return SeparatorFigures(**{**vars(made), "scores": made.scores | {"sdr": values}})


def sisec(folder, name: str, tracks: dict[str, float], **more: float) -> str:
    for track, sdr in tracks.items():
        targets = {"low": [sdr - 1, sdr, sdr + 5], "high": [sdr + 4]} | {n: [v] for n, v in more.items()}
        results(folder / name / "test", track, **targets)
    return f"{name}={folder / name}"


def test_rows_are_labelled_and_only_shared_tracks_are_compared(whole, tmp_path):
    given = sisec(tmp_path, "OZE", {name: 3.0 + k for k, name in enumerate(NAMES[:6])} | {"Other": 1.0})
    asked = Comparison(measures=MEASURES, museval_results=(given,), final_seeds=2, reference="good")
    others = imported.read(asked.museval_results, whole)
    assert others.names == NAMES[:6]
    outcome = ComparisonFigures([ours("good", [10.0 + k for k in range(8)]), ours("poor", [1.0 + k for k in range(8)])])
    found = table.build(asked, whole, outcome, others)
    assert [(row.system, row.kind) for row in found.rows] == [
        ("good", "separator"),
        ("poor", "separator"),
        ("OZE (imported)", "imported"),
        ("unprocessed mixture", "bound"),
    ]
    assert found.caption.startswith(
        f"Imported, not computed here: OZE ({tmp_path / 'OZE'}). All figures are of the 6 of 8 test tracks that have "
        "results of all methods. Mean (of BSS Eval the median, of each item that over its seconds) over 6 whole tracks"
    )
    good, poor, theirs, _ = found.rows
    # Medians over tracks 0 to 5 of 10 to 15 and 12 to 17; of OZE 3 to 8, and the other source 4 dB above.
    assert good.cells["sdr", "low"].mean == pytest.approx(12.5)
    assert good.cells["sdr", "mean"].mean == pytest.approx(13.5)
    assert theirs.cells["sdr", "low"].mean == pytest.approx(5.5)
    assert theirs.cells["sdr", "mean"].mean == pytest.approx(7.5)
    assert poor.cells["si_sdr", "low"].mean == pytest.approx(3.5)  # of six tracks, as all figures
    assert theirs.cells["sdr", "mean"].test.u == 0  # all of theirs are below all of ours
    assert theirs.cells["sdr", "mean"].paired is None  # of six tracks three tests say nothing
    assert "No p: too few tracks" in found.caption
    assert ("si_sdr", "mean") not in theirs.cells
    assert set(found.best.values()) == {"good"}


def test_every_form_of_the_table_has_imported_rows(whole, tmp_path):
    given = (sisec(tmp_path, "OZE", dict.fromkeys(NAMES, 3.0)), sisec(tmp_path, "KAM1", dict.fromkeys(NAMES[2:], 2.0)))
    asked = Comparison(measures=MEASURES, museval_results=given)
    found = table.build(
        asked, whole, ComparisonFigures([ours("good", [9.0 + k for k in range(8)])]), imported.read(given, whole)
    )
    assert "| OZE (imported) | 3.00" in formats.markdown(found)
    assert r"KAM1 (imported) & " in formats.latex(found)
    lines = {line["system"]: line for line in csv.DictReader(io.StringIO(formats.comma_separated(found)))}
    assert lines["KAM1 (imported)"]["kind"] == "imported"
    assert lines["KAM1 (imported)"]["sdr/mean/mean"] == "4.0"
    assert lines["KAM1 (imported)"]["si_sdr/mean/mean"] == ""
    scores = [*csv.DictReader(io.StringIO(formats.scores(found, list(SIGNAL.sources))))]
    assert len([line for line in scores if line["system"] == "OZE (imported)"]) == 6 * 2
    assert {line["si_sdr"] for line in scores if line["system"] == "OZE (imported)"} == {""}
    assert len(list(formats.terminal(found))) == 4
    assert {picture.name for picture in figure.pictures(found)} == {
        f"{m}.{k}" for m in MEASURES for k in ("svg", "png")
    }


def test_tracks_without_a_score_are_left_out_for_all_rows(whole, tmp_path):
    """A silent source has no BSS Eval; a method without one of our sources has no mean over them."""
    results(tmp_path / "KAM" / "test", "Track 0", low=[2.0])
    for name in NAMES[1:]:
        results(tmp_path / "KAM" / "test", name, low=[4.0])
    given = (f"KAM={tmp_path / 'KAM'}",)
    asked = Comparison(measures=("sdr",), museval_results=given)
    outcome = ComparisonFigures([ours("good", [50.0, *range(7)], silent=0)])
    found = table.build(asked, whole, outcome, imported.read(given, whole))
    good, theirs = found.rows[:2]
    assert good.cells["sdr", "low"].mean == 3.0
    assert theirs.cells["sdr", "low"].mean == 4.0
    assert ("sdr", "high") not in theirs.cells
    assert ("sdr", "mean") not in theirs.cells
    assert good.cells["sdr", "mean"].mean == 4.0


def test_without_imports_bss_eval_is_a_measure_like_others(whole):
    found = table.build(
        Comparison(measures=("sdr",)), whole, ComparisonFigures([ours("good", [10.0 + k for k in range(8)])])
    )
    assert found.rows[0].cells["sdr", "low"].mean == pytest.approx(13.5)
    assert "over 8 whole tracks" in found.caption
    assert found.rows[1].cells["sdr", "mean"].mean == -1


def test_all_three_norms_stand_in_one_table(whole):
    norms = ("relative_l1", "relative_l2", "relative_linf")
    made = ours("good", [1.0] * 8)
    scores = {norm: np.full((2, 8, 2), 0.1 * (k + 1)) for k, norm in enumerate(norms)}
    with pytest.MonkeyPatch.context() as patch:
        given = {norm: np.ones((8, 2)) for norm in norms}
        patch.setattr(table.tables, "references", lambda *_: {"unprocessed mixture": given})
        found = table.build(
            Comparison(measures=norms), whole, ComparisonFigures([SeparatorFigures(**{**vars(made), "scores": scores})])
        )
    assert [found.rows[0].cells[norm, "mean"].mean for norm in norms] == pytest.approx([0.1, 0.2, 0.3])
    for norm in ("L1", "L2", "L∞"):
        assert f"relative {norm} error ↓: mean" in formats.markdown(found)


@pytest.mark.parametrize(
    ("given", "measures", "message"),
    [
        (("OZE",), MEASURES, "--museval-results 'OZE' does not have the form NAME=FOLDER"),
        (("=x",), MEASURES, "does not have the form NAME=FOLDER"),
        (("OZE=/nowhere/at/all",), MEASURES, r"there is no folder /nowhere/at/all \(--museval-results OZE\)"),
        (("OZE=/tmp", "OZE=/"), MEASURES, "must have different names, not OZE, OZE"),
        (("OZE=/tmp",), ("si_sdr",), "are of BSS Eval: give some of --measures sdr isr sir sar too"),
    ],
)
def test_what_cannot_be_imported_is_refused_before_anything_is_trained(given, measures, message):
    with pytest.raises(UsageError, match=message):
        Comparison(museval_results=given, measures=measures, separators=("nmf",)).check()


def test_results_of_other_tracks_or_for_a_task_without_are_refused(whole, data, tmp_path):
    given = (sisec(tmp_path, "OZE", {"Something else": 1.0}),)
    with pytest.raises(UsageError, match="as 'Track 0', and those of OZE as 'Something else'"):
        imported.read(given, whole)
    with pytest.raises(UsageError, match="of whole tracks, and the task has none"):
        imported.read(given, data)
    assert imported.read((), data) is None
    assert json.loads((tmp_path / "OZE" / "test" / "Something else.json").read_text())["targets"]
