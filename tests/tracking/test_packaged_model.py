"""A packaged model is loaded from its folder as MLflow would load it; what is damaged is refused in one line."""

import hmac
import importlib
import importlib.util
import json
import logging
import os
import py_compile
import re
import shutil
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
import yaml

from sepray import registry
from sepray.modules import own_modules
from sepray.tracking import load_check, model_code, packaged_model, trust
from sepray.tracking.packaged_model import ModelError, describe_folder, load_folder

from . import scaled
from .scaled import EXPECTED, MIXTURES, SIGNAL


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    """A packaged model; making it takes seconds."""
    folder = tmp_path_factory.mktemp("packaged")
    scaled.write(folder / "theirs" / "mine", scaled.FILES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder / "theirs"))
        patch.setattr(load_check, "require_working", lambda *_: None)
        separator = scaled.built(importlib.import_module("mine.separator").Config())
        scaled.package(folder / "model", separator, sources=["maternal", "fetal"])
        yield folder / "model"
        for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path, packaged):
    return shutil.copytree(packaged, tmp_path / "model")


def test_it_separates_as_by_mlflow(folder):
    loaded = load_folder(folder, "it")
    np.testing.assert_allclose(loaded.predict(MIXTURES), EXPECTED, rtol=1e-6)
    np.testing.assert_array_equal(loaded.predict(MIXTURES), mlflow.pyfunc.load_model(str(folder)).predict(MIXTURES))
    assert (loaded.folder, loaded.run_id) == (folder, None)
    assert loaded.metadata["sources"] == ["maternal", "fetal"]
    assert (loaded.metadata, loaded.run_id) == describe_folder(folder, "it")


def test_path_of_imports_is_as_before(folder):
    before = list(sys.path)
    load_folder(folder, "it")
    assert sys.path == before


def test_device_is_passed_on(folder):
    with pytest.raises(ValueError, match="nonsense"):
        load_folder(folder, "it").predict(MIXTURES, {"device": "nonsense"})


@pytest.mark.parametrize("shape", [(2, 9), (2, 2, 9), (2, 1, 3, 3)])
def test_mixtures_of_another_shape_are_refused(folder, shape):
    with pytest.raises(ModelError) as refusal:
        load_folder(folder, "it").predict(np.zeros(shape, np.float32))
    assert str(refusal.value) == f"the model takes mixtures [batch, channel, time] of 1 channel, not {list(shape)}"


def edited(folder, **changes):
    path = folder / "MLmodel"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def without_python(folder):
    edited(folder, flavors={"sklearn": {}})


def rewritten(folder, name, text):
    """Change a module of the user's in the model, and its digest with it, as whoever may write the model can."""
    [package] = (folder / "code").glob("sepray_model_*")
    module = package / "user" / "mine" / name
    module.write_text(module.read_text() + text)
    resealed(folder)
    return module


def resealed(folder):
    described = yaml.safe_load((folder / "MLmodel").read_text())
    code = model_code.read(folder, described["flavors"]["python_function"])
    digest = model_code.content_digest(code, folder / "data" / "separator")
    edited(folder, metadata={**described["metadata"], "digest": digest})


def signed(folder):
    """Sign a model with the key that is set."""
    metadata = yaml.safe_load((folder / "MLmodel").read_text())["metadata"]
    facts = {name: value for name, value in metadata.items() if name not in ("digest", "signature")}
    edited(folder, metadata={**metadata, "signature": trust.signature(metadata["digest"], facts)})


def needs_a_module(folder):
    rewritten(folder, "gains.py", "import no_such_module")


def with_a_secret(folder):
    rewritten(folder, "gains.py", "raise ValueError('no http://me:secret@host\\nsecond line')")


def with_a_module_beside(folder):
    (folder / "code" / "numpy.py").write_text("raise SystemExit")


def with_a_pickle(folder):
    edited(folder, flavors={"python_function": {"loader_module": "mlflow.pyfunc.model", "python_model": "model.pkl"}})


