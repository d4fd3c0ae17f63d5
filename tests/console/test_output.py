"""Output that cannot be printed ends nothing."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys, time
from sepray.console.exit_status import exit_with_status
from sepray.console.terminal import console
def job(arguments):
    console.print("first · line")
    sys.stdout.flush()
    if arguments:
        sys.stdin.readline()
    for _ in range(3000):
        console.print("more · … → lines")
        print("and plain ones ×", flush=True)
    print("whole", file=sys.stderr)
    return 1
exit_with_status("program", job, sys.argv[1:])
"""


@pytest.fixture
def run(tmp_path):
    """Run the program in a shell's command line."""
    (tmp_path / "program.py").write_text(PROGRAM)
    return functools.partial(_run, tmp_path)


def _run(folder, command="{python}", **environment):
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.format(python=f'"{sys.executable}" {folder}/program.py')],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_reader_that_goes_ends_nothing(run):
    ended = run("{python} | head -1")
    assert ended.stdout.decode() == "first · line\n"
    assert (ended.stderr, ended.returncode) == (b"whole\n", 1)


def test_reader_of_both_streams_that_goes_ends_nothing(run):
    ended = run("{python} 2>&1 | head -1")
    assert (ended.stdout.decode(), ended.stderr, ended.returncode) == ("first · line\n", b"", 1)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "> /dev/full"])
def test_output_that_takes_nothing_ends_nothing(run, closed):
    ended = run(f"{{python}} {closed}")
    assert (ended.stderr.decode().strip(), ended.returncode) == ("" if "2>&-" in closed else "whole", 1)


@pytest.mark.parametrize(
    "setting", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}]
)
def test_ascii_terminal_gets_plain_characters(run, setting):
    ended = run(**setting)
    first, second, third = ended.stdout.decode("ascii").splitlines()[:3]
    assert (first, second, third) == ("first | line", "more | ... -> lines", "and plain ones x")
    assert (ended.stderr, ended.returncode) == (b"whole\n", 1)


def test_stream_that_is_not_blocking_gets_everything():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=writing, stderr=subprocess.DEVNULL)
    os.close(writing)
    with open(reading) as file:
        assert len(file.readlines()) == 6001
    assert process.wait() == 1


def test_a_file_is_given_out_until_nobody_reads(tmp_path):
    (tmp_path / "large").write_bytes(b"line\n" * 200_000)
    code = (
        "import sys; from sepray.console.output import copy_to_stdout as copy; copy(open(sys.argv[1], 'rb'));"
        "print('after');"
        "print('said', file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "large")]
    whole = subprocess.run(command, capture_output=True, check=True)
    assert whole.stdout == b"line\n" * 200_000 + b"after\n"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b"said\n"
    assert process.returncode == 0
