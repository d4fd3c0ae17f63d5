"""BSS Eval is museval's: its frames, its medians, its silences, its file, and the scores of the original toolbox."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from sepray.contracts import Signal, Split
from sepray.errors import UsageError
from sepray.scoring import bss_eval, evaluation, tables
from sepray.signals.ideal_masks import ORACLES

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "bss_eval"
RATE = 1000
NAMES = {"sdr": "SDR", "isr": "ISR", "sir": "SIR", "sar": "SAR"}
needs_museval = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="museval imports only beside ffmpeg")
pytestmark = needs_museval


def _signals(seconds: float = 2.5, channels: int = 1, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two sources, and estimates with some of the other one and some noise in them."""
    random = np.random.default_rng(seed)
    references = random.standard_normal((2, channels, round(seconds * RATE)))
    return references, references + 0.3 * references[::-1] + 0.1 * random.standard_normal(references.shape)


@pytest.mark.parametrize("channels", [1, 2])
def test_frames_are_musevals(channels: int) -> None:
    import museval

    references, estimates = _signals(channels=channels)
    found = bss_eval.frames(references, estimates, RATE)
    expected = museval.evaluate(references.transpose(0, 2, 1), estimates.transpose(0, 2, 1), win=RATE, hop=RATE)
    for (name, values), theirs in zip(found.items(), expected, strict=True):
        assert values.shape == (2, 2)  # half a second is no frame
        np.testing.assert_allclose(values, theirs, atol=1e-6, rtol=0, err_msg=name)
    assert found["sir"].mean() == pytest.approx(20 * np.log10(1 / 0.3), abs=1.5)


def test_medians_over_frames_and_tracks_are_those_of_musevals_store(tmp_path: Path) -> None:
    import museval

    found = []
    for track in range(3):
        scores = bss_eval.frames(*_signals(3, seed=track), RATE)
        path = bss_eval.write(tmp_path / "test", f"track-{track}", ("low", "high"), scores)
        found.append(bss_eval.median(scores["sdr"]))
        frames = json.loads(path.read_text())["targets"][1]["frames"]
        assert [frame["time"] for frame in frames] == [0, 1, 2]
        assert frames[2]["metrics"]["SDR"] == pytest.approx(scores["sdr"][1, 2], abs=1e-5)  # museval keeps five digits
    store = museval.EvalStore()
    store.add_eval_dir(tmp_path)
    theirs = store.agg_frames_tracks_scores()
    for k, source in enumerate(("low", "high")):
        assert np.median(found, axis=0)[k] == pytest.approx(float(theirs[source]["SDR"]), abs=2e-5)


def test_silent_frames_have_no_scores_and_the_median_leaves_them_out() -> None:
    import museval

    references, estimates = _signals(3)
    references[1, :, RATE : 2 * RATE] = 0
    found = bss_eval.frames(references, estimates, RATE)
    expected = museval.evaluate(references.transpose(0, 2, 1), estimates.transpose(0, 2, 1), win=RATE, hop=RATE)
    np.testing.assert_allclose(found["sdr"], expected[0], atol=1e-6, rtol=0)
    assert np.isnan(found["sdr"]).tolist() == [[False, True, False]] * 2
    np.testing.assert_allclose(bss_eval.median(found["sdr"]), found["sdr"][:, [0, 2]].mean(1))


def test_an_item_with_a_silent_source_has_no_scores_where_museval_would_stop() -> None:
    references, estimates = _signals(3)
    references[0] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bss_eval.frames(references, estimates, RATE)
        assert all(np.isnan(values).all() and values.shape == (2, 3) for values in found.values())
        assert np.isnan(bss_eval.median(found["sdr"])).all()


def test_estimates_are_put_in_order_only_on_request() -> None:
    references, estimates = _signals(2)
    swapped = estimates[::-1]
    for sources_version in (False, True):
        straight = bss_eval.evaluate(references, estimates, RATE, RATE, sources_version)
        ordered = bss_eval.evaluate(references, swapped, RATE, RATE, sources_version, permute=True)
        for name, values in straight.items():
            np.testing.assert_allclose(ordered[name], values, atol=1e-6, err_msg=name)
        assert (bss_eval.evaluate(references, swapped, RATE, RATE, sources_version)["sir"] < 0).all()
        assert (straight["sir"] > 5).all()


def test_frames_are_of_the_window_every_hop_and_by_default_the_whole_item() -> None:
    references, estimates = _signals(3)
    found = bss_eval.evaluate(references, estimates, 1000, 500)
    assert {values.shape for values in found.values()} == {(2, 5)}
    whole = bss_eval.evaluate(references, estimates)
    assert {values.shape for values in whole.values()} == {(2, 1)}
    silent = references.copy()
    silent[0] = 0
    for window, hop, frames in ((1000, 500, 5), (np.inf, np.inf, 1), (3000, 3000, 1)):
        assert bss_eval.evaluate(silent, estimates, window, hop)["sdr"].shape == (2, frames)


def test_version_3_has_filters_of_each_frame_and_forgives_a_filter() -> None:
    """A gain of 3 is an error of twice the reference: -6 dB in version 4, and no distortion at all in version 3."""
    references, _ = _signals(2)
    estimates = references * np.repeat([1.0, 3.0], RATE)
    version_3 = bss_eval.frames(references, estimates, RATE, sources_version=True)
    version_4 = bss_eval.frames(references, estimates, RATE)
    assert (version_3["sdr"] > 60).all()
    np.testing.assert_allclose(version_4["sdr"][:, 1], -20 * np.log10(2), atol=1e-6)