def with_other_weights(folder):
    weights = folder / "data" / "separator" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda folder: (folder / "MLmodel").write_text("a: ["), "it cannot be loaded: ParserError: while parsing "),
        (lambda folder: (folder / "MLmodel").write_text("text"), "it cannot be loaded: its file MLmodel describes no "),
        (lambda folder: (folder / "MLmodel").unlink(), "it cannot be loaded: FileNotFoundError: [Errno 2] "),
        (without_python, "it cannot be loaded: its file MLmodel describes no Python model"),
        (lambda folder: edited(folder, metadata=None), "it is a model of MLflow, but not one that sepray packaged"),
        (with_a_module_beside, "it cannot be loaded: ValueError: it brings modules beside its own package"),
        (with_a_pickle, "it cannot be loaded: ValueError: its loader is not the one that sepray packages"),
        (with_other_weights, "it cannot be loaded: its files are not those that were packaged (another digest)"),
        (needs_a_module, "it cannot be loaded: it needs the module no_such_module, which is not installed"),
        (with_a_secret, "it cannot be loaded: ValueError: no http://me:***@host"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(folder, damage, line):
    damage(folder)
    before = list(sys.path)
    with pytest.raises(ModelError) as refusal, trust.consent(True):
        load_folder(folder, "it")
    assert str(refusal.value).startswith(line)
    assert "\n" not in str(refusal.value)
    assert sys.path == before


def test_run_of_a_logged_model_is_told(folder):
    edited(folder, run_id="0a1b")
    assert load_folder(folder, "it").run_id == describe_folder(folder, "it")[1] == "0a1b"


# -- models are code ---------------------------------------------------------------------------------------------------


def test_code_that_is_installed_here_runs_from_here(folder):
    loaded = load_folder(folder, "it")
    assert type(loaded.separation.separator).__module__ == "mine.separator"


def test_code_that_is_not_installed_here_does_not_run(folder, tmp_path):
    mark = tmp_path / "ran"
    module = rewritten(folder, "gains.py", f"open({str(mark)!r}, 'w')")
    with pytest.raises(ModelError) as refusal:
        load_folder(folder, "it", lambda run_id: f"version 3, logged by eve in {run_id}")
    assert str(refusal.value) == (
        "it (version 3, logged by eve in None) brings code that is not what is installed here: user/mine/gains.py. It "
        f"would run as you: read {folder / 'code'}, and give --trust-model-code (Python: trust_model_code=True; any "
        "command: SEPRAY_TRUST_MODEL_CODE=1) if you trust it"
    )
    assert not mark.exists()
    assert module.exists()


def test_code_that_is_trusted_runs_in_a_process_of_its_own_without_secrets(folder, tmp_path, monkeypatch, caplog):
    """Only what was looked at runs: no compiled file that lies beside it."""
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    mark = tmp_path / "ran"
    tell = f"\nimport os\nopen({str(mark)!r}, 'w').write(str(os.getpid()) + str(sorted(os.environ)))\n"
    module = rewritten(folder, "gains.py", tell)
    evil = tmp_path / "evil.py"
    evil.write_text("raise ValueError('compiled')")
    for source in (module, module.with_name("separator.py")):
        compiled = importlib.util.cache_from_source(str(source))
        py_compile.compile(str(evil), compiled, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    with trust.consent(True), caplog.at_level(logging.WARNING, "sepray.models"):
        loaded = load_folder(folder, "it")
    np.testing.assert_allclose(loaded.predict(MIXTURES), EXPECTED, rtol=1e-6)
    assert loaded.separation.signal == SIGNAL
    with pytest.raises(RuntimeError, match="nonsense"):
        loaded.predict(MIXTURES, {"device": "nonsense"})
    assert mark.read_text().startswith(str(loaded.separation._process.pid))
    assert "PATH" in mark.read_text()
    assert "MLFLOW_TRACKING_PASSWORD" not in mark.read_text()
    assert "user/mine/gains.py; it runs in a process of its own" in caplog.text


@pytest.fixture
def processes(monkeypatch):
    """Return the processes that would be started, without starting them."""
    started = []

    class Process:
        signal = SIGNAL

        def __init__(self, code, _):
            started.append(code)

    monkeypatch.setattr("sepray.tracking.model_process.ModelProcess", Process)
    return started


def test_code_that_a_study_of_this_user_packaged_needs_no_consent(folder, processes, monkeypatch, caplog):
    """Such as yesterday's, whose separator has changed since."""
    rewritten(folder, "gains.py", "# yesterday")
    code = model_code.read(folder, {"loader_module": f"{next((folder / 'code').iterdir()).name}.tracking.loader"})
    trust.remember(code.digest)
    load_folder(folder, "it")
    assert [started.digest for started in processes] == [code.digest]
    assert caplog.text == ""


def test_packaging_remembers_the_code(packaged):
    name = next((packaged / "code").iterdir()).name
    assert trust.is_own(model_code.read(packaged, {"loader_module": f"{name}.tracking.loader"}).digest)


def test_own_code_whose_module_is_gone_runs_in_a_process(folder, processes, monkeypatch):
    monkeypatch.setattr(model_code.importlib.util, "find_spec", lambda name: None)
    load_folder(folder, "it")
    assert len(processes) == 1


def test_with_a_key_only_what_it_signed_is_loaded(folder, processes, monkeypatch):
    monkeypatch.setenv(trust.KEY, "k" * 16)
    with pytest.raises(ModelError, match=r"^it is not signed with the key of SEPRAY_MODEL_KEY: unset it, or give --tr"):
        load_folder(folder, "it")
    rewritten(folder, "gains.py", "# theirs")
    signed(folder)
    load_folder(folder, "it")
    assert len(processes) == 1, "who has the key is trusted"
    monkeypatch.setenv(trust.KEY, "l" * 16)
    with pytest.raises(ModelError, match=r"^it is signed with another key than SEPRAY_MODEL_KEY"):
        load_folder(folder, "it")
    with trust.consent(True):
        load_folder(folder, "it")


def _other_code(folder):
    rewritten(folder, "gains.py", "# theirs")


def _other_numbers(folder):
    with_other_weights(folder)
    resealed(folder)


def _other_settings(folder):
    settings = folder / "data" / "separator" / "separator.json"
    settings.write_text(settings.read_text() + " ")
    resealed(folder)


def _other_metadata(folder):
    metadata = yaml.safe_load((folder / "MLmodel").read_text())["metadata"]
    edited(folder, metadata={**metadata, "task_config": {"train": 10**9}})


@pytest.mark.parametrize("tampered", [_other_code, _other_numbers, _other_settings, _other_metadata])
def test_signature_is_over_code_and_weights_and_settings_and_metadata(folder, processes, monkeypatch, tampered):
    """Who may write the model can put a new digest beside what was changed, but has no key."""
    monkeypatch.setenv(trust.KEY, "k" * 16)
    signed(folder)
    load_folder(folder, "it")
    tampered(folder)
    assert packaged_model.is_sealed(folder, "it")
    with pytest.raises(ModelError, match=r"^it is signed with another key than SEPRAY_MODEL_KEY"):
        load_folder(folder, "it")


@pytest.fixture
def nobody(monkeypatch):
    """No study of this user has packaged anything."""
    monkeypatch.setattr(trust, "is_own", lambda code: False)


@pytest.fixture
def foreign(folder, tmp_path, monkeypatch, nobody):
    """A model whose separator is said to be in a module that is installed here, and that does things when imported."""
    theirs = tmp_path / "installed"
    theirs.mkdir()
    mark = tmp_path / "imported"
    (theirs / "flies_away.py").write_text(f"open({str(mark)!r}, 'w').close()\n\n\nclass Config:\n    pass\n")
    monkeypatch.syspath_prepend(str(theirs))
    [package] = (folder / "code").glob("sepray_model_*")
    shutil.copy(theirs / "flies_away.py", package / "user")
    described(folder, module="user.flies_away")
    yield mark
    sys.modules.pop("flies_away", None)


def described(folder, **changes):
    """Change what separator.json says, and the digest with it."""
    path = folder / "data" / "separator" / "separator.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    resealed(folder)


def test_installed_module_that_only_the_model_names_is_not_imported(folder, foreign):
    code = model_code.read(folder, yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["python_function"])
    assert code.differences() == []
    with pytest.raises(ModelError) as refusal:
        load_folder(folder, "it", lambda run_id: "logged by eve")
    assert str(refusal.value) == (
        "it (logged by eve) would import flies_away, which no command of yours has named here. If you trust it, set "
        "SEPRAY_TRUST_MODULES=flies_away, or give --trust-model-code (Python: trust_model_code=True; any command: "
        "SEPRAY_TRUST_MODEL_CODE=1)"
    )
    assert not foreign.exists()
    assert "flies_away" not in sys.modules


def test_what_was_looked_at_is_what_is_used(folder, tmp_path, monkeypatch, foreign):
    """Whoever may write to a model's folder could put another file there once its digest has been found to be right."""
    described(folder, module="user.mine.separator")
    path = folder / "data" / "separator" / "separator.json"
    sealed, swapped = packaged_model._require_sealed, []

    def then_swapped(*arguments):
        swapped.append(path.write_text(json.dumps(json.loads(path.read_text()) | {"module": "user.flies_away"})))
        (path.parent / "weights.safetensors").write_bytes(b"")
        return sealed(*arguments)

    monkeypatch.setattr(packaged_model, "_require_sealed", then_swapped)
    with trust.consent(True):
        loaded = load_folder(folder, "it")
    np.testing.assert_allclose(loaded.predict(MIXTURES), EXPECTED, rtol=1e-6)
    assert swapped
    assert not foreign.exists()


def test_description_that_is_no_file_or_endless_is_refused(folder):
    for content in (b" " * (2**24 + 1), "ü".encode() * 2**24):  # bytes count, and not characters
        (folder / "MLmodel").write_bytes(content)
        with pytest.raises(ModelError, match="its file MLmodel is too large"):
            load_folder(folder, "it")
    (folder / "MLmodel").unlink()
    os.mkfifo(folder / "MLmodel")
    with pytest.raises(ModelError, match="it is no file"):
        load_folder(folder, "it")


@pytest.mark.parametrize("text", ["[" * 200_000, "- " * 200_000 + "a", "{a: " * 51 + "b"])
def test_deep_description_is_refused_before_it_is_built(folder, text):
    """PyYAML builds it in C, level by level: the process ended by a signal."""
    (folder / "MLmodel").write_text(text)
    with pytest.raises(ModelError, match=r"^it cannot be loaded: its file MLmodel has more than 50 levels$"):
        describe_folder(folder, "it")


def test_code_and_data_of_no_models_size_are_not_read(folder, monkeypatch):
    [package] = (folder / "code").glob("sepray_model_*")
    with (package / "holes.bin").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelError, match=r"its code has more files, or larger ones, than sepray packages$"):
        load_folder(folder, "it")
    (package / "holes.bin").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(model_code, "_MOST_FILES", 3)
        with pytest.raises(ModelError, match=r"its code has more files, or larger ones, than sepray packages$"):
            load_folder(folder, "it")
    settings = folder / "data" / "separator" / "separator.json"
    before = settings.read_bytes()
    os.truncate(settings, (1 << 24) + 1)
    with pytest.raises(ModelError, match=r"its file separator\.json is too large$"):
        load_folder(folder, "it")
    settings.write_bytes(before)
    weights = settings.with_name("weights.safetensors")
    os.truncate(weights, 1 << 43)
    with pytest.raises(ModelError, match=r"there is no room in .* for a copy of its \d{13} bytes$"):
        load_folder(folder, "it")


def test_package_that_is_a_link_is_not_read(folder, tmp_path):
    [package] = (folder / "code").glob("sepray_model_*")
    package.rename(tmp_path / "elsewhere")
    package.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=r"its package is a link$"):
        load_folder(folder, "it")


