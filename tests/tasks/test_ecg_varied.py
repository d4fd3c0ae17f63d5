"""``ecg:varied``: what is mixed from what, in which range, and that a build is the same for the same seed."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from sepray import registry
from sepray.contracts import SPLITS, Augmentation, Supervision
from sepray.data import varied_ecg
from sepray.data.cache import cached
from sepray.errors import UsageError
from sepray.identity import plain
from sepray.loading import load_task
from sepray.scoring import beat_scores
from sepray.tasks import ecg, ecg_varied
from sepray.tasks.ecg_varied import DEBUG, Config
from sepray.training import augmentation
from sepray.training.views import view

PLAIN = Config(train=400, validation=2, test=2, item_samples=250, filtered=0, without_fetus=0, mains=0, remix=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load_task(DEBUG, tmp_path_factory.mktemp("varied"))


def test_names():
    assert registry.config("sepray.tasks", "ecg:varied") == Config()
    assert registry.config("sepray.tasks", "ecg:paper") == registry.config("sepray.tasks", "ecg") == ecg.Config()
    for config in (Config(seed=3), ecg.Config(seed=3)):
        assert (
            registry.restored("sepray.tasks", registry.stored_module(type(config).__module__), plain(config)) == config
        )
    assert "variant" not in plain(ecg.PAPER)  # or stored studies of ecg would be others


def test_debug_has_its_sizes_and_no_heart_twice(data, tmp_path):
    assert [len(getattr(data, split)) for split in SPLITS] == [24, 8, 8]
    assert data.train.mixture.shape == (24, 1, 496)
    assert (data.signal.sources, data.signal.sample_rate) == (("maternal", "fetal"), 250)
    recordings = DEBUG.recordings(tmp_path)
    everything = [one for split in SPLITS for one in recordings[split]]
    assert len(set(everything)) == len(everything) > 60
    assert data.augmentation == Augmentation(remix=0.75)


def test_true_beats_are_those_of_the_sources_and_no_part_of_the_fingerprint(data, tmp_path):
    config = replace(DEBUG, train=60, item_samples=1000, missed=0.02, without_fetus=0.3)
    made = load_task(config, tmp_path)
    split = made.train
    assert split.beats.shape[:2] == (60, 2)
    silent = ~split.sources.flatten(2).any(-1)
    assert 8 < int(silent[:, 1].sum()) < 30
    assert torch.equal(split.beats.isfinite().any(-1), ~silent)
    assert float(split.beats.nan_to_num(1.0).min()) >= 0
    assert float(split.beats.nan_to_num(1.0).max()) < 4
    intervals = split.beats.diff(dim=-1)
    assert float(intervals[intervals.isfinite()].min()) > 0.1  # no beat is told twice
    scores = beat_scores.score(split.sources, split.sources, made.signal, split.beats)
    assert scores["beat_f1"].mean() > 0.96
    assert made.signal.heart_range("fetal") == (105, 185)
    kept = cached(
        tmp_path, "older", {}, lambda: {k: v for k, v in config._tensors(tmp_path).items() if "beats" not in k}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, "_tensors", lambda *_: kept)
        older = load_task(config, tmp_path)
    assert older.train.beats is None
    assert older.fingerprint == made.fingerprint


def test_same_seed_same_bits_and_other_settings_other_data(data, tmp_path):
    for _ in range(2):  # made, and read back
        again = DEBUG.load(tmp_path)
        assert again.fingerprint == data.fingerprint
        assert torch.equal(again.test.mixture, data.test.mixture)
    for changes in ({"seed": 1}, {"remix": 0.5}, {"mains": 1.0}, {"steps": 1.0}):
        assert replace(DEBUG, **changes).load(tmp_path).fingerprint != data.fingerprint


# Every 62nd sample of the first items in steps of 2**-14: the mixture and its sources.
VALUES = [
    [
        [941, -1375, -5010, -3178, -1923, 8944, 11925, 12092],
        [-239, -188, 172, 1155, -304, 4639, 2057, -148],
        [23, -14, -25, 18, -16, 354, 2, 33],
    ],
    [
        [2019, -4521, 2022, 1474, -1304, 134, -1793, 4434],
        [3027, -4755, 3618, -306, 87, -13, -1420, 302],
        [-571, 959, -397, 3027, -148, 876, -444, 3201],
    ],
    [
        [3963, 11397, 1322, 2942, 3628, -3292, -4520, 3476],
        [-721, 11626, 2267, -113, 3066, -512, -4026, 733],
        [-126, -142, -8, -16, -213, -40, -26, -161],
    ],
    [
        [-18029, -6464, 2906, -3876, 5834, -10888, -13363, -1639],
        [-336, -317, 355, -950, 287, -12990, -1525, 342],
        [121, 770, -210, -5007, -702, 329, -1041, 183],
    ],
]  # fmt: skip
# The same with early and missed beats, a step and mains hum in each, at a rate below that of the hearts.
RARE = [
    [
        [-486, 831, -1512, -113, 500, -138, -287, -3924],
        [-1215, 0, -209, 296, -303, -368, 339, -3],
        [-14, -14, 1, -10, 16, 2, 5, -750],
    ],
    [
        [-5551, 2614, -2717, 1425, 2848, -371, -1080, 272],
        [-2419, 431, -19, 133, 641, -2134, 764, -23],
        [-486, -184, 138, 41, -460, 74, -109, -377],
    ],
    [
        [-77, -14759, 2541, -1640, -2008, -638, -734, 311],
        [158, -14344, 619, -1328, -607, -258, -460, 627],
        [42, 26, -21, -11, 75, 40, -38, 237],
    ],
]  # fmt: skip


def test_values_of_a_seed(data, tmp_path):
    """A study goes on with the data that it began with; sines may differ in the last bit."""
    every = {"ectopic": 0.3, "missed": 0.3, "steps": 1.0, "without_fetus": 0.0, "mains": 1.0}
    ranges = {"maternal_bpm": (70, 80), "fetal_bpm": (140, 150)}
    rare = replace(DEBUG, train=3, validation=2, test=2, sample_rate=200, **every, **ranges).load(tmp_path)
    for split, expected in ((data.train, VALUES), (rare.train, RARE)):
        found = torch.cat([split.mixture[:4, :, ::62], split.sources[:4, :, 0, ::62]], 1)
        np.testing.assert_allclose((found * 2**14).numpy(), expected, atol=1.1)


def test_first_of_several_leads_is_that_of_one_and_the_others_see_the_same_beats(data, tmp_path):
    leads = replace(DEBUG, channels=3).load(tmp_path)
    hearts = replace(DEBUG, channels=3).recordings(tmp_path)
    for split in SPLITS:  # each heart counts once, whatever its leads
        assert len(hearts[split]) == int(getattr(leads, split).sources.flatten(2).any(-1).sum())
    assert leads.signal.channels == 3
    assert leads.train.sources.shape == (24, 2, 3, 496)
    for split in SPLITS:
        one, several = getattr(data, split), getattr(leads, split)
        assert torch.equal(several.mixture[:, :1], one.mixture)
        assert torch.equal(several.sources[:, :, :1], one.sources)
    sources = leads.train.sources.double()
    for k in range(24):  # a silent fetus is silent in all leads, and waves have the same times: three components
        assert len(set((sources[k].abs().amax(-1) > 0)[1].tolist())) == 1
    rest = (leads.train.mixture - leads.train.sources.sum(1)).double()
    rest = rest - rest.mean(-1, keepdim=True)
    unlike = torch.nn.functional.cosine_similarity(rest[:, 0], rest[:, 1], dim=-1).abs()
    assert unlike.median() < 0.5  # each lead has noise of its own
    heart = sources[:, 0] - sources[:, 0].mean(-1, keepdim=True)
    alike = torch.nn.functional.cosine_similarity(heart[:, 0].abs(), heart[:, 1].abs(), dim=-1)
    assert alike.median() > 0.6  # and all of them the same beats


def test_one_component_is_what_the_first_lead_sees_of_each_heart(tmp_path):
    several = replace(DEBUG, channels=3).load(tmp_path)
    one = load_task(replace(DEBUG, channels=3, one_component=True), tmp_path)
    assert one.signal == replace(several.signal, component_channels=1)
    assert one.fingerprint != several.fingerprint
    for split in SPLITS:
        ours, theirs = getattr(one, split), getattr(several, split)
        assert torch.equal(ours.mixture, theirs.mixture)
        assert torch.equal(ours.sources, theirs.sources[:, :, :1])
        assert torch.equal(ours.beats.nan_to_num(-1), theirs.beats.nan_to_num(-1))
    assert torch.equal(one.train.parts, several.train.sources)
    assert several.train.parts is None
    assert "one_component" not in plain(DEBUG)
    alone = replace(DEBUG, one_component=True).load(tmp_path)
    assert (alone.fingerprint, alone.train.parts) == (DEBUG.load(tmp_path).fingerprint, None)


def test_remixed_mixtures_have_all_leads_of_their_new_hearts(tmp_path):
    data = replace(DEBUG, channels=3, one_component=True, without_fetus=0).load(tmp_path)
    seen = view(data.train, Supervision.PAIRED, torch.Generator())
    items = torch.arange(len(data.train))
    generator = torch.Generator().manual_seed(0)
    batch = augmentation.batch(seen, items, Augmentation(remix=1.0), Supervision.PAIRED, generator)
    assert {name: tensor.shape[1:] for name, tensor in batch.items()} == {"mixture": (3, 496), "sources": (2, 1, 496)}
    noise = data.train.mixture - data.train.parts.sum(1)
    for k in range(4):
        theirs = [
            int(torch.stack([(p[s, 0] - batch["sources"][k, s, 0]).abs().sum() for p in data.train.parts]).argmin())
            for s in range(2)
        ]  # whose hearts they are
        assert theirs != [k, k]
        made = noise[k] + data.train.parts[theirs[0], 0] + data.train.parts[theirs[1], 1]
        torch.testing.assert_close(batch["mixture"][k], made, atol=1e-5, rtol=0)


def test_template_is_a_matter_of_networks_and_the_data_stay_the_same(data, tmp_path):
    other = replace(DEBUG, template=True).load(tmp_path)
    assert other.signal == replace(data.signal, template=True)
    assert other.fingerprint == data.fingerprint
    assert "template" not in plain(DEBUG)  # or stored studies would be others
    assert "channels" not in plain(DEBUG)
    assert plain(replace(DEBUG, template=True))["template"] is True


def peaks(monkeypatch, config, tmp_path):
    """Load a task whose hearts are a pulse each, so that a source shows its amplitude."""

    def pulse(of, shape, widening, rate, samples):
        signal = np.zeros((len(of.times), 1, samples))
        signal[..., samples // 2] = 1
        return signal

    monkeypatch.setattr(varied_ecg, "drawn", pulse)
    return config.load(tmp_path).train


def test_ratio_is_log_uniform_and_some_have_no_fetus(monkeypatch, tmp_path):
    found = peaks(monkeypatch, replace(PLAIN, without_fetus=0.25), tmp_path).sources[:, :, 0].amax(-1)
    assert (found[:, 0] == 1).all()
    there = found[:, 1] > 0
    assert (~there).float().mean().item() == pytest.approx(0.25, abs=0.06)
    logs = -found[there, 1].log()
    assert np.log(1.5) - 1e-3 < logs.min() < np.log(1.7)
    assert np.log(18) < logs.max() < np.log(20.1)
    assert logs.mean().item() == pytest.approx(np.log(1.5 * 20) / 2, abs=0.15)


def noise_of(config, kind, monkeypatch, ratio=4.0, items=400):
    """The noise of items alone, without what a name says."""
    coloured = varied_ecg.coloured
    power = {"no wander": 2, "no broadband": (0, 1)}[kind]
    powers = power if isinstance(power, tuple) else (power,)
    monkeypatch.setattr(
        varied_ecg,
        "coloured",
        lambda random, items, samples, rate, p, lowest: (
            (p not in powers) * coloured(random, items, samples, rate, p, lowest)
        ),
    )
    return config._noise(np.random.default_rng(0), np.full(items, ratio), 250, 1000, [])


def test_baseline_wanders_by_up_to_the_maternal_peak(monkeypatch):
    spread = noise_of(PLAIN, "no broadband", monkeypatch).std(axis=1)
    assert 0.01 < spread.min() < 0.05 < 0.6 < spread.max() < 1.2


def test_broadband_noise_is_a_share_of_the_fetal_peak_and_mains_hums_in_some(monkeypatch):
    monkeypatch.setattr(varied_ecg, "BREATH", (0.0, 0.0))  # the sine is a constant
    spread = noise_of(PLAIN, "no wander", monkeypatch).std(axis=1) * 4 / 0.35
    assert 0.015 < spread.min() < 0.06 < 0.9 < spread.max() < 1.05
    monkeypatch.undo()
    monkeypatch.setattr(varied_ecg, "coloured", lambda random, items, samples, *_: np.zeros((items, samples)))
    monkeypatch.setattr(varied_ecg, "BREATH", (0.0, 0.0))
    noise = replace(PLAIN, mains=0.3)._noise(np.random.default_rng(0), np.full(400, 4.0), 250, 1000, [])
    hum = noise - noise.mean(axis=1, keepdims=True)
    loud = hum.std(axis=1) > 1e-9
    assert loud.mean() == pytest.approx(0.3, abs=0.07)
    frequencies = np.fft.rfftfreq(1000, 1 / 250)[np.abs(np.fft.rfft(hum[loud])).argmax(axis=1)]
    assert set(frequencies) == {50, 60}


def test_steps_are_there_where_they_are_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(
        varied_ecg, "drawn", lambda of, shape, widening, rate, samples: np.zeros((len(of.times), 1, samples))
    )
    jumps = []
    for steps in (0, 1):
        mixture = replace(PLAIN, steps=steps).load(tmp_path).train.mixture[:, 0]
        jumps.append(mixture.diff(dim=1).abs().amax(1).median().item())
    assert jumps[0] < 0.2 < 0.7 < jumps[1]


def test_three_quarters_are_filtered_with_their_sources(tmp_path):
    loaded = replace(PLAIN, filtered=0.75, item_samples=1000, train=150).load(tmp_path).train
    rest = loaded.mixture[:, 0] - loaded.sources[:, :, 0].sum(1)
    power = torch.fft.rfft(rest.double()).abs().square()
    frequencies = torch.fft.rfftfreq(1000, 1 / 250)
    muffled = power[:, frequencies > 110].sum(1) < 0.02 * power[:, (frequencies > 15) & (frequencies < 30)].sum(1)
    assert muffled.float().mean().item() > 0.6
    for signal in (loaded.mixture, loaded.sources):
        assert np.abs(np.median(signal.numpy(), axis=-1)).max() <= 2**-14


@pytest.mark.parametrize(("rate", "made_at"), [(128, 256), (200, 400), (250, 250), (360, 360)])
def test_hearts_are_made_at_a_rate_that_holds_them(rate, made_at, tmp_path, monkeypatch):
    rates = set()

    def ramp(of, shape, widening, rate, samples):
        """A wave of 2 Hz that begins with the item, whatever the rate that it is made at."""
        rates.add(rate)
        return np.tile(np.sin(4 * np.pi * (np.arange(samples) / rate - varied_ecg.MARGIN)), (len(of.times), 1, 1))

    monkeypatch.setattr(varied_ecg, "drawn", ramp)
    loaded = replace(PLAIN, train=4, sample_rate=rate, item_samples=2 * rate).load(tmp_path).train
    assert rates == {made_at}
    wave = np.sin(4 * np.pi * np.arange(2 * rate) / rate)
    np.testing.assert_allclose(loaded.sources[0, 0, 0].numpy(), wave, atol=1e-4)


def test_real_noise_is_taken_from_a_stretch_of_its_own_for_each_split(tmp_path):
    tone = np.sin(2 * np.pi * 40 * np.arange(60 * 250) / 250)
    tone[42 * 250 :] = np.sin(2 * np.pi * 70 * np.arange(18 * 250) / 250)  # the last 30% of the minute
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "tone.wav", tone / 2, 250)
    config = replace(PLAIN, noise_folder=str(tmp_path / "noise"), validation=40, item_samples=1000, train=40)
    loaded = config.load(tmp_path / "cache")
    frequencies = torch.fft.rfftfreq(1000, 1 / 250)
    for split, there in (("train", 40), ("validation", 70)):
        items = getattr(loaded, split)
        power = torch.fft.rfft(items.mixture[:, 0] - items.sources[:, :, 0].sum(1)).abs()
        at = {hertz: float(power[:, frequencies == hertz].square().mean()) for hertz in (40, 70)}
        assert at[there] > 20 * at[110 - there]
    with pytest.raises(UsageError, match=r"nothing has no recordings \(--task\.noise-folder\)$"):
        replace(DEBUG, noise_folder=str(tmp_path / "nothing")).load(tmp_path)


def test_noise_that_cannot_be_divided_among_the_splits_is_refused(tmp_path):
    for samples, wanted in ((9, False), (10, True)):
        soundfile.write(tmp_path / "tone.wav", np.sin(np.arange(float(samples))) / 2, 250)
        config = replace(DEBUG, noise_folder=str(tmp_path))
        if wanted:
            assert config.load(tmp_path / "cache").test.mixture.isfinite().all()
        else:
            with pytest.raises(UsageError, match=r"tone\.wav is too short for noise: 9 samples at 250 Hz$"):
                config.load(tmp_path / "cache")


@pytest.mark.parametrize("changes", [{"without_fetus": 1}, {"mains": -0.1}, {"fetal_bpm": (150, 100)}, {"train": 1}])
def test_values_out_of_range_are_refused(changes):
    with pytest.raises(UsageError, match=f"^{next(iter(changes))} must be"):
        replace(ecg_varied.DEBUG, **changes)


def test_files_in_a_folder_of_noise_that_are_not_read_are_named(tmp_path, capfd):
    folder = tmp_path / "noise"
    folder.mkdir()
    for name in ("BW.mat", "EM.mat", ".DS_Store"):
        (folder / name).write_bytes(b"MATLAB 5.0")
    config = replace(DEBUG, noise_folder=str(folder))
    with pytest.raises(
        UsageError, match=r"noise has no recordings .*; it has \.mat, and these are read: \.\w+, .*\.hea"
    ):
        config.load(tmp_path)
    soundfile.write(folder / "tone.wav", np.sin(np.arange(500.0)) / 2, 250)
    config.load(tmp_path)
    first, *names = capfd.readouterr().err.splitlines()
    assert first.startswith(f"{folder}: left out 2 of 3 files, which are of no kind that is read (convert them to CSV,")
    assert names == ["  BW.mat", "  EM.mat"]
