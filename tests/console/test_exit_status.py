"""Printed errors and exit statuses: one line for bad input, the user's own frames for a bug."""

import argparse
import errno
import importlib
import os
import re
import signal
import subprocess
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from sepray.console import exit_status
from sepray.console.exit_status import exit_with_status, format_error
from sepray.console.interruption import Interrupted
from sepray.console.terminal import duration
from sepray.errors import StorageError, UnreachableError, UsageError
from sepray.spec.permissions import Permissions

from ..end_to_end.conftest import SEPARATOR, TASK

ROOT = Path(__file__).parents[2]
HINT = "program: this is a bug in the code shown above; --traceback shows the whole traceback"


@pytest.fixture
def ended(capsys):
    """Run a job to its end; return its status and what it printed to standard error."""

    def ended(job, *arguments):
        with pytest.raises(SystemExit) as end:
            exit_with_status("program", job, arguments)
        return end.value.code, capsys.readouterr().err

    return ended


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Import a module of the user's own."""
    monkeypatch.syspath_prepend(tmp_path)

    def module(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return module


@pytest.mark.parametrize("code", [None, 0, 5, "enough"])
def test_code_of_the_users_that_ends_the_process_is_a_bug(ended, module, code):
    own = module("ending", f"import sys\ndef build():\n    sys.exit({code!r})\n")
    status, printed = ended(lambda arguments: own.build())
    assert status == 3
    assert "ending.py" in printed
    assert f"sys.exit({code!r})" in printed
    assert printed.rstrip().endswith(HINT)


def test_end_that_a_library_asks_for_keeps_its_status(ended):
    parser = argparse.ArgumentParser()
    assert ended(lambda arguments: parser.parse_args(["--help"]))[0] == 0
    assert ended(lambda arguments: parser.parse_args(["--no"]))[0] == 2


def raising(error):
    def job(arguments):
        raise error

    return job


def frames(printed):
    """File and line of each frame that a traceback shows."""
    return [(Path(file).name, int(line)) for file, line in re.findall(r'File "(.*?)", line (\d+)', printed)]


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (1, 1)])
def test_status_is_what_the_job_returns(ended, returned, status):
    assert ended(lambda arguments: returned) == (status, "")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UsageError("--trials must be at least 1, not 0"), "--trials must be at least 1, not 0"),
        (UsageError("other settings:\n  beta: 1 -> 2\n"), "other settings: beta: 1 -> 2"),
        (StorageError("storage x cannot be opened"), "storage x cannot be opened"),
        (UnreachableError("http://u:secret@h does not answer"), "http://u:***@h does not answer"),
        (FileNotFoundError(2, "No such file or directory", "a.wav"), "a.wav: No such file or directory"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "[Errno 28] No space left on device; free some space on the disk that is written to, and run the same "
            "command again",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "a.wav"),
            "a.wav: No space left on device; free some space there, and run the same command again",
        ),
    ],
)
def test_bad_input_is_one_line(ended, error, line):
    assert ended(raising(error)) == (2, f"program: {line}\n")


def test_full_disk_is_named_where_no_file_is(ended, monkeypatch, tmp_path):
    monkeypatch.setattr(exit_status.tempfile, "gettempdir", lambda: "/small")
    free = {"/small": 4096, str(Path.cwd()): 2**30, os.path.expanduser("~"): 2**30}
    monkeypatch.setattr(exit_status.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free[folder]))
    _, printed = ended(raising(OSError(errno.ENOSPC, "No space left on device")))
    assert printed.endswith("; free some space in /small, and run the same command again\n")


@pytest.mark.parametrize(
    "error", [OSError("no name"), ConnectionResetError(104, "Connection reset by peer"), ValueError("x"), KeyError("x")]
)
def test_any_other_error_is_a_bug(ended, error):
    status, printed = ended(raising(error))
    assert status == 3
    assert printed.startswith("Traceback (most recent call last):\n")
    assert frames(printed) == [(Path(__file__).name, raising.__code__.co_firstlineno + 2)]


