"""A comparison by real commands: a study for each separator and one table of all; the same command repeats nothing."""

import csv
import statistics

import optuna
import pytest

from .conftest import SEPARATOR

COMPARISON = """
from optuna.distributions import FloatDistribution
from sepray.comparison.command import main
from sepray.comparison.spec import Comparison

SPACE = {"learning_rate": FloatDistribution(1e-3, 1e-1, log=True), "weight": FloatDistribution(0.0, 1.0)}
PAPER = {"careful": {"learning_rate": 2e-3, "weight": 1.0}}

if __name__ == "__main__":
    comparison = Comparison(name="lab", task="my_task", max_epochs=3, final_seeds=2, concurrency=2)
    main(comparison, {"my_separator": (SPACE, PAPER)})
"""
REFUSAL = """from sepray.errors import UsageError
        raise UsageError("picky separates images only")"""
MODULES = {
    "short": SEPARATOR.replace("taps: int = 9", "taps: int = 1"),
    "picky": SEPARATOR.replace("return Filters(signal, self)", REFUSAL),
}


@pytest.mark.slow
@pytest.mark.timeout(1800)  # less than a minute on an idle machine
def test_comparison_makes_a_table_and_the_same_command_repeats_nothing(laboratory):
    for name, text in {**MODULES, "compare": COMPARISON}.items():
        (laboratory.folder / f"{name}.py").write_text(text.lstrip())
    arguments = ("--separators", "my_separator", "short", "picky")

    printed = laboratory.run(*arguments, script="compare.py", timeout=800)

    [folder] = (laboratory.folder / "sepray-results" / "lab").iterdir()
    lines = {line["system"]: line for line in csv.DictReader((folder / "table.csv").open())}
    good = {"my_separator (careful)", "short"}
    assert {name for name, line in lines.items() if line["kind"] == "separator"} == good
    assert lines["picky"]["note"] == "picky separates images only"
    assert "unprocessed mixture" in lines
    # Each was trained on the same two seeds, and each study holds its one published setting.
    for key in ("my_separator", "short"):
        assert len(laboratory.trials(f"lab-{key}")) == 1
    seeds = [{t.user_attrs["seed"] for t in laboratory.trials(f"lab-{k}/finals")} for k in ("my_separator", "short")]
    assert seeds[0] == seeds[1]
    assert len(seeds[0]) == 2
    # Validation chooses the reference, and the other one has a p value; the figures are those of the runs.
    means = {name: float(lines[name]["si_sdr/mean/mean"]) for name in good}
    keys = {"my_separator (careful)": "my_separator", "short": "short"}
    errors = {
        name: statistics.mean(t.value for t in laboratory.trials(f"lab-{key}/finals")) for name, key in keys.items()
    }
    best = min(good, key=errors.__getitem__)
    assert {name for name in good if lines[name]["reference"] == "1"} == {best}
    assert 0 <= float(lines[(good - {best}).pop()]["si_sdr/mean/p_holm"]) <= 1
    scores = [line for line in csv.DictReader((folder / "scores.csv").open()) if line["system"] == best]
    assert len(scores) == 2 * 40 * 2
    assert sum(float(line["si_sdr"]) for line in scores) / len(scores) == pytest.approx(means[best])
    for word in ("my_separator (careful)", "unprocessed mixture", "oracle: ideal ratio mask", "picky separates images"):
        assert word in printed
    for name in ("table.md", "table.tex", "figures/si_sdr.svg", "figures/relative_l2.png"):
        assert (folder / name).stat().st_size > 500, name

    runs = "select r.run_uuid from runs r join tags t using (run_uuid) where t.key = 'stage' and t.value = 'comparison'"
    [(run,)] = laboratory.query(runs)
    [(logged,)] = laboratory.query("select value from metrics where run_uuid = ? and key = 'test/short/si_sdr'", run)
    assert logged == pytest.approx(means["short"])
    [(note,)] = laboratory.query("select value from tags where run_uuid = ? and key = 'mlflow.note.content'", run)
    assert note.startswith((folder / "table.md").read_text())
    models = {name for (name,) in laboratory.query("select name from registered_models")}
    assert models == {"my-separator-my-task", "short-my-task"}

    before = (folder / "table.csv").read_text()
    laboratory.run(*arguments, script="compare.py", timeout=800)

    assert (folder / "table.csv").read_text() == before
    assert laboratory.query(runs) == [(run,)]
    names = optuna.get_all_study_names(f"sqlite:///{laboratory.folder}/optuna.db")
    assert {name: len(laboratory.trials(name)) for name in names} == {
        "lab-my_separator": 1,
        "lab-my_separator/finals": 2,
        "lab-short": 1,
        "lab-short/finals": 2,
    }
