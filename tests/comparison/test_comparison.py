"""The arithmetic and the writing of a comparison's table, and who takes part in it."""

import csv
import importlib.util
import io
import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution
from rich.console import Console

from search_spaces import cass_published as published_space
from search_spaces import sepgan as sepgan_space
from sepray.comparison import figure, formats, running, table
from sepray.comparison.contenders import Contender, LeftOut, contenders, task_config
from sepray.comparison.running import Entry, Outcome
from sepray.comparison.spec import Comparison, assignment, parse
from sepray.console.exit_status import format_error
from sepray.contracts import Signal, Split, TaskData
from sepray.errors import UsageError
from sepray.registry import UnknownNameError
from sepray.separators import cass_published, sepgan
from sepray.spec.study import StudySpec
from sepray.tasks import notes_and_bursts

from ..end_to_end.conftest import SEPARATOR, TASK

STUDY = Path(__file__).parents[2] / "studies" / "compare_separators.py"
SIGNAL = Signal(("low", "high"), 1, (256,), 128.0)
SPACE = {"learning_rate": FloatDistribution(1e-4, 1e-1, log=True), "weight": FloatDistribution(0.0, 2.0)}
PAPER = {"careful": {"learning_rate": 1e-3, "weight": 1.0}, "Bold & fast": {"learning_rate": 1e-2, "weight": 2.0}}
SPACES = {"my_separator": (SPACE, PAPER)}


# --- tables


def entry(key: str, system: str, si_sdr: list, missing: str = "") -> Entry:
    """An entry whose scores of the first source are given, ``[seed][item]``, those of the second 2 dB above."""
    first = np.array(si_sdr, dtype=float)
    values = np.stack((first, first + 2), axis=2)
    contender = Contender(key, system, None, {}, {}, 12_345, "paired")
    scores = {"si_sdr": values, "relative_l2": 10 ** (-values / 20)}
    return Entry(contender, scores, {"learning_rate": 0.01}, 12.345, 0.0021, missing, f"uid-{key}")


@pytest.fixture(scope="module")
def data() -> TaskData:
    generator = torch.Generator().manual_seed(0)
    sources = torch.randn(4, 2, 1, 256, generator=generator)
    split = Split(sources.sum(1), sources)
    return TaskData(SIGNAL, split, split, split, "ab" * 32)


OUTCOME = Outcome(
    [
        entry(
            "poor", "poor_one (50% & {more})", [[1, 2, 3, 4], [2, 3, 4, 5]], "1 of 3 seeds failed: loss | not finite"
        ),
        entry("good", "good", [[5, 6, 7, 8], [7, 8, 9, 10]]),
    ],
    [LeftOut("broken", "RuntimeError: no $ left_over")],
)


@pytest.fixture(scope="module")
def built(data) -> table.Table:
    return table.build(Comparison(final_seeds=3, task="my_task"), data, OUTCOME)


def test_rows_are_ranked_and_tested_against_the_best(built):
    oracles = [f"oracle: {name}" for name in ("ideal ratio mask", "phase sensitive mask", "mixture phase")]
    assert [row.system for row in built.rows] == ["good", "poor_one (50% & {more})", "unprocessed mixture", *oracles]
    assert built.reference == "good"
    good, poor, mixture = built.rows[:3]
    assert good.cells["si_sdr", "low"].mean == pytest.approx(7.5)
    assert good.cells["si_sdr", "mean"].mean == pytest.approx(8.5)
    assert good.cells["si_sdr", "mean"].seed_sd == pytest.approx(math.sqrt(2))
    assert good.cells["si_sdr", "mean"].test is None
    # Four items against four, all below: 2 of the 70 ways to share out eight ranks. The mixture's is as small.
    assert poor.cells["si_sdr", "mean"].test.p == pytest.approx(2 / 70)
    assert poor.cells["si_sdr", "mean"].test.p_holm == pytest.approx(2 * 2 / 70)
    assert mixture.cells["si_sdr", "mean"].test.u == 0
    assert all(cell.test is None for row in built.rows[3:] for cell in row.cells.values())
    assert set(built.best.values()) == {"good"}  # an oracle is never the best


def test_reference_may_be_chosen_and_the_caption_says_so(data):
    found = table.build(Comparison(reference="poor"), data, OUTCOME)
    assert found.reference == "poor_one (50% & {more})"
    assert "against poor_one (50% & {more}), the reference, Holm-corrected for 2 tests" in found.caption


