"""The benchmarks compare like with like."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from scipy.stats import qmc

from sepray import registry
from sepray.contracts import Split
from sepray.scoring import real_records
from sepray.spec.parts import Search
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def benchmark(name):
    if str(BENCHMARKS) not in sys.path:
        sys.path.append(str(BENCHMARKS))  # as for a script: modules beside it
    module_spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_spec.name] = module  # dataclasses look there for their annotations
    module_spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def methods():
    return benchmark("methods")


@pytest.fixture(autouse=True)
def one_thread():
    """The networks are too small to share out, and a busy machine waits for all of its threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data():
    config = registry.find("sepray.tasks", "notes_and_bursts").Config(train=8, validation=2, test=2, item_samples=1024)
    return config.load(Path())


@pytest.mark.parametrize("name", registry.names("sepray.separators"))
def test_loop_by_hand_trains_to_the_trainers_weights(name, methods, data):
    """Two epochs of the same losses, batches and random numbers: the loop leaves out bookkeeping, and no work."""
    config = registry.find("sepray.separators", name).DEBUG
    states = []
    for by_hand in (False, True):
        separator = build(config, data.signal, 0)
        if not separator.learns:
            pytest.skip("learns nothing: there is no loop")
        seen = view(data.train, separator.supervision, torch.Generator().manual_seed(0), separator.paired_fraction)
        if by_hand:
            epoch = methods.by_hand(separator, seen, 0, 4, config.betas).__next__
        else:
            epoch = Trainer(separator, seen, {}, 0, 4, config.betas).epoch
        for _ in range(2):
            epoch()
        states.append(separator.state_dict())
    start = build(config, data.signal, 0).state_dict()
    moved = [k for k, v in states[0].items() if k not in start or v.shape != start[k].shape or not v.equal(start[k])]
    assert moved, "the epochs changed nothing"
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-4, atol=1e-6, msg=f"{name}: {key}")


@pytest.fixture(scope="module")
def startup():
    module_spec = importlib.util.spec_from_file_location("benchmarks_startup", BENCHMARKS / "startup.py")
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module


def test_cpu_time_is_the_processs_own_and_failures_are_told(startup, tmp_path):
    """Time in which a process sleeps, or another one works, is not counted."""
    working = "import time, pathlib; pathlib.Path('here').touch()\nwhile time.process_time() < 0.5: pass"
    assert 0.5 <= startup.cpu_seconds(["-c", working], tmp_path) < 1
    assert (tmp_path / "here").exists()
    assert startup.cpu_seconds(["-c", "import time; time.sleep(0.5)"], tmp_path) < 0.4
    with pytest.raises(RuntimeError, match=r"(?s)^-c raise ValueError\(7\): exit status 1\n.*ValueError: 7"):
        startup.cpu_seconds(["-c", "raise ValueError(7)"], tmp_path)


