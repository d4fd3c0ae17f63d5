"""Named configurations' changes to their modules' defaults, which are a part of a stored study's identity."""

import dataclasses

import pytest

from sepray import registry

PACKAGE = "sepray.separators"
# The published CASS has networks of the same sizes.
LOGARITHMIC_SMALL = {
    "n_fft": 256,
    "hop": 64,
    "width": 8,
    "stages": 3,
    "discriminator_width": 8,
    "discriminator_stages": 3,
    "dense": 128,
    "code": 32,
    "batch_size": 16,
}
LOGARITHMIC_DEBUG = {
    "n_fft": 16,
    "hop": 12,
    "width": 4,
    "stages": 2,
    "discriminator_width": 4,
    "discriminator_stages": 2,
    "dense": 16,
    "code": 4,
}
NAMED = {
    "adversarial_masking:paper": {"width": 64, "discriminator_width": 64, "batch_size": 64},
    "adversarial_masking:debug": {
        "bands": 8,
        "width": 4,
        "layers": 2,
        "discriminator_width": 4,
        "discriminator_layers": 2,
    },
    "bin_mask:debug": {"n_fft": 16, "hop": 8},
    "cass:small": {"n_fft": 256, "hop": 128, "batch_size": 16},
    "cass:quick": {"width": 8, "depth": 2, "discriminator_width": 4, "discriminator_stages": 1, "batch_size": 25},
    "cass:ecg": {
        "n_fft": 16,
        "hop": 8,
        "width": 12,
        "stages": 2,
        "discriminator_width": 4,
        "critic_losses": "weighted",
    },
    "cass:debug": {
        "n_fft": 16,
        "hop": 8,
        "width": 4,
        "depth": 1,
        "discriminator_width": 4,
        "discriminator_stages": 1,
        "precision": "float32",
    },
    "cass:logarithmic": {},
    "cass:logarithmic_small": LOGARITHMIC_SMALL,
    "cass:logarithmic_debug": LOGARITHMIC_DEBUG,
    "cass:published": {},
    "cass:published_mixture": {"trained_on": "mixture"},
    "cass:published_small": LOGARITHMIC_SMALL,
    "cass:published_debug": LOGARITHMIC_DEBUG,
    "constant_mask:debug": {},
    "cyclegan:small": {
        "width": 8,
        "shortcut": True,
        "discriminator_width": 8,
        "discriminator_stages": 1,
        "window": 1024,
    },
    "cyclegan:debug": {"width": 4, "blocks": 1, "discriminator_width": 4, "discriminator_stages": 2, "window": 128},
    "flexible_nmf:debug": {"hop_seconds": 0.02, "most_components": 6, "frames": 200, "updates": 5, "bands": 3},
    "glo_masking:paper": {"width": 64, "batch_size": 64},
    "glo_masking:debug": {"size": 16, "width": 4, "code": 8, "separation_steps": 5, "separation_learning_rate": 0.1},
    "kam:light": {"rank": 50},
    "kam:debug": {"window_seconds": 0.06, "hop_seconds": 0.02, "rank": 4},
    "latent_gan:paper": {
        "n_fft": 1024,
        "hop": 256,
        "code": 200,
        "hidden": 200,
        "critic_hidden": 200,
        "separation_steps": 2000,
        "separation_learning_rate": 0.001,
    },
    "latent_gan:debug": {
        "n_fft": 16,
        "hop": 8,
        "code": 4,
        "hidden": 8,
        "critic_hidden": 8,
        "critic_steps": 2,
        "separation_steps": 10,
        "separation_learning_rate": 0.1,
    },
    "neural_egg:paper": {"epochs_per_iteration": 25, "width": 64, "batch_size": 64},
    "neural_egg:glo_start": {"start": "glo_masking"},
    "neural_egg:am_start": {"start": "adversarial_masking"},
    "neural_egg:debug": {"iterations": 3, "epochs_per_iteration": 1, "width": 4, "layers": 2},
    "nmf:ratio": {"mask_power": 1.0},
    "nmf:debug": {"components": 8, "observed_updates": 20, "updates": 10, "mask_power": 1.0},
    "oracle:debug": {"n_fft": 16, "hop": 8},
    "semi_adversarial:small": {
        "n_fft": 256,
        "hop": 128,
        "filters": 8,
        "critic_filters": 8,
        "critic_steps": 2,
        "batch_size": 16,
    },
    "semi_adversarial:debug": {
        "paired_fraction": 0.25,
        "n_fft": 32,
        "hop": 16,
        "filters": 4,
        "levels": 2,
        "critic_filters": 4,
        "critic_layers": 2,
        "critic_steps": 2,
    },
    "sepgan:small": {"width": 12, "discriminator_width": 8, "window": 4096},
    "sepgan:debug": {"width": 4, "blocks": 1, "discriminator_width": 4, "discriminator_stages": 2, "window": 128},
    "ssgan:lou": {"skips": 0},
    "ssgan:gan": {"energy": False},
    "ssgan:eng": {"wasserstein": False},
    "ssgan:small": {
        "n_fft": 256,
        "hop": 64,
        "context": 16,
        "encoder_filters": (16, 32, 64),
        "decoder_filters": (32, 16),
        "critic_filters": (8, 8, 16, 16, 32, 32),
        "skips": 2,
        "critic_steps": 1,
        "batch_size": 8,
    },
    "ssgan:debug": {
        "n_fft": 32,
        "hop": 16,
        "context": 16,
        "context_hop": 8,
        "encoder_filters": (4, 8),
        "decoder_filters": (4,),
        "critic_filters": (4, 4, 4, 4, 8, 8),
        "skips": 1,
        "critic_steps": 2,
    },
    "supervised_mask:paper": {"width": 64, "batch_size": 64},
    "supervised_mask:debug": {"width": 4, "layers": 2},
}


@pytest.mark.parametrize("name", NAMED)
def test_named_configurations_stay(name):
    defaults = dataclasses.asdict(registry.find(PACKAGE, name).Config())
    found = dataclasses.asdict(registry.config(PACKAGE, name))
    assert {field: value for field, value in found.items() if value != defaults[field]} == NAMED[name]


def test_every_named_configuration_is_here():
    assert set(NAMED) == {f"{n}:{c}" for n in registry.names(PACKAGE) for c in registry.config_names(PACKAGE, n)}