def test_csv_reads_back_to_the_same_figures(built):
    lines = list(csv.DictReader(io.StringIO(formats.comma_separated(built))))
    assert [line["system"] for line in lines] == [*(row.system for row in built.rows), "broken"]
    assert [line["kind"] for line in lines] == ["separator"] * 2 + ["bound"] * 4 + ["left out"]
    for row, line in zip(built.rows, lines, strict=False):
        for (measure, column), cell in row.cells.items():
            assert float(line[f"{measure}/{column}/mean"]) == cell.mean
            assert float(line[f"{measure}/{column}/high"]) == cell.high
            p = line[f"{measure}/{column}/p_holm"]
            assert (float(p) == cell.test.p_holm) if cell.test else p == ""
    assert json.loads(lines[0]["hyperparameters"]) == {"learning_rate": 0.01}
    assert (lines[0]["reference"], lines[1]["reference"], lines[0]["seeds"]) == ("1", "0", "2")
    assert lines[1]["note"] == "1 of 3 seeds failed: loss | not finite"
    assert lines[-1]["note"] == "RuntimeError: no $ left_over"


def test_every_score_reads_back(built):
    lines = list(csv.DictReader(io.StringIO(formats.scores(built, ["low", "high"]))))
    assert len(lines) == (2 * 2 + 4) * 4 * 2
    good = [line for line in lines if line["system"] == "good" and line["seed"] == "1"]
    assert [float(line["si_sdr"]) for line in good if line["source"] == "high"] == [9, 10, 11, 12]


def test_markdown_has_a_cell_a_column_and_the_best_in_bold(built):
    lines = [line for line in formats.markdown(built).splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert len({len(line) for line in cells}) == 1
    assert "SI-SDR (dB) ↑: mean" in lines[0]
    assert "relative L2 error ↓: low" in lines[0]
    assert lines[2].startswith("| good | **7.50 [")
    assert " ref. " in lines[2]
    assert " 0.057 " in lines[3]
    assert r"loss \| not finite" in lines[3]
    assert lines[-1].endswith("no figures: RuntimeError: no $ left_over |")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 50% #1 $x", r"a\_b \& 50\% \#1 \$x"),
        ("{~^}", r"\{\textasciitilde{}\textasciicircum{}\}"),
        ("C:\\x <1|2>", r"C:\textbackslash{}x \textless{}1\textbar{}2\textgreater{}"),
        ("authors' code", "authors' code"),
    ],
)
def test_latex_escapes(text, escaped):
    assert formats.escape(text) == escaped


