"""What a study shows: durations, tables on any window, progress where there is no terminal."""

import io
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

import pytest
from rich.console import Console

from sepray.console import terminal
from sepray.console.terminal import Progress, duration, one_line, size


@dataclass
class Ending:
    tag: str
    reason: str = ""


@pytest.fixture
def screen(monkeypatch):
    """Stands in for the user's window: ``screen(width)`` sets one up, and gives what has been printed so far."""

    def open_window(width: int, live: bool = False):
        console = Console(
            file=io.StringIO(),
            width=width,
            highlight=False,
            force_terminal=live,
            color_system=None,
            legacy_windows=False,
        )
        monkeypatch.setattr(terminal, "console", console)
        return console

    return open_window


@pytest.fixture
def clock(monkeypatch):
    now = [terminal.time.monotonic()]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (192, "3 min 12 s"),
        (3599.6, "1 h 00 min"),
        (3 * 3600 + 59 * 60 + 59, "3 h 59 min"),
        (100 * 3600, "100 h 00 min"),
    ],
)
def test_duration_in_units_of_its_size(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no such file"), "no such file"),
        (
            ValueError("other settings:\n  beta: 1 -> 2\n\n  trials: 3 -> 4\n"),
            "other settings: beta: 1 -> 2; trials: 3 -> 4",
        ),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (OSError("  \n "), "OSError"),
    ],
)
def test_error_is_said_in_one_line(error, line):

    assert one_line(error) == line