def test_bug_in_a_users_separator_shows_its_file_and_line_alone(ended, module):
    """The error is raised in torch, below a function of sepray that calls the user's ``build``."""
    from sepray.training import trainer

    text = "import torch\nclass Config:\n    def build(self, signal):\n        torch.nn.Linear(4, 2)(torch.ones(3))\n"
    config = module("shapes", text).Config()
    called = partial(trainer.build, config, seed=0)
    status, printed = ended(called)
    assert status == 3
    assert frames(printed) == [("shapes.py", 4)]
    assert "torch.nn.Linear(4, 2)(torch.ones(3))" in printed
    assert "RuntimeError: " in printed
    assert printed.endswith(f"{HINT}\n")
    whole = ended(called, "--traceback")[1]
    assert {"exit_status.py", "trainer.py", "shapes.py", "linear.py"} <= {name for name, _ in frames(whole)}
    assert "this is a bug" not in whole


def test_bug_in_sepray_shows_its_frames_and_asks_for_a_report(ended):
    status, printed = ended(duration)  # a list of arguments is no number of seconds
    assert status == 3
    assert [name for name, _ in frames(printed)] == ["terminal.py"]
    assert "TypeError: type list doesn't define __round__ method" in printed
    assert printed.splitlines()[-1].startswith("program: this is a bug in sepray; report it")


def test_bug_below_sepray_shows_the_frame_that_raised_it_too(ended, monkeypatch):
    """If no frame is the user's, the frames of a library help to find the bug."""
    from sepray.console import terminal

    monkeypatch.setattr(terminal, "round", importlib.import_module, raising=False)  # which a list breaks
    status, printed = ended(duration)
    assert status == 3
    assert [name for name, _ in frames(printed)] == ["terminal.py", "__init__.py"]


def test_causes_are_shown_in_the_same_way(ended, module):
    read = module(
        "reads",
        "import json\n\n\ndef load():\n    try:\n        json.loads('{')\n    except ValueError as error:\n"
        "        raise RuntimeError('no settings') from error\n",
    ).load
    status, printed = ended(lambda arguments: read())
    assert status == 3
    first, second = printed.split("The above exception was the direct cause of the following exception:")
    assert frames(first) == [("reads.py", 6)]
    assert "json.decoder.JSONDecodeError: Expecting property name" in first
    assert ("reads.py", 8) in frames(second)
    assert "RuntimeError: no settings" in second


def test_error_while_handling_another_shows_both_unless_it_is_hidden(ended, module):
    text = "def load():\n    try:\n        {}['a']\n    except KeyError:\n        raise TypeError('b')%s\n"
    both = ended(lambda arguments: module("both", text % "").load())[1]
    assert both.index("KeyError: 'a'") < both.index("During handling") < both.index("TypeError: b")
    hidden = ended(lambda arguments: module("hidden", text % " from None").load())[1]
    assert "KeyError" not in hidden
    assert "TypeError: b" in hidden


def test_members_of_a_group_are_shown_in_the_same_way(ended, module):
    text = (
        "import json\n\n\ndef load():\n    try:\n        json.loads('{')\n"
        "    except ValueError as error:\n        raise ExceptionGroup('some', [error])\n"
    )
    printed = ended(lambda arguments: module("groups", text).load())[1]
    assert "json.decoder.JSONDecodeError: Expecting property name" in printed
    assert ("groups.py", 6) in frames(printed)
    assert {name for name, _ in frames(printed)} == {"groups.py", Path(__file__).name}


def test_syntax_error_in_a_users_module_shows_file_and_line(ended, module, tmp_path):
    status, printed = ended(lambda arguments: module("broken_syntax", "a = 1\ndef build(:\n"))
    assert status == 3
    assert ("broken_syntax.py", 2) in frames(printed)
    assert "def build(:" in printed
    assert "SyntaxError: invalid syntax" in printed
    assert printed.endswith(f"{HINT}\n")


def test_syntax_error_below_sepray_alone_is_not_called_sepray_s_bug(tmp_path):
    """Only the error itself names the user's file: no frame does."""
    try:
        compile("def build(:\n", str(tmp_path / "broken.py"), "exec")
    except SyntaxError as error:
        error.__traceback__ = None
        printed = format_error("program", error)
    assert frames(printed) == [("broken.py", 1)]
    assert printed.endswith(HINT)