def test_commands_run_in_turn_after_a_round_that_is_not_counted(startup, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(startup, "cpu_seconds", lambda arguments, folder: ran.append(arguments) or float(len(ran)))
    found = startup.measure({"a": "a", "b": "b", "c": "c"}, tmp_path, rounds=2)
    assert "".join(ran) == "abccbaabc"
    assert found == {"a": [6, 7], "b": [5, 8], "c": [4, 9]}


def test_table_has_medians_and_ratios_to_the_import(startup):
    lines = startup.table({"import torch": [2.0, 4.0, 1.0], "sepray separate": [3.0, 2.5, 9.0]}).splitlines()
    assert [line.split()[-3:] for line in lines[1:]] == [["2.00", "1.00", "1.00x"], ["3.00", "2.50", "1.50x"]]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_command_of_the_startup_benchmark_runs(startup, tmp_path):
    startup.prepare(tmp_path)
    found = startup.measure(startup.COMMANDS, tmp_path, rounds=1)
    assert set(found) == set(startup.COMMANDS)
    assert all(values[0] > 0 for values in found.values())


# -- the replay of searches ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def search():
    return benchmark("search")


def test_surrogate_follows_the_recorded_curves(search):
    """CASS's seeds move an error by 1%, so its curves are met within a few percent."""
    table = json.loads(search.TABLE.read_text())["cass"]
    surrogate = search.surrogate_of("cass")
    for training in table["trainings"]:
        expected, found = training["curve"], surrogate.curve(training["params"])
        assert abs(math.log(found[-1] / expected[-1])) < 0.08, training["params"]
    assert search.TABLE.stat().st_size < 1_000_000


def test_default_search_is_what_a_study_does(search):
    made = search.SEARCHES["default"](search.surrogate_of("cass"), 0, 2)
    chosen = Search()
    assert (chosen.sampler, chosen.scheduler) == ("tpe", "asha")
    rungs = [milestone for milestone, _ in reversed(made._scheduler._brackets[0]._rungs)]
    assert rungs[:2] == [chosen.grace(20), chosen.grace(20) * chosen.reduction_factor]
    assert made._ledger._study.sampler._multivariate is False


def test_replay_is_the_same_every_time_and_counts_every_epoch(search):
    make, surrogate = search.SEARCHES["default"], search.surrogate_of("cass")
    first, again = (search.replay(make, surrogate, 3, 2, 100) for _ in range(2))
    assert first == again
    assert first.excess.keys() == {5}
    assert search.replay(make, surrogate, 4, 2, 100) != first


def test_search_that_knows_good_settings_finds_them_with_its_first_trial(search):
    surrogate = search.surrogate_of("cass")
    grid = qmc.Sobol(len(surrogate.space), seed=0).random(2**10)
    best = grid[surrogate._at(grid)[:, -1].argmin()]
    names = {}
    for (name, d), share in zip(surrogate.space.items(), best, strict=True):
        low, high = (math.log(d.low), math.log(d.high)) if d.log else (d.low, d.high)
        names[name] = math.exp(low + share * (high - low)) if d.log else low + share * (high - low)
    surrogate.references, before = {"known": names}, surrogate.references
    try:
        found = search.replay(
            lambda *given: search.SEARCHES["default"](*given, references="never"), surrogate, seed=0, slots=1, most=20
        )
    finally:
        surrogate.references = before
    assert found.until == 20


def test_detectors_that_raise_are_counted_beside_what_they_found(capsys):
    beats = benchmark("beats")

    def find(signal, rate, range_of):
        if signal[0] < 0:
            raise ValueError("no\n beats")
        return [100, 200]

    signals, true = torch.tensor([[1.0], [-1.0], [-1.0]]).expand(-1, 1000), torch.tensor([[0.4, 0.8]] * 3)
    beats.report("a case", "finder", beats.one_by_one(find), signals, true, (55.0, 115.0), 250.0)
    printed = capsys.readouterr().out
    assert "F1 0.333  missed 0.667  invented 0.000" in printed
    assert "2 raised an error\n" in printed
    assert "2 x ValueError: no beats\n" in printed


def test_threshold_of_faint_fetuses_is_that_of_few_true_ones(capsys):
    """The benchmark runs on fewer items than the threshold was set on."""
    benchmark("beats").faint(300, None)
    printed = capsys.readouterr().out
    at = float(printed.split("2.5%: ")[1].split(",")[0])
    assert at == pytest.approx(real_records.FAINT, abs=0.025)
    assert "template subtraction: 1" in printed


def test_rules_that_join_leads_take_the_surest_lead_or_the_sum():
    leads = benchmark("leads")
    times = torch.arange(2500, dtype=torch.float64)[:, None] / 250
    fetus = torch.exp(-0.5 * ((times - torch.arange(0.1, 10, 0.44)) / 0.006) ** 2).sum(-1)
    noise = torch.randn(2, 2500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pair = (noise[:, None], torch.stack((0.3 * noise[0], fetus))[:, None])
    mother, found = leads.surest(pair)
    assert torch.equal(found[0, 0], fetus)
    assert torch.equal(mother[0, 0], noise[1])
    _, summed = leads.summed((pair[0], torch.stack((0.8 * fetus, -fetus))[:, None]))
    assert abs(float(torch.corrcoef(torch.stack((summed[0, 0], fetus)))[0, 1])) == pytest.approx(1)


@pytest.fixture(scope="module")
def fetal_measures():
    return benchmark("_fetal_measures")


def test_fetal_beats_near_the_mothers_are_hidden(fetal_measures):
    nan = math.nan
    beats = torch.tensor([[[0.5, 1.5, nan], [0.53, 1.0, 1.45]], [[0.02, 2.0, nan], [0.03, 1.98, nan]]]).double()
    expected = torch.tensor([[0.53, nan, nan], [nan, nan, nan]]).double()  # 50 ms are too far, and ends are left out
    torch.testing.assert_close(fetal_measures.hidden(beats, 2.0), expected, equal_nan=True)


def test_windows_of_beats_have_no_mean_and_are_empty_where_there_is_no_beat(fetal_measures):
    signal = torch.arange(100.0)[None] + 5
    cut = fetal_measures.windows(signal, torch.tensor([[0.4, math.nan]]), 100.0)
    assert cut.tolist() == [[[-4, -3, -2, -1, 0, 1, 2, 3, 4], [0] * 9]]


@pytest.mark.parametrize(("factor", "offset"), [(1.0, 0.0), (0.5, 0.0), (-2.0, 3.0)])
def test_fetal_measures_see_size_and_sign_and_no_offset(fetal_measures, factor, offset):
    """Two items of 4 s; in the second no beat is hidden."""
    time = torch.arange(1000) / 250
    fetal = torch.stack([torch.arange(0.2, 4, 0.4), torch.arange(0.2, 4, 0.4)]).double()
    maternal = torch.stack([fetal[0] + 0.8, fetal[0] + 0.2])[:, :4]
    beats = torch.stack([torch.nn.functional.pad(maternal, (0, 6), value=math.nan), fetal], 1)
    true = torch.exp(-0.5 * ((time[:, None] - fetal[0]) / 0.008) ** 2).sum(-1).float().expand(2, 1, -1)
    sources = torch.stack([torch.zeros_like(true), true], 1)
    split = Split(5 * true, sources, beats=beats)
    found = fetal_measures.scores(factor * sources + offset, split, 250.0)
    assert {name: len(values) for name, values in found.items() if len(values) != 1} == {
        "left of hers": 0,
        "relative L2": 2,
        "beat F1": 2,
        "spectrum, dB": 2,
    }
    assert found["hidden slope"] == pytest.approx(factor)
    assert found["hidden relative L2"] == pytest.approx(abs(1 - factor))
    assert found["hidden sizes"] == pytest.approx(abs(math.log(abs(factor))), abs=1e-6)
    assert found["hidden recall"] == found["beat F1"][0] == 1
    assert found["spectrum, dB"] == pytest.approx(abs(20 * math.log10(abs(factor))), abs=0.02)


def test_what_is_left_of_the_mother_is_measured_where_there_is_no_fetus(fetal_measures):
    time = torch.arange(1000) / 250
    beats = torch.full((2, 2, 5), math.nan, dtype=torch.float64)
    beats[:, 0] = torch.arange(0.4, 4, 0.8)
    beats[0, 1] = beats[0, 0]
    maternal = torch.exp(-0.5 * ((time[:, None] - beats[0, 0]) / 0.01) ** 2).sum(-1).float().expand(2, 1, -1)
    sources = torch.stack([maternal, torch.stack([maternal[0], 0 * maternal[1]])], 1)
    estimates = torch.stack([maternal, -0.1 * maternal], 1)
    found = fetal_measures.scores(estimates, Split(sources.sum(1), sources, beats=beats), 250.0)
    assert found["left of hers"] == pytest.approx(math.log(0.1), abs=1e-5)