def test_latex_is_balanced_and_has_a_cell_a_column(built):
    text = formats.latex(built)
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])
    for line in body.splitlines():
        if line.endswith(r"\\"):
            spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
            assert len(re.findall(r"(?<!\\)&", line)) + 1 + sum(spans) - len(spans) == columns, line
    plain = re.sub(r"\\\\|\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    assert r"poor\_one (50\% \& \{more\}) & \shortstack[r]{3.00\\{\scriptsize [" in text
    assert r"\shortstack[r]{\textbf{7.50}\\" in text
    assert rf"broken & \multicolumn{{{columns - 1}}}{{l}}{{no figures: RuntimeError: no \$ left\_over}} \\" in text
    assert r"poor\_one (50\% \& \{more\}): 1 of 3 seeds failed: loss \textbar{} not finite." in text


def test_terminal_shows_every_system_and_why_one_has_no_figures(built):
    console = Console(width=150, record=True, file=io.StringIO())
    for part in formats.terminal(built):
        console.print(part)
    text = console.export_text()
    assert text.count("poor_one (50% & {more})") == 3
    assert "12.3k" in text
    assert "no figures: RuntimeError: no $ left_over" in text
    assert "Mann-Whitney" in text


def test_figures_show_every_measure_and_say_it_in_words(built):
    shown = figure.pictures(built)
    assert [p.name for p in shown] == ["si_sdr.svg", "si_sdr.png", "relative_l2.svg", "relative_l2.png"]
    assert shown[0].content.startswith(b"<?xml")
    assert shown[1].content.startswith(b"\x89PNG")
    assert "good 8.50, poor_one (50% & {more}) 4.00, unprocessed mixture" in shown[0].description
    assert [p.content for p in figure.pictures(built)] == [p.content for p in shown]


def test_single_separator_and_a_measure_that_a_source_has_not(data):
    one = entry("good", "good", [[5, 6, 7, 8]])
    scores = {**one.scores, "heart_rate_error": np.array([[[math.nan, 2.0]] * 4])}
    with pytest.MonkeyPatch.context() as patch:
        bounds = {"unprocessed mixture": {name: values[0] for name, values in scores.items()}}
        patch.setattr(table.tables, "references", lambda *_: bounds)
        alone = Outcome([Entry(**{**vars(one), "scores": scores})])
        found = table.build(Comparison(measures=("heart_rate_error",)), data, alone)
    assert ("heart_rate_error", "low") not in found.rows[0].cells
    assert found.rows[0].cells["heart_rate_error", "mean"].mean == 2
    assert found.rows[1].cells["heart_rate_error", "mean"].test.p == 1
    assert "| good | - | **2.00 [2.00, 2.00]**" in formats.markdown(found)
    assert r"good & - & \shortstack" in formats.latex(found)


@pytest.mark.parametrize(
    ("shape", "frame"), [((504,), (64, 16)), ((4096,), (512, 128)), ((10**6,), (1024, 256)), ((20,), (16, 4))]
)
def test_oracles_frames(shape, frame):
    assert table.transform(shape) == frame


def test_figures_are_written_short():
    assert [table.number("si_sdr", v) for v in (-0.001, 7.456, -12.0)] == ["0.00", "7.46", "-12.00"]
    assert table.number("relative_l2", 0.12345) == "0.123"
    assert [table.p_value(p) for p in (0.0004, 0.05, 1.0)] == ["<0.001", "0.050", "1.000"]
    assert [table.count(n) for n in (0, 999, 12_345, 5_509_825)] == ["0", "999", "12.3k", "5.51M"]
    assert [table.seconds(s) for s in (0.01234, 31.46, 4321.5)] == ["0.0123", "31.5", "4322"]


# --- who takes part


@pytest.fixture
def own_modules(tmp_path, monkeypatch):
    """A user's own separator, one that refuses, and a task."""
    build, refusal = (
        "return Filters(signal, self)",
        "from sepray.errors import UsageError; raise UsageError('images [only]')",
    )
    refuses, broken = (
        SEPARATOR.replace(build, refusal),
        SEPARATOR.replace(build, "return torch.ones(2) + torch.ones(3)"),
    )
    for name, text in (("my_separator", SEPARATOR), ("picky", refuses), ("broken", broken), ("my_task", TASK)):
        (tmp_path / f"{name}.py").write_text(text.lstrip())
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("my_separator", "picky", "broken", "my_task"):
        sys.modules.pop(name, None)


def test_contender_has_its_first_published_setting_and_nothing_varies(own_modules):
    comparison = Comparison(separators=("my_separator", "picky"))
    [found], [refused] = contenders(comparison, SPACES, SIGNAL)
    assert (found.key, found.system) == ("my_separator", "my_separator (careful)")
    assert found.points == {"careful": PAPER["careful"]}
    assert found.space == {k: CategoricalDistribution([v]) for k, v in PAPER["careful"].items()}
    assert found.parameters == 2 * 9
    assert found.supervision == "paired"
    assert refused == LeftOut("picky", "images [only]")
    assert refused.bug is None
    assert comparison.study("x", found.config, "ecg", found.space, found.points).budget.trials == 1


def test_contender_is_searched_from_all_its_published_settings(own_modules):
    comparison = Comparison(separators=("my_separator",), trials=7)
    [found], _ = contenders(comparison, SPACES, SIGNAL)
    assert found.system == "my_separator"
    assert dict(found.space) == SPACE
    assert dict(found.points) == PAPER
    assert comparison.study("x", found.config, "ecg", found.space, found.points).budget.trials == 7


def test_given_settings_go_to_the_config_or_fix_a_hyperparameter(own_modules):
    given = ("my_separator.taps=5", "my_separator.betas=0.5,0.9", "my_separator.weight=0.5")
    comparison = Comparison(separators=("my_separator",), settings=given, trials=7)
    [found], _ = contenders(comparison, SPACES, SIGNAL)
    assert (found.config.taps, found.config.betas) == (5, (0.5, 0.9))
    assert found.space["weight"] == CategoricalDistribution([0.5])
    assert found.space["learning_rate"] == SPACE["learning_rate"]
    assert {p["weight"] for p in found.points.values()} == {0.5}
    assert found.system == "my_separator (taps 5, betas 0.5,0.9, weight 0.5)"


def test_named_setting_is_a_row_of_its_own(own_modules):
    both = Comparison(separators=("my_separator", "my_separator:bold & FAST"), reference="my_separator:bold & FAST")
    first, second = contenders(both, SPACES, SIGNAL)[0]
    assert (second.key, second.system) == ("my_separator-bold-FAST", "my_separator (Bold & fast)")
    assert second.points == {"Bold & fast": PAPER["Bold & fast"]}
    assert first.key != second.key


def test_named_configuration_has_its_own_space_or_that_of_the_separator():
    modules = {"cass_published": published_space, "sepgan": sepgan_space}
    spaces = {name: (module.SPACE, module.PAPER) for name, module in modules.items()}
    asked = Comparison(separators=("sepgan:small", "cass:published_small"), trials=3)
    found = contenders(asked, spaces, notes_and_bursts.DEBUG.load(Path()).signal)[0]
    assert [one.config for one in found] == [sepgan.SMALL, cass_published.SMALL]
    assert [one.system for one in found] == ["sepgan:small", "cass:published_small"]
    assert dict(found[0].space) == sepgan_space.SPACE
    assert "cross.notes_to_bursts" in found[1].space


def test_separator_without_a_space_has_its_defaults_searched_or_not(own_modules):
    for trials in (0, 5):
        comparison = Comparison(separators=("my_separator",), trials=trials)
        [found], _ = contenders(comparison, {}, SIGNAL)
        assert found.system == "my_separator"
        assert found.points == {"defaults": {"learning_rate": 1e-2, "weight": 1.0}}
        assert comparison.study("x", found.config, "ecg", found.space, found.points).budget.trials == 1


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"separators": ("my_separator:slow",)},
            "my_separator has no published setting 'slow'; there are: careful, Bol",
        ),
        ({"settings": ("my_separator.tapes=3",)}, "my_separator has no 'tapes' in its Config, nor among its hyperpar"),
        ({"settings": ("my_separator.weight=much",)}, "my_separator.weight must be a number, not 'much'"),
        ({"settings": ("my_separator.taps=few",)}, "--settings of my_separator: "),
        ({"separators": ("picky",)}, "no separator takes the signal of notes_and_bursts: picky: images"),
        ({"measures": ("psnr",)}, "--measures psnr: psnr measures images"),
    ],
)
def test_contenders_are_refused_in_one_line(own_modules, changes, line):
    comparison = Comparison(**{"separators": ("my_separator",), **changes})
    with pytest.raises(UsageError, match=re.escape(line)):
        contenders(comparison, SPACES, SIGNAL)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--trials -1", "--trials must be at least 0, not -1"),
        ("--measures loudness", "--measures must be of relative_l1"),
        ("--measures si_sdr si_sdr", "each once"),
        ("--separators cass cass", "--separators must name each once"),
        ("--separators cass --settings nmf.width=3", "'nmf' is neither one of the separators nor task"),
        ("--settings width=3", "does not have the form SEPARATOR.FIELD=VALUE"),
        ("--separators cass --reference nmf", "--reference 'nmf' is not among the separators cass"),
        ("--max-epochs 0", "--max-epochs must be at least 1, not 0"),
        ("--separators casss", "unknown separator 'casss'"),
        ("--task eeg", "unknown task 'eeg'"),
        ("--sheduler none", "unknown: --sheduler"),
        ("--scheduler no", "unknown scheduler 'no'"),
    ],
)
def test_command_line_is_refused_in_one_line(arguments, line):
    with pytest.raises((UsageError, UnknownNameError), match=re.escape(line)) as refusal:
        parse(Comparison(), arguments.split()).check()
    assert "\n" not in str(refusal.value)


