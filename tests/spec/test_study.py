"""The description of a study: flags, defaults, refusals, and the way back from its stored form."""

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution

from sepray.choices import Objective
from sepray.contracts import Signal
from sepray.registry import UnknownNameError
from sepray.separators import cass
from sepray.spec.flags import Changes, StudyOptions, name_given, parse, parse_command, parse_early, with_budget
from sepray.spec.parts import PARTS, Budget, Resources, Search, Stores, flat
from sepray.spec.settings import Settings, SettingsError
from sepray.spec.study import StudySpec, UsageError, key, rebuilt
from sepray.tasks import ecg

SPACE = {"beta": FloatDistribution(1e-5, 0.2, log=True)}
SIGNAL = Signal(("maternal", "fetal"), 1, (504,), 128.0)


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("SEPRAY_STORAGE", raising=False)


def spec(**changes) -> StudySpec:
    given = {"name": "cass-ecg", "separator": "cass", "task": "ecg", "space": SPACE}
    return StudySpec(**{**given, **changes})


FLAGS = {
    "name": ("other", "other"),
    "trials": ("7", 7),
    "max_epochs": ("9", 9),
    "concurrency": ("3", 3),
    "cpus_per_trial": ("0.5", 0.5),
    "gpus_per_trial": ("0.25", 0.25),
    "device": ("xpu", "xpu"),
    "epoch_timeout": ("60", 60.0),
    "start": ("pretrained:ecg", "pretrained:ecg"),
    "seed": ("11", 11),
    "seeds_per_trial": ("2", 2),
    "sampler": ("nsgaii", "nsgaii"),
    "scheduler": ("hyperband", "hyperband"),
    "grace_period": ("4", 4),
    "reduction_factor": ("2.5", 2.5),
    "deterministic": (None, True),
    "retry_failed": (None, True),
    "only_arms": ("CASS", ("CASS",)),
    "finalists": ("5", 5),
    "final_seeds": ("6", 6),
    "storage": ("postgresql://host/optuna", "postgresql://host/optuna"),
    "tracking_uri": ("http://host:5000", "http://host:5000"),
    "storage_path": ("s3://bucket/path", "s3://bucket/path"),
    "address": ("ray://host:10001", "ray://host:10001"),
    "cache": ("/data", Path("/data")),
    "checkpoint_seconds": ("60", 60.0),
    "reference_budget": ("published", "published"),
    "shared": (None, True),
}
GIVEN = {"space", "reference_points", "reference_epochs", "controls", "arms", "fixed_settings", "first_settings"}


def values(made: StudySpec) -> dict[str, object]:
    """All fields by the names of their flags."""
    own = {f.name for f in dataclasses.fields(StudySpec)} - set(PARTS)
    return {name: getattr(made, name) for name in own} | flat(made)


def test_every_field_has_a_flag_that_sets_it_and_nothing_else():
    assert set(FLAGS) | GIVEN | {"separator", "task", "objective", "choose"} == set(values(spec()))
    for name, (text, value) in FLAGS.items():
        for read in (parse, parse_early):
            changed = read(spec(), [f"--{name.replace('_', '-')}", *([text] if text else [])])
            assert values(changed)[name] == value
            assert changed.changed(**{name: values(spec())[name]}) == spec(), name


def test_fields_of_the_parts_may_be_given_by_their_own_names():
    made = spec(trials=6, sampler="random", concurrency=2, storage="journal://log")
    assert made == spec(
        budget=Budget(trials=6),
        search=Search(sampler="random"),
        resources=Resources(concurrency=2),
        stores=Stores(storage="journal://log"),
    )
    assert spec(budget=Budget(max_epochs=9), trials=6).budget == Budget(trials=6, max_epochs=9)
    assert made.changed(trials=7).budget == Budget(trials=7)
    with pytest.raises(
        TypeError, match=r"^unknown field trails; perhaps you meant trials; there are name, separator, "
    ):
        spec(trails=6)
    with pytest.raises(TypeError, match=r"^unknown field nam; perhaps you meant name; there are name, separator, "):
        StudySpec(nam="x")
    with pytest.raises(TypeError, match=r"missing 2 required positional arguments: 'separator' and 'task'$"):
        StudySpec(name="x")


