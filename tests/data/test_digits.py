"""Two classes of digits: which images each has, in which order, and that no split shares one."""

import numpy as np
import pytest

from sepray.data import digits
from sepray.data.digits import check_observed, pools, sources
from sepray.errors import UsageError


def collection(*numbers: int) -> digits.Labelled:
    """Images of one pixel; the last digit of its value is the label."""
    values = np.array(numbers, dtype=np.uint8)
    return values.reshape(-1, 1, 1, 1), values % 10


def by_number(collections: list[np.ndarray], random: np.random.Generator) -> list[np.ndarray]:
    """Divides the images of a class: those of the first collection train, and those of the second are shared out."""
    first, second = collections
    return [first, second[:1], second[1:]]


@pytest.mark.parametrize(("observed", "order"), [("5-9", ("0-4", "5-9")), ("0-4", ("5-9", "0-4"))])
def test_observed_class_is_the_last_source(observed: str, order: tuple[str, str]) -> None:
    assert sources(observed) == order
    check_observed(observed)
    # 14 and 25 are the first of their class, 30 and 19 copies of earlier ones.
    given = [collection(14, 25, 30, 30, 19), collection(30, 4, 45, 19, 102, 205)]
    found = pools(given, observed, 0, by_number)
    classes = {"0-4": {"train": [14, 30], "validation": [4], "test": [102]}}
    classes["5-9"] = {"train": [25, 19], "validation": [45], "test": [205]}
    assert list(found) == ["train", "validation", "test"]
    for split, pair in found.items():
        assert [list(images.ravel()) for images in pair] == [classes[name][split] for name in order]


def test_classes_are_divided_by_generators_of_their_own_whichever_is_observed() -> None:
    drawn = []

    def divide(collections: list[np.ndarray], random: np.random.Generator) -> list[np.ndarray]:
        drawn.append((int(collections[0][0, 0, 0, 0]) % 10, int(random.integers(1 << 40))))
        return collections * 3

    for observed, seed in (("5-9", 7), ("0-4", 7), ("5-9", 8)):
        pools([collection(14, 25)], observed, seed, divide)
    expected = [
        (digit, int(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, k))).integers(1 << 40)))
        for seed in (7, 8)
        for k, digit in ((0, 4), (1, 5))
    ]
    assert drawn == [*expected[:2], *expected[:2], *expected[2:]]


def test_class_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^observed must be 5-9 or 0-4, not 1-3$"):
        check_observed("1-3")
