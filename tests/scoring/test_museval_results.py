"""Results in museval's files are read by track and source; what cannot be used is said in one line."""

import json
import shutil

import numpy as np
import pytest

from sepray.errors import UsageError
from sepray.scoring import bss_eval, museval_results


def results(folder, track, **targets):
    """Write a file as museval's TrackStore does; ``targets`` has the SDR of each frame."""
    content = {
        "targets": [
            {
                "name": name,
                "frames": [
                    {"time": k, "duration": 1.0, "metrics": {"SDR": v, "SIR": v + 5, "SAR": v + 2, "ISR": v + 3}}
                    for k, v in enumerate(values)
                ],
            }
            for name, values in targets.items()
        ]
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{track}.json").write_text(json.dumps(content))


def test_a_track_has_the_median_over_its_frames_with_a_score(tmp_path):
    nan = float("nan")
    results(tmp_path / "OZE" / "test", "A - B", vocals=[1.0, 3.0, 9.0, nan], drums=[nan, nan], other=[0.0])
    results(tmp_path / "OZE" / "test", "C", vocals=[4.0, float("inf"), 6.0])
    results(tmp_path / "OZE" / "train", "D", vocals=[1.0])
    found = museval_results.read("OZE", tmp_path / "OZE", ("drums", "vocals"))
    assert {*found.tracks} == {"A - B", "C"}
    scores = found.of(("C", "A - B"))
    np.testing.assert_array_equal(scores["sdr"], [[np.nan, 5], [np.nan, 3]])
    np.testing.assert_array_equal(scores["sir"][:, 1], [10, 8])
    np.testing.assert_array_equal(scores["sar"][:, 1], [7, 5])
    np.testing.assert_array_equal(scores["isr"][:, 1], [8, 6])


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="museval imports only beside ffmpeg")
def test_what_sepray_writes_can_be_read(tmp_path):
    frames = {
        name: np.array([[1.0, 2.0, 6.0], [np.nan, 7.0, np.inf]]) + k
        for k, name in enumerate(("sdr", "isr", "sir", "sar"))
    }
    bss_eval.write(tmp_path / "ours" / "test", "Track 1", ("low", "high"), frames)
    found = museval_results.read("ours", tmp_path / "ours", ("low", "high"))
    for name, values in frames.items():
        np.testing.assert_allclose(found.of(("Track 1",))[name][0], bss_eval.median(values))


def test_what_is_no_result_is_said_in_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"^there is no file test/TRACK.json in .*nowhere"):
        museval_results.files(tmp_path / "nowhere")
    results(tmp_path / "KAM", "x", vocals=[1.0])  # without a folder test
    assert museval_results.read("KAM", tmp_path / "KAM", ("vocals",)).of(("x",))["sdr"].tolist() == [[1.0]]
    with pytest.raises(UsageError, match="has results of vocals, and the task has bass, drums"):
        museval_results.read("KAM", tmp_path / "KAM", ("bass", "drums"))
    for text in ("[]", "{", '{"targets": [{"name": "vocals", "frames": [{}]}]}', '{"targets": 3}'):
        (tmp_path / "KAM" / "x.json").write_text(text)
        with pytest.raises(UsageError, match=r"x\.json has no results of museval: "):
            museval_results.read("KAM", tmp_path / "KAM", ("vocals",))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10**5,
        "[]",
        '{"targets": [{"name": "vocals", "frames": [{"metrics": []}]}]}',
        '{"targets": [{"name": "vocals", "frames": [{"metrics": {"SDR": 1' + "0" * 400 + "}}]}]}",
        '{"targets": [{"name": ["vocals"], "frames": []}]}',
    ],
)
def test_files_of_any_content_are_refused_in_one_line(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UsageError, match=r"x\.json has no results of museval: ") as refusal:
        museval_results.read("A", tmp_path, ("vocals",))
    assert "\n" not in str(refusal.value)
