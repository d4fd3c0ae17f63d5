"""Search spaces and studies are found by name: those of sepray, and the user's own in the current folder."""

import sys
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution

from sepray import registry, shipped
from sepray.modules import own_modules
from sepray.shipped import SearchSpace

ROOT = Path(__file__).parents[1]
OWN = """
from optuna.distributions import FloatDistribution
SPACE = {"rate": FloatDistribution(0.1, 0.5)}
PAPER = {"theirs": {"rate": 0.2}}
CONTROLS = {"slow": {"rate": 0.1}}
"""
OWN_SPACE = SearchSpace({"rate": FloatDistribution(0.1, 0.5)}, {"theirs": {"rate": 0.2}}, {"slow": {"rate": 0.1}})


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def write(name, text=OWN):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("separator", "module"),
    [
        ("cass", "cass"),
        ("cass:small", "cass"),
        ("cass:published", "cass_published"),
        ("cass:published_small", "cass_published"),
        ("cass:logarithmic", "cass_logarithmic"),
        ("nmf", "nmf"),
    ],
)
def test_separator_of_sepray_has_the_search_space_of_its_module(separator, module):
    import importlib

    write(f"search_spaces/{module}.py")  # the user's is not meant
    file = importlib.import_module(f"search_spaces.{module}")
    named = {name: vars(file).get(name, {}) for name in ("PAPER", "PAPER_EPOCHS")}
    expected = SearchSpace(file.SPACE, named["PAPER"], {}, file.ARMS, named["PAPER_EPOCHS"])
    assert shipped.search_space(separator) == expected
    assert shipped.search_space(registry.config("sepray.separators", separator)) == expected


def test_search_space_without_controls_and_arms_has_none():
    assert shipped.search_space("oracle") == SearchSpace({}, {"oracle": {}}, {})


def test_every_separator_of_sepray_has_a_search_space():
    names = {*registry.names("sepray.separators"), "cass_published", "cass_logarithmic"}
    assert set(shipped.search_spaces()) == names
    assert shipped.search_spaces()["cass_published"] == shipped.search_space("cass:published")
    assert list(shipped.search_spaces()) == sorted(names)


@pytest.mark.parametrize("name", ["mine", "mine:wide", "lab.mine"])
def test_separator_of_a_user_has_a_file_in_the_current_folder(name):
    write("search_spaces/mine.py")
    assert shipped.search_space(name) == OWN_SPACE


@pytest.mark.parametrize("opened", [".", "search_spaces", "search_spaces/mine.py"])
def test_file_that_others_may_have_put_into_the_current_folder_is_not_run(opened, tmp_path, monkeypatch):
    write("search_spaces/mine.py", "open('ran', 'w').close()\nSPACE = {}")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
    monkeypatch.delenv(own_modules.TRUSTED, raising=False)
    before = Path(opened).stat().st_mode
    Path(opened).chmod(0o777)
    for name in ("mine", "lab.mine"):
        with pytest.raises(registry.UsageError, match=r"^search_spaces/mine\.py is not run: others may ") as refused:
            shipped.search_space(name)
    assert not Path("ran").exists()
    monkeypatch.setenv(own_modules.TRUSTED, str(refused.value).rpartition("=")[2])
    assert shipped.search_space("mine") == SearchSpace({})
    monkeypatch.delenv(own_modules.TRUSTED)
    monkeypatch.syspath_prepend(tmp_path)  # as PYTHONPATH=. does
    assert shipped.search_space("mine") == SearchSpace({})
    monkeypatch.setattr(sys, "path", sys.path[1:])
    Path(opened).chmod(before & ~0o022)
    assert shipped.search_space("mine") == SearchSpace({})


def test_configuration_of_a_user_has_it_too():
    write("search_spaces/shipped_mine.py")
    write("shipped_mine.py", "class Config: pass")
    assert shipped.search_space(registry.config("sepray.separators", "shipped_mine")) == OWN_SPACE


def test_separator_of_a_user_may_have_its_search_space_in_its_own_module():
    write("shipped_with.py", OWN)
    assert shipped.search_space("shipped_with") == OWN_SPACE
    write("search_spaces/shipped_with.py", "SPACE = {}")
    assert shipped.search_space("shipped_with") == SearchSpace({})  # the file comes first


@pytest.mark.parametrize("text", ["class Config: pass\nraise MemoryError", "SPACES = 1\nraise MemoryError"])
def test_module_without_a_search_space_is_not_imported(text):
    write("shipped_without.py", text)
    assert shipped.search_space("shipped_without") is None


@pytest.mark.parametrize("name", ["no_such_separator", "no.such.separator", "cass_published", "json"])
def test_there_is_none_where_there_is_no_separator(name):
    assert shipped.search_space(name) is None


def test_file_without_a_space_is_refused():
    write("search_spaces/mine.py", "PAPER = {}")
    with pytest.raises(registry.UsageError, match=r"search_spaces/mine.py is no search space: it has no SPACE$"):
        shipped.search_space("mine")


def test_studies_are_the_files_that_have_one():
    files = {path.stem: path for path in (ROOT / "studies").glob("*.py")}
    assert set(files) - set(shipped.studies()) == {"__init__"}
    assert shipped.study("cass_alpha_sweep") == files["cass_alpha_sweep"]
    assert list(shipped.studies()) == sorted(shipped.studies())


def test_unknown_study_is_refused_with_the_nearest():
    line = r"^unknown study 'cass_alpha_swep'; perhaps you meant cass_alpha_sweep; there are: adversarial_masking_"
    with pytest.raises(registry.UnknownNameError, match=line):
        shipped.study("cass_alpha_swep")
    with pytest.raises(registry.UnknownNameError, match=r"^unknown study 'xyz'; there are: "):
        shipped.study("xyz")


def test_inside_an_installed_sepray_comes_before_beside_it(tmp_path, monkeypatch):
    write("lib/search_spaces/cass.py", "SPACE = {'of': 'another package'}")
    monkeypatch.setattr(shipped, "_HERE", tmp_path / "lib" / "sepray")
    assert shipped.search_space("cass") == SearchSpace({"of": "another package"})
    write("lib/sepray/search_spaces/cass.py")
    assert shipped.search_space("cass") == OWN_SPACE
