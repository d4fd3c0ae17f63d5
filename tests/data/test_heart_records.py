"""The pulses in a PPG; who goes to which split."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.contracts import Signal, Split
from sepray.data import heart_records
from sepray.errors import UsageError


def test_another_rate_keeps_the_signal() -> None:
    slow = np.sin(2 * np.pi * 1.5 * np.arange(1000) / 250)
    found = heart_records.resampled(slow, 250, 128)
    assert len(found) == 512
    np.testing.assert_allclose(found[20:-20], np.sin(2 * np.pi * 1.5 * np.arange(512) / 128)[20:-20], atol=2e-3)
    assert len(heart_records.resampled(np.zeros(100_000), 4e6, 128)) == 4  # a 31,250th of the rate


def test_subjects_are_dealt_whole_by_the_seed_alone() -> None:
    names = [f"sub{k:02d}/snr{s}/sub{k:02d}_snr{s}_l1" for k in range(10) for s in (0, 6)]
    dealt = heart_records.split_by_subject(names, seed=3)
    assert dealt == heart_records.split_by_subject(names[::-1], seed=3) != heart_records.split_by_subject(names, seed=4)
    assert heart_records.split_by_subject([f"s{k}_x" for k in range(10)], 5) == {  # a study of this seed has had these
        "train": ["s5_x", "s2_x", "s8_x", "s1_x", "s6_x", "s9_x"],
        "validation": ["s7_x", "s0_x"],
        "test": ["s3_x", "s4_x"],
    }
    subjects = {split: {name[:5] for name in own} for split, own in dealt.items()}
    assert {split: len(own) for split, own in subjects.items()} == {"train": 6, "validation": 2, "test": 2}
    assert len(set.union(*subjects.values())) == 10
    assert sorted(name for own in dealt.values() for name in own) == sorted(names)
    assert {len(own) for own in heart_records.split_by_subject(["s1_walk", "s1_run", "s1_rest"], 0).values()} == {1}
    with pytest.raises(UsageError, match="2 recordings cannot be divided among three splits; at least 3 are needed"):
        heart_records.split_by_subject(["a", "b"], 0)


def test_bad_recordings_are_left_out_on_request_and_copies_always() -> None:
    def read(name: str) -> np.ndarray:
        if name == "bad":
            raise UsageError("bad is cut short")
        return np.zeros(3) if name in ("a", "b") else np.ones(3)

    found, left_out = heart_records.read_all(["a", "b", "bad", "c"], read, skip_bad=True)
    assert list(found) == ["a", "c"]
    assert left_out == {"b": "b is a copy of a", "bad": "bad is cut short"}
    with pytest.raises(UsageError, match=r"bad is cut short; --task\.skip-bad leaves such recordings out"):
        heart_records.read_all(["a", "bad"], read, skip_bad=False)
    with pytest.raises(UsageError, match=r"^bad is cut short$"):
        heart_records.read_all(["bad"], read, skip_bad=True)


def test_recordings_are_read_once_and_none_has_the_name_of_what_is_kept_beside_them(tmp_path: Path) -> None:
    read = []

    def samples(name: str) -> np.ndarray:
        read.append(name)
        return np.full(3, float(len(read)))

    for _ in range(2):
        found, reasons = heart_records.read_once(tmp_path, "x", {"a": 1}, ["s1_a", "s2_a", "s3_a"], samples, False)
        assert {name: own.tolist() for name, own in found.items()} == {f"s{k}_a": [k] * 3 for k in (1, 2, 3)}
    assert (reasons, read) == ([], ["s1_a", "s2_a", "s3_a"])
    assert sorted(name for own in heart_records.by_split(found, 0).values() for name in own) == sorted(found)
    with pytest.raises(UsageError, match=r"^a recording cannot have the name left_out: rename it$"):
        heart_records.read_once(tmp_path, "x", {"a": 2}, ["s1", "left_out"], samples, False)


def test_pulses_run_from_onset_to_onset_without_artefacts() -> None:
    phase = np.arange(100) / 100
    shape = np.exp(-0.5 * ((phase - 0.3) / 0.08) ** 2) + 0.4 * np.exp(-0.5 * ((phase - 0.6) / 0.1) ** 2)
    shape -= np.linspace(shape[0], shape[-1], 100)
    signal = np.tile(shape, 20) + 0.2 * np.sin(2 * np.pi * np.arange(2000) / 1700)
    signal[800:900] = np.random.default_rng(0).uniform(-0.2, 1, 100)
    found = heart_records.pulses(signal, 100, 1.0)
    assert 12 <= len(found) <= 18
    assert found.max(1).tolist() == [1] * len(found)
    np.testing.assert_allclose(found[:, 0], 0, atol=1e-12)
    for pulse in found:  # the second wave, 0.3 of a beat after the first, is 0.4 as high
        assert 0.1 < pulse.argmax() / 256 < 0.4
        assert pulse[pulse.argmax() + round(0.3 * 256)] == pytest.approx(0.4, abs=0.12)


def test_signal_without_a_pulse_has_none() -> None:
    flat = np.zeros(400)
    found = heart_records.pulses(flat, 100, 1.0)
    assert found.shape == (0, heart_records.PHASES)


def _beats(*lengths: int, rise: tuple[int, ...] = (), heights: tuple[float, ...] = ()) -> np.ndarray:
    """Beats of so many samples: each rises in a straight line for 20 samples, and falls in one until the next."""
    parts = [np.linspace(0.2, 0.01, 30)]  # what is left of a beat before
    for k, length in enumerate(lengths):
        up = rise[k] if rise else 20
        height = heights[k] if heights else 1.0
        parts.append(height * np.interp(np.arange(length), [0, up, length], [0, 1, 0.0]))
    return np.concatenate([*parts, np.interp(np.arange(40), [0, 20, 40], [0, 1, 0.5])])


def test_pulse_is_sampled_at_256_phases_and_drift_is_taken_away() -> None:
    for drift in (0.0, 0.0005):
        found = heart_records.pulses(_beats(100, 100, 100) + drift * np.arange(370), 100, 1.0)
        assert found.shape == (3, 256)
        for pulse in found:
            # Phase k/256 is sample 100 k/256: sample 12.5 of 20 up, sample 50 30 of 80 down.
            assert pulse[[0, 32, 128]] == pytest.approx([0, 0.625, 50 / 80], abs=0.01)
            assert pulse.max() == 1
            assert abs(pulse.argmax() - 51.2) < 1


@pytest.mark.parametrize(
    ("lengths", "sound"),
    [
        ((100,) * 7, 7),
        ((100, 100, 100, 133, 100, 100), 6),  # a third of 100 is 33.3
        ((100, 100, 100, 134, 100, 100), 5),
        ((100, 100, 100, 67, 100, 100), 6),
        ((100, 100, 100, 66, 100, 100), 5),
        ((150, 150), 2),  # three onsets tell the usual length
        ((150,), 0),  # two do not: a second is expected
        ((120,), 1),
    ],
)
def test_pulses_are_of_the_usual_length(lengths: tuple[int, ...], sound: int) -> None:
    assert len(heart_records.pulses(_beats(*lengths), 100, 1.0)) == sound


def test_small_and_close_peaks_are_no_beats() -> None:
    signal = _beats(150, 150, 150, 150)
    shallow, deep = signal.copy(), signal.copy()
    shallow[120:130] += 0.2  # below 0.3 of the spread of about 0.9
    deep[120:130] += 0.4  # an artefact, 0.7 s behind a beat's peak and 0.7 s before another
    assert len(heart_records.pulses(shallow, 100, 1.0)) == 4
    assert len(heart_records.pulses(deep, 100, 1.0)) == 3
    assert len(heart_records.pulses(_beats(*[50] * 8), 100, 1.0)) < 8  # every other one is nearer than 0.6 s
    assert len(heart_records.pulses(_beats(*[50] * 8), 100, 0.5)) == 8


def test_first_beat_counts_from_where_its_onset_can_be_seen() -> None:
    """A beat's onset is looked for in the 0.4 s before its peak."""
    whole = _beats(100, 100, 100)
    assert len(heart_records.pulses(whole[10:], 100, 1.0)) == 3  # its peak is sample 40
    assert len(heart_records.pulses(whole[11:], 100, 1.0)) == 2


