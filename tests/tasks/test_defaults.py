"""Defaults and limits of every task's configuration.

Defaults are part of what makes a stored study the same: with other ones, a study of the same name is refused.
"""

import dataclasses

import pytest

from sepray import registry
from sepray.errors import UsageError

DEFAULTS = {
    "bach10": {
        "folder": "",
        "instruments": ("bassoon", "saxphone"),
        "mixture": "chosen",
        "train": 400,
        "validation": 80,
        "test": 80,
        "item_samples": 97536,
        "stretch": 2.0,
        "sample_rate": 44100,
        "validation_pieces": 1,
        "test_pieces": 2,
        "test_tracks": True,
        "skip_bad": False,
        "seed": 0,
    },
    "chords": {
        "train": 400,
        "validation": 80,
        "test": 80,
        "item_samples": 16384,
        "sample_rate": 8000,
        "instruments": ("strings", "reed", "brass", "plucked"),
        "mixture": "chosen",
        "seed": 0,
    },
    "digits_split": {"observed": "5-9", "train": 1000, "validation": 200, "test": 200, "enlarge": 2, "seed": 0},
    "ecg": {
        "train": 1000,
        "validation": 200,
        "test": 200,
        "item_samples": 504,
        "sample_rate": 128,
        "train_recordings": 50,
        "validation_recordings": 15,
        "test_recordings": 15,
        "recording_seconds": 15.0,
        "maternal_bpm": (80.0, 90.0),
        "fetal_bpm": (120.0, 160.0),
        "bpm_std": 1.0,
        "amplitude_ratio": (2.0, 10.0),
        "noise_frequency": (0.15, 0.5),
        "noise_amplitude": (0.02, 0.1),
        "folder": "",
        "channel": 0,
        "skip_bad": False,
        "seed": 0,
    },
    "ecg:varied": {
        "train": 1200,
        "validation": 200,
        "test": 200,
        "item_samples": 1000,
        "sample_rate": 250,
        "maternal_bpm": (55.0, 115.0),
        "fetal_bpm": (105.0, 185.0),
        "amplitude_ratio": (1.5, 20.0),
        "without_fetus": 0.1,
        "mains": 0.3,
        "filtered": 0.75,
        "ectopic": 0.0,
        "missed": 0.0,
        "steps": 0.0,
        "channels": 1,
        "one_component": False,
        "template": False,
        "noise_folder": "",
        "remix": 0.75,
        "seed": 0,
    },
    "image_pairs": {
        "first": "",
        "second": "",
        "names": ("shoes", "handbags"),
        "train": 5000,
        "validation": 500,
        "test": 1000,
        "size": 64,
        "colour": True,
        "part": "whole",
        "skip_bad": False,
        "seed": 0,
    },
    "mnist_split": {
        "folder": "",
        "observed": "5-9",
        "train": 12000,
        "validation": 1000,
        "test": 5000,
        "size": 32,
        "seed": 0,
    },
    "notes_and_bursts": {
        "train": 256,
        "validation": 64,
        "test": 64,
        "item_samples": 4096,
        "sample_rate": 8000,
        "seed": 0,
    },
    "ppg:varied": {
        "train": 1200,
        "validation": 200,
        "test": 200,
        "item_samples": 504,
        "sample_rate": 32,
        "heart_bpm": (45.0, 150.0),
        "breaths": (8.0, 30.0),
        "breath_amplitude": (0.05, 1.0),
        "modulation": (0.0, 0.3),
        "arrhythmia": (0.0, 0.08),
        "drift": (0.02, 1.0),
        "noise": (0.0, 0.05),
        "motion": 0.3,
        "remix": 0.75,
        "seed": 0,
    },
    "own_recordings": {
        "folder": "",
        "sources": ("maternal", "fetal"),
        "hearts": False,
        "one_component": False,
        "template": False,
        "train": 1000,
        "validation": 200,
        "test": 200,
        "item_samples": 1000,
        "sample_rate": 250,
        "file_rate": 0.0,
        "channel": 0,
        "channels": 1,
        "remix": 0.0,
        "skip_bad": False,
        "seed": 0,
    },
    "piano_mix": {
        "piano": "",
        "others": "",
        "ratio": (-5.0, 5.0),
        "train": 1000,
        "validation": 100,
        "test": 100,
        "item_samples": 16384,
        "stretch": 2.0,
        "sample_rate": 16000,
        "validation_share": 0.1,
        "test_share": 0.2,
        "skip_bad": False,
        "seed": 0,
    },
    "ppg": {
        "train": 1000,
        "validation": 200,
        "test": 200,
        "item_samples": 504,
        "sample_rate": 32,
        "heart_bpm": (60.0, 100.0),
        "breaths": (12.0, 20.0),
        "breath_amplitude": (0.1, 0.5),
        "noise": (0.0, 0.01),
        "references": "",
        "reference_rate": 100.0,
        "skip_bad": False,
        "seed": 0,
    },
    "speech_noise": {
        "speech": "",
        "noise": "",
        "snr": (0.0, 0.0),
        "train": 2000,
        "validation": 200,
        "test": 200,
        "item_samples": 8000,
        "stretch": 1.0,
        "sample_rate": 16000,
        "speaker": "",
        "clip": "",
        "validation_share": 0.1,
        "test_share": 0.2,
        "test_tracks": True,
        "skip_bad": False,
        "seed": 0,
    },
    "stems": {
        "folder": "",
        "sources": ("vocals", "accompaniment"),
        "mixture": "chosen",
        "train": 1000,
        "validation": 200,
        "test": 200,
        "item_samples": 32768,
        "stretch": 2.0,
        "sample_rate": 44100,
        "channels": 1,
        "remix": 0.0,
        "remix_level": (-6.0, 6.0),
        "validation_share": 0.1,
        "test_share": 0.2,
        "test_tracks": True,
        "skip_bad": False,
        "seed": 0,
    },
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_stay(name):
    found = dataclasses.asdict(registry.find("sepray.tasks", name).Config())
    assert found == DEFAULTS[name]


SEED = (0, 2**63 - 1)
RECORDINGS = {"item_samples": (2, 2**24), "sample_rate": (1000, 192000), "stretch": (1, 1000), "seed": SEED}
LIMITS = {
    "bach10": {**RECORDINGS, "validation_pieces": (1, 1000), "test_pieces": (1, 1000), "train": (2, 10**6)},
    "chords": {"item_samples": (256, 2**22), "sample_rate": (4000, 48000), "seed": SEED, "test": (2, 10**5)},
    "digits_split": {"enlarge": (1, 32), "seed": SEED, "train": (2, 10**6)},
    "ecg": {
        **{f"{split}_recordings": (1, 10**5) for split in ("train", "validation", "test")},
        "sample_rate": (64, 4096),
        "channel": (0, 10**4),
        "bpm_std": (0, 5),
        "seed": SEED,
        "train": (2, 10**7),
        "item_samples": (2, 1920),  # of recordings of 15 s at 128 Hz
    },
    "ecg:varied": {
        **dict.fromkeys(("mains", "filtered", "ectopic", "missed", "steps", "remix"), (0, 1)),
        "without_fetus": (0, 0.9),
        "item_samples": (2, 10**6),
        "sample_rate": (128, 4096),
        "channels": (1, 64),
        "seed": SEED,
        "train": (2, 10**6),
    },
    "image_pairs": {"size": (8, 1024), "seed": SEED, "train": (2, 10**6)},
    "mnist_split": {"size": (28, 256), "seed": SEED, "train": (2, 10**6)},
    "own_recordings": {
        "item_samples": (2, 10**7),
        "sample_rate": (1, 10**6),
        "file_rate": (0, 10**6),
        "channel": (0, 10**4),
        "channels": (1, 64),
        "remix": (0, 1),
        "seed": SEED,
        "train": (2, 10**7),
    },
    "piano_mix": {**RECORDINGS, "validation_share": (0.01, 0.4), "test_share": (0.01, 0.4), "train": (2, 10**7)},
    "ppg": {
        "item_samples": (16, 2**20),
        "sample_rate": (16, 4096),
        "reference_rate": (10, 10_000),
        "seed": SEED,
        "train": (2, 10**6),
    },
    "ppg:varied": {
        "item_samples": (16, 2**20),
        "sample_rate": (16, 4096),
        "motion": (0, 1),
        "remix": (0, 1),
        "seed": SEED,
        "train": (2, 10**6),
    },
    "speech_noise": {**RECORDINGS, "validation_share": (0.01, 0.4), "test_share": (0.01, 0.4), "train": (2, 10**7)},
    "stems": {
        **RECORDINGS,
        "remix": (0, 1),
        "validation_share": (0, 0.5),
        "test_share": (0, 0.5),
        "channels": (1, 2),
        "train": (2, 10**7),
    },
}
FRACTIONS = {"stretch", "remix", "bpm_std", "file_rate", "mains", "filtered", "ectopic", "missed", "steps", "motion"}
RANGES = {
    "ecg": {
        "maternal_bpm": (30, 240),
        "fetal_bpm": (30, 240),
        "amplitude_ratio": (0.001, 1000),
        "noise_frequency": (0, 64.0),
        "noise_amplitude": (0, 1000),
    },
    "ecg:varied": {"maternal_bpm": (30, 240), "fetal_bpm": (30, 240), "amplitude_ratio": (0.001, 1000)},
    "piano_mix": {"ratio": (-60, 60)},
    "ppg": {"heart_bpm": (30, 240), "breaths": (4, 60), "breath_amplitude": (0.001, 1000), "noise": (0, 1000)},
    "ppg:varied": {
        **dict.fromkeys(("modulation", "arrhythmia"), (0.0, 0.9)),
        **dict.fromkeys(("drift", "noise"), (0.0, 1000.0)),
        "heart_bpm": (30.0, 240.0),
        "breaths": (4.0, 60.0),
        "breath_amplitude": (0.001, 1000.0),
    },
    "speech_noise": {"snr": (-60, 60)},
    "stems": {"remix_level": (-60, 60)},
}
FIELDS = [(name, field, *ends) for name, fields in LIMITS.items() for field, ends in fields.items()]


def refusal(name: str, field: str, value: object) -> str:
    """Return the refusal of a value; an empty text where the value is taken."""
    try:
        registry.find("sepray.tasks", name).Config(**{field: value})
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("name", "field", "low", "high"), FIELDS, ids=lambda value: str(value))
def test_value_at_a_limit_is_taken_and_one_beyond_is_refused(name, field, low, high):
    whole = isinstance(low, int) and isinstance(high, int) and field not in FRACTIONS
    beyond = (low - 1, high + 1) if whole else (low - 1e-6, high + 1e-6)
    assert [refusal(name, field, value) for value in (low, high)] == ["", ""]
    for value in beyond:
        assert refusal(name, field, value) == f"{field} must be between {low} and {high}, not {value}"


@pytest.mark.parametrize(
    ("name", "field", "low", "high"), [(n, f, *ends) for n, fields in RANGES.items() for f, ends in fields.items()]
)
def test_range_may_reach_from_limit_to_limit_and_no_further(name, field, low, high):
    assert refusal(name, field, (low, high)) == ""
    for value in ((low - 1e-6, high), (low, high + 1e-6)):
        assert (
            refusal(name, field, value) == f"{field} must be two rising numbers between {low} and {high}, not {value}"
        )


def test_recording_lengths_of_synthetic_hearts_have_limits():
    assert refusal("ecg", "recording_seconds", 1023) == ""
    for value in (1.99, 1023.01):
        assert "recording_seconds must be between 2 and 1023" in refusal("ecg", "recording_seconds", value)
