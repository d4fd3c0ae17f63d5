"""Networks over waveforms: their sizes, any length, any level; the relativistic adversary by hand; windows."""

import dataclasses
import math

import pytest
import torch

from sepray.contracts import Signal
from sepray.errors import UsageError
from sepray.networks.waveform import (
    Generator,
    Upsample,
    WaveformConfig,
    WaveformDiscriminator,
    WaveformSeparator,
    Windows,
    adversarial_loss,
    discriminator_loss,
    draw_starts,
    score,
)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_default_generator_has_about_the_5_9_million_weights_of_the_notebook():
    ends = 64 * 15 + 64 * 15 + 1
    down = (64 * 128 + 128 * 256) * 8
    blocks = 8 * 2 * 256 * 256 * 5
    up = (256 * 128 + 128 * 64) * 7
    norms = 2 * (64 + 128 + 256 + 8 * 2 * 256 + 128 + 64)
    found = count(WaveformConfig().generators(Signal(("a", "b"), 1, (16384,), 16000.0))[0])
    assert found == ends + down + blocks + up + norms
    assert found == pytest.approx(5.9e6, rel=0.01)


def test_default_generator_has_two_convolutions_of_stride_4_and_8_blocks():
    generator = Generator(1)
    strides = [m.stride[0] for m in generator.modules() if isinstance(m, torch.nn.Conv1d)]
    assert sorted(strides)[-3:] == [1, 4, 4]
    assert sum(type(m).__name__ == "WaveformResidualBlock" for m in generator.modules()) == 8
    assert sum(isinstance(m, Upsample) for m in generator.modules()) == 2


def test_upsampling_repeats_the_nearest_sample():
    features = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    expected = torch.nn.functional.interpolate(features, scale_factor=4, mode="nearest")
    assert torch.equal(Upsample()(features), expected)


@pytest.mark.parametrize("length", [1, 15, 16, 17, 100])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_length_even_of_a_batch_of_one(length, channels):
    signal = torch.randn(1, channels, length, generator=torch.Generator().manual_seed(0))
    generated = Generator(channels, 4, 1)(signal)
    assert generated.shape == signal.shape
    assert generated.isfinite().all()
    scores = WaveformDiscriminator(channels, 4, 2)(signal)
    assert scores.shape == (1, max(2, math.ceil(length / 16)))
    assert scores.isfinite().all()


def test_items_of_a_batch_do_not_depend_on_each_other():
    torch.manual_seed(0)
    generator, discriminator = Generator(1, 4, 1), WaveformDiscriminator(1, 4, 2)
    signal = torch.randn(3, 1, 64)
    for network in (generator, discriminator):
        torch.testing.assert_close(network(signal)[1:2], network(signal[1:2]), rtol=1e-4, atol=1e-5)


def test_a_louder_signal_is_generated_louder_and_silence_stays_silent():
    torch.manual_seed(0)
    generator, signal = Generator(1, 4, 1), torch.randn(2, 1, 64)
    gains = torch.tensor([1000.0, 0.01])[:, None, None]
    torch.testing.assert_close(generator(gains * signal), gains * generator(signal), rtol=1e-4, atol=1e-5)
    assert generator(torch.zeros(1, 1, 64)).abs().max() < 1e-6


def test_a_shortcut_adds_the_input_to_the_output():
    torch.manual_seed(0)
    plain, signal = Generator(1, 4, 1), torch.randn(2, 1, 50)
    shortcut = Generator(1, 4, 1, shortcut=True)
    shortcut.load_state_dict(plain.state_dict())
    torch.testing.assert_close(shortcut(signal), plain(signal) + signal)


def test_scores_of_several_batches_come_apart_in_their_order():
    signals = [torch.full((2, 1, 4), value) for value in (1.0, 2.0, 5.0)]
    scores = score(Gain(3.0), *signals)
    assert [part.unique().tolist() for part in scores] == [[3.0], [6.0], [15.0]]
    assert all(part.shape == (2, 1, 4) for part in scores)


# Scores whose means are 2, 1 and 5.
REAL, FAKE, MIXED = torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0], [6.0]])