def test_parts_and_several_objectives_have_flags():
    task = ["--task.train", "60", "--task.fetal-bpm", "110", "150"]
    separator = ["--separator.representation", "magnitude", "--separator.width", "8"]
    changed = parse(spec(), [*task, *separator, "--objective", "fetal/relative_l2", "si_sdr"])
    assert parse(spec(), ["--choose", "weights", "2", "1"]).choose == ("weights", "2", "1")
    assert spec().choose == ("knee",)
    assert changed.task == ecg.Config(train=60, fetal_bpm=(110.0, 150.0))
    assert changed.separator == cass.Config(representation="magnitude", width=8)
    assert changed.objective == ("fetal/relative_l2", "si_sdr")


def test_what_the_studys_file_gives_survives_the_command_line():
    points = {"paper": {"beta": 0.1}}
    changed = parse(spec(reference_points=points, controls={"plain": {"beta": 0.0}}), ["--trials", "3"])
    assert (changed.space, changed.reference_points) == (SPACE, points)
    assert changed.controls == {"plain": {"beta": 0.0}}


def test_without_arguments_a_study_is_as_its_file_has_it():
    assert parse(spec(trials=31), []) == spec(trials=31)


def test_defaults_are_those_of_the_readme_study():
    made = spec()
    assert (made.separator, made.task) == (cass.Config(), ecg.Config())
    assert (made.search.sampler, made.search.scheduler, made.objective) == ("tpe", "asha", ("relative_l2",))
    assert (made.stores.storage, made.stores.tracking_uri) == ("sqlite:///optuna.db", "sqlite:///mlflow.db")
    assert (made.budget.seeds_per_trial, made.resources.concurrency, made.resources.address) == (1, 0, None)
    assert (made.reference_points, made.controls) == ({}, {})


