"""Defaults of a separator and of a task that say nothing else."""

import dataclasses

import pytest
import torch

from sepray.contracts import (
    Augmentation,
    Loss,
    Oracle,
    Phase,
    Separator,
    Signal,
    Split,
    Supervision,
    TaskData,
    Tracks,
    estimate,
    units_of_items,
)

SIGNAL = Signal(("a", "b"), 3, (8,), 10.0, heart_rates=(("b", 50.0, 90.0), ("a", 1.0, 2.0)))
NUMBER = torch.ones(())


def test_a_signal_has_no_hearts_and_whole_sources_by_default():
    plain = Signal(("a", "b"), 3, (8,), 10.0)
    assert (plain.heart_sources, plain.template, plain.heart_rates) == ((), False, ())
    assert (plain.pulse_sources, plain.component_channels, plain.source_channels) == ((), None, 3)
    assert dataclasses.replace(plain, component_channels=1).source_channels == 1


def test_a_source_has_its_own_range_of_rates_or_none():
    assert [SIGNAL.heart_range(source) for source in ("a", "b", "c")] == [(1.0, 2.0), (50.0, 90.0), None]


def split(items: int) -> Split:
    return Split(torch.zeros(items, 1, 8), torch.zeros(items, 2, 1, 8))


def test_items_are_cut_from_what_the_task_says():
    assert (split(5).observed, split(5).units, split(5).beats, split(5).parts) == (None, None, None, None)
    assert len(split(5)) == 5
    assert units_of_items("test", 3) == (("test 0",), ("test 1",), ("test 2",))


def test_the_test_split_is_scored_on_whole_recordings_where_there_are_any():
    train, validation, test = split(4), split(3), split(2)
    data = TaskData(SIGNAL, train, validation, test, "ab")
    assert (data.augmentation, data.unit_names, data.tracks) == (
        Augmentation(0, 0.0, (0.0, 0.0)),
        ("recordings",),
        None,
    )
    assert [data.scored(name) for name in ("train", "validation", "test")] == [train, validation, test]
    tracks = Tracks(("x", "y", "z"), (), ())
    assert (len(tracks), tracks.units) == (3, None)
    whole = dataclasses.replace(data, tracks=tracks)
    assert [whole.scored(name) for name in ("train", "validation", "test")] == [train, validation, tracks]


def test_an_update_is_one_on_the_batch_of_the_step_by_default():
    phase = Phase("a", ("net",), "rate", lambda *_: Loss(NUMBER, {}))
    assert (phase.draw, phase.repeats, phase.active, phase.own_batches) == (None, 1, None, False)
    draws = [dataclasses.replace(phase, repeats=n, own_batches=own).draws_batches for n in (1, 2) for own in (0, 1)]
    assert draws == [False, True, True, True]
    assert Loss(NUMBER, {}) == (NUMBER, {}, {}, {})


def test_a_separator_that_says_nothing_learns_from_pairs_and_cannot_separate():
    separator, data = Separator(SIGNAL), {"mixture": torch.zeros(2, 3, 8)}
    assert separator.signal is SIGNAL
    assert (separator.supervision, separator.learns, separator.keeps_items) == (Supervision.PAIRED, True, False)
    assert (separator.takes_template, separator.makes_components) == (False, False)
    assert (separator.paired_fraction, separator.off) == (0.0, frozenset())
    generator = torch.Generator()
    assert separator.phases() == ()
    assert separator.before_epoch(data, 3, generator) is data
    assert separator.resets(0) is separator.resets(5) is False
    assert separator.fit_epoch(data, {}, generator) == {}
    assert separator.uses_bfloat16(torch.device("cpu")) is False
    assert separator.failure({}) is None
    with pytest.raises(TypeError, match=r"^Separator must define hyperparameters\(\)$"):
        separator.hyperparameters()
    with pytest.raises(TypeError, match=r"^Separator must define separate\(\)$"):
        separator.separate(data["mixture"])


class Told(Oracle):
    def separate_given(self, mixture, sources):
        return mixture[:, None] + sources


def test_only_an_oracle_is_told_the_sources():
    mixture, sources = torch.ones(1, 3, 8), torch.full((1, 2, 3, 8), 2.0)
    oracle = Told(SIGNAL)
    assert (oracle.supervision, oracle.learns) == (Supervision.NONE, False)
    assert estimate(oracle, mixture, sources).unique().tolist() == [3.0]
    with pytest.raises(ValueError, match=r"^an oracle needs the true sources of what it separates: it can be scored, "):
        oracle.separate(mixture)
    with pytest.raises(TypeError, match=r"^Oracle must define separate_given\(\)$"):
        Oracle(SIGNAL).separate_given(mixture, sources)
    separator = Separator(SIGNAL)
    separator.separate = lambda seen: 5 * seen
    assert estimate(separator, mixture, sources).unique().tolist() == [5.0]


def test_descriptions_cannot_be_changed():
    data = TaskData(SIGNAL, split(2), split(2), split(2), "ab")
    phase = Phase("a", ("net",), "rate", lambda *_: Loss(NUMBER, {}))
    for made, name in (
        (SIGNAL, "channels"),
        (split(2), "units"),
        (Tracks((), (), ()), "names"),
        (Augmentation(), "crop"),
        (data, "tracks"),
        (phase, "name"),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, name, None)