def test_no_more_than_so_many_pulses_of_a_recording_are_taken_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    assert heart_records._MOST_PULSES == 200
    signal = _beats(*[100] * 9, rise=tuple(range(20, 29)))
    every = heart_records.pulses(signal, 100, 1.0)
    assert len(every) == 9
    monkeypatch.setattr(heart_records, "_MOST_PULSES", 9)
    np.testing.assert_array_equal(heart_records.pulses(signal, 100, 1.0), every)
    monkeypatch.setattr(heart_records, "_MOST_PULSES", 3)
    np.testing.assert_array_equal(heart_records.pulses(signal, 100, 1.0), every[[0, 4, 8]])


def test_shares_of_the_splits_are_of_the_subjects() -> None:
    for subjects, held_out in ((3, 1), (9, 1), (10, 2), (13, 2), (20, 3), (40, 6)):
        dealt = heart_records.split_by_subject([f"a/s{k:02d}_x" for k in range(subjects)], 0)
        assert [len(dealt[split]) for split in ("train", "validation", "test")] == [
            subjects - 2 * held_out,
            held_out,
            held_out,
        ]


def test_fingerprint_is_of_all_splits_and_of_what_the_sources_are() -> None:
    def made(**changes: float) -> str:
        content = {"train": 1.0, "validation": 2.0, "test": 3.0, "rate": 100.0, **changes}
        splits = {}
        for name in ("train", "validation", "test"):
            sources = torch.full((2, 2, 1, 4), content[name])
            splits[name] = Split(sources.sum(1) + content.get(f"{name}_noise", 0), sources)
        data = heart_records.task_data(splits, Signal(("a", "b"), 1, (4,), content["rate"]))
        assert [data.train.sources[0, 0, 0, 0], data.validation.sources[0, 0, 0, 0]] == [content["train"], 2.0]
        assert data.test is splits["test"]
        return data.fingerprint

    prints = [made(), made(train=9), made(train_noise=9), made(test_noise=9), made(rate=50.0)]
    assert len(set(prints)) == 5
    assert made() == prints[0]


def test_what_the_parts_of_a_split_are_called() -> None:
    assert heart_records.subjects_of(["b/s1_x", "a/s2_y", "s3", "s1_z"]) == {
        "a/s2_y": "s2",
        "b/s1_x": "s1",
        "s1_z": "s1",
        "s3": "s3",
    }
    assert heart_records.subjects_of(["s1_x", "s1_y", "s2_x"]) == {name: name for name in ("s1_x", "s1_y", "s2_x")}
    assert heart_records.subject_word({"a": "1", "b": "1", "c": "2"}) == "subjects"
    assert heart_records.subject_word({"a": "1", "b": "2"}) == "recordings"
