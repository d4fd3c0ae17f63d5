"""The source files in a packaged model: read without being imported, and compared with those here."""

import hashlib
import json

import pytest

from sepray.tracking import model_code
from sepray.tracking.model_code import ModelCode, content_digest, described, module_here, read

PACKAGE = "sepray_model_0123456789ab"
LOADER = {"loader_module": f"{PACKAGE}.tracking.loader"}


@pytest.fixture
def package(tmp_path):
    """The folder of a model's package."""
    made = tmp_path / "model" / "code" / PACKAGE
    (made / "user" / "__pycache__").mkdir(parents=True)
    (made / "user" / "__pycache__" / "mine.pyc").write_bytes(b"compiled")
    (made / "__init__.py").touch()
    (made / "user" / "mine.py").write_text("x = 1\n")
    return made


def test_files_are_read_with_slashes_and_without_what_is_compiled(package, tmp_path):
    code = read(tmp_path / "model", LOADER)
    assert code == ModelCode(PACKAGE, {"__init__.py": b"", "user/mine.py": b"x = 1\n"})
    assert code.loader == f"{PACKAGE}.tracking.loader"


@pytest.mark.parametrize(
    "loader", [None, "evil", f"{PACKAGE}.tracking.loader.more", "sepray_model_0123.tracking.loader", f"a{LOADER}"]
)
def test_another_loader_is_refused(package, tmp_path, loader):
    with pytest.raises(ValueError, match=r"^its loader is not the one that sepray packages$"):
        read(tmp_path / "model", {"loader_module": loader})


def test_modules_beside_the_package_are_refused_and_compiled_ones_passed_over(package, tmp_path):
    (package.parent / "__pycache__").mkdir()
    assert read(tmp_path / "model", {**LOADER, "code": "code"}).package == PACKAGE
    for bad in ({"code": "elsewhere"}, {"loader_module": "sepray_model_ffffffffffff.tracking.loader"}):
        with pytest.raises(ValueError, match=r"^it brings modules beside its own package$"):
            read(tmp_path / "model", {**LOADER, **bad})
    (package.parent / "json.py").touch()
    with pytest.raises(ValueError, match=r"^it brings modules beside its own package$"):
        read(tmp_path / "model", LOADER)


def test_as_many_files_and_bytes_as_the_most_are_read(package, tmp_path, monkeypatch):
    there = len(list(package.rglob("*")))
    for name, most in (("_MOST_FILES", there), ("_MOST_BYTES", len("x = 1\n"))):
        with monkeypatch.context() as patch:
            patch.setattr(model_code, name, most)
            assert len(read(tmp_path / "model", LOADER).files) == 2
            patch.setattr(model_code, name, most - 1)
            with pytest.raises(ValueError, match=r"^its code has more files, or larger ones, than sepray packages$"):
                read(tmp_path / "model", LOADER)


def test_digest_is_of_package_names_and_contents():
    code = ModelCode("p", {"b.py": b"2", "a.py": b"1"})
    parts = (b"p", b"\0a.py\0", hashlib.sha256(b"1").digest(), b"\0b.py\0", hashlib.sha256(b"2").digest())
    assert code.digest == hashlib.sha256(b"".join(parts)).hexdigest()
    assert code.digest == ModelCode("p", {"a.py": b"1", "b.py": b"2"}).digest
    others = [ModelCode("q", code.files), ModelCode("p", {"a.py": b"1"}), ModelCode("p", {"a.py": b"2", "b.py": b"1"})]
    assert len({code.digest, *(other.digest for other in others)}) == 4


def test_digest_of_a_model_is_of_its_code_and_then_its_data(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"w")
    (tmp_path / "separator.json").write_bytes(b"s")
    (tmp_path / "below").mkdir()
    parts = b"code/p/a.py\0" + b"1\0" + b"separator/separator.json\0s\0" + b"separator/weights.safetensors\0w\0"
    assert content_digest(ModelCode("p", {"a.py": b"1"}), tmp_path) == hashlib.sha256(parts).hexdigest()


def test_modules_are_files_or_packages():
    code = ModelCode("p", {"user/mine.py": b"", "user/more/__init__.py": b"", "networks/residual.py": b""})
    assert [code.has_module(name) for name in ("user.mine", "user.more", "networks.residual", "user", "user.min")] == [
        *(True, True, True, False, False)
    ]


def test_names_of_modules_here():
    assert module_here("user.mine.separator") == "mine.separator"
    assert module_here("separators.cass") == "sepray.separators.cass"
    assert module_here("users.cass") == "sepray.users.cass"


def test_written_package_is_what_was_read(package, tmp_path):
    code = read(tmp_path / "model", LOADER)
    code.write(tmp_path / "copy")
    assert (tmp_path / "copy" / PACKAGE / "user" / "mine.py").read_text() == "x = 1\n"
    assert not (tmp_path / "copy" / PACKAGE / "user" / "__pycache__").exists()


def test_differences_are_files_that_are_not_as_they_are_here(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_here").mkdir()
    (tmp_path / "mine_here" / "__init__.py").write_text("import numpy\n")
    (tmp_path / "mine_here" / "data.bin").write_bytes(b"\0\1")
    (tmp_path / "alone_here.py").write_text("y = 2\n")
    same = {
        "__init__.py": b"",
        "tracking/__init__.py": b"",
        "user/mine_here/__init__.py": b"import numpy\n",
        "user/mine_here/data.bin": b"\0\1",
        "user/alone_here.py": b"y = 2\n",
    }
    assert ModelCode(PACKAGE, same).differences() == []
    other = {
        "user/mine_here/data.bin": b"\0\2",
        "user/mine_here/gone.py": b"",
        "user/alone_here.py": b"y = 3\n",
        "user/nowhere_here.py": b"y = 2\n",
        "errors_of_nobody.py": b"x = 1\n",
    }
    assert ModelCode(PACKAGE, same | other).differences() == sorted(other)


@pytest.mark.parametrize("text", ["[]", "null", '{"module": "m", "config": {}}', "[" * 100_000])
def test_description_of_no_separator_is_refused(tmp_path, text):
    (tmp_path / "separator.json").write_text(text)
    with pytest.raises(ValueError, match=r"^its separator\.json describes no separator$"):
        described(tmp_path)


def test_description_comes_back(tmp_path):
    told = {"module": "separators.cass", "config": {"width": 2}, "signal": {}}
    (tmp_path / "separator.json").write_text(json.dumps(told))
    assert described(tmp_path) == told
