"""Every network has the layers, the initial weights and the outputs of ``golden_outputs.json``.

They change only where a network is meant to change: stored checkpoints and registered models hold its weights. To keep
new values: ``python -m tests.networks.test_golden_outputs --write``.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sepray.contracts import Signal
from sepray.networks import dcgan, masking, residual, unet, variational, waveform

GOLDEN = Path(__file__).with_name("golden_outputs.json")
Networks = dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]
NETWORKS: Networks = {
    "dcgan": (lambda: dcgan.DcganGenerator(5, 2, 16, 3), (2, 5)),
    "mask": (lambda: masking.MaskNetwork(2, 3, 3), (2, 2, 13, 10)),
    "mask that sees more": (lambda: masking.MaskNetwork(1, 4, 1, seen=3), (2, 3, 5, 6)),
    "mask by default": (lambda: masking.MaskNetwork(1), (1, 1, 32, 16)),
    "residual block": (lambda: residual.ResidualBlock(3, 3), (2, 3, 6, 5)),
    "residual block that doubles": (lambda: residual.ResidualBlock(3, 4, 2), (2, 3, 4, 3)),
    "residual block that halves": (lambda: residual.ResidualBlock(4, 4, -2), (2, 4, 6, 8)),
    "encoder": (lambda: residual.Encoder(2, 3, 3, 2), (2, 2, 8, 12)),
    "decoder": (lambda: residual.Decoder(2, 3, 3, 2), (2, 6, 2, 3)),
    "discriminator": (lambda: residual.Discriminator(2, 3, 3, 2), (3, 2, 8, 8)),
    "u-net": (lambda: unet.UNet(2, 3, 4, 2), (2, 2, 8, 12)),
    "variational encoder": (lambda: Both(variational.VariationalEncoder(2, (9, 6), 3, 2, 7, 4)), (3, 2, 9, 6)),
    "mask decoder": (lambda: variational.MaskDecoder(2, (9, 6), 3, 2, 7, 4), (3, 4)),
    "feature discriminator": (lambda: Both(variational.FeatureDiscriminator(2, (9, 6), 3, 4).judge), (3, 2, 9, 6)),
    "generator of waveforms": (lambda: waveform.Generator(2, 3, 2, 1), (2, 2, 30)),
    "generator with a shortcut": (lambda: waveform.Generator(1, 3, 1, 2, shortcut=True), (2, 1, 7)),
    "discriminator of waveforms": (lambda: waveform.WaveformDiscriminator(2, 3, 2), (2, 2, 70)),
}


class Both(nn.Module):
    """Joins the two results of a module or of its method."""

    def __init__(self, inner: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.inner = inner
        self.whole = getattr(inner, "__self__", inner)

    def forward(self, values: Tensor) -> Tensor:
        first, second = self.inner(values)
        return torch.cat([first.flatten(), second.flatten()])


def described(name: str) -> dict[str, object]:
    """The layers; of the initial weights and of an output their root mean square and a sum by place."""
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = make()
    layers = [str(layer) for layer in network.modules() if not list(layer.children())]
    places = torch.arange(torch.Size(shape).numel(), dtype=torch.float32)
    values = torch.cos(places.square() / 7).reshape(shape)
    with torch.no_grad():
        output = network(values)
        weights = torch.cat([p.flatten() for p in network.parameters()])
        for parameter in network.parameters():  # some of them begin as zero
            parameter.add_(0.05 * torch.cos(torch.arange(parameter.numel()).float()).reshape(parameter.shape))
        later = network(values)
    return {"layers": layers, "weights": summary(weights), "output": summary(output), "later": summary(later)}


def summary(values: Tensor) -> list[float]:
    flat = values.double().flatten()
    places = torch.cos(0.7 * torch.arange(len(flat), dtype=torch.float64).sqrt())
    return [len(flat), float(flat.square().mean().sqrt()), float((places * flat).mean())]


@pytest.mark.parametrize("name", NETWORKS)
def test_network_is_what_it_was(name):
    kept, found = json.loads(GOLDEN.read_text())[name], described(name)
    assert found["layers"] == kept["layers"]
    for what in ("weights", "output", "later"):
        assert found[what] == pytest.approx(kept[what], rel=1e-4, abs=1e-6), what


def test_spectra_of_a_signal_and_their_bands_are_what_they_were():
    signal = Signal(("a", "b"), 1, (300,), 1000.0)
    wave = torch.cos(torch.arange(300.0).square() / 900)[None, None]
    front = masking.Magnitudes(signal, 0.03, 0.01, bands=5, compression=0.4)
    assert (front.n_fft, front.hop, len(front.window)) == (32, 10, 30)
    kept = json.loads(GOLDEN.read_text())["magnitudes"]
    for values, expected in zip(spectra(front, wave), kept, strict=True):
        assert summary(values) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def spectra(front: masking.Magnitudes, wave: Tensor) -> list[Tensor]:
    image = front.encode(wave)
    masks = torch.stack((0.3 * image, 1 - 0.3 * image), dim=1).clamp(0, 1)
    return [image, front.hats, front.full_mask(masks), front.multiply(front.full_mask(masks), wave)]


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.networks.test_golden_outputs --write")
    torch.set_num_threads(1)
    front = masking.Magnitudes(Signal(("a", "b"), 1, (300,), 1000.0), 0.03, 0.01, bands=5, compression=0.4)
    wave = torch.cos(torch.arange(300.0).square() / 900)[None, None]
    golden = {name: described(name) for name in NETWORKS} | {"magnitudes": [summary(v) for v in spectra(front, wave)]}
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
