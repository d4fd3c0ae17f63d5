"""Folders of recordings: what is found in them, and what is refused."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sepray.data.mixing import recording_folders
from sepray.errors import UsageError


def test_synthesised_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "a").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recording_folders.synthesised_folder(tmp_path, "x", fail)
    assert list(tmp_path.iterdir()) == []
    made = recording_folders.synthesised_folder(tmp_path, "x", lambda folder: (folder / "a").touch())
    assert [path.name for path in made.iterdir()] == ["a"]
    assert recording_folders.synthesised_folder(tmp_path, "x", lambda folder: pytest.fail("made again")) == made


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_recordings_are_found_at_any_depth_in_order(tmp_path: Path) -> None:
    folder = touch(tmp_path, "b.WAV", "a/deep/c.flac", "a/.hidden.wav", "notes.txt", "a.mp3")
    found = [path.relative_to(folder).as_posix() for path in recording_folders.sound_files(folder)]
    assert found == ["a/deep/c.flac", "a.mp3", "b.WAV"]


def tracks(folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Name of each track -> its split and its stems."""
    found = recording_folders.tracks_in(folder)
    return {Path(one.name).relative_to(folder).as_posix(): (one.split, list(one.stems)) for one in found}


def test_folder_of_tracks_has_no_splits(tmp_path: Path) -> None:
    folder = touch(tmp_path, "one/vocals.wav", "one/drums.WAV", "one/.bass.wav", "two/other.flac", ".no/other.wav")
    touch(folder, "empty/readme.txt", "loose.wav", "train.wav")
    assert tracks(folder) == {"one": ("", ["drums", "vocals"]), "two": ("", ["other"])}


def test_subsets_are_splits_and_a_track_may_be_called_like_one(tmp_path: Path) -> None:
    folder = touch(tmp_path, "Train/a/x.wav", "valid/b/x.wav", "test/c/x.wav", "test/d.stem.mp4", "other/e/x.wav")
    stems = ["mixture", "drums", "bass", "other", "vocals"]
    assert tracks(folder) == {
        "Train/a": ("train", ["x"]),
        "valid/b": ("validation", ["x"]),
        "test/c": ("test", ["x"]),
        "test/d.stem.mp4": ("test", stems),
    }
    assert [one.packed for one in recording_folders.tracks_in(folder)] == [False, False, True, False]
    plain = touch(tmp_path / "plain", "test/x.wav", "train/x.wav")
    assert tracks(plain) == {"test": ("", ["x"]), "train": ("", ["x"])}


def test_training_tracks_are_free_where_no_validation_tracks_are_known(tmp_path: Path) -> None:
    folder = touch(tmp_path, "train/a/x.wav", "test/c/x.wav")
    assert tracks(folder) == {"train/a": ("", ["x"]), "test/c": ("test", ["x"])}


def test_mixtures_and_sources_of_a_track_belong_together(tmp_path: Path) -> None:
    names = ("Sources/Dev/a/bass.wav", "Mixtures/Dev/a/mixture.wav", "Sources/Test/b/bass.wav", "Sources/Test/c/n.txt")
    folder = touch(tmp_path, *names, "Mixtures/Test/b/mixture.wav")
    assert tracks(folder) == {
        "Sources/Dev/a": ("", ["mixture", "bass"]),
        "Sources/Test/b": ("test", ["mixture", "bass"]),
    }
    (found,) = [one for one in recording_folders.tracks_in(folder) if one.split == "test"]
    assert found.stems["mixture"] == folder / "Mixtures/Test/b/mixture.wav"
    assert found.stems["bass"] == folder / "Sources/Test/b/bass.wav"


@pytest.mark.parametrize("missing", [False, True])
def test_musdbs_validation_tracks_are_it_where_all_of_them_are_there(tmp_path: Path, missing: bool) -> None:
    known = sorted(recording_folders._MUSDB_VALIDATION)[missing:]
    assert len(known) == 14 - missing
    for name in known:
        touch(tmp_path, f"train/{name}.stem.mp4")
    touch(tmp_path, "train/another.stem.mp4", f"test/{known[0]} again/x.wav")
    splits = {name: split for name, (split, _) in tracks(tmp_path).items()}
    assert splits.pop("train/another.stem.mp4") == ("" if missing else "train")
    assert splits.pop(f"test/{known[0]} again") == "test"
    assert set(splits.values()) == ({""} if missing else {"validation"})


