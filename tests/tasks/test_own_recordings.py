"""A user's own recordings with sources: every format, rates, channels, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sepray.contracts import Augmentation
from sepray.errors import UsageError
from sepray.tasks.own_recordings import DEBUG, Config, _refuse_offset

SMALL = Config(train=20, validation=4, test=4, item_samples=100, sample_rate=100)
TIME = np.arange(400) / 100


def tone(number: int, place: int) -> np.ndarray:
    """A tone that tells recording and source: whole numbers of hertz."""
    return np.sin(2 * np.pi * (3 + 2 * number + place) * TIME).astype(np.float32)


def table(path: Path, *channels: np.ndarray, rate: float = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.stack([np.arange(len(channels[0])) / rate, *channels], axis=1)
    np.savetxt(path, rows, "%.5f", ",", header="time (s)" + ",lead" * len(channels), comments="")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four recordings of four seconds; the mixture has a tone of 40 Hz of its own."""
    for number in range(4):
        parts = [tone(number, place) for place in range(2)]
        place = tmp_path / "in" / "ward" / f"s{number}_rest"
        for name, part in zip(("maternal", "fetal"), parts, strict=True):
            table(place / f"{name}.csv", part)
        table(place / "mixture.csv", sum(parts) + 0.1 * np.sin(2 * np.pi * 40 * TIME))
    return tmp_path / "in"


def heard(signal: torch.Tensor) -> list[set[int]]:
    """Hertz in each item of a second ``[item, time]``."""
    power = torch.fft.rfft(signal.double()).abs()
    return [set(torch.nonzero(one > 0.05 * one.max()).flatten().tolist()) for one in power]


