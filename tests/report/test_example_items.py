"""Single items: which ones are shown, and their WAV files."""

import io

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from sepray.contracts import Signal
from sepray.report import example_items, figures


def test_sounds_are_the_signals_at_one_gain():
    signal = Signal(("voice", "to/1"), 2, (100,), 8000.0)
    generator = torch.Generator().manual_seed(1)
    sources, estimates = torch.rand(2, 2, 2, 100, generator=generator) - 0.5
    item = example_items.ExampleItem("best", 4, 0.1, 4 * sources.sum(0), sources, estimates, [0.1, 0.1])
    files = {file.name: wavfile.read(io.BytesIO(file.content)) for file in example_items.wav_files(item, signal)}
    assert list(files) == [
        "best/mixture.wav",
        "best/voice-truth.wav",
        "best/voice-estimate.wav",
        "best/to_1-truth.wav",
        "best/to_1-estimate.wav",
    ]
    gain = 32000 / float(item.mixture.abs().max())
    for name, wanted in (("best/mixture.wav", item.mixture), ("best/to_1-estimate.wav", estimates[1])):
        rate, samples = files[name]
        assert rate == 8000
        np.testing.assert_allclose(samples, gain * wanted.T.numpy(), atol=0.51)
    assert example_items.wav_files(item, Signal(signal.sources, 2, (100,), 128.0)) == []
    assert example_items.wav_files(item, Signal(signal.sources, 2, (10, 10), None)) == []


@pytest.mark.parametrize(
    ("scores", "direction", "expected"),
    [
        ([3, 1, 2, 5, 4], "minimize", {"best": 1, "median": 0, "worst": 3}),
        ([3, 1, 2, 5, 4], "maximize", {"best": 3, "median": 0, "worst": 1}),
        ([7, 8], "minimize", {"best": 0, "worst": 1}),
        ([7], "minimize", {"best": 0}),
    ],
)
def test_best_median_and_worst(scores, direction, expected):
    assert example_items.best_median_worst(np.array(scores, dtype=float), direction) == expected


# --- what is drawn


def item_of(signal: Signal, seed: int = 1) -> example_items.ExampleItem:
    generator = torch.Generator().manual_seed(seed)
    shape = (len(signal.sources), signal.channels, *signal.shape)
    sources, estimates = torch.rand(2, *shape, generator=generator) - 0.5
    return example_items.ExampleItem("worst", 4, 0.15, 2 * sources.sum(0), sources, estimates, [0.1, 0.2])


def test_waveforms_are_the_first_channel_with_the_estimate_above_the_truth(drawn):
    signal = Signal(("a", "b"), 2, (64,), 32.0)
    item = item_of(signal)
    made = example_items.figures_of(item, signal, "relative L2 error")
    text = "worst item, number 4: relative L2 error a 0.100, b 0.200"
    assert [(m.name, m.description, m.caption) for m in made] == [
        ("waveforms-worst.png", f"Waveforms of the {text}", f"The {text}"),
        ("spectrograms-worst.png", f"Spectrograms of the {text}", "Its spectrograms"),
    ]
    panels = drawn["waveforms-worst.png"].axes
    assert [p.get_title(loc="left") or p.get_title() for p in panels] == ["mixture", "a", "b"]
    (mixture,) = panels[0].lines
    np.testing.assert_allclose(mixture.get_xydata(), np.stack([np.arange(64) / 32, item.mixture[0].numpy()], 1))
    for k in range(2):
        truth, estimate = panels[k + 1].lines
        np.testing.assert_allclose(truth.get_ydata(), item.sources[k, 0].numpy())
        np.testing.assert_allclose(estimate.get_ydata(), item.estimates[k, 0].numpy())
        assert (truth.get_label(), estimate.get_label()) == ("truth", "estimate")
    assert panels[2].get_xlabel() == "time (s)"
    assert {p.get_ylabel() for p in panels} == {"amplitude"}
    assert panels[0].get_xlim() == (0, 63 / 32)
    assert drawn["waveforms-worst.png"].get_size_inches()[1] == pytest.approx(0.6 + 3 * 1.35)


def test_long_waveform_is_a_band_from_the_lowest_to_the_highest_of_short_stretches():
    _, axes = figures.new_figure()
    values = np.zeros(6001)
    values[1], values[5], values[6000] = 3.0, -2.0, 1.5
    example_items._line(axes, np.arange(6001) / 10, values, color="red", label="truth", linewidth=1.0)
    assert not axes.lines
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    # Stretches of four samples (6001 over 2000, rounded up): the first two hold 3 and -2, the last one is 1.5 alone.
    assert corners[:, 1].max() == 3
    assert corners[:, 1].min() == -2
    assert sorted({round(float(x), 6) for x in corners[:, 0]})[:3] == [0.0, 0.4, 0.8]
    last = corners[corners[:, 0] == 600.0]
    assert last[:, 1].tolist() == pytest.approx([1.5] * len(last))
    assert band.get_label() == "truth"
    example_items._line(axes, np.arange(6000) / 10, values[:6000], color="red")
    assert len(axes.lines) == 1


