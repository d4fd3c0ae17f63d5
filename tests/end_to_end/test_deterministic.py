"""A real parallel study twice, with workers of other speeds: the same trials, epoch by epoch."""

import pytest

from .conftest import SCRIPTS, Laboratory, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

UNEVEN = "time.sleep(random.SystemRandom().random() * float(os.environ['LONGEST_PAUSE']))"


@pytest.fixture
def uneven(tmp_path):
    """A laboratory whose epochs wait for a random time before they begin."""
    separator = SCRIPTS["my_separator.py"].replace("import time\n", "import os\nimport random\nimport time\n")
    scripts = SCRIPTS | {"my_separator.py": separator.replace("time.sleep(self.pause)", UNEVEN)}
    with opened(Laboratory(tmp_path, scripts)) as laboratory:
        yield laboratory


def test_parallel_study_twice_gives_the_same_trials(uneven):
    flags = ("--deterministic", "--concurrency", "2", "--trials", "16", "--final-seeds", "1", "--cpus-per-trial", "0.5")
    found = []
    for name, pause in (("first", "0"), ("second", "0.4"), ("third", "0.4")):
        uneven.environment["LONGEST_PAUSE"] = pause
        uneven.run("--name", name, *flags)
        trials = uneven.trials(name)
        found.append(
            [
                (t.number, t.state, t.params, t.values, t.intermediate_values, t.user_attrs["outcome"]["tag"])
                for t in trials
            ]
        )
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 16
