"""Folders of recordings: which are separated, into which folders, and what becomes of those that cannot be."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepray.errors import UsageError
from sepray.models.batch import Planned, Refused, plan, separate_all
from sepray.models.separation import Separation

from .functions import model, shares_of_the_mixture

QUARTER = shares_of_the_mixture("quarter", 0.25)
WAVE = np.sin(np.arange(400) / 9).astype(np.float32)


@pytest.fixture
def record():
    def record(*names):
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            np.save(Path(name), WAVE) if name.endswith(".npy") else np.savetxt(name, WAVE)

    return record


def test_recordings_below_a_folder_keep_their_subfolders(record):
    record("in/b.npy", "in/a.csv", "in/x/y/a.CSV", "in/.hidden/c.npy", "in/.d.npy", "lone.npy")
    for name in ("in/notes.md", "in/a.png", "in/x/model.json"):
        Path(name).touch()
    Path("in/folder.wav").mkdir()
    assert plan([Path("in"), Path("lone.npy")], Path("out")) == [
        Planned(Path("in/a.csv"), Path("out"), found=True),
        Planned(Path("in/b.npy"), Path("out"), found=True),
        Planned(Path("in/x/y/a.CSV"), Path("out/x/y"), found=True),
        Planned(Path("lone.npy"), Path("out")),
    ]


def test_earlier_results_below_the_folder_are_no_recordings(record):
    record("in/a.npy", "in/out/a.fetal.npy", "in/out/x/a.fetal.npy", "in/outer/b.npy")
    planned = plan([Path("in")], Path("in/out"))
    assert [str(found.path) for found in planned] == ["in/a.npy", "in/outer/b.npy"]


def test_results_do_not_lie_among_the_recordings(record):
    record("in/a.npy")
    with pytest.raises(UsageError) as refusal:
        plan([Path("in")], Path("in/../in"))
    assert str(refusal.value) == ("in would hold recordings and results alike: give another folder for the results")
    assert plan([Path("in/a.npy")], Path("in")) == [Planned(Path("in/a.npy"), Path("in"))]  # a file's may


def test_folder_without_recordings_is_refused(record):
    Path("empty").mkdir()
    with pytest.raises(
        UsageError,
        match=r"^there are no recordings in empty: no file named \*\.wav, .*\*\.npy, \*\.hea, \*\.edf, \*\.bdf$",
    ):
        plan([Path("empty")], Path("out"))


def test_recordings_with_the_same_results_are_refused(record):
    record("one/a.npy", "two/a.npy", "two/x/a.npy")
    line = r"^one/a\.npy and two/a\.npy would both be separated into out; separate them into folders of their own$"
    with pytest.raises(UsageError, match=line):
        plan([Path("one"), Path("two")], Path("out"))


def test_recording_that_an_estimate_of_another_would_replace_is_refused(record):
    record("a.npy", "a.heart.npy")
    line = r"^an estimate of a\.npy would replace the recording a\.heart\.npy: leave that one out, or give another"
    with pytest.raises(UsageError, match=line):
        list(separate_all(plan([Path("a.npy"), Path("./a.heart.npy")], Path(".")), QUARTER, rate=64))
    np.testing.assert_array_equal(np.load("a.heart.npy"), WAVE)
    planned = plan([Path("a.npy"), Path("a.heart.npy")], Path("out"))
    assert len(list(separate_all(planned, QUARTER, rate=64))) == 2


def test_rate_is_for_the_files_of_a_folder_that_have_none_of_their_own(record):
    record("in/a.npy", "in/b.csv")
    soundfile.write("in/c.wav", WAVE, 100)
    np.savetxt("in/d.csv", np.stack([np.arange(400) / 50, WAVE], 1), delimiter=",")
    outcomes = list(separate_all(plan([Path("in")], Path("out")), QUARTER, rate=64))
    assert [(o.name, o.rate) for o in outcomes] == [
        ("in/a.npy", 64),
        ("in/b.csv", 64),
        ("in/c.wav", 100),
        ("in/d.csv", 50),
    ]
    [named] = separate_all(plan([Path("in/c.wav")], Path("out")), QUARTER, rate=64)
    assert named.reason == "in/c.wav says that its rate is 100 Hz; leave out the rate of 64 Hz"


def test_all_are_separated_and_the_unreadable_is_told(record):
    record("in/a.npy", "in/x/b.npy")
    Path("in/broken.csv").write_text("1,2\n3\n")
    Path("in/empty.wav").touch()
    told = []

    def begin(name):
        return lambda done, total: told.append((name, done, total))

    outcomes = list(separate_all(plan([Path("in")], Path("out")), QUARTER, rate=64, source="heart", progress=begin))
    assert [type(outcome) for outcome in outcomes] == [Separation, Refused, Refused, Separation]
    assert [outcome.document for outcome in outcomes[1:3]] == [
        {"input": "in/broken.csv", "error": "in/broken.csv has 1 columns in line 2, but 2 before"},
        {"input": "in/empty.wav", "error": "in/empty.wav is empty"},
    ]
    assert [outcomes[0].files, outcomes[3].files] == [[Path("out/a.heart.npy")], [Path("out/x/b.heart.npy")]]
    np.testing.assert_allclose(np.load("out/x/b.heart.npy"), WAVE / 4, atol=1e-6)
    assert told[-1] == ("in/x/b.npy", 400, 400)
    assert {name for name, _, _ in told} == {"in/a.npy", "in/x/b.npy"}


def test_reason_names_the_recording(record):
    record("in/a.npy")
    stereo = model("stereo", lambda m: m[:, None], channels=2)
    [outcome] = separate_all(plan([Path("in")], Path("out")), stereo, rate=64)
    assert outcome == Refused("in/a.npy", "in/a.npy: stereo takes 2 channels, and the recording has 1")
    assert not Path("out").exists()


def test_pictures_of_one_name_are_told_apart(record):
    record("in/a.npy", "in/a.csv", "in/b.csv", "in/x/a.npy")
    outcomes = list(separate_all(plan([Path("in")], Path("out")), QUARTER, rate=64, picture=True))
    pictures = [str(outcome.picture) for outcome in outcomes]
    assert pictures == ["out/a.csv.png", "out/a.npy.png", "out/b.png", "out/x/a.png"]
    assert all(Path(picture).is_file() for picture in pictures)


@pytest.mark.parametrize(
    ("settings", "line"), [({"source": "lung"}, "no source 'lung'"), ({"window": 0.1}, "window must be at least")]
)
def test_settings_that_fit_no_recording_are_refused_at_once(record, settings, line):
    record("in/a.npy")
    with pytest.raises(UsageError, match=line):
        next(separate_all(plan([Path("in")], Path("out")), QUARTER, rate=64, **settings))


def test_window_reaches_the_model(record):
    record("in/a.npy")
    lengths = set()

    def separate(mixture):
        lengths.add(mixture.shape[-1])
        return np.stack([mixture, mixture], axis=1)

    list(separate_all(plan([Path("in")], Path("out")), model("m", separate), rate=64, window=0.5))
    assert lengths == {32}


def test_file_that_may_not_be_read_is_told_and_a_full_disk_stops(record, monkeypatch):
    record("in/a.npy", "in/b.npy")
    from sepray.models import batch

    opened = batch.open_in_folder

    def refuse(path, rate):
        if path.name == "a.npy":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, rate)

    monkeypatch.setattr(batch, "open_in_folder", refuse)
    outcomes = list(separate_all(plan([Path("in")], Path("out")), QUARTER, rate=64))
    assert outcomes[0] == Refused("in/a.npy", "in/a.npy: Permission denied")
    assert isinstance(outcomes[1], Separation)
    for error in (OSError(28, "No space left on device"), OSError(28, "No space left on device", "out/b.heart.npy")):

        def full(*_, error=error):
            raise error

        monkeypatch.setattr(batch, "separate_into", full)
        with pytest.raises(OSError, match="No space left"):
            list(separate_all(plan([Path("in")], Path("out")), QUARTER, rate=64))