def test_with_consent_such_a_module_is_imported_in_a_process_of_its_own(folder, foreign, processes):
    with trust.consent(True):
        load_folder(folder, "it")
    assert len(processes) == 1
    assert "flies_away" not in sys.modules


def with_another_loader(folder):
    [package] = (folder / "code").glob("sepray_model_*")
    (package / "tracking" / "loader.py").write_text("# theirs")
    resealed(folder)


def test_another_loader_is_not_run_where_all_else_is_what_is_installed_here(folder, processes, nobody, monkeypatch):
    with_another_loader(folder)
    monkeypatch.setenv(own_modules.TRUSTED, "mine.separator")
    np.testing.assert_allclose(load_folder(folder, "it").predict(MIXTURES), EXPECTED, rtol=1e-6)
    assert not processes


def test_another_loader_is_named_wherever_consent_runs_it(folder, foreign, processes, monkeypatch, caplog):
    """The model's own process runs its own loader."""
    with_another_loader(folder)
    with pytest.raises(
        ModelError, match=r"SEPRAY_TRUST_MODEL_CODE=1\)\. The flag also runs the model's own tracking/loader\.py, "
    ):
        load_folder(folder, "it")
    with trust.consent(True), caplog.at_level(logging.WARNING, "sepray.models"):
        load_folder(folder, "it")
    assert "not what is installed here: tracking/loader.py; it runs in a process of its own" in caplog.text
    rewritten(folder, "gains.py", "# theirs")
    with pytest.raises(
        ModelError, match=r"not what is installed here: tracking/loader\.py, user/mine/gains\.py\. It wo"
    ):
        load_folder(folder, "it")
    caplog.clear()
    monkeypatch.setenv(trust.KEY, "k" * 16)  # which has not signed it
    with trust.consent(True), caplog.at_level(logging.WARNING, "sepray.models"):
        load_folder(folder, "it")
    assert "tracking/loader.py, user/mine/gains.py; it runs in a process of its own" in caplog.text
    assert len(processes) == 2