def printed(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()


def test_log_has_a_line_for_every_trial_with_what_is_left(screen, clock):
    console = screen(140)
    with Progress("sweep", 4, "relative_l2", _started=clock[0]) as progress:
        assert printed(console) == ["sweep: 0 of 4 done"]
        progress.asked(0, 1, {}, "CASS", False)
        progress.epoch(0, {"epoch": 3, "objective": 0.5})
        clock[0] += 30
        progress.finished(0, Ending("complete"), {"epoch": 3, "objective": 0.25})
        progress.asked(1, 1, {}, None, False)
        clock[0] += 30
        progress.finished(1, Ending("pruned", "stopped by the scheduler at epoch 2"), {"epoch": 2, "objective": 0.125})
        progress.finished(2, Ending("out_of_memory", "CUDA out of memory"), {"epoch": 0})
        clock[0] += 90
        progress.finished(
            3, Ending("collapsed", "the estimate of fetal has collapsed"), {"epoch": 5, "objective": 0.01}
        )
    best = "best relative_l2 0.2500 (trial 0 (CASS))"
    assert printed(console)[1:] == [
        f"  trial 0 (CASS) complete at epoch 3, relative_l2 0.25 · 1 of 4 done · {best} · about 1 min 30 s left",
        "  trial 1 stopped early at epoch 2, relative_l2 0.125 · 2 of 4 done · 1 stopped early · "
        f"{best} · about 1 min 00 s left",
        "  trial 2 out of memory at epoch 0, relative_l2 nan, CUDA out of memory · 3 of 4 done · 1 stopped early · "
        f"1 failed · {best} · about 20 s left",  # a minute for three trials
        "  trial 3 collapsed at epoch 5, relative_l2 0.01, the estimate of fetal has collapsed · 4 of 4 done · "
        f"1 stopped early · 1 collapsed · 1 failed · {best}",
    ]


def test_best_of_a_maximised_objective_is_the_greatest_in_its_own_sign(screen, clock):
    console = screen(60)
    with Progress("sweep", 3, "si_sdr", sign=-1) as progress:
        for number, objective in enumerate((-5.0, -9.5, 2.0)):  # results are to be minimised
            progress.finished(number, Ending("complete"), {"epoch": 1, "objective": objective})
    assert progress.best == (9.5, "trial 1")
    assert "si_sdr 9.5 " in printed(console)[2]
    assert "si_sdr -2 " in printed(console)[3]
    assert printed(console)[3].endswith("best si_sdr 9.5000 (trial 1)")


def test_progress_goes_on_from_earlier_trials_and_paces_by_its_own(screen, clock):
    console = screen(140)
    earlier = Counter({"complete": 5, "pruned": 2, "lost": 1})
    with Progress("sweep", 10, "l2", noun="final", done=earlier, best=(0.5, "final 2"), _started=clock[0]) as progress:
        assert printed(console) == [
            "sweep: 8 of 10 done · 2 stopped early · 1 failed · best l2 0.5000 (final 2)",
        ]
        assert progress.remaining() is None
        clock[0] += 7
        progress.finished(8, Ending("complete"), {"epoch": 1, "objective": 0.75})
        assert progress.remaining() == pytest.approx(7)
    assert progress.best == (0.5, "final 2")
    assert printed(console)[1].startswith("  final 8 complete")


def test_nothing_is_left_where_all_trials_had_ended_before(screen, clock):
    screen(60)
    with Progress("sweep", 2, "l2", done=Counter({"complete": 2})) as progress:
        assert progress.remaining() == 0


def test_live_view_shows_running_trials_and_says_why_one_failed(screen):
    console = screen(120, live=True)
    with Progress("sweep", 3, "si_sdr", sign=-1) as progress:
        progress.asked(0, 1, {}, "CASS", False)
        progress.asked(1, 1, {}, None, True)
        progress.epoch(0, {"epoch": 4, "objective": -7.25})
        progress.epoch(9, {"epoch": 4, "objective": -7.25})  # has ended already
        view = io.StringIO()
        Console(file=view, width=120).print(progress._view())
        lines = [line.strip() for line in view.getvalue().splitlines()]
        assert lines[0] == "sweep  0 of 3 done"
        assert [re.split(r"\s{2,}", line) for line in lines[1:] if set(line) - set("━╸╺")] == [
            ["trial 0 (CASS)", "epoch 4", "si_sdr 7.2500"],
            ["trial 1", "starting"],
        ]
        progress.finished(1, Ending("error", "KeyError: 'x'"), {"epoch": 0})
        progress.finished(0, Ending("complete"), {"epoch": 5, "objective": -8.0})
    text = console.file.getvalue()
    assert text[: text.rindex("sweep: ")].endswith("\x1b[2K")  # the view is erased at the end
    assert "trial 1 failed: KeyError: 'x'" in text
    assert "sweep: 2 of 3 done · 1 failed · best si_sdr 8.0000 (trial 0 (CASS))" in text


def test_log_is_wide():
    code = "from sepray.console.terminal import console; print(console.width)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "140\n"


def test_brackets_in_messages_are_printed_as_they_are(capsys):
    """They are no markup: reasons quote shapes and lists, and a closing tag would be an error."""
    assert not terminal.console._markup
    with Progress("sweep", 1, "l2") as progress:
        progress.finished(0, Ending("error", "cannot reshape [batch, time] in [/bold]"), {"epoch": 1})
    assert "cannot reshape [batch, time] in [/bold]" in capsys.readouterr().out


@pytest.mark.parametrize(("total", "done", "of"), [(4, 3, 4), (0, 0, 1)])
def test_bar_is_as_long_as_the_share_of_trials_that_have_ended(total, done, of):
    progress = Progress("sweep", total, "l2", done=Counter({"complete": done - done // 2, "pruned": done // 2}))
    head, bar, table = progress._view().renderables
    assert (bar.total, bar.completed, bar.width) == (of, done, 40)
    assert str(head).startswith(f"sweep  {done} of {total} done")
    assert table.row_count == 0


def test_live_view_is_refreshed_twice_a_second_and_erased(screen):
    screen(120, live=True)
    with Progress("sweep", 3, "l2") as progress:
        assert (progress._live.refresh_per_second, progress._live.transient) == (2, True)
        assert progress._live.console is terminal.console


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (99.96 * 1024, "100.0 KiB"),
        (100 * 1024, "100 KiB"), (1 << 30, "1.0 GiB"), (5 << 50, "5120 TiB"),
    ],
)  # fmt: skip
def test_sizes(count, told):
    assert size(count) == told
