"""Output of a study: durations, tables on any window, progress where there is no terminal."""

import io
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

import pytest
from rich.console import Console

from sepray.console import terminal
from sepray.console.terminal import StageProgress, about, duration, size


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
    ("seconds", "text"),
    [
        (0, "less than a minute"), (59, "less than a minute"), (60, "about 1 min"), (89, "about 1 min"),
        (3569, "about 59 min"), (3600, "about 1 h 00 min"), (2 * 3600 + 29 * 60, "about 2 h 20 min"),
    ],
)  # fmt: skip
def test_duration_that_is_known_roughly(seconds, text):
    assert about(seconds) == text


def printed(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()


def test_log_has_a_line_for_every_trial_with_what_is_left(screen):
    console, left = screen(140), iter([None, 90.0, 61.0, 20.0, None])
    with StageProgress("sweep", 4, "relative_l2", seconds_left=lambda: next(left)) as progress:
        assert printed(console) == ["sweep: 0 of 4 done"]
        progress.handed_out(0, 1, {}, "CASS", False)
        progress.epoch(0, {"epoch": 3, "objective": 0.5})
        progress.finished(0, Ending("complete"), {"epoch": 3, "objective": 0.25})
        progress.handed_out(1, 1, {}, None, False)
        progress.finished(1, Ending("pruned", "stopped by the scheduler at epoch 1"), {"epoch": 1, "objective": 0.125})
        progress.finished(2, Ending("out_of_memory", "CUDA out of memory"), {"epoch": 0})
        progress.finished(
            3, Ending("collapsed", "the estimate of fetal has collapsed"), {"epoch": 5, "objective": 0.01}
        )
    assert printed(console)[1:] == [
        "  trial 0: CASS, done after 3 epochs, relative_l2 0.2500, the best so far · 1 of 4 done · about 2 min left",
        "  trial 1, stopped early after 1 epoch, relative_l2 0.1250 · 2 of 4 done · 1 stopped early · about 1 min left",
        "  trial 2, out of memory, CUDA out of memory · 3 of 4 done · 1 stopped early · 1 failed · less than a minute "
        "left",
        "  trial 3, collapsed after 5 epochs, relative_l2 0.0100, the estimate of fetal has collapsed · 4 of 4 done · "
        "1 stopped early · 1 collapsed · 1 failed",
        "sweep: 4 of 4 done · 1 stopped early · 1 collapsed · 1 failed · best relative_l2 0.2500, trial 0: CASS",
    ]


def test_best_of_a_maximised_objective_is_the_greatest_in_its_own_sign(screen):
    console = screen(60)
    with StageProgress("sweep", 3, "si_sdr", sign=-1) as progress:
        for number, objective in enumerate((-5.0, -9.5, 2.0)):  # results are to be minimised
            progress.finished(number, Ending("complete"), {"epoch": 1, "objective": objective})
    assert progress.best == (9.5, "trial 1")
    assert "si_sdr 9.5000, the best so far " in printed(console)[2]
    assert "si_sdr -2.0000 " in printed(console)[3]
    assert printed(console)[4].endswith("best si_sdr 9.5000, trial 1")


def test_progress_goes_on_from_earlier_trials(screen):
    console = screen(140)
    earlier = Counter({"complete": 5, "pruned": 2, "lost": 1})
    with StageProgress("sweep", 10, "l2", noun="final", done=earlier, best=(0.5, "final 2")) as progress:
        assert printed(console) == ["sweep: 8 of 10 done · 2 stopped early · 1 failed · best l2 0.5000, final 2"]
        progress.finished(8, Ending("complete"), {"epoch": 1, "objective": 0.75})
    assert progress.best == (0.5, "final 2")
    assert printed(console)[1].startswith("  final 8, done after 1 epoch")


def test_more_trials_than_were_asked_for_are_never_more_than_all(screen):
    """A study that is run again with fewer trials finishes those that run, and a trial may end twice."""
    console = screen(140)
    with StageProgress("sweep", 4, "l2", done=Counter({"complete": 3})) as progress:
        for number in (3, 4):
            progress.handed_out(number, 1, {}, None, True)
        assert progress._view().renderables[0].plain == "sweep  3 of 5 done"
        for number in (3, 4, 4):
            progress.finished(number, Ending("lost" if number == 4 else "complete"), {"epoch": 2, "objective": 0.5})
    counts = [re.search(r"\d+ of \d+ done", line)[0] for line in printed(console)]
    assert counts == ["3 of 4 done", "4 of 5 done", "5 of 5 done", "5 of 5 done", "5 of 5 done"]
    assert progress.done == {"complete": 4, "lost": 1}


def drawn(progress: StageProgress, width: int) -> list[str]:
    view = io.StringIO()
    Console(file=view, width=width).print(progress._view())
    return [line.rstrip() for line in view.getvalue().splitlines()]


def test_live_view_shows_running_trials_and_says_why_one_failed(screen):
    console = screen(120, live=True)
    with StageProgress("sweep", 3, "si_sdr", sign=-1, epochs=6, seconds_left=lambda: 300.0) as progress:
        progress.handed_out(0, 1, {}, "CASS", False)
        progress.handed_out(1, 1, {}, None, True)
        progress.epoch(0, {"epoch": 4, "objective": -7.25})
        progress.epoch(9, {"epoch": 4, "objective": -7.25})  # has ended already
        lines = drawn(progress, 120)
        assert lines[0] == "sweep  0 of 3 done"
        assert re.fullmatch("[━╸╺ ]{40}  about 5 min left", lines[1])
        assert lines[2:] == ["  trial 0: CASS  epoch 4 of 6  7.2500", "  trial 1        starting"]
        progress.finished(1, Ending("error", "KeyError: 'x'"), {"epoch": 0})
        progress.finished(0, Ending("complete"), {"epoch": 5, "objective": -8.0})
    text = console.file.getvalue()
    assert text[: text.rindex("sweep: ")].endswith("\x1b[2K")  # the view is erased at the end
    assert "trial 1 failed: KeyError: 'x'" in text
    assert "sweep: 2 of 3 done · 1 failed · best si_sdr 8.0000, trial 0: CASS\n" in text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_live_view_cuts_nothing(width):
    progress = StageProgress(
        "a study with a name: retraining on new seeds", 18, "relative_l2", noun="final", epochs=500
    )
    progress.seconds_left = lambda: 9000.0
    label = "cross maternal to fetal at the settings of trial 5 seed 2"
    for number in (10, 11):
        progress.handed_out(number, 1, {}, label, False)
    progress.epoch(11, {"epoch": 123, "objective": 0.5858})
    progress.finished(9, Ending("complete"), {"epoch": 500, "objective": 0.5})
    progress._names[9] = label
    progress.best = (0.5, f"final 9: {label}")
    lines = drawn(progress, width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    told = " ".join(words)
    for text in ("1 of 18 done", "about 2 h 30 min left", "starting", "epoch 123 of 500", "0.5858", "0.5000"):
        assert text in told
    for word in ("cross", "maternal", "to", "fetal", "trial", "5", "seed", "2"):
        assert sum(w.strip("()") == word for w in words) >= 3  # two trials and the best
    [bar] = [line for line in lines if set(line) & set("━╸╺")]
    assert "final" not in bar


def test_log_is_wide():
    code = "from sepray.console.terminal import console; print(console.width)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "140\n"


def test_brackets_in_messages_are_printed_as_they_are(capsys):
    """They are no markup: reasons quote shapes and lists, and a closing tag would be an error."""
    assert not terminal.console._markup
    with StageProgress("sweep", 1, "l2") as progress:
        progress.finished(0, Ending("error", "cannot reshape [batch, time] in [/bold]"), {"epoch": 1})
    assert "cannot reshape [batch, time] in [/bold]" in capsys.readouterr().out


@pytest.mark.parametrize(("total", "done", "of"), [(4, 3, 4), (0, 0, 1), (4, 5, 5)])
def test_bar_is_as_long_as_the_share_of_trials_that_have_ended(total, done, of):
    progress = StageProgress("sweep", total, "l2", done=Counter({"complete": done - done // 2, "pruned": done // 2}))
    head, row, table = progress._view().renderables
    bar = row.columns[0]._cells[0]
    assert (bar.total, bar.completed, bar.width) == (of, done, 40)
    assert str(head).startswith(f"sweep  {done} of {max(done, total)} done")
    assert table.row_count == 0


def test_live_view_is_refreshed_twice_a_second_and_erased(screen):
    screen(120, live=True)
    with StageProgress("sweep", 3, "l2") as progress:
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