def test_a_wrong_signature_and_consent_import_nothing_here(folder, foreign, processes, monkeypatch):
    monkeypatch.setenv(trust.KEY, "k" * 16)
    with trust.consent(True):
        load_folder(folder, "it")
    assert len(processes) == 1
    assert "flies_away" not in sys.modules


@pytest.mark.parametrize("module", ["__main__", "tracking.loader"])
def test_module_of_sepray_that_is_no_separator_is_not_imported(folder, nobody, module):
    [package] = (folder / "code").glob("sepray_model_*")
    place = Path(registry.__file__).parent / "__main__.py"
    shutil.copy(place, package)
    described(folder, module=module)
    with pytest.raises(ModelError, match=rf"sepray\.{module}"):
        load_folder(folder, "it")


def test_module_that_a_command_of_this_user_has_named_is_imported(folder, nobody, monkeypatch):
    monkeypatch.delitem(sys.modules, "mine.separator")
    monkeypatch.setattr(registry.definitions, "only_defines", lambda *_: False)
    with pytest.raises(ModelError, match=r"would import mine\.separator, which no command of yours has named here"):
        load_folder(folder, "it")
    monkeypatch.setenv(own_modules.TRUSTED, "mine.separator")
    loaded = load_folder(folder, "it")
    assert type(loaded.separation.separator).__module__ == "mine.separator"