def test_setting_may_name_a_hyperparameter_with_dots():
    assert assignment("cass.cross.a_to_b=0.1") == ("cass", "cross.a_to_b", "0.1")


def test_task_takes_its_settings(own_modules):
    assert task_config(Comparison(task="my_task", settings=("task.items=7", "task.seed=3"))).items == 7
    with pytest.raises(UsageError, match="the task my_task has no pieces; it has items, seed"):
        task_config(Comparison(task="my_task", settings=("task.pieces=7",)))


def test_setting_with_the_methods_own_name_is_not_told_twice(own_modules):
    named = {"my_separator": (SPACE, {"My Separator": PAPER["careful"]})}
    assert contenders(Comparison(separators=("my_separator",)), named, SIGNAL)[0][0].system == "my_separator"
    empty = {"my_separator": ({}, {"my-separator": {}})}
    [found], _ = contenders(Comparison(separators=("my_separator",), trials=9), empty, SIGNAL)
    assert (found.system, dict(found.space), found.points) == ("my_separator", {}, {"my-separator": {}})


def test_parameters_are_weights_or_what_a_method_without_gradients_fits():
    comparison = Comparison(separators=("nmf", "constant_mask"), settings=("nmf.components=3",))
    nmf, mask = contenders(comparison, {}, Signal(("low", "high"), 1, (4096,), 8000.0))[0]
    assert nmf.parameters == 2 * 3 * 129  # two sets of bases, of the bins of a window of 25 ms: 256 samples
    assert mask.parameters == 0