def test_tracking_uri_of_the_environment_is_the_default_and_a_flag_beats_it(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
    assert spec().stores.tracking_uri == "http://tracker:5000"
    assert parse(spec(), []).stores.tracking_uri == "http://tracker:5000"
    assert parse(spec(), ["--tracking-uri", "http://other"]).stores.tracking_uri == "http://other"


def test_storage_of_the_environment_is_the_default_is_shown_nowhere_and_a_flag_beats_it(monkeypatch, capsys):
    address = "postgresql://me:hunter22secret@h/b"
    monkeypatch.setenv("SEPRAY_STORAGE", address)
    assert spec().stores.storage == address
    assert parse(spec(), []).stores.storage == address
    assert parse(spec(), ["--storage", "sqlite:///b.db"]).stores.storage == "sqlite:///b.db"
    with pytest.raises(SystemExit):
        parse(spec(), ["--help"])
    told = capsys.readouterr().out
    assert "SEPRAY_STORAGE" in told
    assert "hunter22secret" not in told
    monkeypatch.setenv("SEPRAY_STORAGE", "")
    assert spec().stores.storage == "sqlite:///optuna.db"


WRONG_TYPES = [
    ({"name": 3}, "name must be a text (str), not 3"),
    ({"seed": "1"}, "seed must be a whole number (int), not '1'"),
    ({"objective": "si_sdr"}, "objective must be a tuple of names, such as ('si_sdr',), not 'si_sdr'"),
    ({"budget": 3}, "budget must be a Budget, not 3"),
    (
        {"space": {"a": 1}},
        "space['a'] must be a distribution of Optuna, such as FloatDistribution(1e-3, 1), not 1",
    ),
    (
        {"space": {"sparsity": (0, 1)}},
        "space['sparsity'] must be a distribution of Optuna, such as FloatDistribution(1e-3, 1), not (0, 1)",
    ),
    (
        {"space": ["beta"]},
        "space must be a dictionary that gives each name a distribution of Optuna, such as FloatDistribution(1e-3, 1), "
        "not ['beta']",
    ),
    ({"arms": {"CASS": {"beta": 1}}}, "arms['CASS'] must be an Arm (sepray.arms), not {'beta': 1}"),
    ({"controls": {"beta": 1}}, "controls['beta'] must be a dictionary of hyperparameters, not 1"),
]


@pytest.mark.parametrize(("fields", "line"), WRONG_TYPES)
def test_fields_of_a_wrong_type_are_refused_when_the_study_is_built(fields, line):
    with pytest.raises(UsageError) as refusal:
        spec(**fields)
    assert str(refusal.value) == line


REFUSED = [
    ({"trials": 0}, "--trials must be at least 1, not 0"),
    ({"max_epochs": 0}, "--max-epochs must be at least 1, not 0"),
    ({"concurrency": -1}, "--concurrency must be at least 0, not -1"),
    ({"seeds_per_trial": 0}, "--seeds-per-trial must be at least 1, not 0"),
    ({"grace_period": -1}, "--grace-period must be at least 0, not -1"),
    ({"finalists": 0}, "--finalists must be at least 1, not 0"),
    ({"final_seeds": -1}, "--final-seeds must be at least 0, not -1"),
    ({"seed": -3}, "--seed must be at least 0, not -3"),
    ({"cpus_per_trial": 0.0}, "--cpus-per-trial must be more than 0, not 0"),
    ({"cpus_per_trial": math.nan}, "--cpus-per-trial must be more than 0, not nan"),
    ({"checkpoint_seconds": -1.5}, "--checkpoint-seconds must be more than 0, not -1.5"),
    ({"gpus_per_trial": -0.5}, "--gpus-per-trial must not be negative, not -0.5"),
    ({"reduction_factor": 1.0}, "--reduction-factor must be more than 1, not 1"),
    ({"name": ""}, "--name must be of letters, digits, dots, dashes and underscores, not ''"),
    ({"objective": ()}, "--objective must name one metric or more, each once, not ''"),
    ({"objective": ("si_sdr",) * 2}, "--objective must name one metric or more, each once, not 'si_sdr si_sdr'"),
    ({"name": ".."}, "--name must be of letters, digits, dots, dashes and underscores, not '..'"),
    ({"gpus_per_trial": float("nan")}, "--gpus-per-trial must not be negative, not nan"),
    ({"name": "a/b"}, "--name must be of letters, digits, dots, dashes and underscores, not 'a/b'"),
]


@pytest.mark.parametrize(("changes", "line"), REFUSED, ids=[line for _, line in REFUSED])
def test_bad_value_is_refused_in_one_line(changes, line):
    with pytest.raises(UsageError) as caught:
        spec(**changes)
    assert str(caught.value) == line


@pytest.mark.parametrize(
    "arguments", [["--trials", "0"], ["--trials", "many"], ["--separator.width", "0"], ["--no-such-flag", "1"]]
)
def test_bad_flag_is_refused_in_one_line_that_names_it(arguments, capsys):
    with pytest.raises(UsageError) as caught:
        parse(spec(), arguments)
    assert arguments[0].rpartition(".")[2].lstrip("-") in str(caught.value)
    assert "\n" not in str(caught.value)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_unknown_separator_and_task_are_refused_with_those_that_there_are():
    with pytest.raises(
        UnknownNameError,
        match=r"^unknown separator 'casss'; perhaps you meant cass; there are: .*cass.*, or a module of",
    ):
        spec(separator="casss").check()
    with pytest.raises(
        UnknownNameError,
        match=r"^cass has no configuration 'publish'; perhaps you meant published; there are: .*cass:published",
    ):
        spec(separator="cass:publish").check()
    with pytest.raises(UnknownNameError, match=r"^unknown task 'eeg'; (perhaps you meant ecg; )?there are: .*ecg"):
        spec(task="eeg").check()


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (("relative_l2",), [("relative_l2", "minimize")]),
        (("si_sdr",), [("si_sdr", "maximize")]),
        (("fetal/relative_l1",), [("fetal/relative_l1", "minimize")]),
        (("relative_l2:each",), [("maternal/relative_l2", "minimize"), ("fetal/relative_l2", "minimize")]),
        (
            ("fetal/si_sdr", "relative_linf"),
            [("fetal/si_sdr", "maximize"), ("relative_linf", "minimize")],
        ),
    ],
)
def test_objectives_are_keys_of_results_with_their_directions(objective, expected):
    found = spec(objective=objective).objectives(SIGNAL)
    assert found == tuple(Objective(f"validation/{name}", direction) for name, direction in expected)


