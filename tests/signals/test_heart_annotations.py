import shutil
from pathlib import Path

import numpy as np
import pytest

from sepray.errors import UsageError
from sepray.signals import heart_annotations
from sepray.signals.heart_annotations import Annotation, annotation, is_annotation, read_rates, row_of, unused
from sepray.signals.recording_types import RecordingError

HEARTS = ("maternal", "fetal")
RECORD = Path("../shared/data/ecg/mitbih/100.hea")


def test_table_of_rates(tmp_path) -> None:
    assert read_rates(tmp_path) == {}
    (tmp_path / "rates.csv").write_text(
        "record, source, rate, leads\na.csv,maternal,81,1-3 5\na.csv,fetal,134,\nb,fetal,0,\n"
    )
    rows = read_rates(tmp_path)
    assert rows["a.csv"].rates == {"maternal": 81, "fetal": 134}
    assert rows["a.csv"].leads == (0, 1, 2, 4)
    known = annotation(tmp_path / "a.csv", "fetal", HEARTS, 250, rows["a.csv"])
    assert (known.rate, known.beats, known.origin, known.absent) == (134, None, "rates.csv", False)
    assert known.rate_in(0, 10) == 134
    assert annotation(tmp_path / "b.csv", "fetal", HEARTS, 250, rows["b"]).absent
    assert annotation(tmp_path / "b.csv", "maternal", HEARTS, 250, rows["b"]) is None


def test_rows_of_one_record_are_merged_and_rows_of_nothing_are_named(tmp_path) -> None:
    (tmp_path / "rates.csv").write_text(
        "record,source,rate,leads\nX,maternal,81,\nX.CSV,fetal,134,2\nX,maternal,81,\n./y.csv,fetal,0,\n"
        "nosuch,fetal,120,\nz,fetal,120,\nX,twin,130,\n"
    )
    rows = read_rates(tmp_path)
    both = row_of(rows, "X.CSV")
    assert (both.rates, both.leads) == ({"maternal": 81, "fetal": 134, "twin": 130}, (1,))
    assert row_of(rows, "y.csv").rates == {"fetal": 0}
    assert row_of(rows, "ward/z.csv") is None
    assert unused(rows, ["X.CSV", "y.csv", "ward/z.csv"], HEARTS) == (
        "rates.csv has a rate of twin in X, and hearts are maternal, fetal",
        "rates.csv has a rate of nosuch, and there is no such recording",
        "rates.csv has a rate of z, and there is no such recording; is it ward/z.csv?",
    )
    (tmp_path / "rates.csv").write_text("record,source,rate\nX,fetal,81\nX.CSV,fetal,134\n")
    with pytest.raises(RecordingError, match=r"rates\.csv, X: fetal has two rates, 134 and 81"):
        row_of(read_rates(tmp_path), "X.CSV")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("record,rate\na,80\n", r"rates.csv lacks the column source: its first line is record,source,rate"),
        ("record,source,rate\na,fetal,fast\n", r"rates.csv, line 2: a rate is beats a minute, or 0 .*, not 'fast'"),
        ("record,source,rate\na,fetal,\n", "line 2: a rate is beats a minute"),
        ("record,source,rate\na,fetal,5\n", "line 2: a rate is beats a minute"),
        ("record,source,rate\na,fetal,9.9\n", "line 2: a rate is beats a minute"),
        ("record,source,rate\na,fetal,10\na,maternal,401\n", "line 3: a rate is beats a minute"),
        ("record,source,rate\na,fetal,400\na,maternal,-80\n", "line 3: a rate is beats a minute, .*, not '-80'"),
        (
            "record,source,rate,leads\na,fetal,80,0-2\n",
            "line 2: leads are numbers from 1, such as 1-5 or 1 3, not '0-2'",
        ),
        ("record,source,rate,leads\na,fetal,80,3-1\n", "leads are numbers from 1"),
        ("record,source,rate\na,fetal,1_20\n", "line 2: a rate is beats a minute, .*, not '1_20'"),
        ("record,source,rate\na,fetal,80\na,fetal,90\n", "line 3: fetal has two rates, 80 and 90"),
    ],
)
def test_wrong_tables_are_refused_in_one_line(text, why, tmp_path) -> None:
    (tmp_path / "rates.csv").write_text(text)
    with pytest.raises(RecordingError, match=why) as refusal:
        read_rates(tmp_path)
    assert "\n" not in str(refusal.value)