@pytest.mark.parametrize("text", ["[]", "{}", '"text"', "[" * 100_000], ids=["list", "empty", "text", "deep"])
def test_separator_json_that_describes_none_is_refused(folder, text):
    (folder / "data" / "separator" / "separator.json").write_text(text)
    resealed(folder)
    with pytest.raises(ModelError, match=r"its separator\.json describes no separator$"):
        load_folder(folder, "it")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("n_fft", value) for value in (10**12, 0, -4, "16", 16.0, None, True)),
        ("hop", "8"),
        *(("task_config", value) for value in ([], "text", 5, {5: 1})),
        *((key, 5) for key in ("task", "metric", "supervision", "data_fingerprint", "study", "signature", "digest")),
        *(("sources", value) for value in ("text", 5, [5])),
        *(("sample_rate", value) for value in ("128", [128], True)),
        ("hyperparameters", []),
        *(("mixture_level", value) for value in (5, [1], {"low": 1.0}, {"low": "a", "usual": 0, "high": 1})),
        *(("hearts", value) for value in (5, {}, {"rates": [["a", 1]], "pulses": []}, {"rates": [], "pulses": 5})),
        *(
            ("hearts", value)
            for value in ({"rates": [["a", "b", 2]], "pulses": []}, {"rates": [[1, 2, 3]], "pulses": []})
        ),
    ],
)
def test_metadata_that_sepray_does_not_write_are_refused(folder, key, value):
    metadata = yaml.safe_load((folder / "MLmodel").read_text())["metadata"]
    edited(folder, metadata={**metadata, key: value})
    for read in (load_folder, describe_folder):
        with pytest.raises(ModelError) as refusal:
            read(folder, "it")
        assert str(refusal.value) == (
            f"it cannot be loaded: its file MLmodel has a {key} that sepray does not write; use another version"
        )


@pytest.mark.parametrize("key", ["", "0123456789abcdef"])
@pytest.mark.parametrize(
    "text",
    [
        *("a: 2026-11-28", "a: 2026-11-28 12:00:00", "a: {b: [2026-11-28]}", "a: !!set {b}", "a: !!binary eA=="),
        *("5: a", "2026-11-28: a", "a: {1: b, c: d}", f"a: 0x{'f' * 5000}", "task_config: {a: 2026-11-28}"),
    ],
)
def test_metadata_that_are_not_json_are_refused_in_one_line(folder, monkeypatch, key, text):
    monkeypatch.setenv("SEPRAY_MODEL_KEY", key)
    path = folder / "MLmodel"
    path.write_text(path.read_text().replace("\nmetadata:\n", f"\nmetadata:\n  {text}\n"))
    with pytest.raises(ModelError) as refusal:
        load_folder(folder, "it")
    assert str(refusal.value) == (
        "it cannot be loaded: its file MLmodel has a date, or another value beyond JSON, that sepray does not write; "
        "use another version"
    )


