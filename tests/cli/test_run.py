"""``sepray run`` runs a study from TOML, from Python, or one that comes with sepray, with the study's own flags."""

import sys
from pathlib import Path

import pytest

from sepray import study
from sepray.cli.main import main
from sepray.driver import driver
from sepray.separators import nmf
from sepray.spec.flags import parse

TOML = 'name = "mine"\nseparator = "cass"\ntask = "ecg"\ntrials = 5\n'
PYTHON = """
from beside import NAME
from sepray.study import StudySpec, main
if __name__ == "__main__":
    main(StudySpec(name=NAME, separator="cass", task="ecg", space={}))
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sepray"])
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def ran(monkeypatch):
    """Studies that were run, instead of running them."""
    specs = []

    def execute(spec, permitted):
        specs.append(spec)
        return 0

    monkeypatch.setattr(study, "execute", execute)
    monkeypatch.setattr(study, "refuse_bad_input", lambda spec: None)
    return specs


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["run", *arguments])
    return ended.value.code


def test_toml_file_is_run_with_the_flags_that_follow(tmp_path, ran):
    (tmp_path / "mine.toml").write_text(TOML)
    assert run("mine.toml", "--max-epochs", "3", "--separator.width", "8") == 0
    [spec] = ran
    assert (spec.name, spec.budget.trials, spec.budget.max_epochs, spec.separator.width) == ("mine", 5, 3, 8)


def test_study_that_comes_with_sepray_is_run_by_its_name(ran):
    assert run("cass_alpha_sweep", "--trials", "4") == 0
    assert ran == [parse(ran[0], ["--trials", "4"])]
    assert (ran[0].name, ran[0].budget.trials) == ("cass-ecg", 4)


def test_python_file_is_run_as_python_would_run_it(tmp_path, ran):
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "beside.py").write_text("NAME = 'from-beside'")
    (folder / "mine.py").write_text(PYTHON)
    assert run("lab/mine.py", "--trials", "7") == 0
    assert [(spec.name, spec.budget.trials) for spec in ran] == [("from-beside", 7)]


def test_separator_beside_a_toml_file_is_found_from_any_folder(tmp_path, monkeypatch, ran):
    (tmp_path / "beside_toml.py").write_text((Path(nmf.__file__)).read_text().replace("from ..", "from sepray."))
    (tmp_path / "bare.toml").write_text(
        'name = "bare"\nseparator = "beside_toml"\ntask = "ecg"\n[space]\nsparsity = {low = 0, high = 1}\n'
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("../bare.toml") == 0
    assert [type(spec.separator).__module__ for spec in ran] == ["beside_toml"]


BUILT = """
import sepray
MINE = sepray.StudySpec(name="mine", separator="cass", task="ecg", space={})
"""


def test_python_file_that_runs_no_study_is_refused(tmp_path, capsys, ran, monkeypatch):
    monkeypatch.setattr(study, "started", [])
    (tmp_path / "mine.py").write_text(BUILT)
    assert run("mine.py") == 2
    refusal = "has run no study: let it end with main({}), which `from sepray.study import main` brings\n"
    assert capsys.readouterr().err == f"sepray: mine.py {refusal.format('MINE')}"
    (tmp_path / "empty.py").touch()
    assert run("empty.py") == 2
    assert capsys.readouterr().err == f"sepray: empty.py {refusal.format('STUDY')}"


def test_python_file_that_runs_its_study_itself_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "started", [])
    monkeypatch.setattr(driver, "run", lambda spec, permitted: 0)
    (tmp_path / "mine.py").write_text(f"{BUILT}assert sepray.study.execute(MINE) == 0")
    assert run("mine.py") == 0
    assert study.started == ["mine"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.toml"], "sepray: study file none.toml: it cannot be read (No such file or directory)"),
        (["none.py"], "sepray: there is no file none.py"),
        (["."], "sepray: . is neither a .toml nor a .py file"),
        (["cass_alpha"], "sepray: unknown study 'cass_alpha'; perhaps you meant cass_alpha_sweep; there are: "),
        ([], "sepray: sepray run needs STUDY; see sepray run --help"),
        (["mine.toml", "--trails", "3"], "mine: unknown: --trails; perhaps you meant --trials; see sepray run "),
        (["cass_alpha_sweep", "--trails", "3"], "cass-ecg: unknown: --trails; perhaps you meant --trials; see sep"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(tmp_path, capsys, ran, arguments, message):
    (tmp_path / "mine.toml").write_text(TOML)
    assert run(*arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(message)
    assert printed.count("\n") == 1
    assert ran == []


def test_help_of_a_study_is_the_studys_own(tmp_path, capsys):
    (tmp_path / "mine.toml").write_text(TOML)
    for name in ("mine.toml", "cass_alpha_sweep"):
        assert run(name, "--help") == 0
        printed = capsys.readouterr().out
        assert printed.startswith(f"usage: sepray run {name} [-h]")
        assert "--separator.width" in printed
    assert run("--help") == 0
    assert "cass_alpha_sweep" in capsys.readouterr().out


def test_traceback_flag_is_passed_on_to_the_study(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine.toml").write_text(TOML)

    def broken(spec, permitted):
        raise RuntimeError("a bug")

    monkeypatch.setattr(study, "execute", broken)
    assert run("mine.toml") == 3
    short = capsys.readouterr().err
    assert run("mine.toml", "--traceback") == 3
    whole = capsys.readouterr().err
    assert "RuntimeError: a bug" in short
    assert "exit_status.py" not in short
    assert "exit_status.py" in whole