def test_import_error_in_a_users_module_shows_file_and_line(ended, module):
    status, printed = ended(lambda arguments: module("imports_none", "import os\nimport no_such_package\n"))
    assert status == 3
    assert ("imports_none.py", 2) in frames(printed)
    assert not any("importlib" in name for name, _ in frames(printed))
    assert "ModuleNotFoundError: No module named 'no_such_package'" in printed


@pytest.mark.parametrize("flag", [[], ["--traceback"]])
def test_tracebacks_hold_no_secrets(ended, module, flag):
    text = 'def load():\n    raise KeyError("postgresql://user:secret@host/db?password=secret")\n'
    status, printed = ended(lambda arguments: module("secrets_told", text).load(), *flag)
    assert status == 3
    assert "postgresql://user:***@host/db?password=***" in printed
    assert "user:secret" not in printed.replace(text.splitlines()[1].strip(), "")


@pytest.mark.parametrize(
    "arguments",
    [["--traceback", "list", "--json"], ["list", "--traceback", "--json"], ["list", "--json", "--traceback"]],
)
def test_traceback_anywhere_is_taken_off_the_arguments(ended, arguments):
    received = []

    def job(given):
        received.append(given)
        raise UsageError("refused")

    status, printed = ended(job, *arguments)
    assert received == [["list", "--json"]]
    assert status == 2
    assert printed.startswith("Traceback (most recent call last):\n")
    assert printed.endswith("sepray.errors.UsageError: refused\n")


def test_interruption(ended):
    """Real signals are sent in tests/console/test_interruption.py."""
    assert ended(raising(KeyboardInterrupt())) == (130, "program: interrupted\n")
    assert ended(raising(Interrupted(signal.SIGTERM))) == (143, "program: interrupted\n")


def script(tmp_path, text, *arguments, **options):
    (tmp_path / "script.py").write_text(text)
    command = [sys.executable, "script.py", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, **options
    )


def test_arguments_are_those_of_the_process(tmp_path):
    text = "from sepray.console.exit_status import exit_with_status\nexit_with_status('program', print)\n"
    done = script(tmp_path, text, "a", "--traceback", "b")
    assert (done.returncode, done.stdout) == (0, "['a', 'b']\n")


def test_frames_of_the_started_script_are_the_users(tmp_path):
    text = (
        "from sepray.console.exit_status import exit_with_status\n\n\n"
        "def job(arguments):\n    return 1 / 0\n\n\nexit_with_status('program', job)\n"
    )
    done = script(tmp_path, text)
    assert done.returncode == 3
    assert frames(done.stderr) == [("script.py", 5)]
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert done.stderr.endswith(f"{HINT}\n")


PRINTS = """
import sys
from dataclasses import fields
from sepray.console.exit_status import exit_with_status


def job(arguments):
    for _ in range({lines}):
        print("a line of output")


exit_with_status("program", job)
"""


