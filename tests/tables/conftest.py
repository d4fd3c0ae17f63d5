"""Parts that tests of tables share: a small table, and our figures beside its own."""

import pytest

from sepray.comparison import table as comparisons
from sepray.comparison.contenders import LeftOut
from sepray.comparison.running import ComparisonFigures
from sepray.comparison.spec import Comparison
from sepray.tables import beside, forms
from sepray.tables.spec import Data, Form, Part, Row, Table

from ..comparison.conftest import data, entry

__all__ = ["data"]  # a fixture

ROWS = (
    Row("The good", "nmf", {"low": "6.50 0.10", "high": "8.50 -"}),
    Row("Failed", "kam", {"low": "1.25 0.9"}),
    Row("Not public", published={"low": "3.5"}, missing="its code is not public"),
    Row("Ours alone", "sepgan"),
)
PART = Part("", Data("my_task", (), "noise"), ROWS)
TABLE = Table(
    "lab-1", "Lab & Co, Table 1", ("si_sdr", "relative_l2"), (PART,), Form(500, 5), Form(12, 2), {"nmf": 500},
    headings={"si_sdr": "SDR"},
)  # fmt: skip
CHOSEN = forms.chosen_form(TABLE, "minutes", ())


@pytest.fixture
def found(data):
    good = entry("The-good", "The-good (12 of 500 epochs)", [[5, 6, 7, 8], [7, 8, 9, 10]])
    ours = entry("Ours-alone", "Ours-alone", [[1, 2, 3, 4], [2, 3, 4, 5]], "1 of 3 seeds failed: loss not finite")
    outcome = ComparisonFigures([ours, good], [LeftOut("Failed (12 of 500 epochs)", "out of memory")])
    return comparisons.build(Comparison(task="my_task", measures=("si_sdr", "relative_l2")), data, outcome)


@pytest.fixture
def part(found):
    return beside.part_table(TABLE, PART, CHOSEN, found)