@pytest.mark.parametrize(
    "text", ["relative_l3", "paternal/relative_l2", "fetal/relative_l2:each", "relative_l2:all", "fetal/", "a/b/si_sdr"]
)
def test_unknown_objective_is_refused_with_those_that_there_are(text):
    with pytest.raises(UsageError) as caught:
        spec(objective=("relative_l2", text)).objectives(SIGNAL)
    assert str(caught.value).startswith(f"unknown objective {text!r}; ")
    assert "there are relative_l1, relative_l2, relative_linf," in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("objective", "metric"),
    [("relative_l2", "relative_l2"), ("fetal/relative_l1", "relative_l1"), ("si_sdr:each", "si_sdr")],
)
def test_metric_of_the_table_is_the_first_objectives(objective, metric):
    assert spec(objective=(objective, "relative_linf")).metric == metric


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("psnr", "objective 'psnr': psnr measures images, and the task's signals are over time"),
        ("heart_rate_error", "needs sources with a heart rate, and maternal, fetal have none"),
        ("magnitude_l2", "magnitude_l2 needs a second separation, too long for every epoch: search by relative_l2"),
    ],
)
def test_objectives_that_the_task_has_no_measure_of_are_refused_in_one_line(text, why):
    with pytest.raises(UsageError, match=why) as caught:
        spec(objective=(text,)).objectives(SIGNAL)
    assert "\n" not in str(caught.value)


def test_objectives_of_images_and_of_hearts():
    images = Signal(("shoes", "bags"), 3, (64, 64), None)
    expected = tuple(Objective(f"validation/{s}/ssim", "maximize") for s in images.sources)
    assert spec(objective=("ssim:each",)).objectives(images) == expected
    hearts = Signal(("heart", "breath"), 1, (504,), 32.0, heart_sources=("heart",))
    expected = (Objective("validation/heart/heart_rate_error", "minimize"),)
    assert spec(objective=("heart_rate_error:each",)).objectives(hearts) == expected
    assert spec(objective=("heart/heart_rate_error",)).objectives(hearts) == expected
    with pytest.raises(UsageError, match="and breath has none"):
        spec(objective=("breath/heart_rate_error",)).objectives(hearts)
    expected = (Objective("validation/heart/beat_f1", "maximize"),)
    assert spec(objective=("heart/beat_f1:max",)).objectives(hearts) == expected
    assert expected[0].words == "heart beat F1"


def test_bss_eval_is_refused_as_an_objective_before_anything_is_loaded():
    with pytest.raises(UsageError, match=r"sdr \(BSS Eval\) takes seconds for each item, too long") as caught:
        spec(objective=("fetal/sdr",)).check()
    assert "\n" not in str(caught.value)


def test_model_is_named_after_separator_and_task():
    assert spec(name="sweep").model_name == "cass-ecg"
    assert key(cass.DEBUG) == "cass"


def test_model_name_of_modules_of_ones_own_has_no_underscores(monkeypatch, tmp_path):
    for name in ("spec_filter_bank", "spec_lab_data"):
        text = "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Config:\n    taps: tuple = (1, 2)\n"
        text += "    def build(self, signal): ...\n    def load(self, cache): ...\n"
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    made = spec(separator="spec_filter_bank", task="spec_lab_data")
    assert made.model_name == "spec-filter-bank-spec-lab-data"
    restored = StudySpec.restored(json.loads(json.dumps(made.plain())))
    assert (restored.separator, restored.task) == (made.separator, made.task)


def test_study_is_restored_from_its_record_without_space_and_addresses():
    made = spec(
        separator=cass.DEBUG,
        task=ecg.Config(train=3, maternal_bpm=(70.0, 75.0)),
        objective=("relative_l2:each", "si_sdr"),
        trials=5,
        storage="postgresql://user:secret@host/optuna",
        tracking_uri="http://user:secret@host",
        cache=Path("/data"),
        seed=4,
    )
    kept = json.dumps(made.plain())
    assert "secret" not in kept
    addresses = {"storage": "sqlite:///a.db", "tracking_uri": "http://b", "cache": Path("/c")}
    assert StudySpec.restored(json.loads(kept), **addresses) == made.changed(space={}, **addresses)