@pytest.mark.parametrize("lines", [1, 100_000])  # less than the buffer holds, and more
def test_reader_that_has_gone_is_no_error(tmp_path, lines):
    (tmp_path / "script.py").write_text(PRINTS.format(lines=lines))
    reading, writing = os.pipe()
    os.close(reading)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    with open(writing, "wb") as output:
        command = [sys.executable, "script.py"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=output, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_broken_pipe_to_anything_else_is_a_bug(tmp_path):
    """A connection to a server breaks in the same way: that is no success."""
    text = (
        "from sepray.console.exit_status import exit_with_status\n\n\n"
        "def job(arguments):\n    raise BrokenPipeError(32, 'Broken pipe')\n\n\nexit_with_status('program', job)\n"
    )
    done = script(tmp_path, text)
    assert done.returncode == 3
    assert "BrokenPipeError: [Errno 32] Broken pipe" in done.stderr


STUDY = """
from optuna.distributions import FloatDistribution
from sepray.study import StudySpec, main

SPACE = {"learning_rate": FloatDistribution(1e-3, 1e-1, log=True)}
main(StudySpec(name="lab", separator="my_separator", task="my_task", space=SPACE, trials=1, max_epochs=1))
"""
BROADCAST = "        self.pause = config.pause + (torch.ones(2) + torch.ones(3)).sum()\n"


def study(tmp_path, separator=SEPARATOR, task=TASK):
    """Start a study of the user's own separator and task; return how it ended."""
    (tmp_path / "my_separator.py").write_text(separator)
    (tmp_path / "my_task.py").write_text(task)
    return script(tmp_path, STUDY, "--cache", "cache", timeout=120)


@pytest.mark.slow  # in this process: test_bug_in_a_users_separator_shows_its_file_and_line_alone
def test_study_shows_the_line_of_a_broadcast_error_in_build(tmp_path):
    separator = SEPARATOR.replace("        self.pause = config.pause\n", BROADCAST)
    line = separator[: separator.index(BROADCAST)].count("\n") + 1
    done = study(tmp_path, separator)
    assert done.returncode == 3, done.stderr
    assert [frame for frame in frames(done.stderr) if frame == ("my_separator.py", line)]
    assert {name for name, _ in frames(done.stderr)} == {"my_separator.py"}
    assert "RuntimeError: The size of tensor a (2) must match the size of tensor b (3)" in done.stderr
    assert done.stderr.endswith("lab: " + HINT.removeprefix("program: ") + "\n")


@pytest.mark.slow
def test_study_shows_the_line_of_an_error_in_a_users_task(tmp_path):
    task = TASK.replace(
        "    def load(self, cache):\n", "    def load(self, cache):\n        raise ValueError('no items')\n"
    )
    assert task != TASK
    line = task[: task.index("raise ValueError")].count("\n") + 1
    done = study(tmp_path, task=task)
    assert done.returncode == 3, done.stderr
    assert frames(done.stderr) == [("my_task.py", line)]
    assert "ValueError: no items" in done.stderr


def test_study_shows_the_line_of_a_syntax_error_in_a_users_module(tmp_path):
    """The module's source is read before it is imported; that names the file too."""
    done = study(tmp_path, "first = 1\ndef build(:\n")
    assert done.returncode == 3, done.stderr
    assert ("my_separator.py", 2) in frames(done.stderr)
    assert "SyntaxError: invalid syntax" in done.stderr
    assert done.stderr.endswith("lab: " + HINT.removeprefix("program: ") + "\n")


def test_study_says_a_separator_that_does_not_exist_in_one_line(tmp_path):
    text = STUDY.replace('"my_separator"', '"none_of_that_name"')
    done = script(tmp_path, text)
    assert done.returncode == 2
    assert done.stderr.startswith("lab: unknown separator 'none_of_that_name'; there are: ")
    assert done.stderr.count("\n") == 1


def test_traceback_from_another_process_keeps_the_users_frames():
    library = Path(pytest.__file__).resolve()
    sepray = Path(exit_status.__file__).resolve()
    text = (
        "Traceback (most recent call last):\n"
        f'  File "{sepray}", line 1, in step\n    loss()\n'
        f'  File "{library}", line 2, in call\n    f()\n           ^^^\n'
        '  File "/home/me/my_separator.py", line 7, in loss\n    raise ValueError("x")\n'
        "ValueError: x\n"
    )
    assert exit_status.shorten_traceback(text) == (
        "Traceback (most recent call last):\n"
        '  File "/home/me/my_separator.py", line 7, in loss\n    raise ValueError("x")\n'
        "ValueError: x\n"
    )


def test_traceback_without_a_users_frame_keeps_sepray_and_the_frame_that_raised():
    library, sepray = Path(pytest.__file__).resolve(), Path(exit_status.__file__).resolve()
    frames = [(sepray, 1, "step"), (library, 2, "call"), (sepray, 3, "loss"), (library, 4, "raises")]
    lines = [f'  File "{file}", line {line}, in {name}\n    {name}()\n' for file, line, name in frames]
    text = "Traceback (most recent call last):\n" + "".join(lines) + "ValueError: x\n"
    kept = "Traceback (most recent call last):\n" + lines[0] + lines[2] + lines[3] + "ValueError: x\n"
    assert exit_status.shorten_traceback(text) == kept


def test_refusal_without_a_users_frame_is_its_message_alone():
    frame = f'  File "{Path(exit_status.__file__).resolve()}", line 1, in step\n    check()\n'
    own = '  File "/home/me/my_separator.py", line 7, in loss\n    raise UsageError("no")\n'
    head, error = "Traceback (most recent call last):\n", "sepray.errors.UsageError: my_separator.Mine: no\n"
    assert exit_status.shorten_traceback(head + frame + error) == "my_separator.Mine: no"
    assert exit_status.shorten_traceback(head + frame + own + error) == head + own + error


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"class A(B:\n    pass\n", b"class A(B:"),
        (b"name = '\xc4'\n", b"utf-8"),
        (b"x = 1\0\n", b"null byte"),
    ],
)
def test_separator_that_python_cannot_read_is_named_without_other_frames(tmp_path, content, named):
    (tmp_path / "my_separator.py").write_bytes(content)
    (tmp_path / "my_task.py").write_text(TASK)
    done = script(tmp_path, STUDY)
    assert done.returncode == 3, done.stderr
    assert "my_separator.py" in done.stderr
    assert named.decode() in done.stderr
    assert str(Path(exit_status.__file__).parents[1]) not in done.stderr
    assert done.stderr.endswith("lab: " + HINT.removeprefix("program: ") + "\n")