def test_relativistic_average_least_squares():
    # Real: (1 - 1 - 1)^2 and (3 - 1 - 1)^2; fake: (0 - 2 + 1)^2 and (2 - 2 + 1)^2.
    assert discriminator_loss("relativistic", REAL, (FAKE, 1.0)).item() == pytest.approx(1 + 1)
    # Fake: (0 - 2 - 1)^2 and (2 - 2 - 1)^2; real: (1 - 1 + 1)^2 and (3 - 1 + 1)^2.
    assert adversarial_loss("relativistic", REAL, FAKE).item() == pytest.approx(5 + 5)
    # Means that are no turning points: (4 - 2 - 1)^2, (6 - 2 - 1)^2, (1 - 5 + 1)^2, (3 - 5 + 1)^2; (1 - 5 - 1)^2, ...
    assert adversarial_loss("relativistic", REAL, MIXED).item() == pytest.approx(5 + 5)
    assert discriminator_loss("relativistic", REAL, (MIXED, 1.0)).item() == pytest.approx(17 + 17)


def test_relativistic_discriminator_that_rejects_a_second_kind():
    # Mean fake score: (1 + 0.5 * 5) / 1.5 = 7/3. Real: (1 - 10/3)^2 = 49/9 and (3 - 10/3)^2 = 1/9.
    # Second kind: (4 - 2 + 1)^2 = 9 and (6 - 2 + 1)^2 = 25.
    loss = discriminator_loss("relativistic", REAL, (FAKE, 1.0), (MIXED, torch.tensor(0.5)))
    assert loss.item() == pytest.approx(25 / 9 + 1 + 0.5 * 17)
    without = discriminator_loss("relativistic", REAL, (FAKE, 1.0), (MIXED, torch.tensor(0.0)))
    assert without.item() == pytest.approx(2)


def test_cross_entropies_of_the_paper():
    """Scores log 3, log 1 and -log 3 are probabilities 3/4, 1/2 and 1/4."""
    three = torch.tensor([math.log(3)])
    loss = discriminator_loss("cross-entropy", three, (-three, 1.0), (0 * three, 0.3))
    assert loss.item() == pytest.approx(-math.log(3 / 4) - math.log(3 / 4) - 0.3 * math.log(1 / 2))
    assert adversarial_loss("cross-entropy", three, -three).item() == pytest.approx(-math.log(1 / 4))


def test_windows_are_cut_where_they_start():
    signal = torch.arange(24.0).reshape(2, 2, 1, 6)  # item, source, channel, time
    together = Windows(3, torch.tensor([0, 2])).cut(signal)
    assert together[:, :, 0].tolist() == [[[0, 1, 2], [6, 7, 8]], [[14, 15, 16], [20, 21, 22]]]
    apart = Windows(3, torch.tensor([[0, 1], [2, 3]])).cut(signal)
    assert apart[:, :, 0].tolist() == [[[0, 1, 2], [7, 8, 9]], [[14, 15, 16], [21, 22, 23]]]
    assert Windows(3, None).cut(signal) is signal


def test_windows_start_everywhere_and_end_within_the_item():
    starts = draw_starts(10, 7, (1000,), torch.Generator().manual_seed(0))
    assert sorted(set(starts.tolist())) == [0, 1, 2, 3]


