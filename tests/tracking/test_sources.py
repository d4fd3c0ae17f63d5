import importlib
import importlib.metadata
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sepray.tracking import sources

from . import scaled


def test_a_separator_in_the_started_script_is_refused():
    with pytest.raises(sources.PackagingError, match="'__main__' has no source file"):
        sources.collect("__main__")


def test_rewriting_keeps_the_rest_of_the_text():
    text = textwrap.dedent(
        '''
        """Ä docstring."""
        import os, sepray.contracts as c; x = 1
        def f():
            from sepray.metrics import (a,
                                        b as bb)  # why
            return "from sepray.metrics import a"
        '''
    )
    rewritten = sources._rewrite(text, {"sepray"}, "p")
    assert rewritten == textwrap.dedent(
        '''
        """Ä docstring."""
        import os; import p.contracts as c; x = 1
        def f():
            from p.metrics import a, b as bb  # why
            return "from sepray.metrics import a"
        '''
    )


def test_lines_are_those_of_the_parser():
    text = 'a = "x\u2028y"\n\x0c\nfrom sepray import choices\nb = 1'
    assert sources._rewrite(text, {"sepray"}, "p") == 'a = "x\u2028y"\n\x0c\nfrom p import choices\nb = 1'


def test_two_imports_on_one_line_are_both_rewritten():
    text = "import sepray.contracts as c; from sepray.choices import MEASURES\n"
    assert sources._rewrite(text, {"sepray"}, "p") == "import p.contracts as c; from p.choices import MEASURES\n"


@pytest.mark.parametrize(
    ("line", "rewritten"),
    [
        ("import sepray.contracts", "import p.contracts; import p as sepray"),  # it binds the name "sepray"
        ("import mine.a.b, os.path", "import p.user.mine.a.b; import p.user.mine as mine; import os.path"),
        ("import mine", "import p.user.mine; import p.user.mine as mine"),
        ("import numpy as np, mine.a as a", "import numpy as np; import p.user.mine.a as a"),
        ("from mine import a as b, c", "from p.user.mine import a as b, c"),
        ("from .mine import a", "from .mine import a"),
        ("import minette", "import minette"),
    ],
)
def test_every_form_of_import_is_rewritten_so_that_it_binds_the_same_names(line, rewritten):
    assert sources._rewrite(f"{line}\n", {"sepray", "mine"}, "p") == f"{rewritten}\n"


@pytest.mark.parametrize(
    ("line", "collected"),
    [
        ("from . import leaf", {"mine.inner.leaf"}),  # inner has no __init__.py
        ("from .leaf import X", {"mine.inner.leaf"}),
        ("from mine.inner import leaf", {"mine.inner.leaf"}),
        ("import mine.inner.leaf", {"mine.inner.leaf"}),
        ("from .. import VERSION", set()),
        ("from ..leaf import X", {"mine.leaf"}),
        ("import beside", {"beside"}),
        ("from nameless import leaf", {"nameless.leaf"}),  # nor has nameless
        ("try:\n    from ._compiled import f\nexcept ImportError:\n    pass", set()),
        ("def f():\n    from .leaf import X", {"mine.inner.leaf"}),
        ("import numpy.linalg\nfrom scipy import signal\nimport os.path\nfrom json import dumps", set()),
    ],
)
def test_the_users_own_modules_are_collected_however_they_are_imported(users_folder, line, collected):
    files = {"mine/__init__.py": "VERSION = 1", "mine/leaf.py": "X = 1", "beside.py": "", "mine/inner/leaf.py": "X = 1"}
    files["nameless/leaf.py"] = ""
    scaled.write(users_folder, files | {"mine/inner/start.py": line})
    importlib.invalidate_caches()
    found = sources.collect("mine.inner.start")
    assert set(found) == {"mine", "mine.inner.start"} | collected
    assert all(path.is_relative_to(users_folder) for path in found.values())


def test_a_module_in_another_encoding_is_copied_in_utf_8(users_folder, tmp_path):
    latin = "#!/usr/bin/env python\n# -*- coding: latin-1 -*-\nfrom mine import leaf\nNAME = 'Mütter'\n"
    scaled.write(users_folder, {"mine/__init__.py": "", "mine/leaf.py": "\ufeffX = 1\n"})
    (users_folder / "mine" / "start.py").write_bytes(latin.encode("latin-1"))
    importlib.invalidate_caches()
    found = sources.collect("mine.start")
    assert set(found) == {"mine", "mine.start", "mine.leaf"}
    package = sources.copy(found, tmp_path / "copy")
    copied = (tmp_path / "copy" / package / "user" / "mine" / "start.py").read_bytes()
    expected = latin.replace("latin-1", "utf-8").replace("from mine", f"from {package}.user.mine")
    assert copied == expected.encode() == sources.rewritten(found["mine.start"], {"mine"}, package)
    assert (tmp_path / "copy" / package / "user" / "mine" / "leaf.py").read_bytes() == b"X = 1\n"


def test_name_of_utf_8_is_left_as_it_is(tmp_path):
    (tmp_path / "a.py").write_text("# vim: set fileencoding=utf8 :\nX = 'Ü'\n", encoding="utf-8")
    assert sources.rewritten(tmp_path / "a.py", set(), "p") == (tmp_path / "a.py").read_bytes()