BROKEN_CONFIG = SEPARATOR.replace(
    "    def build(self, signal):",
    "    def __post_init__(self):\n        first, second = (1,) * (self.taps % 2 + 1)\n\n    def build(self, signal):",
)


@pytest.mark.slow
def test_bug_in_a_config_that_a_flag_meets_is_shown_as_a_bug(tmp_path):
    """tyro takes a ValueError of a Config for a refused value; a UsageError is one."""
    (tmp_path / "my_separator.py").write_text(BROKEN_CONFIG)
    (tmp_path / "my_task.py").write_text(TASK)
    done = script(tmp_path, STUDY, "--separator.taps", "4")
    assert done.returncode == 3, done.stderr
    assert "my_separator.py" in done.stderr
    assert "ValueError: not enough values to unpack" in done.stderr
    assert "tyro" not in done.stderr


@pytest.mark.parametrize(
    ("started", "shown"),
    [
        (["/usr/bin/python3", "my study.py", "--trials", "3"], "python 'my study.py' --trials 3"),
        (["/usr/bin/python3", "-m", "sepray", "run", "x.toml"], "python -m sepray run x.toml"),
        (["/venv/bin/python", "/venv/bin/sepray", "run", "x.toml"], "sepray run x.toml"),
        (["python"], "python"),
    ],
)
def test_command_line_is_shown_as_a_shell_takes_it(monkeypatch, started, shown):
    monkeypatch.setattr("sys.orig_argv", started)
    assert exit_status.command_line() == shown
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert exit_status.how_to_go_on() == f"The same command goes on where it stopped:\n  {shown}"