def test_times_of_beats_beside_a_recording(tmp_path) -> None:
    (tmp_path / "a.fetal.csv").write_text("seconds\n10.2\n0.5\n0.9\n1.3\n1.8\n")
    known = annotation(tmp_path / "a.csv", "fetal", HEARTS, 250, None)
    assert known.beats.tolist() == [0.5, 0.9, 1.3, 1.8, 10.2]
    assert known.rate_in(0, 10) == pytest.approx(60 / 0.4)
    assert np.isnan(known.rate_in(10, 20))  # one beat has no rate
    assert np.isnan(known.rate_in(0, 1))  # nor have two
    assert known.beats_in(0.5, 1.3).tolist() == pytest.approx([0, 0.4])  # the end is not within
    assert known.beats_in(10, 20).tolist() == pytest.approx([0.2])
    assert not known.absent
    assert is_annotation(tmp_path / "a.fetal.csv", HEARTS)
    assert is_annotation(tmp_path / "rates.csv", HEARTS)
    assert not is_annotation(tmp_path / "a.csv", HEARTS)
    for text in ("", "seconds\n", "nan\n", "-1\n"):
        (tmp_path / "a.fetal.csv").write_text(text)
        with pytest.raises(RecordingError, match=r"a\.fetal\.csv has no times of beats"):
            annotation(tmp_path / "a.csv", "fetal", HEARTS, 250, None)
    for second in ("0,9", "-0,9", "00:00:01", "0.9,N", "1_5"):
        (tmp_path / "a.fetal.csv").write_text(f"1\n{second};\n2,\n")
        with pytest.raises(RecordingError, match=rf"fetal\.csv has '{second}' in line 2: it needs seconds such as"):
            annotation(tmp_path / "a.csv", "fetal", HEARTS, 250, None)


def test_beats_come_before_rates(tmp_path) -> None:
    (tmp_path / "a.fetal.csv").write_text("1\n2\n3\n")
    (tmp_path / "rates.csv").write_text("record,source,rate\na,fetal,134\n")
    assert annotation(tmp_path / "a.csv", "fetal", HEARTS, 250, read_rates(tmp_path)["a"]).rate_in(0, 10) == 60
    assert Annotation(0.0, None, "").absent


def test_annotations_of_wfdb(tmp_path) -> None:
    wfdb = pytest.importorskip("wfdb")
    samples = np.array([100, 200, 300, 450])
    symbols = ["N", "+", "V", "N"]  # the second is a change of rhythm, no beat
    for extension in ("atr", "qrs"):
        wfdb.wrann("r", extension, samples, symbol=symbols, fs=100, write_dir=str(tmp_path))
    for source in HEARTS:
        known = annotation(tmp_path / "r.hea", source, HEARTS, 100, None)
        assert known.beats.tolist() == [1.0, 3.0, 4.5]
    assert annotation(tmp_path / "r.hea", "fetal", HEARTS, 100, None).origin == "r.qrs"
    shutil.move(tmp_path / "r.qrs", tmp_path / "r.edf.qrs")
    assert annotation(tmp_path / "r.edf", "fetal", HEARTS, 100, None).beats.tolist() == [1.0, 3.0, 4.5]
    (tmp_path / "s.qrs").write_bytes(b"no annotation")
    with pytest.raises(RecordingError, match=r"s\.qrs is no annotation of WFDB"):
        annotation(tmp_path / "s.hea", "fetal", HEARTS, 100, None)


