"""``sepray reproduce`` of a registered model: what is refused before anything is trained."""

import pytest


@pytest.mark.parametrize("model", ["models:/cass-kept-task/1", "models:/cass-kept-task@champion"])
def test_model_of_an_older_commit_says_what_is_missing_and_what_to_give_instead(run, kept, model):
    study = {"1": "finished"}.get(model[-1], "published")
    assert run("reproduce", model, status=2) == (
        f"sepray: {model} does not name its training, because an older version packaged it; name the training "
        f"yourself: sepray reproduce {study} (its champion), or sepray reproduce {study} --trial final-0\n"
    )


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("models:/nobody/1", "models:/nobody/1: there is no registered model 'nobody' in sqlite:///"),
        (
            "models:/cass-kept-task",
            "'models:/cass-kept-task' is not the address of a model; give models:/NAME@champion ",
        ),
        ("./nothing", "./nothing is neither a folder with a model (no MLmodel in it) nor an address such as "),
    ],
)
def test_model_that_is_not_there_is_refused(run, kept, model, words):
    assert run("reproduce", model, status=2).startswith(f"sepray: {words}")