def test_command_that_goes_on_does_not_repeat_what_was_permitted_once(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    given = ["study.py", "--take-over", "--trials", "3", "--allow_changed_code", "--move-here", "--retry-failed"]
    monkeypatch.setattr("sys.orig_argv", ["python", *given, "--name", "b"])
    assert exit_status.how_to_go_on().endswith("\n  python study.py --trials 3 --name b")


def test_every_permission_is_for_one_start():
    flags = {f"--{field.name.replace('_', '-')}" for field in fields(Permissions)}
    assert flags <= set(exit_status.ONE_TIME)


@pytest.mark.parametrize("notebook", [True, False])
def test_in_a_notebook_or_a_python_shell_there_is_no_command_to_repeat(monkeypatch, notebook):
    if notebook:
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    else:
        monkeypatch.setattr("sys.ps1", ">>> ", raising=False)
    assert exit_status.how_to_go_on() == "Running the same study again goes on where it stopped."


SCRIPT = """
import sys
def former(kind, error, trace):
    print(f"former: {{kind.__name__}}", file=sys.stderr)
former.__module__ = {module!r}
if former.__module__:
    sys.excepthook = former
{load}
from sepray.errors import UsageError
def refuse():
    raise {error}
refuse()
"""
ALONE, TRACE = r"script\.py: no\n", r"Traceback (.*\n)+.* in refuse\n(.*\n)+sepray.*UsageError: no\n"


@pytest.mark.parametrize(
    "load", ["import sepray.study", pytest.param("import sepray; sepray.load_study", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("error", "module", "flags", "status", "printed"),
    [
        ("UsageError('no')", "", [], 2, ALONE),
        ("UsageError('no')", "ray._private.worker", [], 2, ALONE),
        ("UsageError('no')", "", ["--traceback"], 2, TRACE),
        ("UsageError('no')", "__main__", [], 1, r"former: UsageError\n"),
        ("KeyError('no')", "ray._private.worker", [], 1, r"former: KeyError\n"),
        ("SystemExit(7)", "", [], 7, ""),
    ],
)
def test_script_ends_with_one_line_where_its_own_lines_raise_sepray_errors(
    tmp_path, load, error, module, flags, status, printed
):
    (tmp_path / "script.py").write_text(SCRIPT.format(load=load, error=error, module=module))
    done = run_python(tmp_path, "script.py", *flags)
    assert done.returncode == status
    assert re.fullmatch(printed, done.stderr)


def test_one_line_of_python_ends_with_one_line_that_says_which_argument_helps(tmp_path):
    """The lines are those that a user types to look at a study, in the wrong folder."""
    done = run_python(tmp_path, "-c", "import sepray; sepray.load_study('nothing')")
    assert done.returncode == 2
    assert done.stderr == (
        "sepray: there is no Optuna storage sqlite:///optuna.db: is this the folder of the study? "
        "Give --storage, in Python storage=\n"
    )


def run_python(folder, *arguments):
    environment = {name: value for name, value in os.environ.items() if name != "SEPRAY_STORAGE"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("main", [None, "/lib/site-packages/ray/w.py", exit_status.__file__, "/home/me/bin/pytest"])
def test_nothing_is_changed_where_no_script_of_the_users_runs(main, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", hook := sys.__excepthook__)
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setattr(sys.modules["__main__"], "__file__", main, raising=False)
    exit_status.tell_scripts_errors_in_one_line()
    assert sys.excepthook is hook


@pytest.mark.parametrize("argv", [["study.py"], ["-c"]])
def test_nothing_is_changed_at_a_prompt(monkeypatch, argv):
    monkeypatch.setattr(sys, "excepthook", hook := sys.__excepthook__)
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/home/me/study.py", raising=False)
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    exit_status.tell_scripts_errors_in_one_line()
    assert sys.excepthook is hook


def test_bug_in_an_installed_plug_in_is_its_own_and_one_in_a_library_is_not(tmp_path, monkeypatch):
    place = tmp_path / "site-packages"
    info = place / "lab_echo-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-echo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sepray.separators]\necho = lab_echo:separator\n")
    told = {}
    for name in ("lab_echo", "lab_other"):
        (place / f"{name}.py").write_text("def build():\n    raise ValueError('shapes')\n")
    monkeypatch.syspath_prepend(place)
    for name in ("lab_echo", "lab_other"):
        try:
            importlib.import_module(name).build()
        except ValueError as error:
            told[name] = exit_status.format_error("sepray", error)
    assert "bug in the code shown above" in told["lab_echo"]
    assert told["lab_echo"].count("  File ") == 1
    assert "this is a bug in sepray" in told["lab_other"]


def test_nothing_begins_where_matplotlib_would_wait_for_a_pipe(ended, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("matplotlibrc")
    status, told = ended(lambda given: pytest.fail("it began"))
    assert status == exit_status.BAD_INPUT
    assert told.startswith("program: matplotlibrc in this folder is no file of settings")
