"""MLflow's pages of a study."""

import re

import pytest

pytestmark = pytest.mark.browser

NAME = ".ag-cell[col-id*='Run Name']"


def test_printed_link_opens_the_runs_nested_under_their_study(study, open_page):
    page = open_page(study.link)
    page.locator(f"{NAME} a").first.wait_for()
    assert page.locator(f"{NAME} a").all_inner_texts() == ["lab"]  # the others are folded away
    page.locator(f"{NAME} button").click()
    page.locator(f"{NAME} a").nth(1).wait_for()
    names = page.locator(f"{NAME} a").all_inner_texts()
    trials = study.laboratory.trials()
    assert names[0] == "lab"
    assert len(names) == 1 + len(trials) + len(study.laboratory.trials("lab/finals"))
    for trial in trials:
        [name] = [name for name in names if name.startswith(f"{trial.number:03d} · ")]
        told = {"complete": f"{trial.value or 0:#.4g}", "pruned": "stopped early", "diverged": "failed: diverged"}
        assert name.split(" · ")[1] == told[trial.user_attrs["outcome"]["tag"]]
    sources = page.locator(".ag-cell[col-id*='Source']").all_inner_texts()
    assert set(map(str.strip, sources)) == {"study.py"}
    data = page.locator(".ag-cell[col-id*='Dataset']").all_inner_texts()
    assert len(data) == len(names)
    assert all(text.startswith("my_task (") for text in data)


def test_study_has_its_answer_and_a_chart_of_the_best_so_far(study, open_page):
    page = open_page(study.link)
    page.locator(f"{NAME} a").first.click()
    page.get_by_text(study.answer).first.wait_for()
    page.get_by_text("Model metrics").click()
    page.get_by_text("best so far").first.wait_for()
    page.locator(".js-plotly-plot").first.wait_for()


def test_registered_model_and_its_version_have_the_answer(study, open_page):
    for place in ("/models/my-separator-my-task", "/models/my-separator-my-task/versions/1"):
        page = open_page(study.at(place))
        page.get_by_text(study.answer).first.wait_for()
        page.get_by_text("Settings of the champion").first.wait_for()


def test_logged_model_shows_its_version_its_scores_and_their_data(study, open_page):
    [(model_id, experiment)] = study.laboratory.query("select model_id, experiment_id from logged_models")
    page = open_page(study.at(f"/experiments/{experiment}/models/{model_id}"))
    page.get_by_text("v1", exact=True).wait_for()
    page.get_by_text("test/relative_l2").first.wait_for()
    page.get_by_text(re.compile(r"^my_task \(")).first.wait_for()
    page.get_by_text(study.answer).first.wait_for()