def bomb(first, level):
    """Nine levels, each with nine times the one before."""
    levels = [level.format(n=n, parts=", ".join([f"*a{n - 1}"] * 9)) for n in range(1, 10)]
    return "\n".join([f"  a0: &a0 {first}", *levels])


ALIASES, MERGES = bomb("[lol, lol]", "  a{n}: &a{n} [{parts}]"), bomb("{x: y}", "  a{n}: &a{n} {{<<: [{parts}]}}")


@pytest.mark.parametrize("key", ["", "0123456789abcdef"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ALIASES, "its file MLmodel repeats its values too often"),
        ("  a0: &a0 [*a0]", "its file MLmodel repeats its values too often"),
        (MERGES, "ConstructorError: could not determine a constructor for the tag 'tag:yaml.org,2002:merge'"),
    ],
    ids=["aliases", "itself", "merges"],
)
def test_few_lines_that_stand_for_billions_are_refused(folder, monkeypatch, key, text, told):
    monkeypatch.setenv("SEPRAY_MODEL_KEY", key)
    path = folder / "MLmodel"
    path.write_text(path.read_text().replace("\nmetadata:\n", f"\nmetadata:\n{text}\n"))
    with pytest.raises(ModelError, match=f"^it cannot be loaded: {re.escape(told)}"):
        load_folder(folder, "it")


def test_an_alias_of_yaml_itself_is_taken(folder):
    """PyYAML writes one where a value is in a description twice."""
    path = folder / "MLmodel"
    path.write_text(path.read_text().replace("\nmetadata:\n", "\nmetadata:\n  a: &a [1, 2]\n  b: *a\n"))
    assert describe_folder(folder, "it")[0]["b"] == [1, 2]


def test_metadata_as_studies_write_them_are_taken(folder):
    metadata = yaml.safe_load((folder / "MLmodel").read_text())["metadata"]
    told = {
        "n_fft": 1024,
        "hop": 768,
        "task": "sepray.tasks.ecg",
        "task_config": {"train": 7},
        "sample_rate": None,
        "mixture_level": {"low": -0.5, "usual": 0, "high": 2.0},
        "hearts": {"rates": [["maternal", 40.0, 120.0]], "pulses": ["fetal"]},
        "hyperparameters": {"beta": 0.1},
    }
    edited(folder, metadata={**metadata, **told})
    assert load_folder(folder, "it").metadata == {**metadata, **told}


@pytest.mark.parametrize(
    "changes",
    [
        *({"metadata": ["digest"]}, {"metadata": "digest"}, {"run_id": 5}),
        *({"flavors": ["python_function"]}, {"flavors": {"python_function": "text"}}),
    ],
)
def test_mlmodel_of_other_kinds_is_refused(folder, changes):
    edited(folder, **changes)
    with pytest.raises(ModelError, match=r"^it (cannot be loaded: its file MLmodel|is a model of MLflow, but not one)"):
        load_folder(folder, "it")


def test_packaging_signs_what_it_writes(tmp_path, monkeypatch, separator, unchecked):
    """Metadata go through YAML and come back as they were signed."""
    monkeypatch.setenv(trust.KEY, "k" * 16)
    told = {"hyperparameters": {"rate": 1e-05, "beta": 0.1, "more": [1e300, -0.0, None, True]}, "study": "é: #"}
    scaled.package(tmp_path / "signed", separator, sources=("maternal", "fetal"), **told)
    assert load_folder(tmp_path / "signed", "it").metadata["hyperparameters"] == told["hyperparameters"]


def test_former_signature_is_refused_with_what_to_do(folder, monkeypatch):
    """The former signature was of the digest alone: whoever could write the model could change all other metadata."""
    monkeypatch.setenv(trust.KEY, "k" * 16)
    metadata = yaml.safe_load((folder / "MLmodel").read_text())["metadata"]
    told = hmac.new(b"k" * 16, b"sepray model\0" + metadata["digest"].encode(), "sha256").hexdigest()
    edited(folder, metadata={**metadata, "signature": f"hmac-sha256:{told}"})
    with pytest.raises(ModelError) as refusal:
        load_folder(folder, "it")
    assert str(refusal.value) == (
        "it has a signature of an older version of sepray, which leaves metadata out: unset SEPRAY_MODEL_KEY, or "
        "give --trust-model-code (Python: trust_model_code=True) if you know who made the model"
    )
    with trust.consent(True):
        load_folder(folder, "it")
    monkeypatch.delenv(trust.KEY)
    load_folder(folder, "it")
