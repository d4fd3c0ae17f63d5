"""The beginning of a report: the answer, its table, and the champion's settings."""

import dataclasses
import html
import re

import pytest

from sepray.console.shell_commands import from_this_shell
from sepray.report import answer, report
from sepray.scoring import answer_words
from sepray.scoring.answers import Answer, Contrast, Effect, Importance
from sepray.scoring.explanation import Change, explained

from .studies import study_results, text_of

EFFECT = Effect(-0.00775, -0.013, -0.0025, 0.25, 0.008, 0.016)
CONTRAST = Contrast("trial 7", "plain", 8, 5, {"mean": EFFECT, "low": EFFECT}, True, False, None)
ANSWER = answer_words.with_sentence(Answer("relative_l2", "mean", (CONTRAST,), Importance("learning_rate", 0.73)))
SETTINGS = {"adversarial": 0, "learning_rate": 0.012345678}


def with_answer(results, told=ANSWER, **changes):
    kept = {**results.result, "answer": told and told.plain(), **changes}
    return dataclasses.replace(results, result=kept)


RATE = Change("rate", 1e-05, 0.0123456, {})
VALUES = ({1: 0.9, 2: 0.91, 3: 0.92}, {1: 0.3, 2: 0.32, 3: 0.31})
PATH = explained(
    "p", "the published settings 'p'", "relative L2 error", "minimize", "greedy", 3, 12, VALUES[0], [(RATE, VALUES[1])]
)


def test_report_begins_with_the_answer_the_settings_and_their_ablation_path_and_then_shows_items(finished, undrawn):
    page = report.build(with_answer(finished, hyperparameters=SETTINGS, explanation=PATH.plain())).html
    assert f'<p class="lead">{ANSWER}</p>' in page
    assert re.findall(r'<h2 id="([^"]+)"', page)[:5] == ["answer", "settings", "explanation", "items", "result"]
    assert 'id="discriminators"' not in page  # which never trained; tests/report/test_report.py has others
    text = html.unescape(" ".join(text_of(page).split()))
    assert "Which setting earned what From the published settings 'p' to the champion's settings, relative L2" in text
    assert "rate 1e-05 -> 0.01235 0.310 -0.600 [-0.625, -0.575] 100% all steps together 0.310" in text
    assert "sepray explain small" not in text
    assert (
        "relative L2 error on the test split: difference to plain. arm mean low p claim trial 7 -3.1% [-5.2, -1.0]"
        in text
    )
    assert "setting value adversarial 0 learning_rate 0.01235" in text
    assert "sepray show small --settings" in text


@pytest.mark.slow
def test_without_an_answer_the_champion_leads(finished):
    page = report.build(finished).html
    assert '<p class="lead">The champion, trial 7, has a relative L2 error of 0.3 on test (low 0.3, high 0.3).' in page
    assert re.findall(r'<h2 id="([^"]+)"', page)[:2] == ["items", "result"]


def test_answer_without_arms_has_no_table(finished):
    told = answer_words.with_sentence(Answer("relative_l2", "mean", (), Importance("beta", 0.5)))
    assert answer.arms(with_answer(finished, told)) is None
    assert answer.arms(with_answer(finished, None)) is None


def test_commands_are_such_as_the_readers_shell_finds_and_edges_come_first(finished, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    results = with_answer(finished, hyperparameters=SETTINGS)
    edge = "learning_rate 0.01235 is at the upper end of its range (1e-5 to 0.0125): widen it"
    results = dataclasses.replace(results, result={**results.result, "edges": [edge]})
    text = text_of(answer.settings(results))
    command = from_this_shell("sepray show small --settings")
    assert command != "sepray show small --settings"
    assert f"{edge}. As a file that studies take: {command}. Which" in text
    assert from_this_shell("sepray report small") in text_of(report._next_steps(results))


def test_study_that_is_not_finished_has_neither(tmp_path):
    results = study_results(tmp_path, [])
    assert answer.arms(results) is None
    assert answer.settings(results) is None


@pytest.mark.slow
def test_spectrograms_are_folded_and_waveforms_are_not(finished):
    page = report.build(finished).html
    folded = re.findall(r"<details>.*?</details>", page)
    assert len(folded) == 3
    assert all("Spectrograms of the" in part and "Waveforms" not in part for part in folded)


@pytest.mark.slow
def test_report_without_a_path_says_which_command_makes_it(finished):
    results = with_answer(finished, hyperparameters=SETTINGS)
    assert answer.path(results) is None
    assert "Which of them earned what: sepray explain small" in " ".join(text_of(report.build(results).html).split())
