from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sepray.errors import UsageError
from sepray.tasks.bach10 import Config

from .sounds import DATA, RATE, disjoint, heard, tone, write

SPLITS = ("train", "validation", "test")
STEMS = {"violin": 2000, "clarinet": 1500, "saxphone": 1000, "bassoon": 500}  # Hz of piece 0; 20 more for each piece


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bach") / "Bach10_v1.1"
    for number in range(10):
        name = f"{number + 1:02d}-Piece"
        for stem, frequency in STEMS.items():
            write(made / name / f"{name}-{stem}.wav", tone(frequency + 20 * number))
    return made


@pytest.fixture
def config(folder: Path) -> Config:
    return Config(str(folder), train=40, validation=10, test=10, item_samples=1024, sample_rate=RATE)


def test_splits_are_by_piece_seven_one_and_two(config: Config, tmp_path: Path) -> None:
    data = config.load(tmp_path)
    assert data.signal.sources == ("bassoon", "saxphone")
    assert data.signal.shape == (1024,)
    pieces = {}
    for split in SPLITS:
        bassoon, saxophone = (heard(getattr(data, split).sources[:, k]) for k in (0, 1))
        assert [f - 500 for f in bassoon] == [f - 1000 for f in saxophone]  # of one piece, at the same time
        pieces[split] = {(f - 500) // 20 for f in bassoon}
    assert {split: len(several) for split, several in pieces.items()} == {"train": 7, "validation": 1, "test": 2}
    assert disjoint(pieces.values())
    assert torch.equal(data.train.mixture, data.train.sources.sum(1))
    others = [set(heard(replace(config, seed=seed).load(tmp_path).test.sources[:, 0])) for seed in range(1, 5)]
    assert len({frozenset(one) for one in others}) > 1


def test_numbers_of_pieces_are_those_of_the_configuration(config: Config, tmp_path: Path) -> None:
    recordings = replace(config, validation_pieces=2, test_pieces=5).recordings(tmp_path)
    assert [len(recordings[split]) for split in SPLITS] == [3, 2, 5]


def test_any_instruments_in_the_mixture_of_all(config: Config, tmp_path: Path) -> None:
    one = replace(config, instruments=("violin", "saxophone"), mixture="all").load(tmp_path)
    assert one.signal.sources == ("violin", "saxophone")
    assert {f // 100 for f in heard(one.train.sources[:, 1])} <= {10, 11}  # saxophone is what the files call saxphone
    rest = one.train.mixture - one.train.sources.sum(1)
    assert {f // 100 for f in heard(rest)} <= {5, 6, 15, 16}  # clarinet and bassoon
    power = float(rest.square().mean())
    assert power == pytest.approx(2 * 0.2**2 / 2, rel=0.02)  # two tones of amplitude 0.2


def test_another_rate(config: Config, tmp_path: Path) -> None:
    data = replace(config, sample_rate=16000).load(tmp_path)
    assert data.signal.sample_rate == 16000
    assert min(heard(data.test.sources[:, 0], 16000)) >= 500


def test_few_pieces_are_refused(config: Config, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pieces in .*Bach10_v1.1: 10 usable, at least 12 are needed"):
        replace(config, test_pieces=10).load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instruments": ("tuba",)}, "there is no instrument 'tuba'; there are: violin, clarinet, saxphone, bassoon"),
        ({"instruments": ("violin",)}, "one instrument alone is no mixture: choose more, or mixture = all"),
        (
            {"instruments": ("saxophone", "saxphone")},
            "instruments must be one or more of violin, clarinet, saxphone, bassoon, each once, not saxphone, saxphone",
        ),
        ({"mixture": "some"}, "mixture must be chosen or all, not 'some'"),
        ({"train": 0}, "train must be between 2 and 1000000, not 0"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        Config(**changes)
    assert str(refusal.value) == message


def test_the_eight_excerpts(tmp_path: Path) -> None:
    if not (DATA / "bach10").is_dir():
        pytest.skip("needs ../shared/data/bach10")
    config = Config(str(DATA / "bach10"), train=10, validation=4, test=4, sample_rate=16000, item_samples=16384)
    data = config.load(tmp_path)
    assert [len(config.recordings(tmp_path)[split]) for split in SPLITS] == [5, 1, 2]
    assert data.train.sources.square().mean((2, 3)).min() > 0
    assert torch.equal(data.train.mixture, data.train.sources.sum(1))