@pytest.mark.parametrize(
    ("problems", "skip_bad", "usable", "line"),
    [
        ([], False, 2, ""),
        ([], False, 1, "calls in x: 1 usable, at least 2 are needed"),
        (["a is torn"], False, 9, "a is torn; --task.skip-bad leaves out what cannot be used"),
        (["a is torn", "b"], False, 9, "a is torn (and 1 more); --task.skip-bad leaves out what cannot be used"),
        (["a is torn", "b", "c"], False, 9, "a is torn (and 2 more); --task.skip-bad leaves out what cannot be used"),
        (["a is torn"], True, 2, ""),
        (["a is torn", "b"], True, 1, "calls in x: 1 usable, at least 2 are needed, 2 left out: a is torn ..."),
    ],
)
def test_unusable_recordings_are_refused_or_left_out(
    problems: list[str], skip_bad: bool, usable: int, line: str
) -> None:
    try:
        recording_folders.refuse_unusable(problems, skip_bad, usable, 2, "calls in x")
        refusal = ""
    except UsageError as error:
        refusal = str(error)
    assert refusal == line


def test_what_was_left_out_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    recording_folders.report_left_out({"left_out": ["a is torn", "b is empty"]})
    assert capsys.readouterr() == ("", "left out: a is torn\nleft out: b is empty\n")


def test_given_folder_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path, "calls/a.wav")
    assert recording_folders.given_folder("~/calls", "--task.calls", "WAV files") == tmp_path / "calls"
    for folder, line in (
        ("", "--task.calls is missing: the task needs WAV files"),
        ("~/calls/a.wav", f"there is no folder {tmp_path}/calls/a.wav (--task.calls): the task needs WAV files"),
    ):
        with pytest.raises(UsageError) as refusal:
            recording_folders.given_folder(folder, "--task.calls", "WAV files")
        assert str(refusal.value) == line


def test_two_processes_may_make_a_folder_at_once(tmp_path: Path) -> None:
    cache = tmp_path / "new" / "cache"

    def make(folder: Path) -> None:
        touch(folder, "mine")
        touch(cache / "synthesised-x", "theirs")  # the other one was faster

    made = recording_folders.synthesised_folder(cache, "x", make)
    assert [path.name for path in made.iterdir()] == ["theirs"]
    assert [path.name for path in cache.iterdir()] == ["synthesised-x"]


def test_files_are_decoded_at_the_tasks_rate_and_once(tmp_path: Path) -> None:
    decoded = []

    def decode(file: Path, rate: int, channels: int):  # type: ignore[no-untyped-def]
        decoded.append((file.name, rate, channels))
        if file.name == "torn.wav":
            raise UsageError("torn.wav is torn")
        return {"samples": (channels, 3)}, lambda out: out["samples"].__setitem__(..., rate)

    folder = touch(tmp_path / "folder", "a.wav", "torn.wav")
    (folder / "torn.wav").write_bytes(b"other")
    files = sorted(folder.iterdir())
    for version, times in ((1, 1), (1, 1), (2, 2)):
        decoder = recording_folders.RecordingDecoder(version, decode)
        kept, refused = recording_folders.decoded_files(tmp_path / "cache", files, decoder, 8000, 2)
        assert refused == {folder / "torn.wav": "torn.wav is torn"}
        assert kept[folder / "a.wav"].tensor("samples").tolist() == [[8000.0] * 3] * 2
        assert decoded.count(("a.wav", 8000, 2)) == times


@pytest.mark.parametrize("finds", [recording_folders.sound_files, recording_folders.tracks_in])
def test_links_out_of_the_folder_and_pipes_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finds: Callable[[Path], list[object]]
) -> None:
    monkeypatch.delenv("SEPRAY_FOLLOW_LINKS", raising=False)
    folder = touch(tmp_path / "data", "a/x.wav", "b/x.wav")
    os.mkfifo(folder / "b" / "pipe.wav")  # opening it would wait for ever
    assert "pipe" not in str(finds(folder))
    other = touch(tmp_path / "elsewhere", "c.wav")
    (folder / "b" / "y.wav").symlink_to(other / "c.wav")
    with pytest.raises(UsageError, match=r"b/y\.wav is a link that leads out of .*data; "):
        finds(folder)