def test_config_is_rebuilt_from_json_with_its_tuples():
    assert rebuilt("sepray.separators", "sepray.separators.cass", {"betas": [0.5, 0.9]}) == cass.Config(
        betas=(0.5, 0.9)
    )


PROMISED = {
    *("name", "trials", "max_epochs", "concurrency", "cpus_per_trial", "gpus_per_trial", "seed", "seeds_per_trial"),
    *("sampler", "scheduler", "objective", "storage", "tracking_uri", "address"),
}


def test_help_explains_every_flag(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")  # one column
    with pytest.raises(SystemExit) as caught:
        parse(spec(), ["--help"])
    assert caught.value.code == 0
    printed = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out)
    own = [f"{part}.{f.name}" for part in ("task", "separator") for f in dataclasses.fields(getattr(spec(), part))]
    fields = [name for name in values(spec()) if name not in {*GIVEN, "task", "separator"}]
    assert set(fields) >= PROMISED
    for name in (*fields, *own):
        flag = f"--{name.replace('_', '-')}"
        own_text = re.findall(rf"^[│ ]{{0,4}}{flag}[ ,](.*?)(?=^[│ ]{{0,4}}--|\Z)", printed, re.DOTALL | re.MULTILINE)
        assert len(own_text) == 1, flag
        text = " ".join(re.sub(r"--\S+|│", " ", own_text[0]).split())
        explained, found, _ = text.partition("(default:")
        assert found, f"{flag} has no default in {text!r}"
        words = re.findall(r"[A-Za-z]*[a-z]", re.sub(r"\[.*\]|\{.*\}", "", explained))
        assert len(words) >= 3, f"{flag} is not explained in {text!r}"
    for given in GIVEN - {"first_settings"}:  # a flag of that name takes a file
        assert f"--{given.replace('_', '-')}" not in printed.split()
    for flag in ("--settings FILE", "--first-settings FILE", "--dry-run", "--on-finish COMMAND"):
        assert flag in printed


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsgaii"])
def test_pbt_is_refused_with_a_sampler_that_it_would_mislead(sampler):
    with pytest.raises(UsageError, match=f"would mislead the sampler '{sampler}'"):
        spec(scheduler="pbt", sampler=sampler).check()
    spec(scheduler="pbt", sampler="random").check()
    spec(scheduler="asha", sampler=sampler).check()


def settings_file(folder: Path, separator: str = "cass") -> Path:
    """A file with settings of a separator."""
    path = folder / "best.toml"
    Settings(separator, {"beta": 0.05, "cross.maternal_to_fetal": 0.5}, study="earlier").save(path)
    return path


def test_file_with_settings_fixes_them(tmp_path):
    changed = parse(spec(fixed_settings={"beta": 0.1, "adversarial": 1}), ["--settings", str(settings_file(tmp_path))])
    assert changed.fixed_settings == {"beta": 0.05, "cross.maternal_to_fetal": 0.5, "adversarial": 1}
    assert (changed.first_settings, changed.space) == ({}, SPACE)


def test_file_with_settings_to_try_first_is_a_starting_point_under_its_studys_name(tmp_path):
    changed = parse(spec(first_settings={"mine": {"beta": 0.1}}), ["--first-settings", str(settings_file(tmp_path))])
    given = {"beta": 0.05, "cross.maternal_to_fetal": 0.5}
    assert changed.first_settings == {"mine": {"beta": 0.1}, "settings of earlier": given}
    assert (changed.fixed_settings, changed.reference_points) == ({}, {})
    assert list(spec().with_first(Settings("cass", {"beta": 0.1})).first_settings) == ["settings given"]


@pytest.mark.parametrize(
    ("files", "field", "line"),
    [
        (Changes(settings="a.toml"), "fixed_settings", "settings file a.toml: it names betaa"),
        (Changes(settings="a.toml", first_settings="b"), "first_settings", "settings file b: it names betaa"),
        (Changes(), "fixed_settings", "fixed_settings names betaa"),
        (Changes(first_settings="b.toml"), "fixed_settings", "fixed_settings names betaa"),
    ],
)
def test_settings_that_do_not_fit_the_separator_are_refused_by_their_file(files, field, line):
    with pytest.raises(UsageError) as refusal, files.named():
        raise SettingsError(field, "names betaa")
    assert str(refusal.value) == line