class Gain(torch.nn.Module):
    """A generator that multiplies by a number."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        return self.gain * signal


@pytest.mark.parametrize(
    ("wanted", "gains", "shares"),
    [
        ((), [0.5, 0.2, 0.1], [0.5, 0.2, 0.1]),
        (("c", "a"), [0.5, 0.2], [0.2, 0.3, 0.5]),
        (("b",), [0.4], [0.3, 0.4, 0.3]),
    ],
)
def test_sources_that_are_not_wanted_share_what_is_left(wanted, gains, shares):
    separator = WaveformSeparator(Signal(("a", "b", "c"), 1, (8,), 8.0), WaveformConfig(wanted, 4, 1))
    assert len(separator.generators) == len(separator.discriminators) == len(gains)
    separator.generators = torch.nn.ModuleList(Gain(gain) for gain in gains)
    mixture = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(0))
    estimates = separator.separate(mixture)
    for k, share in enumerate(shares):
        torch.testing.assert_close(estimates[:, k], share * mixture)


def test_the_other_of_two_sources_is_mixture_minus_estimate():
    separator = WaveformSeparator(Signal(("a", "b"), 1, (64,), 8.0), WaveformConfig(("b",), 4, 1))
    mixture = torch.randn(2, 1, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(separator.separate(mixture).sum(1), mixture)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("width", 0, "width must be at least 1, not 0"),
        ("stages", 0, "stages must be at least 1, not 0"),
        ("window", 0, "window must be at least 1, not 0"),
        ("objective", "hinge", "objective must be one of relativistic, cross-entropy, not 'hinge'"),
        ("wanted", ("a", "b", "a"), "wanted must name each source once, not a, b, a"),
        ("betas", (0.5, 1.0), r"betas must be at least 0 and below 1, not \(0.5, 1.0\)"),
    ],
)
def test_bad_config_is_refused_in_one_line(field, value, message):
    with pytest.raises(UsageError, match=rf"^{message}$"):
        WaveformConfig(**{field: value})


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (Signal(("a", "c"), 1, (64,), 8.0), "^wanted b is not among the sources a, c$"),
        (Signal(("b",), 1, (64,), 8.0), "one-dimensional signals of at least 2 sources"),
        (Signal(("a", "b"), 1, (8, 8), None), r"one-dimensional .* sources, not images of shape \(8, 8\), 1 channel"),
    ],
)
def test_other_signals_are_refused(signal, message):
    with pytest.raises(UsageError, match=message):
        WaveformSeparator(signal, WaveformConfig(("b",), 4, 1))


def test_structure_by_default_is_the_notebooks():
    config = WaveformConfig()
    assert dataclasses.astuple(config) == ((), 64, 8, 2, False, 64, 3, "relativistic", 16384, 10, (0.5, 0.9))
    assert [m.out_channels for m in WaveformDiscriminator(1).layers if isinstance(m, torch.nn.Conv1d)] == [
        64,
        128,
        256,
        1,
    ]
    for field in ("blocks", "discriminator_width", "discriminator_stages", "batch_size"):
        WaveformConfig(**{field: 1})
        with pytest.raises(UsageError, match=rf"^{field} must be at least 1, not 0$"):
            WaveformConfig(**{field: 0})


def test_networks_have_the_sizes_of_the_configuration():
    config = WaveformConfig(("b",), 3, 1, 1, True, 5, 2)
    separator = WaveformSeparator(Signal(("a", "b"), 2, (64,), 8.0), config)
    (generator,), (discriminator,) = separator.generators, separator.discriminators
    assert separator.wanted == [(1, "b")]
    assert (generator.multiple, generator.shortcut) == (4, True)
    assert [m.out_channels for m in generator.modules() if isinstance(m, torch.nn.Conv1d)] == [3, 6, 6, 6, 3, 2]
    assert [m.out_channels for m in discriminator.modules() if isinstance(m, torch.nn.Conv1d)] == [5, 10, 1]
    assert discriminator.shortest == 17


class Starting(WaveformSeparator):
    """Draws one window for each item, and one for each source."""

    def starts(self, items: int) -> dict[str, tuple[int, ...]]:
        return {"together": (items,), "apart": (items, 2)}


def test_updates_draw_windows_where_items_are_longer():
    config = WaveformConfig((), 3, 1, 1, window=10)
    separator = Starting(Signal(("a", "b"), 1, (64,), 8.0), config)
    losses = [object(), object()]
    first, second = separator.adversarial_phases(("generators",), losses[0], ("discriminators",), losses[1])
    assert (first.name, first.parameters, first.learning_rate) == (
        "generators",
        ("generators",),
        "generator_learning_rate",
    )
    assert (second.name, second.parameters, second.learning_rate) == (
        "discriminators",
        ("discriminators",),
        "discriminator_learning_rate",
    )
    assert [first.loss, second.loss] == losses
    assert (first.active, second.active, second.draw) == (None, "adversarial_weight", None)
    generator = torch.Generator().manual_seed(0)
    assert first.draw({"mixture": torch.zeros(3, 1, 10)}, generator) == {}
    drawn = first.draw({"mixture": torch.zeros(3, 1, 11)}, generator)
    assert {name: value.shape for name, value in drawn.items()} == {"together": (3,), "apart": (3, 2)}
    assert set(drawn["apart"].flatten().tolist()) == {0, 1}
    with pytest.raises(TypeError, match=r"^WaveformSeparator must define starts\(\)$"):
        WaveformSeparator(Signal(("a", "b"), 1, (64,), 8.0), config).starts(3)


def test_estimates_have_no_gradient():
    separator = WaveformSeparator(Signal(("a", "b"), 1, (8,), 8.0), WaveformConfig((), 2, 1, 1))
    assert not separator.separate(torch.rand(1, 1, 8)).requires_grad


def test_windows_and_losses_stay_on_their_device():
    """The device ``meta`` has shapes and no values, and refuses tensors of other devices."""
    signal, start = torch.zeros(2, 3, 1, 9, device="meta"), torch.zeros(2, dtype=torch.long, device="meta")
    assert Windows(4, start).cut(signal).device.type == "meta"
    scores = torch.zeros(2, 5, device="meta")
    for kind in ("relativistic", "cross-entropy"):
        assert discriminator_loss(kind, scores, (scores, 1.0), (scores, 0.5)).device.type == "meta"
