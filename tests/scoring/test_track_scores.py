"""Whole recordings: separated without seams, measured in one piece, one value each."""

import json
import shutil

import numpy as np
import pytest
import torch

from sepray.contracts import Oracle, Separator, Signal, Split, Supervision, Tracks
from sepray.scoring import evaluation, metrics, tables, track_scores

RATE = 1000
SIGNAL = Signal(("low", "high"), 1, (400,), float(RATE))
needs_museval = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="museval imports only beside ffmpeg")


def tracks(*lengths: int, channels: int = 1) -> Tracks:
    generator = torch.Generator().manual_seed(0)
    sources = tuple(torch.randn(2, channels, length, generator=generator) for length in lengths)
    names = tuple(f"Track {k}" for k in range(len(lengths)))
    return Tracks(names, tuple(own.sum(0) for own in sources), sources, tuple((name,) for name in names))


def gains(mixture: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    return torch.stack((0.7 * mixture, 0.2 * mixture), 1)


def test_tracks_of_any_length_are_separated_as_in_one_piece():
    """Also one that is shorter than a window, and one of several blocks of samples."""
    for length in (1, 250, 400, 401, 1234, (1 << 18) + 777):
        whole = tracks(length, channels=2)
        found = track_scores.estimates_of(gains, whole.mixtures[0], whole.sources[0], 400)
        torch.testing.assert_close(found, gains(whole.mixtures[0][None], None)[0], rtol=0, atol=1e-6)


def test_an_oracle_sees_the_truth_of_its_own_stretch():
    whole = tracks(3000)
    found = track_scores.estimates_of(lambda mixture, sources: sources, whole.mixtures[0], whole.sources[0], 400)
    torch.testing.assert_close(found, whole.sources[0], rtol=0, atol=1e-6)


class Gains(Separator):
    supervision = Supervision.NONE
    learns = False

    def hyperparameters(self):
        return {}

    def separate(self, mixture):
        assert mixture.shape[-1] == 400  # windows as long as the items that it was trained on
        return gains(mixture, None)


class Truth(Oracle):
    def hyperparameters(self):
        return {}

    def separate_given(self, mixture, sources):
        return sources


def test_a_track_has_one_value_by_each_measure():
    whole = tracks(1500, 900)
    found = tables.score(Gains(SIGNAL), whole, signal=SIGNAL)
    for k in range(2):
        once = gains(whole.mixtures[k][None], None)
        expected = metrics.score(once, whole.sources[k][None], SIGNAL)
        for name in ("si_sdr", "relative_l1", "relative_l2", "relative_linf", "snr"):
            np.testing.assert_allclose(found[name][k], expected[name][0], rtol=1e-5, err_msg=name)
    perfect = tables.score(Truth(SIGNAL), whole, signal=SIGNAL)
    assert perfect["si_sdr"].min() > 59
    assert perfect["relative_l2"].max() < 1e-6
    bounds = tables.references(whole, 64, 16, SIGNAL)
    assert bounds["unprocessed mixture"]["snr"].shape == (2, 2)
    assert (bounds["oracle: ideal ratio mask"]["si_sdr"] > bounds["unprocessed mixture"]["si_sdr"] + 3).all()


def test_summed_magnitudes_are_measured_of_whole_tracks():
    whole = tracks(1500, 900)
    found = tables.score(Gains(SIGNAL), whole, signal=SIGNAL, measures=("magnitude_l2",))["magnitude_l2"]
    alone = [
        tables.score(lambda mixture: gains(mixture, None), one, signal=SIGNAL, measures=("magnitude_l2",))[
            "magnitude_l2"
        ]
        for one in track_scores.singly(whole)
    ]
    np.testing.assert_allclose(found, np.concatenate(alone), rtol=1e-4)
    bound = tables.references(whole, 64, 16, SIGNAL, ("magnitude_l2",))["oracle: ideal ratio mask"]["magnitude_l2"]
    assert bound.max() < 1e-4


def test_tracks_need_the_kind_of_their_signal():
    with pytest.raises(ValueError, match="by the kind of their signal"):
        evaluation.score_split(Gains(SIGNAL), tracks(900))


@needs_museval
def test_bss_eval_of_a_track_is_musevals_of_the_whole_track_and_its_median_over_seconds():
    import museval

    whole = tracks(3600, 2400)
    seen = {}
    found = evaluation.bss_eval(gains, whole, SIGNAL, on_item=lambda number, frames: seen.update({number: frames}))
    for k, length in enumerate((3600, 2400)):
        reference = whole.sources[k].permute(0, 2, 1).double().numpy()
        estimate = gains(whole.mixtures[k][None], None)[0].permute(0, 2, 1).double().numpy()
        theirs = museval.evaluate(reference, estimate, win=RATE, hop=RATE)
        for name, values in zip(("sdr", "isr", "sir", "sar"), theirs, strict=True):
            assert values.shape == (2, length // RATE)
            np.testing.assert_allclose(seen[k][name], values, atol=1e-4)
            np.testing.assert_allclose(found[name][k], np.nanmedian(values, axis=1), atol=1e-4)
    measured = tables.score(Gains(SIGNAL), whole, signal=SIGNAL, measures=("sdr",))
    np.testing.assert_allclose(measured["sir"], found["sir"])
    assert "sdr" not in tables.score(Gains(SIGNAL), whole, signal=SIGNAL)
    bounds = tables.references(whole, 64, 16, SIGNAL, ("sar",))
    assert bounds["unprocessed mixture"]["sdr"].shape == (2, 2)


@needs_museval
def test_a_perfect_estimate_of_a_track_has_no_distortion():
    frames = {}
    found = evaluation.bss_eval(
        lambda mixture, sources: sources, tracks(2500), SIGNAL, on_item=lambda k, own: frames.update(own)
    )
    assert np.isposinf(frames["sdr"]).all()
    assert np.isnan(found["sdr"]).all()  # as museval's own store: frames without any error have no score
    nearly = evaluation.bss_eval(lambda mixture, sources: sources + 1e-4 * sources.flip(1), tracks(2500), SIGNAL)
    np.testing.assert_allclose(nearly["sdr"], 80, atol=1)


@needs_museval
def test_crops_flatter_where_filters_fit_them():
    """Filters of 512 taps on crops of 700 samples explain much of what is an artefact on the track."""
    whole = tracks(7000)
    noise = torch.randn(whole.sources[0].shape, generator=torch.Generator().manual_seed(5))
    estimates = whole.sources[0] + 0.5 * noise
    of_track = evaluation.bss_eval(lambda *_: estimates[None, :, :, :7000], tracks(7000), with_window(7000))
    crops = Split(
        whole.mixtures[0].unfold(-1, 700, 700)[0][:, None],
        whole.sources[0].unfold(-1, 700, 700)[:, 0].movedim(1, 0)[:, :, None],
    )
    cut = estimates.unfold(-1, 700, 700)[:, 0].movedim(1, 0)[:, :, None]
    of_crops = evaluation.bss_eval(lambda *_: cut, crops, with_window(700))
    assert np.median(of_crops["sar"]) > of_track["sar"].mean() + 3


def with_window(samples: int) -> Signal:
    return Signal(("low", "high"), 1, (samples,), float(RATE))


@needs_museval
def test_musevals_file_is_of_a_real_track(tmp_path):
    from sepray.scoring import bss_eval

    whole = tracks(2500)
    evaluation.bss_eval(
        gains, whole, SIGNAL, on_item=lambda k, frames: bss_eval.write(tmp_path, whole.names[k], SIGNAL.sources, frames)
    )
    kept = json.loads((tmp_path / "Track 0.json").read_text())
    assert [len(target["frames"]) for target in kept["targets"]] == [2, 2]