@pytest.mark.parametrize("flag", ["--settings", "--first-settings"])
def test_file_with_settings_of_another_separator_or_with_none_is_refused(tmp_path, flag):
    path = settings_file(tmp_path, "nmf")
    with pytest.raises(UsageError, match=rf"^settings file {path}: the settings are for nmf, not for cass$"):
        parse(spec(), [flag, str(path)])
    path.write_text("beta = 1")
    for read in (parse, parse_early):  # before torch, too
        with pytest.raises(UsageError, match=r"best\.toml: unknown key beta; "):
            read(spec(), [flag, str(path)])


def test_what_a_command_does_with_a_study_is_no_part_of_it():
    changed, options, files = parse_command(spec(), ["--dry-run", "--on-finish", "echo done", "--trials", "3"])
    assert (changed, options) == (spec(trials=3), StudyOptions(dry_run=True, on_finish="echo done"))
    assert files == Changes(settings="", first_settings="")
    assert parse_command(spec(), []) == (spec(), StudyOptions(dry_run=False, on_finish=""), files)
    assert parse_early(spec(), ["--dry-run", "--on-finish", "echo done"]) == spec()


def test_record_of_a_study_gives_it_back_with_its_search_space():
    whole = spec(
        space={**SPACE, "cross.{i}_to_{j}": FloatDistribution(0.0, 1.0)},
        reference_points={"paper": {"beta": 0.1}},
        controls={"plain": {"beta": 0.0}},
        fixed_settings={"adversarial": 1},
        first_settings={"mine": {"beta": 0.05}},
        trials=7,
    )
    stored = json.loads(json.dumps([whole.plain(), whole.plain_given()]))
    places = {"storage": whole.stores.storage, "tracking_uri": whole.stores.tracking_uri}
    assert StudySpec.restored(stored[0], stored[1], **places) == whole
    assert StudySpec.restored(stored[0], **places).space == {}
    assert StudySpec.restored(stored[0], stored[1], space={}, **places).space == {}


@pytest.mark.parametrize(
    ("arguments", "name"),
    [([], "small"), (["--budget", "full"], "large"), (["--trials", "3", "--budget=full"], "large")],
)
def test_budget_chooses_the_long_form(arguments, name):
    small, large = spec(name="small"), spec(name="large", max_epochs=500)
    chosen = with_budget(small, large, arguments)
    assert chosen.name == name
    changed, _, _ = parse_command(chosen, arguments)
    assert changed == chosen.changed(trials=3 if "--trials" in arguments else chosen.budget.trials)


@pytest.mark.parametrize(
    ("arguments", "full", "message"),
    [
        (["--budget", "half"], True, "--budget takes full, not 'half'"),
        (["--budget"], True, "--budget takes full, not ''"),
        (["--budget", "full"], False, "this study has no long form: give --max-epochs, --trials and --final-seeds"),
    ],
)
def test_other_budgets_are_refused(arguments, full, message):
    with pytest.raises(UsageError, match=f"^{message}"):
        with_budget(spec(), spec() if full else None, arguments)


def test_flag_that_another_task_has_names_those_tasks():
    with pytest.raises(UsageError) as refused:
        parse_early(spec(task="chords"), ["--task.folder", "recordings"])
    first, tasks, _ = str(refused.value).split("; ")
    assert first == "unknown: --task.folder, which the task chords does not have"
    named = tasks.removeprefix("--task.folder is a flag of the tasks ").split(", ")
    assert {"bach10", "ecg", "stems"} <= set(named)
    assert "chords" not in named
    with pytest.raises(UsageError, match=r"--separator\.sprsity, which the separator nmf does not have; see "):
        parse_early(spec(separator="nmf"), ["--separator.sprsity", "1"])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ([], "default"),
        (["--trials", "3", "--name", "mine"], "mine"),
        (["--name=mine", "--trials", "x"], "mine"),
        (["--name"], "default"),
        (["--names", "mine"], "default"),
    ],
)
def test_messages_begin_with_the_name_that_the_command_line_gives(arguments, name):
    assert name_given("default", arguments) == name