@pytest.mark.parametrize(
    "content", [b"X = '\xfc'\n", b"# coding: nonsense\n", b"# coding: hex\n", b"def f(:\n", b"\0\n"]
)
def test_a_module_with_errors_travels_as_it_is(users_folder, tmp_path, content):
    text = "try:\n    from mine import broken\nexcept Exception:\n    pass\n"
    scaled.write(users_folder, {"mine/__init__.py": "", "mine/start.py": text})
    (users_folder / "mine" / "broken.py").write_bytes(content)
    importlib.invalidate_caches()
    found = sources.collect("mine.start")
    assert set(found) == {"mine", "mine.start", "mine.broken"}
    package = sources.copy(found, tmp_path / "copy")
    assert (tmp_path / "copy" / package / "user" / "mine" / "broken.py").read_bytes() == content
    assert sources.requirements(found) == []


def test_an_installed_library_stays_one(users_folder):
    scaled.write(users_folder, {"mine/__init__.py": "", "mine/start.py": "import scipy.signal\nimport mine.start"})
    importlib.invalidate_caches()
    found = sources.collect("mine.start")
    assert set(found) == {"mine", "mine.start"}
    import scipy

    assert sources.requirements(found) == [f"scipy=={scipy.__version__}"]


def test_data_files_of_an_installed_package_are_those_that_it_lists(lab):
    found = sources.package_data(["sepray.contracts", "lab_echo.separator"])
    assert found == {Path("lab_echo/data/gains.json"): lab / "lab_echo/data/gains.json"}  # no py.typed, no code
    assert sources.package_data(["sepray.contracts", "numpy_like"]) == {}


def test_data_file_that_has_been_removed_is_left_out(tmp_path, monkeypatch):
    record = "removed_lab/here.txt,,\nremoved_lab/gone.txt,,\nbeside.txt,,\n../../bin/removed_lab/tool,,\n"
    folder = "removed_lab-1.0.dist-info"
    metadata = {"METADATA": "Metadata-Version: 2.1\nName: removed-lab\nVersion: 1.0\n", "RECORD": record}
    scaled.write(tmp_path, {f"{folder}/{name}": text for name, text in metadata.items()})
    scaled.write(tmp_path, {f"{folder}/top_level.txt": "removed_lab\n", "removed_lab/here.txt": "", "beside.txt": ""})
    monkeypatch.syspath_prepend(str(tmp_path))
    found = sources.package_data(["removed_lab.separator"])
    assert found == {Path("removed_lab/here.txt"): tmp_path / "removed_lab/here.txt"}


@pytest.mark.parametrize(
    "record",
    [
        b"broken_lab/__init__.py,a,1,more\n",
        b"\nbroken_lab/__init__.py,,\n",
        b"broken_lab/__init__.py,sha256=x,many\n",
        b"broken_lab/\xff.py,,\n",
    ],
)
def test_distribution_with_a_malformed_list_of_files_is_left_out(tmp_path, monkeypatch, record):
    metadata = "Metadata-Version: 2.1\nName: {}-lab\nVersion: 1.0\n"
    for name in ("broken", "whole"):
        folder = f"{name}_lab-1.0.dist-info"
        files = {
            f"{folder}/METADATA": metadata.format(name),
            f"{name}_lab/table.txt": "",
            f"{name}_lab/__init__.py": "",
        }
        scaled.write(tmp_path, files)
    scaled.write(tmp_path, {"whole_lab-1.0.dist-info/RECORD": "whole_lab/__init__.py,,\nwhole_lab/table.txt,,\n,,\n"})
    (tmp_path / "broken_lab-1.0.dist-info" / "RECORD").write_bytes(record)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert {"broken_lab", "whole_lab"} & set(sources._providers()) == {"whole_lab"}
    table = Path("whole_lab/table.txt")
    assert sources.package_data(["broken_lab.separator", "whole_lab.separator"]) == {table: tmp_path / table}
    monkeypatch.setattr(sources, "_distributions", lambda tops: {"broken-lab"})  # first of two of that name
    assert sources.package_data(["broken_lab.separator"]) == {}


def test_name_of_the_copy_tells_data_apart(tmp_path, users_folder, monkeypatch):
    scaled.write(users_folder, {"mine/__init__.py": "", "mine/start.py": "", "table.txt": "1"})
    importlib.invalidate_caches()
    files = sources.collect("mine.start")
    plain = sources.copy(files, tmp_path / "plain")
    monkeypatch.setattr(
        sources, "package_data", lambda names: {Path("mine/data/table.txt"): users_folder / "table.txt"}
    )
    first = sources.copy(files, tmp_path / "first")
    assert (tmp_path / "first" / first / "user/mine/data/table.txt").read_text() == "1"
    assert not (tmp_path / "first" / first / "user/mine/data/__init__.py").exists()
    (users_folder / "table.txt").write_text("2")
    assert len({plain, first, sources.copy(files, tmp_path / "second")}) == 3


def test_distributions_are_those_that_python_knows_also_after_one_is_installed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))

    def check():
        known = importlib.metadata.packages_distributions()
        assert {top: set(names) for top, names in sources._providers().items()} == {
            top: set(names) for top, names in known.items()
        }
        return known

    assert "late" not in check()
    (tmp_path / "late-1.0.dist-info").mkdir()
    (tmp_path / "late-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
    (tmp_path / "late-1.0.dist-info" / "RECORD").write_text("late/__init__.py,,\nlate/data.txt,,\n")
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "__init__.py").touch()
    assert check()["late"] == ["late"]


def test_nothing_of_a_library_is_imported_to_find_that_it_is_one(tmp_path):
    program = """
import sys
from sepray.tracking import sources
files = sources.collect("sepray.scoring.metrics")
assert "sepray.choices" in files
print([name for name in ("torchmetrics", "matplotlib") if name in sys.modules])
"""
    environment = os.environ | {"PYTHONPATH": str(Path(sources.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
