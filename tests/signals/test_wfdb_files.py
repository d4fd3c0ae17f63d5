"""Reading WFDB records, good and bad."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from sepray.errors import UsageError
from sepray.signals import wfdb_files
from sepray.signals.recordings import open_recording, recordings_below

from .copies import copy, read

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "ecg" / "mitbih"


def _record(folder: Path, name: str, samples: np.ndarray, rate: int = 250) -> Path:
    wfdb = pytest.importorskip("wfdb")
    names = [f"lead{k}" for k in range(samples.shape[1])]
    units = ["mV"] * samples.shape[1]
    wfdb.wrsamp(name, rate, units, names, p_signal=samples, fmt=["16"] * len(names), write_dir=str(folder))
    return folder / f"{name}.hea"


def _signal(seconds: float = 4.0) -> np.ndarray:
    time = np.arange(round(250 * seconds)) / 250
    return np.stack([np.sin(2 * np.pi * 1.5 * time), 3 * np.cos(2 * np.pi * 2 * time)], axis=1)


def test_a_channel_is_read_in_its_unit(tmp_path: Path) -> None:
    header = _record(tmp_path, "r1", _signal())
    samples, rate = wfdb_files.read_channel(header, lambda names: names.index("lead1"))
    assert rate == 250
    np.testing.assert_allclose(samples, _signal()[:, 1], atol=2e-4)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda h: h.write_text("not a header\n"), "r1.hea is no sound WFDB header: "),
        (lambda h: h.write_bytes(b""), "r1.hea is no sound WFDB header: "),
        (
            lambda h: h.with_suffix(".dat").write_bytes(h.with_suffix(".dat").read_bytes()[:700]),
            "r1.hea is damaged or cut",
        ),
        (lambda h: h.with_suffix(".dat").unlink(), "r1.hea names r1.dat, and there is no such file beside it"),
        (lambda h: h.unlink(), "r1.hea is no sound WFDB header: "),
    ],
)
def test_damaged_records_are_named_in_one_line(tmp_path: Path, damage: object, message: str) -> None:
    header = _record(tmp_path, "r1", _signal())
    damage(header)  # type: ignore[operator]
    with pytest.raises(UsageError, match=str(tmp_path / message)) as refusal:
        wfdb_files.read_channel(header, lambda _: 0)
    assert "\n" not in str(refusal.value)


def test_samples_that_are_no_numbers_silence_and_channels_that_are_not_there(tmp_path: Path) -> None:
    signal = _signal()
    signal[500, 0], signal[:, 1] = np.nan, 0
    header = _record(tmp_path, "r1", signal)
    with pytest.raises(UsageError, match=r"r1\.hea has a sample that is not a number, in lead0 at 2 s"):
        wfdb_files.read_channel(header, lambda _: 0)
    with pytest.raises(UsageError, match=r"r1\.hea is silent: lead1"):
        wfdb_files.read_channel(header, lambda _: 1)
    for channel in (None, 2):
        with pytest.raises(UsageError, match=r"r1\.hea does not have the channel that is wanted; it has lead0, lead1"):
            wfdb_files.read_channel(header, lambda _, wanted=channel: wanted)


def test_without_wfdb_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wfdb", None)
    with pytest.raises(UsageError, match=r"needs the library wfdb: pip install 'sepray\[wfdb\]'"):
        wfdb_files.read_channel(tmp_path / "r1.hea", lambda _: 0)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/ecg is not there")
def test_mit_bih_record_is_read() -> None:
    pytest.importorskip("wfdb")
    samples, rate = wfdb_files.read_channel(SHARED / "100.hea", lambda names: names.index("MLII"))
    assert (len(samples), rate) == (650_000, 360)
    assert samples[:3].tolist() == [-0.145] * 3  # mV, as PhysioNet shows it


def test_reason_of_an_error_is_one_short_line() -> None:
    assert wfdb_files._one_line(ValueError("a\n  b" + "c" * 300)) == "a b" + "c" * 197
    assert wfdb_files._one_line(KeyError()) == "KeyError"


TIME = np.arange(1000) / 500
FAST, SLOW = np.sin(2 * np.pi * 40 * TIME), np.sin(2 * np.pi * 3 * TIME)


def two_rates(folder: Path) -> Path:
    """A record of 125 frames a second, with a signal of 500 Hz and one of 125 Hz."""
    wfdb = pytest.importorskip("wfdb")
    wfdb.wrsamp(
        "two",
        125,
        ["mV", "NU"],
        ["II", "PLETH"],
        e_p_signal=[FAST, SLOW[::4]],
        fmt=["16", "16"],
        samps_per_frame=[4, 1],
        write_dir=str(folder),
    )
    return folder / "two.hea"


def test_signals_of_several_rates_keep_theirs(tmp_path: Path) -> None:
    header = two_rates(tmp_path)
    samples, rate = wfdb_files.read_channel(header, lambda names: names.index("II"))
    assert rate == 500
    np.testing.assert_allclose(samples, FAST, atol=1e-4)  # averaged over four samples it would be half as high
    samples, rate = wfdb_files.read_channel(header, lambda names: names.index("PLETH"))
    assert rate == 125
    np.testing.assert_allclose(samples, SLOW[::4], atol=1e-4)


def test_a_record_of_several_rates_is_a_recording_of_the_highest(tmp_path: Path) -> None:
    recording = open_recording(two_rates(tmp_path))
    assert (recording.rate, recording.channels, recording.frames, recording.unit) == (500, 2, 1000, "as in the input")
    fast, slow = read(recording)
    np.testing.assert_allclose(fast, FAST, atol=1e-4)
    np.testing.assert_allclose(slow[50:-50], SLOW[50:-50], atol=2e-3)


def test_a_record_is_written_as_a_table_with_names_units_and_time(tmp_path: Path) -> None:
    recording = open_recording(_record(tmp_path, "r1", _signal()))
    copy(recording, tmp_path / "r1.heart.csv", factor=0.5)
    table = open_recording(tmp_path / "r1.heart.csv")
    assert table.path.read_text().splitlines()[0] == "time (s),lead0 (mV),lead1 (mV)"
    assert (table.rate, table.channels, table.frames) == (250, 2, 1000)
    np.testing.assert_allclose(read(table), _signal().T / 2, atol=2e-4)
    with pytest.raises(UsageError, match=r"r1\.hea says that its rate is 250 Hz; leave out the rate of 360 Hz"):
        open_recording(tmp_path / "r1.hea", rate=360)


def segments(folder: Path) -> Path:
    """A record of two segments, ``r1`` and ``r2``."""
    _record(folder, "r1", _signal())
    _record(folder, "r2", 2 * _signal(2))
    (folder / "whole.hea").write_text("whole/2 2 250 1500\nr1 1000\nr2 500\n")
    return folder / "whole.hea"


def test_segments_are_read_as_one_signal(tmp_path: Path) -> None:
    header = segments(tmp_path)
    samples, rate = wfdb_files.read_channel(header, lambda names: names.index("lead1"))
    assert rate == 250
    np.testing.assert_allclose(samples, np.concatenate([_signal(), 2 * _signal(2)])[:, 1], atol=4e-4)
    assert open_recording(header).frames == 1500
    layout = "\n".join(f"~ 0 200(0)/mV 16 0 0 0 0 lead{k}" for k in range(2))
    (tmp_path / "layout.hea").write_text(f"layout 2 250 0\n{layout}\n")
    header.write_text("whole/3 2 250 1750\nr1 1000\n~ 250\nr2 500\n")  # the same without a layout
    with pytest.raises(UsageError, match=r"whole\.hea has a gap .*: give them one by one, r1\.hea, r2\.hea$"):
        open_recording(header)
    header.write_text("whole/4 2 250 1750\nlayout 0\nr1 1000\n~ 250\nr2 500\n")  # an interruption of a second
    with pytest.raises(UsageError, match=r"whole\.hea has no samples of lead0 from 4 to 5 s: give the parts"):
        open_recording(header)


def test_a_lead_that_segments_lack_is_named(tmp_path: Path) -> None:
    _record(tmp_path, "r1", _signal())
    _record(tmp_path, "r2", _signal()[:, :1])
    absent = [f"~ 0 200/mV 16 0 0 0 0 {name}\n" for name in ("lead0", "lead1", "V5")]
    (tmp_path / "all_layout.hea").write_text(f"all_layout 3 250 0\n{''.join(absent)}")
    (tmp_path / "all.hea").write_text("all/3 3 250 2000\nall_layout 0\nr1 1000\nr2 1000\n")
    with pytest.raises(
        UsageError, match=r"all\.hea has no sample of V5, which it names: give its segments one by one$"
    ):
        open_recording(tmp_path / "all.hea")
    (tmp_path / "two_layout.hea").write_text(f"two_layout 2 250 0\n{''.join(absent[:2])}")
    (tmp_path / "two.hea").write_text("two/3 2 250 2000\ntwo_layout 0\nr1 1000\nr2 1000\n")
    with pytest.raises(
        UsageError, match=r"two\.hea has no samples of lead1 from 4 to 8 s: give the parts that have it one.*"
    ):
        open_recording(tmp_path / "two.hea")


def test_names_in_capital_letters_are_found(tmp_path: Path) -> None:
    header = _record(tmp_path, "r1", _signal())
    header.rename(tmp_path / "R1.HEA")
    (tmp_path / "r1.dat").rename(tmp_path / "R1.DAT")
    samples, _ = wfdb_files.read_channel(tmp_path / "R1.HEA", lambda _: 1)
    np.testing.assert_allclose(samples, _signal()[:, 1], atol=2e-4)
    assert open_recording(tmp_path / "R1.HEA").channels == 2


@pytest.mark.parametrize("name", ["l.sig", "L.SIG", "segment.hea"])
def test_files_that_a_header_names_are_no_links_out_of_its_folder(tmp_path: Path, monkeypatch, name: str) -> None:
    """A folder of somebody else's could so have a private file of its reader's decoded, under any name."""
    (tmp_path / "private").mkdir()
    (tmp_path / "lk").mkdir()
    record = _record(tmp_path / "private", "thesis", _signal())
    if name == "segment.hea":
        (tmp_path / "lk" / "l.hea").write_text("l/1 2 250 1000\nsegment 1000\n")
        (tmp_path / "lk" / "segment.hea").write_text(record.read_text().replace("thesis", "segment"))
        (tmp_path / "lk" / "segment.dat").symlink_to(record.with_suffix(".dat"))
    else:
        (tmp_path / "lk" / "l.hea").write_text(record.read_text().replace("thesis.dat", "l.sig").replace("thesis", "l"))
        (tmp_path / "lk" / name).symlink_to(record.with_suffix(".dat"))
    with pytest.raises(UsageError, match=r"is a link that leads out of .*lk; copy what it leads to"):
        wfdb_files.read_signals(tmp_path / "lk" / "l.hea")
    with pytest.raises(UsageError, match=r"is a link that leads out of"):
        open_recording(tmp_path / "lk" / "l.hea")
    monkeypatch.setenv("SEPRAY_FOLLOW_LINKS", "1")
    assert len(wfdb_files.read_signals(tmp_path / "lk" / "l.hea").samples) == 2


_LINKED = b" 16 200 16 0 0 0 0 I\n"


@pytest.mark.parametrize(
    ("headers", "link", "why"),
    [
        ({"r": b"r 1 250 2000\n-" + _LINKED}, "-", "is a link that leads out of"),
        ({"r": b"r 1 250 2000\n~-" + _LINKED}, "~-", "is a link that leads out of"),
        ({"r": b"r 1 250 2000\n~" + _LINKED}, "~", "is a link that leads out of"),
        ({"r": b"r 1 250 2000\nl\xffm.sig" + _LINKED}, "lm.sig", "is a link that leads out of"),
        ({"r": b"r 1 250 2000\n\xff#\n\x1cl.sig" + _LINKED}, "l.sig", "is a link that leads out of"),
        ({"r": b"r/ 1 250 2000\nl.sig" + _LINKED}, "l.sig", "is a link that leads out of"),
        ({"r": b"r 1 250 2000\n" + b"a" * 210 + _LINKED}, "a" * 210, "r.hea is no sound WFDB header: it names 'aaa"),
        ({"r": b"r/1 1 250 9\na\xff 9\n", "a": b"a 1 250 9\nl.sig" + _LINKED}, "l.sig", "is a link that leads out of"),
        (
            {"r": b"r/1 1 250 9\na 9\n", "a": b"a/1 1 250 9\nb 9\n", "b": b"b 1 250 9\nl.sig" + _LINKED},
            "l.sig",
            "is a link that leads out of",
        ),
    ],
)
def test_names_are_read_as_the_library_reads_them(tmp_path: Path, headers: dict[str, bytes], link: str, why: str):
    """The library wfdb opens the names that it reads: sepray would not check a name that it reads otherwise."""
    pytest.importorskip("wfdb")
    folder = tmp_path / "lk"
    folder.mkdir()
    (tmp_path / "private").write_bytes(bytes(range(200)) * 20)
    for name, content in headers.items():
        (folder / f"{name}.hea").write_bytes(content)
    (folder / "l.sig.hea").touch()
    (folder / "l\xffm.sig").write_bytes(bytes(4000))
    (folder / link).symlink_to(tmp_path / "private")
    with pytest.raises(UsageError) as refused:
        wfdb_files.read_signals(folder / "r.hea")
    assert why in str(refused.value)


@pytest.mark.parametrize("name", ["rec::y/r.hea", "rec::y.hea"])
def test_a_path_that_the_library_takes_for_an_address_is_refused(tmp_path: Path, name: str) -> None:
    """For ``rec::y/r.hea``, wfdb would open ``rec``, which may be a link out of the folder."""
    pytest.importorskip("wfdb")
    header = tmp_path / name
    header.parent.mkdir(exist_ok=True)
    header.write_bytes(b"r 1 250 100\nl.sig" + _LINKED)
    with pytest.raises(UsageError, match=r"has :: in its path, which wfdb takes for an address: rename"):
        wfdb_files.read_signals(header)


def test_a_folder_has_a_record_once_and_nothing_that_nobody_put_there(tmp_path: Path) -> None:
    segments(tmp_path)
    for name in ("b.CSV", "._b.csv", "__MACOSX/b.csv", ".hidden/b.csv", "sub/c.dat"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1\n2\n")
    found = [path.relative_to(tmp_path).as_posix() for path in recordings_below(tmp_path)]
    assert found == ["b.CSV", "sub/c.dat", "whole.hea"]
    with pytest.raises(UsageError, match=r"r1\.dat is a part of the WFDB record r1\.hea: give that file"):
        open_recording(tmp_path / "r1.dat", rate=250)


def test_pipe_with_the_name_of_a_header_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.hea")
    assert wfdb_files.files_of(tmp_path / "a.hea") == set()


def test_header_of_any_length_is_not_read(tmp_path: Path) -> None:
    """Sixteen megabytes of comments took 10 s."""
    header = _record(tmp_path, "r1", _signal())
    with header.open("ab") as file:
        file.write(b"#\n" * 1000)
    assert wfdb_files.read_signals(header).names == ("lead0", "lead1")
    with header.open("ab") as file:
        file.truncate(2 << 20)
    with pytest.raises(UsageError, match=r"r1\.hea is too large for a header of WFDB: 2097152 bytes$"):
        wfdb_files.read_signals(header)


def test_signals_of_a_header_are_counted_before_wfdb_goes_through_them(tmp_path: Path, monkeypatch) -> None:
    """Half a megabyte of a header of 20,000 signals took 24 s."""
    header = _record(tmp_path, "r1", _signal())
    segments = tmp_path / "s.hea"
    segments.write_text("s/1 2 250 1000\nr1 1000\n")
    monkeypatch.setattr(wfdb_files, "_MOST_SIGNALS", 2)
    assert [len(wfdb_files.read_signals(place).names) for place in (header, segments)] == [2, 2]
    monkeypatch.setattr(wfdb_files, "_MOST_SIGNALS", 1)
    for place in (header, segments):
        with pytest.raises(UsageError, match=r"r1\.hea has 2 signals, and a record has at most 1$"):
            wfdb_files.read_signals(place)