@pytest.mark.parametrize(
    ("leads", "why"),
    [
        ("\u00b2", r"leads are numbers from 1, such as 1-5 or 1 3, not '\u00b2'$"),
        ("9" * 5000, "leads are numbers from 1, such as 1-5 or 1 3, not '9{60}'$"),
        ("1-4096 1", "'1-4096 1' are more than 4096 leads$"),
        ("1-4096 " * 9000, "are more than 4096 leads$"),
    ],
)
def test_leads_of_any_text_are_refused_in_a_line(tmp_path, leads, why) -> None:
    (tmp_path / "rates.csv").write_text(f"record,source,rate,leads\nx,fetal,130,{leads}\n", encoding="utf-8")
    with pytest.raises(RecordingError, match=why):
        read_rates(tmp_path)


@pytest.mark.skipif(not RECORD.exists(), reason="needs ../shared/data/ecg/mitbih")
def test_beats_of_mit_bih_100() -> None:
    known = annotation(RECORD, "maternal", HEARTS, 360, None)
    assert len(known.beats) == 2273
    assert known.rate_in(0, 10) == pytest.approx(74, abs=2)


@pytest.mark.parametrize("name", ["a.fetal.csv", "a.fqrs", "rates.csv"])
def test_annotations_are_no_links_out_of_the_folder(tmp_path, name):
    (tmp_path / "data").mkdir()
    (tmp_path / "private").write_text("record,source,rate\na,fetal,120\n1.5\n")
    (tmp_path / "data" / name).symlink_to(tmp_path / "private")
    with pytest.raises(UsageError, match=rf"{name} is a link that leads out of"):
        annotation(tmp_path / "data" / "a.csv", "fetal", ["fetal"], 250, read_rates(tmp_path / "data").get("a"))


def test_few_letters_do_not_stand_for_more_than_a_table_has(tmp_path, monkeypatch) -> None:
    """A megabyte of rows has taken gigabytes by their leads, and hours by columns that have no meaning."""
    header = "record,source,rate,leads"
    (tmp_path / "rates.csv").write_text(f"{header}\na,fetal,80,1-4096\nb,fetal,80,1-4096\n")
    rows = read_rates(tmp_path)
    assert rows["a"].leads is rows["b"].leads
    assert len(rows["a"].leads) == 4096
    monkeypatch.setattr(heart_annotations, "_MOST_LEADS_IN_ALL", 5)
    (tmp_path / "rates.csv").write_text(f"{header}\na,fetal,80,1-3\nb,fetal,80,1-3\nc,fetal,80,2-3\n")
    assert len(read_rates(tmp_path)) == 3
    (tmp_path / "rates.csv").write_text(f"{header}\na,fetal,80,1-3\nb,fetal,80,1-3\nc,fetal,80,2-4\n")
    with pytest.raises(RecordingError, match=r"rates\.csv, line 4: there are more than 5 leads up to here$"):
        read_rates(tmp_path)
    (tmp_path / "rates.csv").write_text(f"{header}{',x' * 60}\na,fetal,80,1\n")
    assert read_rates(tmp_path)["a"].leads == (0,)
    (tmp_path / "rates.csv").write_text(f"{header}{',' * 61}\na,fetal,80,1\n")
    with pytest.raises(RecordingError, match=r"rates\.csv is no table of rates: it has 65 columns$"):
        read_rates(tmp_path)
    monkeypatch.setattr(heart_annotations, "_MOST_TABLE_BYTES", 9)
    with pytest.raises(RecordingError, match=r"rates\.csv is too large for a table of rates$"):
        read_rates(tmp_path)


def test_beats_before_the_recording_do_not_count(tmp_path) -> None:
    """An annotation file may begin with a step back in time."""
    (tmp_path / "a.atr").write_bytes(b"\0\xec\xff\xff\xd4\xfe" + b"\xc8\4" * 2 + b"\0\0")
    assert annotation(tmp_path / "a.csv", "maternal", HEARTS, 100, None).beats.tolist() == [1.0]


def test_beats_at_one_moment_give_no_rate() -> None:
    assert np.isnan(Annotation(np.nan, np.array([1.0, 1.0, 1.0]), "").rate_in(0, 2))  # and no division by zero