# --- running


def taking_part() -> list[Contender]:
    return [Contender(name, name, None, {"x": CategoricalDistribution([1])}, {}, 0, "paired") for name in "abc"]


def test_bug_in_one_separator_is_kept_with_its_traceback_and_stops_no_other(own_modules):
    [found], [left] = contenders(Comparison(separators=("broken", "my_separator")), SPACES, SIGNAL)
    assert found.key == "my_separator"
    assert (left.system, left.reason.partition(":")[0]) == ("broken", "RuntimeError")
    assert "broken.py" in format_error("broken", left.bug)


@pytest.fixture
def no_specs(monkeypatch):
    """Studies are not made: what becomes of them is each test's own."""
    monkeypatch.setattr(Comparison, "study", lambda *_: None)


def test_one_that_fails_costs_the_others_nothing(monkeypatch, no_specs, data):
    def run(spec, contender, _):
        if contender.key == "b":
            raise RuntimeError("no such\nlayer")
        if contender.key == "c":
            return LeftOut("c", "no training ran to its end: loss is not finite")
        return entry(contender.key, contender.system, [[1, 2, 3, 4]])

    monkeypatch.setattr(running, "_run", run)
    outcome = running.run_all(Comparison(), None, data, taking_part())
    assert [e.contender.key for e in outcome.entries] == ["a"]
    assert outcome.left_out[0] == LeftOut("b", "RuntimeError: no such; layer")
    assert outcome.left_out[1].system == "c"
    assert isinstance(outcome.left_out[0].bug, RuntimeError)
    assert outcome.left_out[1].bug is None


@pytest.mark.parametrize("stage", ["search", "finals"])
def test_study_without_a_sound_trial_says_what_became_of_the_last(stage, tmp_path):
    storage = f"sqlite:///{tmp_path}/optuna.db"
    searched = optuna.create_study(storage=storage, study_name="lab-x")
    failed = searched
    if stage == "finals":
        searched.add_trial(optuna.trial.create_trial(value=1.0))
        failed = optuna.create_study(storage=storage, study_name="lab-x/finals")
    for reason in ("another", "mse of phase filters is not finite"):
        attributes = {"outcome": {"tag": "diverged", "reason": reason}}
        failed.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs=attributes))
    spec = StudySpec(name="lab-x", separator="cass", task="ecg", space={}, storage=storage)
    assert running._why(spec, searched) == "no training ran to its end: mse of phase filters is not finite"


def test_no_more_seeds_count_than_are_asked_for():
    trials = [optuna.trial.create_trial(value=1.0, user_attrs={"label": f"trial 0 seed {k}"}) for k in (1, 2, 10)]
    assert [running._asked(trial, 2) for trial in trials] == [True, True, False]


def test_interruption_ends_the_comparison(monkeypatch, no_specs, data):
    ran = []
    monkeypatch.setattr(running.study, "run", lambda spec: ran.append(spec) or 130)
    with pytest.raises(KeyboardInterrupt):
        running.run_all(Comparison(), None, data, taking_part())
    assert len(ran) == 1


def test_study_file_is_short_and_knows_every_search_space():
    module_spec = importlib.util.spec_from_file_location("compare_separators", STUDY)
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    assert Comparison().task == "notes_and_bursts"  # what study.compare starts from
    found = module.spaces()
    names = {p.stem for p in (STUDY.parent.parent / "search_spaces").glob("*.py")} - {"__init__"}
    assert set(found) == names
    assert found["cass"][1]["CASS"]["beta"] == 0.1
