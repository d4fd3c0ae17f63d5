"""Scores on real recordings: whose annotations are known, beside the baselines, with a picture of each."""

import errno
import json

import numpy as np
import pytest

from sepray.errors import UsageError
from sepray.models import real_recordings
from sepray.models.real_recordings import evaluate_recordings
from sepray.signals.recordings import open_in_folder

from .functions import model

SECONDS, RATE = 20, 250
TIMES = np.arange(SECONDS * RATE) / RATE


def _heart(period, start, sigma):
    beats = np.arange(start, SECONDS, period)
    return np.exp(-0.5 * ((TIMES[:, None] - beats) / sigma) ** 2).sum(1), beats


MOTHER, MATERNAL_BEATS = _heart(0.74, 0.2, 0.012)
FETUS, FETAL_BEATS = _heart(0.44, 0.1, 0.006)


def _told(mixture):
    """A model that knows the hearts, scaled to what it is given."""
    flat = mixture.reshape(len(mixture), -1)
    share = np.clip(flat, 0.3, None) - 0.3  # the mother's peaks alone
    return np.stack((share, flat - share), axis=1)[:, :, None]


MODEL = model("models:/told/1", _told, ("maternal", "fetal"), shape=(2500,), sample_rate=250.0)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "real"
    (folder / "ward").mkdir(parents=True)
    leads = np.stack((MOTHER + 0.2 * FETUS, 0.8 * MOTHER - 0.2 * FETUS, np.sin(TIMES)), axis=1)
    table = np.column_stack((TIMES, leads))
    np.savetxt(folder / "both.csv", table, delimiter=",", header="seconds,a,b,c", comments="", fmt="%.5f")
    alone = np.column_stack((TIMES, 0.8 * MOTHER))
    np.savetxt(folder / "ward/alone.csv", alone, delimiter=",", header="seconds,a", comments="", fmt="%.5f")
    np.savetxt(folder / "unknown.csv", alone, delimiter=",", header="seconds,a", comments="", fmt="%.5f")
    np.savetxt(folder / "both.fetal.csv", FETAL_BEATS, fmt="%.4f")
    rows = "record,source,rate,leads\nboth.csv,maternal,81,1-2\n"
    rows += "ward/alone,fetal,0,\nward/alone,maternal,100,\nnosuch,fetal,120,\n"
    (folder / "rates.csv").write_text(rows)
    return folder


def test_records_with_beats_rates_and_without_a_fetus(folder, tmp_path):
    found = evaluate_recordings(MODEL, folder, pictures=tmp_path / "pictures")
    both, alone = found.records
    assert (both.record, both.leads, both.segments) == ("both.csv", 2, 2)
    assert both.known == {"maternal": "81 bpm (rates.csv)", "fetal": f"{len(FETAL_BEATS)} beats (both.fetal.csv)"}
    systems = [
        "models:/told/1",
        "models:/told/1, all leads",
        "template subtraction",
        "FastICA of all leads",
        "mixture itself",
    ]
    assert list(both.scores["fetal"]) == systems
    template = both.scores["fetal"]["template subtraction"]
    assert (template.leads_right, template.segments_right, template.segments) == (2, 4, 4)
    assert template.beat_f1 > 0.97
    assert template.rate == pytest.approx(60 / 0.44, abs=0.5)
    ica = both.scores["fetal"]["FastICA of all leads"]
    assert (ica.leads, ica.leads_right, ica.segments) == (1, 1, 2)
    together = both.scores["fetal"][systems[1]]
    assert (together.leads, together.segments) == (1, 2)  # its rate: tests/scoring/test_all_leads.py
    assert both.scores["maternal"][systems[1]].segments_right == 2
    mixture = both.scores["fetal"]["mixture itself"]
    assert mixture.leads_right == 0
    assert both.scores["maternal"]["mixture itself"].segments_right == 4
    assert both.scores["maternal"]["models:/told/1"].beat_f1 is None
    assert (alone.record, alone.leads) == ("ward/alone.csv", 1)
    assert list(alone.scores["fetal"]) == [systems[0], systems[2], systems[4]]  # one lead: nothing to join
    assert alone.scores["fetal"]["mixture itself"].invented == 0
    assert alone.scores["maternal"]["mixture itself"].leads_right == 0  # 81, and 100 was told
    assert found.left_out == ("unknown.csv",)
    assert found.notes == ("rates.csv has a rate of nosuch, and there is no such recording",)
    assert found.document["notes"] == list(found.notes)
    assert found.document["measures"].keys() <= found.document["records"][0]["scores"]["fetal"][systems[2]].keys()
    assert 0 <= template.missed_beats < 0.06 > template.invented_beats
    assert template.confidence > 0.9
    assert json.loads(json.dumps(found.document))["records"][0]["scores"]["fetal"][systems[2]]["leads_right"] == 2
    for result, name in ((both, "both.csv.png"), (alone, "ward/alone.csv.png")):
        assert result.picture == tmp_path / "pictures" / name
        assert result.picture.read_bytes().startswith(b"\x89PNG")


def test_folders_without_anything_known_are_refused(folder, tmp_path):
    with pytest.raises(UsageError, match="there is no folder"):
        evaluate_recordings(MODEL, tmp_path / "none")
    (folder / "rates.csv").unlink()
    (folder / "both.fetal.csv").unlink()
    with pytest.raises(UsageError, match=r"has rates or beats: give them in rates\.csv \(record,source,rate\)"):
        evaluate_recordings(MODEL, folder)


