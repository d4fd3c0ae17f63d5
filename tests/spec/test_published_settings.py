"""Published settings: how long they are trained, and what their rows are called."""

import pytest

from sepray.errors import UsageError
from sepray.shipped import search_spaces
from sepray.spec.parts import Budget
from sepray.spec.published_settings import own_epochs, require_epochs, row_title


@pytest.mark.parametrize(
    ("trained", "published", "title"),
    [
        (20, 500, "CASS (20 of 500 epochs)"),
        (500, 500, "paper: CASS (500 epochs)"),
        (501, 500, "paper: CASS (501 epochs)"),
        (1, None, "CASS (1 epoch; no published number)"),
    ],
)
def test_only_a_row_that_was_trained_as_long_as_in_the_paper_is_called_the_papers(trained, published, title):
    assert row_title("CASS", trained, published) == title


@pytest.mark.parametrize(("budget", "epochs"), [("published", 500), ("study", None), ("none", None)])
def test_epochs_are_the_papers_where_that_is_asked_for(budget, epochs):
    assert own_epochs("CASS", budget, {"CASS": 500}) == epochs
    assert own_epochs("other", budget, {"CASS": 500}) is None


def test_values_that_are_no_budgets_are_refused():
    with pytest.raises(UsageError, match="reference-budget must be one of published, study, none, not 'paper'"):
        Budget(reference_budget="paper")
    for wrong in (0, 1.5, True, "many"):
        with pytest.raises(UsageError, match="must be a whole number above 0"):
            require_epochs({"CASS": wrong})


def test_shipped_budgets_are_the_papers():
    """CASS, figures 4 and 5; NES, section 3: 10 iterations of 25 epochs; where a paper is silent there is none."""
    found = {name: dict(space.reference_epochs) for name, space in search_spaces().items()}
    assert set(found["cass"].values()) == {500}
    assert set(found["neural_egg"].values()) == {250}
    assert found["cass_published"] == {"authors' code": 1000}
    assert found["ssgan"] == found["sepgan"] == found["cyclegan"] == found["nmf"] == found["supervised_mask"] == {}
    for name, space in search_spaces().items():
        assert set(space.reference_epochs) <= set(space.reference_points), name
