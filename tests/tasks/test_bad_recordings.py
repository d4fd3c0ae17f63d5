"""Recordings that cannot be used: one line that names the file, or left out and listed."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sepray.data import parallel
from sepray.errors import UsageError
from sepray.tasks import bach10, piano_mix, speech_noise, stems

from .sounds import RATE, heard, tone, write

SIZES = {"train": 20, "validation": 5, "test": 5, "item_samples": 1024, "sample_rate": RATE}


def _bach10(folder: Path, suffix: str) -> tuple[Any, Path]:
    for number in range(6):
        for k, stem in enumerate(("bassoon", "saxphone", "violin", "clarinet")):
            write(folder / f"{number}" / f"{number}-{stem}.wav", tone(300 + 500 * k + 20 * number))
    return bach10.Config(str(folder), **SIZES), folder / "0" / "0-bassoon.wav"


def _stems(folder: Path, suffix: str) -> tuple[Any, Path]:
    for number in range(6):
        for k, stem in enumerate(("bass", "vocals")):
            write(folder / f"{number}" / f"{stem}.wav", tone(300 + 500 * k + 20 * number))
    (folder / "0" / "bass.wav").rename(folder / "0" / f"bass{suffix}")
    return stems.Config(str(folder), ("bass", "vocals"), **SIZES), folder / "0" / f"bass{suffix}"


def _pairs(config: Any, folder: Path, suffix: str) -> tuple[Any, Path]:
    for number in range(6):
        for k, source in enumerate(("first", "second")):
            write(folder / source / f"{number}.wav", tone(300 + 500 * k + 20 * number))
    (folder / "second" / "0.wav").rename(folder / "second" / f"0{suffix}")
    return config(str(folder / "first"), str(folder / "second"), **SIZES), folder / "second" / f"0{suffix}"


TASKS: dict[str, Callable[[Path, str], tuple[Any, Path]]] = {
    "bach10": _bach10,
    "stems": _stems,
    "speech_noise": lambda folder, suffix: _pairs(speech_noise.Config, folder, suffix),
    "piano_mix": lambda folder, suffix: _pairs(piano_mix.Config, folder, suffix),
}


def _lying_flac(path: Path) -> None:
    soundfile.write(path, tone(300), RATE, format="FLAC")
    content = bytearray(path.read_bytes())
    content[21] |= 0xF  # the 36 bits of STREAMINFO that say how many samples there are
    content[22:26] = b"\xff\xff\xff\xff"
    path.write_bytes(content)


def _with_nan(path: Path) -> None:
    signal = tone(300)
    signal[400] = np.nan
    soundfile.write(path, signal, RATE, subtype="FLOAT")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:5000]), "{} is truncated: "),
    "empty": (lambda p: p.write_bytes(b""), "{} is empty"),
    "no samples": (lambda p: soundfile.write(p, np.zeros(0), RATE), "{} is empty: it has no samples"),
    "silent": (lambda p: soundfile.write(p, np.zeros(4000), RATE), "{} is silent: all of its samples are 0"),
    "NaN": (_with_nan, "{} has a sample that is not a finite number, at 0.05 s"),
    "text": (lambda p: p.write_bytes(b"no sound \xff" * 100), "{} is neither a sound file that can be read"),
    "short": (lambda p: soundfile.write(p, tone(300, 0.1), RATE), "{} is shorter than an item: 0.1 s, not 0.128 s"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", TASKS)
def test_bad_recording_is_named_or_left_out(
    name: str, damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, bad = TASKS[name](tmp_path / "in", ".wav")
    harm, message = DAMAGES[damage]
    harm(bad)
    if damage == "short" and name in ("bach10", "stems"):
        message = f"{bad.parent} has stems of unequal length: "
    expected = message.format(bad)
    with pytest.raises(UsageError) as refusal:
        config.load(tmp_path / "cache")
    said = str(refusal.value)
    assert said.startswith(expected)
    assert said.endswith("; --task.skip-bad leaves out what cannot be used")
    assert "\n" not in said
    for _ in range(2):  # made, and read back
        data = replace(config, skip_bad=True).load(tmp_path / "cache")
        (listed,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("left out: "))
        assert listed.removeprefix("left out: ").startswith(expected)
    k = 0 if name in ("bach10", "stems") else 1
    used = {f for split in (data.train, data.validation, data.test) for f in heard(split.sources[:, k])}
    assert used == {300 + 500 * k + 20 * number for number in range(1, 6)}  # all but number 0


@pytest.mark.parametrize("name", ["stems", "speech_noise", "piano_mix"])
def test_flac_that_promises_2_to_the_36_samples(name: str, tmp_path: Path) -> None:
    config, bad = TASKS[name](tmp_path / "in", ".flac")
    _lying_flac(bad)
    with pytest.raises(UsageError) as refusal:
        config.load(tmp_path / "cache")
    assert str(refusal.value).startswith(f"{bad} is ")
    assert "\n" not in str(refusal.value)
    assert len(replace(config, skip_bad=True).load(tmp_path / "cache").train) == 20


def test_wrong_channel_count(tmp_path: Path) -> None:
    config, _ = _stems(tmp_path / "in", ".wav")
    with pytest.raises(UsageError, match=r"bass\.wav has 1 channel, not 2 \(and 11 more\)"):
        replace(config, channels=2).load(tmp_path / "cache")


@pytest.mark.parametrize("name", ["bach10", "stems"])
def test_stems_of_unequal_length(name: str, tmp_path: Path) -> None:
    config, bad = TASKS[name](tmp_path / "in", ".wav")
    soundfile.write(bad, tone(300, 0.4), RATE)
    with pytest.raises(UsageError) as refusal:
        config.load(tmp_path / "cache")
    assert f"{bad.parent} has stems of unequal length: {bad.name} 0.4 s, " in str(refusal.value)


@pytest.mark.parametrize("name", TASKS)
def test_copy_of_a_recording_is_refused(name: str, tmp_path: Path) -> None:
    config, bad = TASKS[name](tmp_path / "in", ".wav")
    if name in ("bach10", "stems"):
        for file in sorted(bad.parent.iterdir()):
            other = tmp_path / "in" / "1" / file.name.replace("0-", "1-")
            other.write_bytes(file.read_bytes())
    else:
        (bad.parent / "1.wav").write_bytes(bad.read_bytes())
    with pytest.raises(UsageError, match=r"1(\.wav)? is a copy of .*0(\.wav)?;"):
        config.load(tmp_path / "cache")


def test_missing_stem_of_bach10(tmp_path: Path) -> None:
    config, bad = _bach10(tmp_path / "in", ".wav")
    bad.unlink()
    with pytest.raises(UsageError, match=rf"there is no file {bad};"):
        config.load(tmp_path / "cache")
    assert len(replace(config, skip_bad=True).load(tmp_path / "cache").test) == 5


FIELDS = {
    "bach10": ("folder",),
    "stems": ("folder",),
    "speech_noise": ("speech", "noise"),
    "piano_mix": ("piano", "others"),
}


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in FIELDS.items() for field in fields])
def test_folder_that_is_missing_or_has_nothing_usable(name: str, field: str, tmp_path: Path) -> None:
    config, _ = TASKS[name](tmp_path / "in", ".wav")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "notes.txt").write_text("no sound")
    for value, message in (
        ("", f"--task.{field} is missing: the task needs "),
        (str(tmp_path / "nowhere"), f"there is no folder {tmp_path}/nowhere (--task.{field}): the task needs "),
        (str(tmp_path / "nothing"), f"{tmp_path}/nothing"),
    ):
        with pytest.raises(UsageError) as refusal:
            replace(config, **{field: value}).load(tmp_path / "cache")
        assert message in str(refusal.value)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", TASKS)
def test_same_data_by_any_number_of_threads_and_from_any_place(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = TASKS[name](tmp_path / "in", ".wav")
    config = replace(config, sample_rate=6000)
    several = config.load(tmp_path / "cache").fingerprint
    monkeypatch.setattr(parallel.processor, "cpus", lambda: 1)
    (tmp_path / "in").rename(tmp_path / "moved")
    places = {field: getattr(config, field).replace("/in", "/moved") for field in FIELDS[name]}
    assert replace(config, **places).load(tmp_path / "another").fingerprint == several


@pytest.mark.slow
def test_processes_at_once_make_the_same(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from sepray.tasks.stems import DEBUG;"
        "print(DEBUG.load(Path(sys.argv[1])).fingerprint)"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "shared")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    runs = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    fingerprints = [run.communicate(timeout=50)[0].strip() for run in runs]
    assert fingerprints == [stems.DEBUG.load(tmp_path / "alone").fingerprint] * 2
    assert not [path for path in (tmp_path / "shared").iterdir() if path.suffix == ".partial"]
