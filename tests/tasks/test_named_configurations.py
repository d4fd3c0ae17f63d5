"""Named configurations' changes to their modules' defaults, which are a part of a stored study's identity."""

import dataclasses

import pytest

from sepray import registry

PACKAGE = "sepray.tasks"
NAMED = {
    "bach10:debug": {
        "folder": ":synthesised:",
        "train": 16,
        "validation": 6,
        "test": 6,
        "item_samples": 1024,
        "sample_rate": 8000,
    },
    "chords:debug": {"train": 24, "validation": 8, "test": 8, "item_samples": 2048},
    "digits_split:debug": {"train": 24, "validation": 8, "test": 8},
    "ecg:quick": {
        "train": 300,
        "validation": 100,
        "test": 100,
        "train_recordings": 30,
        "validation_recordings": 10,
        "test_recordings": 20,
        "recording_seconds": 7.0,
    },
    "ecg:debug": {
        "train": 24,
        "validation": 8,
        "test": 8,
        "item_samples": 248,
        "train_recordings": 2,
        "validation_recordings": 1,
        "test_recordings": 1,
        "recording_seconds": 3.0,
    },
    "ecg:paper": {},
    "ecg:varied": {},
    "ecg:varied_debug": {"train": 24, "validation": 8, "test": 8, "item_samples": 496},
    "image_pairs:debug": {"first": "example", "second": "example", "train": 24, "validation": 4, "test": 4, "size": 16},
    "mnist_split:debug": {"folder": "example", "train": 24, "validation": 8, "test": 8},
    "notes_and_bursts:debug": {"train": 24, "validation": 8, "test": 8, "item_samples": 1024},
    "own_recordings:debug": {
        "folder": ":synthesised:",
        "hearts": True,
        "train": 16,
        "validation": 6,
        "test": 6,
        "item_samples": 480,
    },
    "piano_mix:debug": {
        "piano": ":synthesised:",
        "others": ":synthesised:",
        "train": 16,
        "validation": 6,
        "test": 6,
        "item_samples": 1024,
        "sample_rate": 8000,
    },
    "ppg:debug": {"train": 24, "validation": 8, "test": 8, "item_samples": 248},
    "ppg:varied": {},
    "ppg:varied_debug": {"train": 24, "validation": 8, "test": 8, "item_samples": 248},
    "speech_noise:debug": {
        "speech": ":synthesised:",
        "noise": ":synthesised:",
        "train": 16,
        "validation": 6,
        "test": 6,
        "item_samples": 1024,
        "sample_rate": 8000,
    },
    "stems:debug": {
        "folder": ":synthesised:",
        "train": 16,
        "validation": 6,
        "test": 6,
        "item_samples": 1024,
        "sample_rate": 8000,
        "remix": 0.5,
    },
}


@pytest.mark.parametrize("name", NAMED)
def test_named_configurations_stay(name):
    defaults = dataclasses.asdict(registry.find(PACKAGE, name).Config())
    found = dataclasses.asdict(registry.config(PACKAGE, name))
    assert {field: value for field, value in found.items() if value != defaults[field]} == NAMED[name]


def test_every_named_configuration_is_here():
    assert set(NAMED) == {f"{n}:{c}" for n in registry.names(PACKAGE) for c in registry.config_names(PACKAGE, n)}
