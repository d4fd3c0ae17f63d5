"""``make test-faults``: each fault at random moments of a real study; the same command goes on, and nothing is lost.

``SEEDS`` is the number of moments of each row (5), ``ARGS='-k "driver and killed"'`` runs some rows. The table at the
end is the one that ARCHITECTURE.md shows.
"""

import os

import pytest

from .rows import ROWS

SEEDS = int(os.environ.get("SEEDS") or 5)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row, seed, campaign):
    if missing := row.missing():
        pytest.skip(missing)
    assert campaign(row, seed) == []