def test_items_are_crops_of_the_mixture_and_its_own_sources(folder: Path, tmp_path: Path) -> None:
    config = replace(SMALL, folder=str(folder))
    data = config.load(tmp_path / "cache")
    numbers = {}
    for split in ("train", "validation", "test"):
        items = getattr(data, split)
        mothers, fetuses = (heard(items.sources[:, place, 0]) for place in range(2))
        for mother, fetus, both in zip(mothers, fetuses, heard(items.mixture[:, 0]), strict=True):
            (low,), (high,) = mother, fetus
            assert high == low + 1
            assert both == {low, high, 40}
        assert items.units == tuple((f"s{(hertz - 3) // 2}",) for (hertz,) in mothers)
        numbers[split] = {(hertz - 3) // 2 for (hertz,) in mothers}
    assert sorted(number for own in numbers.values() for number in own) == [0, 1, 2, 3]
    assert config.load(tmp_path / "cache").fingerprint == data.fingerprint
    assert replace(config, seed=1).load(tmp_path / "cache").fingerprint != data.fingerprint
    assert (data.signal.heart_sources, data.augmentation) == ((), Augmentation())
    hearts = replace(config, hearts=True, remix=0.5).load(tmp_path / "cache")
    assert (hearts.signal.heart_sources, hearts.augmentation.remix) == (("maternal", "fetal"), 0.5)
    assert hearts.fingerprint != data.fingerprint


@pytest.mark.parametrize("component", [False, True])
def test_an_offset_that_only_the_mixture_or_only_a_source_has_is_refused(component: bool) -> None:
    sources = np.stack([tone(0, 0), tone(0, 1)])[:, None]
    drift = 2 * np.cos(2 * np.pi * 0.2 * TIME).astype(np.float32)
    mixture = sources.sum(0) + drift
    for both in (0, 2048):  # sources with the same offset
        _refuse_offset(mixture + both, sources + np.array([both, 0])[:, None, None], component, Path("mixture.csv"))
    with pytest.raises(
        UsageError, match=r"^mixture\.csv lies 20\d\d from the sum of its sources: take that offset out"
    ):
        _refuse_offset(mixture + 2048, sources, component, Path("mixture.csv"))


def test_without_a_mixture_it_is_the_sum(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("mixture.csv"):
        path.unlink()
    data = replace(SMALL, folder=str(folder)).load(tmp_path / "cache")
    torch.testing.assert_close(data.train.mixture, data.train.sources.sum(1))


def test_formats_rates_and_channels_may_differ(folder: Path, tmp_path: Path) -> None:
    place = folder / "ward" / "s0_rest"
    for path in place.iterdir():
        path.unlink()
    long = np.arange(1600) / 400
    np.save(place / "maternal.npy", np.stack([0 * TIME, tone(0, 0)]))
    soundfile.write(place / "fetal.WAV", np.stack([0 * long, 0.5 * np.sin(2 * np.pi * 4 * long)], axis=1), 400)
    for path in folder.rglob("*.csv"):
        table(path, 0 * TIME, np.loadtxt(path, delimiter=",", skiprows=1)[:, 1])
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "maternal.csv").write_text("nothing")
    config = replace(SMALL, folder=str(folder), channel=1, file_rate=100.0)
    data = config.load(tmp_path / "cache")
    found = [
        (split, item) for split in ("train", "validation", "test") for item in getattr(data, split).sources[:, :, 0]
    ]
    first = [item for _, item in found if heard(item[:1]) == [{3}]]
    assert first
    assert all(heard(item[1:]) == [{4}] for item in first)
    with pytest.raises(UsageError, match=r"maternal\.npy does not say its rate; give --task\.file-rate, in Hz"):
        replace(config, file_rate=0.0).load(tmp_path / "cache")


def test_sources_may_be_wfdb_records_and_edf_files(folder: Path, tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    from ..signals.test_edf_files import ECG, write_edf  # an ECG of 5 Hz for four seconds, at 250 Hz

    place = folder / "ward" / "s0_rest"
    for name in ("maternal", "fetal"):
        (place / f"{name}.csv").unlink()
    write_edf(place / "maternal.EDF")
    lead = tone(0, 1).astype(np.float64)[:, None]
    wfdb.wrsamp("fetal", 100, ["mV"], ["II"], lead, fmt=["16"], write_dir=str(place))
    np.savetxt(place / "mixture.csv", np.stack([np.arange(1000) / 250, ECG], 1), "%.5f", ",", header="time (s),lead")
    data = replace(SMALL, folder=str(folder)).load(tmp_path / "cache")
    items = torch.cat([getattr(data, split).sources[:, :, 0] for split in ("train", "validation", "test")])
    there = [[heard(item[place : place + 1])[0] for place in range(2)] for item in items]
    assert [{5}, {4}] in there
    assert all((mother == {5}) == (fetus == {4}) for mother, fetus in there if fetus != {6})


def test_several_channels_are_leads_of_mixture_and_sources(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("*.csv"):
        signal = np.loadtxt(path, delimiter=",", skiprows=1)[:, 1]
        table(path, 0 * TIME, signal, -0.5 * signal)
    config = replace(SMALL, folder=str(folder), channel=1, channels=2, template=True)
    data = config.load(tmp_path / "cache")
    assert (data.signal.channels, data.signal.template) == (2, True)
    assert data.train.mixture.shape == (20, 2, 100)
    assert data.train.sources.shape == (20, 2, 2, 100)
    for signal in (data.train.mixture, data.train.sources):
        assert signal[..., 0, :].abs().amax() > 0.9
        torch.testing.assert_close(signal[..., 1, :], -0.5 * signal[..., 0, :], atol=2e-5, rtol=0)
    with pytest.raises(UsageError, match=r"csv has 3 channels, and none of number 3"):
        replace(config, channel=2).load(tmp_path / "cache")


def test_a_source_may_be_one_signal_for_all_leads_of_the_mixture(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("mixture.csv"):
        signal = np.loadtxt(path, delimiter=",", skiprows=1)[:, 1]
        table(path, 0 * TIME, signal, -0.5 * signal)
    for path in folder.rglob("maternal.csv"):  # of the fetus there is one lead alone
        signal = np.loadtxt(path, delimiter=",", skiprows=1)[:, 1]
        table(path, 0 * TIME, signal, 0.5 * signal)
    config = replace(SMALL, folder=str(folder), channel=1, channels=2, one_component=True)
    data = config.load(tmp_path / "cache")
    assert data.signal == config.signal
    assert (data.signal.channels, data.signal.source_channels) == (2, 1)
    assert (data.train.mixture.shape, data.train.sources.shape) == ((20, 2, 100), (20, 2, 1, 100))
    torch.testing.assert_close(data.train.mixture[:, 1], -0.5 * data.train.mixture[:, 0], atol=2e-5, rtol=0)
    for mother, fetus, lead in zip(
        *(heard(data.train.sources[:, k, 0]) for k in range(2)), heard(data.train.mixture[:, 0]), strict=True
    ):
        assert lead == mother | fetus | {40}
    torch.testing.assert_close(data.train.sources.abs().amax((0, 2, 3)), torch.ones(2), atol=0.1, rtol=0)
    with pytest.raises(UsageError, match=r"^remix needs the sources in all channels: set it to 0, or leave out one"):
        replace(config, remix=0.5)
    assert replace(config, channels=1, remix=0.5).signal.source_channels == 1
    for path in folder.rglob("mixture.csv"):
        path.unlink()
    with pytest.raises(UsageError, match=r"fetal\.csv has 1 channels, and none of number 2"):
        config.load(tmp_path / "cache")


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (lambda p: (p / "fetal.csv").unlink(), "s0_rest has no file for fetal, only for maternal, mixture"),
        (
            lambda p: table(p / "fetal.csv", tone(0, 1)[:300]),
            "s0_rest has files of unequal length: fetal 3 s, maternal 4",
        ),
        (
            lambda p: (p / "fetal.csv").write_text("time (s),b\n0.01,2\n0.02,x\n"),
            "fetal.csv has a cell that is not a number in line 3",
        ),
        (lambda p: [table(q, tone(0, 0)[:90]) for q in p.iterdir()], "s0_rest is shorter than an item: 0.9 s, not 1 s"),
    ],
)
def test_a_bad_recording_is_named_or_left_out(folder, tmp_path, capsys, harm, line) -> None:
    harm(folder / "ward" / "s0_rest")
    config = replace(SMALL, folder=str(folder))
    with pytest.raises(UsageError, match=rf"{line}.*; --task\.skip-bad leaves such recordings out"):
        config.load(tmp_path / "cache")
    data = replace(config, skip_bad=True).load(tmp_path / "cache")
    assert "left out 1 of 4 recordings" in capsys.readouterr().err
    assert not any({3} in heard(getattr(data, split).sources[:, 0, 0]) for split in ("train", "validation", "test"))


def test_what_cannot_be_used_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--task\.folder is missing: the task needs a folder for each recording"):
        SMALL.load(tmp_path)
    (folder / "empty" / "ward").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"^there are no recordings in .*ward: the task needs a folder"):
        replace(SMALL, folder=str(folder / "empty" / "ward")).load(tmp_path)
    np.save(folder / "ward" / "s0_rest" / "fetal.npy", TIME)
    with pytest.raises(UsageError, match=r"s0_rest has two files for fetal: fetal\.csv and fetal\.npy$"):
        replace(SMALL, folder=str(folder)).load(tmp_path)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ((), "sources must be one or more, each once, not none"),
        (("a", "a"), "sources must be one or more, each once, not a, a"),
        (("a",), "one source alone is no mixture: choose more"),
    ],
)
def test_sources_are_two_or_more_and_each_once(sources: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        replace(SMALL, sources=sources)


@pytest.mark.parametrize("name", ["mixture", "a/b", "a b", ""])
def test_names_that_no_file_and_no_score_can_have_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        replace(SMALL, sources=("fetal", name))


def test_debug_has_hearts_and_noise_in_the_mixture_alone(tmp_path: Path) -> None:
    data = DEBUG.load(tmp_path)
    rest = data.train.mixture - data.train.sources.sum(1)
    assert rest.std().item() == pytest.approx(0.01, rel=0.1)
    assert data.train.sources.amax().item() > 0.5
    files = sorted(tmp_path.rglob("s?/*.csv"))
    assert len(files) == 18
    for file in files:  # four seconds at the task's own rate, so that nothing is resampled
        np.testing.assert_allclose(np.loadtxt(file, delimiter=",")[:, 0], np.arange(1000) / 250)
