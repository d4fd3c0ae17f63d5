"""Beats in WFDB's annotation files: of any content, within the bounds of the file."""

import numpy as np
import pytest

from sepray.signals import wfdb_annotations
from sepray.signals.recording_types import RecordingError
from sepray.signals.wfdb_annotations import read_beats

_END = b"\xc8\4" * 2 + b"\0\0"  # two beats, 200 samples apart
_DEFINITIONS = "## annotation type definitions"


def _text(words):
    return bytes((len(words), 252)) + words.encode() + b"\0" * (len(words) % 2)


def _note(words):
    return b"\0\x58" + _text(words)


@pytest.mark.parametrize(
    ("content", "times"),
    [
        (b"\0\x58\x17\xfc## time resolution: 400\0" + _END, [0.5, 1.0]),
        (b"\0\x58\x17\xfc## time re\xffolution: 250\0" + _END, [2.0, 4.0]),  # wfdb goes on for ever with it
        (_END, [2.0, 4.0]),  # the rate is the header's, in frames
        (b"\0\xec\1\0\x90\1" + _END, [2.0 + (65536 + 400) / 100, 4.0 + (65536 + 400) / 100]),
        (b"\0\xec\xff\xff\xfe\xff" + _END, [1.98, 3.98]),  # two samples back
        (_END + b"\xc8\4" * 5, [2.0, 4.0]),
        (b"\0\xec\xff\xff\xd4\xfe" + _END, [-1.0, 1.0]),  # the first is before the recording
        (b"\0\xec\xff\xff\x38\xff" + _END, [0.0, 2.0]),
        (b"\x64\0" + _END, [3.0, 5.0]),  # an annotation of no kind, after a second
        (b"\x05\xf0\x05\xf4\x05\xf8" + _END, [2.0, 4.0]),  # what says more of an annotation takes no time
        (_note("## time resolution: 400") + _note("## time resolution: 50") + _END, [0.5, 1.0]),
        (b"\x64\x58" + _text("## time resolution: 400") + _END, [3.0, 5.0]),  # said later than at the start
        (_note(_DEFINITIONS) + _note("42 N beat") + b"\x64\xa8" + _END, [1.0, 3.0, 5.0]),
        (_note(_DEFINITIONS) + _note("1 x noise") + _END, []),
        (_note(_DEFINITIONS) + _note("## end of definitions") + _note("1 x noise") + _END, [2.0, 4.0]),
        (_note("1 x noise") + _END, [2.0, 4.0]),
        (b"\0\x58\x17\xfc## time resolution: 000\0" + _END, [2.0, 4.0]),
        (b"\0\x58\x17\xfc## time resolution: 9e9\0" + _END, [22.222222, 44.444444]),
        (b"\xc8\4\xc8", None),
        (b"\0\xec\1\0", None),
        (b"\xc8\4\xff\xfcV1", None),
    ],
)
def test_annotations_of_any_content_are_read_within_their_file(tmp_path, content, times) -> None:
    (tmp_path / "a.atr").write_bytes(content)
    (tmp_path / "a.hea").write_text("a 1 100/7 1000\na.dat 16x5 200\n")
    if times is None:
        with pytest.raises(RecordingError, match=r"a\.atr is no annotation of WFDB: it is damaged or cut short"):
            read_beats(tmp_path / "a.atr", 500)
        return
    beats = read_beats(tmp_path / "a.atr", 500)
    np.testing.assert_allclose(beats, times, rtol=1e-6)


def test_annotations_of_no_possible_rate_or_size_are_refused(tmp_path, monkeypatch) -> None:
    content = _note("## time resolution: 99999999999") + _END
    (tmp_path / "a.atr").write_bytes(content)
    with pytest.raises(RecordingError, match=r"a\.atr is no annotation of WFDB: it says that its rate is 1e\+11 Hz$"):
        read_beats(tmp_path / "a.atr", 500)
    (tmp_path / "a.atr").write_bytes(_END)
    monkeypatch.setattr(wfdb_annotations, "_MOST_BYTES", len(_END))
    assert read_beats(tmp_path / "a.atr", 500).tolist() == [0.4, 0.8]
    monkeypatch.setattr(wfdb_annotations, "_MOST_BYTES", len(_END) - 1)
    with pytest.raises(RecordingError, match=r"a\.atr is too large"):
        read_beats(tmp_path / "a.atr", 500)


def test_rate_of_the_call_counts_where_neither_file_says_one(tmp_path) -> None:
    (tmp_path / "a.atr").write_bytes(_END)
    assert read_beats(tmp_path / "a.atr", 400).tolist() == [0.5, 1.0]


@pytest.mark.parametrize(("code", "is_beat"), [(1, True), (13, True), (14, False), (25, True), (38, True), (39, False)])
def test_some_codes_are_beats(tmp_path, code, is_beat) -> None:
    (tmp_path / "a.atr").write_bytes(bytes((200, code << 2)) + b"\0\0")
    assert read_beats(tmp_path / "a.atr", 100).tolist() == [2.0] * is_beat