def test_spectrograms_are_in_decibels_below_the_highest_of_the_mixture(drawn):
    signal = Signal(("a", "b"), 1, (4096,), 8000.0)
    time = torch.arange(4096) / 8000
    tone = torch.sin(2 * torch.pi * 1000 * time)
    sources = torch.stack([tone, 0.1 * tone])[:, None]
    item = example_items.ExampleItem("best", 0, 0.1, tone[None], sources, 0.01 * sources, [0.1, 0.1])
    example_items.figures_of(item, signal, "SI-SDR")
    panels = drawn["spectrograms-best.png"].axes
    assert [p.get_title(loc="left") or p.get_title() for p in panels[:6]] == [
        *("mixture", "", "a: truth", "a: estimate", "b: truth", "b: estimate"),
    ]
    assert [panel.axison for panel in panels[:6]] == [True, False, True, True, True, True]
    assert not any(line.get_visible() for panel in panels[:6] if panel.images for line in panel.get_xgridlines())
    shown = {p.get_title(loc="left") or p.get_title(): p.images[0] for p in panels[:6] if p.images}
    tops = {name: float(image.get_array().max()) for name, image in shown.items()}
    expected = {"mixture": 0, "a: truth": 0, "a: estimate": -40, "b: truth": -20, "b: estimate": -60}
    assert tops == {name: pytest.approx(level, abs=1e-3) for name, level in expected.items()}
    for image in shown.values():
        assert image.get_extent() == [0, 0.512, 0, 4000]
        assert image.get_clim() == (-60, 0)
        assert image.origin == "lower"
    bins = shown["mixture"].get_array()
    assert bins.shape[0] == 257  # an eighth of the item: 512 samples
    assert bins[:, bins.shape[1] // 2].argmax() == 64  # 1000 Hz of bins of 15.625 Hz
    assert bins.shape[1] == pytest.approx(4096 / 32, abs=2)  # a hop of a sixteenth
    assert (panels[0].get_ylabel(), panels[4].get_xlabel()) == ("frequency (Hz)", "time (s)")


def test_signals_without_a_rate_are_drawn_by_samples(drawn):
    signal = Signal(("a", "b"), 1, (64,), None)
    example_items.figures_of(item_of(signal), signal, "SI-SDR")
    panels = drawn["spectrograms-worst.png"].axes
    assert panels[0].images[0].get_extent() == [0, 64, 0, 0.5]
    assert (panels[0].get_ylabel(), panels[4].get_xlabel()) == ("frequency\n(cycles/sample)", "time (samples)")
    assert drawn["waveforms-worst.png"].axes[-1].get_xlabel() == "time (samples)"
    assert drawn["waveforms-worst.png"].axes[0].lines[0].get_xdata()[-1] == 63


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_shown_as_bright_as_the_brightest_of_mixture_and_truth(drawn, channels):
    signal = Signal(("a", "b"), channels, (4, 5), None)
    sources = torch.zeros(2, channels, 4, 5)
    sources[0, 0, 1, 2], sources[1, -1, 3, 4] = 0.5, 2.0
    item = example_items.ExampleItem("worst", 4, 0.1, sources.sum(0), sources, 3 * sources, [0.1, 0.2])
    (made,) = example_items.figures_of(item, signal, "PSNR")
    assert (made.name, made.description) == (
        "images-worst.png",
        "Images of the worst item, number 4: PSNR a 0.100, b 0.200",
    )
    panels = drawn["images-worst.png"].axes
    assert [p.get_title(loc="left") or p.get_title() for p in panels] == [
        *("mixture", "a: truth", "b: truth", "", "a: estimate", "b: estimate"),
    ]
    shown = [p.images[0].get_array() if p.images else None for p in panels]
    assert shown[3] is None
    assert shown[0].shape == ((4, 5, 3) if channels == 3 else (4, 5))
    first = (1, 2, 0) if channels == 3 else (1, 2)
    assert [float(shown[k][first]) for k in (0, 1, 4)] == [0.25, 0.25, 0.75]
    assert float(shown[5].max()) == 1  # 6 of at most 2
    assert panels[0].images[0].get_clim() == (0, 1)


def test_silent_sounds_and_black_images_are_shown_as_they_are(drawn):
    signal = Signal(("a", "b"), 1, (64,), 4000.0)
    silent = torch.zeros(2, 1, 64)
    item = example_items.ExampleItem("worst", 0, 0.1, silent[0], silent, silent, [0.1, 0.2])
    files = example_items.wav_files(item, signal)
    assert [wavfile.read(io.BytesIO(file.content))[1].tolist() for file in files] == [[0] * 64] * 5
    assert [file.description for file in files] == ["mixture", "a, truth", "a, estimate", "b, truth", "b, estimate"]
    assert example_items.wav_files(item, Signal(("a", "b"), 1, (64,), 3999.0)) == []
    image = Signal(("a", "b"), 1, (8, 8), None)
    black = torch.zeros(2, 1, 8, 8)
    example_items.figures_of(
        example_items.ExampleItem("worst", 0, 0.1, black[0], black, black, [0.1, 0.2]), image, "PSNR"
    )
    assert float(drawn["images-worst.png"].axes[0].images[0].get_array().max()) == 0


def test_sources_that_lie_over_each_other_are_as_bright_as_in_their_mixture(drawn):
    signal = Signal(("a", "b"), 1, (4, 5), None)
    sources = torch.zeros(2, 1, 4, 5)
    sources[:, 0, 1, 2] = 0.5
    item = example_items.ExampleItem("worst", 4, 0.1, 2 * sources.sum(0), sources, sources, [0.1, 0.2])
    example_items.figures_of(item, signal, "PSNR")
    bright = [panel.images[0].get_array()[1, 2] for panel in drawn["images-worst.png"].axes if panel.images]
    assert bright == pytest.approx([1, 0.25, 0.25, 0.25, 0.25])