def test_filters_have_512_taps() -> None:
    """A delay that the filters span is no interference and no artifact; a longer one is."""
    references, _ = _signals(6)
    for delay, spanned in ((505, True), (520, False)):
        delayed = np.concatenate((np.zeros((2, 1, delay)), references[:, :, :-delay]), axis=2)
        assert ((bss_eval.evaluate(references, delayed)["sar"] > 10) == spanned).all(), delay


def test_infinite_scores_count_as_none() -> None:
    assert bss_eval.median(np.array([[1.0, np.inf, 3.0], [np.inf, np.inf, np.inf]])).tolist()[0] == 2
    assert np.isnan(bss_eval.median(np.array([[np.inf]]))).all()


def test_a_split_is_scored_item_by_item() -> None:
    references, estimates = zip(*(_signals(2, seed=k) for k in range(3)), strict=True)
    sources = torch.from_numpy(np.stack(references)).float()
    made = torch.from_numpy(np.stack(estimates)).float()
    split = Split(sources.sum(1), sources)
    signal = Signal(("low", "high"), 1, (2 * RATE,), float(RATE))
    told: list[int] = []
    found = evaluation.bss_eval(lambda mixture, _: made, split, signal, on_item=lambda index, _: told.append(index))
    assert told == [0, 1, 2]
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(NAMES, (3, 2))
    alone = bss_eval.frames(sources[1].double().numpy(), made[1].double().numpy(), RATE)
    np.testing.assert_allclose(found["sar"][1], bss_eval.median(alone["sar"]), atol=1e-6)


def test_the_command_scores_a_model_and_its_references_and_writes_musevals_files(tmp_path: Path) -> None:
    from sepray.models.evaluation import _bss_eval

    sources = torch.from_numpy(np.stack([_signals(1, seed=k)[0] for k in range(2)])).float()
    sources[1, 0] = 0  # of which museval knows no score
    split, signal = Split(sources.sum(1), sources), Signal(("low", "high"), 1, (RATE,), float(RATE))
    noisy = 0.5 * split.mixture[:, None] + 0.3 * sources
    systems = _bss_eval("model", lambda mixture: noisy, split, signal, (62, 16), 64, tmp_path / "test")
    assert list(systems) == ["model", "unprocessed mixture", *(f"oracle: {name.replace('_', ' ')}" for name in ORACLES)]
    rows = {name: tables.row(name, scores, "sdr", signal.sources).values for name, scores in systems.items()}
    for name, values in rows.items():
        assert list(values) == ["low", "high", "mean"], name
        assert values["low"][0] == pytest.approx(float(systems[name]["sdr"][0, 0]))  # the silent item is left out
    assert rows["unprocessed mixture"]["low"][0] == pytest.approx(0, abs=1.5)
    assert rows["unprocessed mixture"]["low"][0] + 3 < rows["model"]["low"][0]
    files = sorted(path.name for path in (tmp_path / "test").iterdir())
    assert files == ["item-00000.json", "item-00001.json"]
    shown = json.loads((tmp_path / "test" / files[0]).read_text())
    assert [target["name"] for target in shown["targets"]] == ["low", "high"]
    assert shown["targets"][0]["frames"][0]["metrics"]["SDR"] == pytest.approx(rows["model"]["low"][0], abs=1e-5)


def test_what_it_is_not_defined_for_is_refused_in_one_line() -> None:
    for signal, message in (
        (Signal(("a", "b"), 1, (504,), 128.0), r"a frame of this task has 128 samples \(at 128 Hz\)"),
        (Signal(("a", "b"), 1, (28, 28), None), "the task has images: see psnr and ssim"),
    ):
        with pytest.raises(UsageError, match=message):
            bss_eval.check(signal)
    with pytest.raises(ValueError, match=r"one shape, not \[2, 1, 2500\] and \[2, 2500\]"):
        bss_eval.evaluate(_signals()[0], _signals()[1][:, 0])


def test_without_ffmpeg_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="no ffmpeg and no ffprobe; install ffmpeg"):
        bss_eval.frames(*_signals(), RATE)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/bss_eval is not there")
@pytest.mark.parametrize("number", ["01", "02", "03", "05", "06", "07", "08", "09"])
def test_version_3_gives_the_scores_of_the_original_toolbox(number: str) -> None:
    expected = json.loads((SHARED / f"output{number}.json").read_text())["Sources"]
    signals = [
        np.stack(
            [soundfile.read(path, always_2d=True)[0].mean(1) for path in sorted((SHARED / f"{kind}{number}").iterdir())]
        )
        for kind in ("ref", "est")
    ]
    references, estimates = (one[:, None] for one in signals)
    found = bss_eval.evaluate(references, estimates, sources_version=True, permute=True)
    for name, word in {"sdr": "Distortion", "sir": "Interference", "sar": "Artifact"}.items():
        np.testing.assert_allclose(found[name][:, 0], expected[f"Source to {word}"], atol=1e-6, rtol=0, err_msg=name)


def test_a_source_is_silent_where_its_channels_add_up_to_zero_at_every_sample() -> None:
    signals = np.ones((3, 2, 5))
    assert not bss_eval._silent(signals)
    signals[1] = [[1.0], [-1.0]]
    assert bss_eval._silent(signals)
    signals[1, 0, 4] = 2.0  # but for one sample
    assert not bss_eval._silent(signals)
    signals[:, :, 3] = 0.0  # all sources pause at once
    assert not bss_eval._silent(signals)