def test_a_lead_that_is_not_there_is_named(folder):
    (folder / "rates.csv").write_text("record,source,rate,leads\nboth.csv,fetal,134,1-7\n")
    with pytest.raises(UsageError, match=r"both\.csv has 3 leads, and rates\.csv asks for lead 7"):
        evaluate_recordings(MODEL, folder)


def test_a_recording_that_cannot_be_read_costs_the_others_nothing(folder):
    (folder / "broken.csv").write_text("seconds,a\n0.000,1\n0.004,x\n0.008,2\n")
    found = evaluate_recordings(MODEL, folder)
    assert [result.record for result in found.records] == ["both.csv", "ward/alone.csv"]
    assert list(found.refused) == list(found.document["refused"]) == ["broken.csv"]
    assert "broken.csv" in found.refused["broken.csv"]
    (folder / "rates.csv").write_text("record,source,rate\nbroken.csv,fetal,134\n")
    (folder / "both.fetal.csv").unlink()
    with pytest.raises(UsageError, match=r"broken\.csv"):
        evaluate_recordings(MODEL, folder)


def alone(folder, name, times, mother=MOTHER):
    folder.mkdir(exist_ok=True)
    rows = np.column_stack((times, mother))
    np.savetxt(folder / f"{name}.csv", rows, delimiter=",", header="seconds,a", comments="", fmt="%.5f")


def test_beats_are_on_the_clock_of_the_recording_and_its_gaps_are_noted(tmp_path):
    alone(tmp_path, "ward", np.where(TIMES < 5, TIMES, TIMES + 2.5) + 1.6e9)
    beats = np.where(MATERNAL_BEATS < 5, MATERNAL_BEATS, MATERNAL_BEATS + 2.5) + 1.6e9
    np.savetxt(tmp_path / "ward.maternal.csv", beats, fmt="%.4f")
    found = evaluate_recordings(MODEL, tmp_path)
    scores = found.records[0].scores["maternal"]["mixture itself"]
    assert (scores.beat_f1, scores.segments_right) == (1, 2)
    assert found.document["notes"] == [
        "ward.csv: the recording has a gap of 2.504 s, 4.996 s after the start; its samples are taken as if there were "
        "none"
    ]


def test_what_lies_outside_the_recording_is_not_scored(tmp_path):
    alone(tmp_path, "ward", TIMES)
    np.savetxt(tmp_path / "ward.maternal.csv", 1.6e9 + MATERNAL_BEATS, fmt="%.4f")
    found = evaluate_recordings(MODEL, tmp_path)
    for scores in found.document["records"][0]["scores"]["maternal"].values():
        assert (scores["leads_right"], scores["segments_right"], scores["beat_f1"], scores["segments"]) == (
            *(None, None, None),
            0,
        )
    assert found.notes == ("ward.csv: no beat in ward.maternal.csv is within the recording, so maternal is not scored",)


def test_a_rate_is_for_files_that_say_none_and_short_recordings_are_noted(tmp_path):
    alone(tmp_path, "ward", TIMES)
    alone(tmp_path, "bare", TIMES[:400], MOTHER[:400])
    alone(tmp_path, "whole", TIMES[: int(10 * RATE)], MOTHER[: int(10 * RATE)])
    (tmp_path / "bare.csv").write_text("".join(f"{value:.5f}\n" for value in MOTHER[:400]))
    (tmp_path / "rates.csv").write_text("record,source,rate\nward,maternal,81\nbare,maternal,81\nwhole,maternal,81\n")
    found = evaluate_recordings(MODEL, tmp_path, rate=200)
    assert found.notes == (
        "bare.csv: it has 2 s, less than a segment of 10 s, and is scored as one",
        *(
            f"{name}.csv: it says that its rate is 250 Hz, which it keeps: --rate is for files that say none"
            for name in ("ward", "whole")
        ),
    )


def test_recording_that_this_user_may_not_read_is_told_and_the_others_are_scored(tmp_path, monkeypatch):
    for name in ("ward", "bare"):
        alone(tmp_path, name, TIMES)
    (tmp_path / "rates.csv").write_text("record,source,rate\nward,maternal,81\nbare,maternal,81\n")

    def opened(path, rate):
        if path.stem == "bare":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open_in_folder(path, rate)

    monkeypatch.setattr(real_recordings, "open_in_folder", opened)
    found = evaluate_recordings(MODEL, tmp_path)
    assert [result.record for result in found.records] == ["ward.csv"]
    assert found.refused == {"bare.csv": "bare.csv: Permission denied"}


def test_steps_of_the_level_are_noted(tmp_path):
    alone(tmp_path, "ward", TIMES, MOTHER + 1000 * (TIMES > 7))
    (tmp_path / "rates.csv").write_text("record,source,rate\nward,maternal,81\n")
    trained = model("m", _told, ("maternal", "fetal"), shape=(1000,), sample_rate=250.0)
    trained.metadata = {**trained.metadata, "mixture_level": {"low": 0.0, "usual": 0.0, "high": 0.0}}
    (note,) = evaluate_recordings(trained, tmp_path).notes
    assert note.startswith("ward.csv: the level changes by more than in any training mixture")
