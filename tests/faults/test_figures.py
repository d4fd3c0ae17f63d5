"""The campaign's own arithmetic: which run is next, what counts, and the table."""

from . import campaign, figures
from .figures import Result
from .rows import BY_NAME, ROWS, STAGES, UNDISTURBED

PLACE = {"code": "c", "commit": "", "machine": "two cores", "session": "s"}


def result(row, seed=0, walls=(10.0,), broken=(), **changes):
    return Result(row, seed, list(broken), [0] * len(walls), list(walls), **{**PLACE, **changes})


def test_every_row_has_its_first_seed_before_any_has_its_second_and_undisturbed_runs_come_in_turn():
    rows = [row for row in ROWS if row.kind in ("given", "stopped")][-20:]
    left = [(row, seed) for seed in range(2) for row in rows]
    order = [(row.name, seed) for row, seed in campaign._in_turn(left, 3)]
    own = [each for each in order if not each[0].startswith("undisturbed")]
    assert own == [(row.name, seed) for row, seed in left]
    undisturbed = [(at, *each) for at, each in enumerate(order) if each[0].startswith("undisturbed")]
    early = "undisturbed, trials stopped early"
    assert undisturbed == [
        (0, "undisturbed", 3),
        (1, early, 3),
        (11, "undisturbed", 4),
        (21, early, 4),
        (31, "undisturbed", 5),
        (41, early, 5),
    ]


def test_seeds_of_a_row_take_its_moments_in_turn_and_none_is_left_out(tmp_path):
    row = BY_NAME["SIGTERM twice"]
    assert row.moments == STAGES == ("startup", "search", "finals", "packaging", "registration", "report")
    assert [row.moment_of(seed) for seed in (*row.seeds(1), 6)] == [*STAGES, "startup"]
    assert list(row.seeds(8)) == list(range(8))
    other = BY_NAME["worker killed in finals"]
    assert ([other.moment_of(seed) for seed in other.seeds(2)], other.moments) == (["finals", "finals"], ("finals",))
    made = campaign.Campaign(tmp_path / "none", 2, [row, other], False, 0.0)
    left = [(one.name, seed) for one, seed in made._queue if one.name in (row.name, other.name)]
    assert left == [(one.name, seed) for seed in range(2) for one in (row, other)] + [
        (row.name, n) for n in range(2, 6)
    ]


def test_each_kind_of_row_has_an_undisturbed_run_to_be_compared_with():
    assert {row.kind for row in ROWS} == {row.kind for row in UNDISTURBED}
    assert list(campaign._in_turn([], 0)) == []


def test_lines_that_were_cut_off_count_as_none(tmp_path):
    file = tmp_path / "results.jsonl"
    whole = result("worker killed", walls=(1.5, 2.0))
    figures.add(file, whole)
    with file.open("a") as lines:
        lines.write(whole.line()[:40])
    figures.add(file, whole)
    assert [(r.row, r.seed, r.walls) for r in figures.read([file, tmp_path / "none"])] == 2 * [
        ("worker killed", 0, [1.5, 2.0])
    ]


def test_outage_and_further_starts_are_the_faults_and_the_rest_is_compared_within_a_session():
    """Undisturbed 100 s and 90 s, a start of a finished study 20 s; another session was twice as slow."""
    row = "MLflow down for 20 s"
    assert BY_NAME[row].outage == 20
    clean = [result("undisturbed, with a tracking server", n, w) for n, w in enumerate([(100.0, 20.0), (90.0, 20.0)])]
    slow = [result("undisturbed, with a tracking server", 2, (190.0, 40.0), session="other")]
    own = [
        result(row, 0, (60.0, 70.0)),
        result(row, 1, (210.0,), session="other"),
        result(row, 2, (95.0,)),
        result(row, 3, (500.0,), broken=["a trial is lost"]),
        result("worker killed", 0, (50.0,)),  # no undisturbed run of its kind
    ]
    first, second = figures.lines([*clean, *slow, *own])
    assert (first.name, first.seeds, first.good, first.starts) == ("worker killed", 1, 1, (1, 1))
    assert (first.wall, first.counted, first.is_late) == (None, None, False)
    assert (second.name, second.seeds, second.good, second.starts) == (row, 4, 3, (1, 2))
    assert second.wall == 210 / 190  # of 130 / 95, 210 / 190, 95 / 95
    assert second.counted == (130 - 20 - 20) / 95  # of that, 190 / 190 and 75 / 95
    assert not second.is_late


def test_newest_result_of_a_seed_counts_and_a_row_that_takes_too_long_is_told():
    clean = result("undisturbed", 0, (10.0, 2.0))
    old, new = result("worker killed", 0, (10.0,), broken=["lost"]), result("worker killed", 0, (15.1,))
    [line] = figures.lines([clean, old, new])
    assert (line.good, line.counted, line.is_late) == (1, 1.51, True)
    [line] = figures.lines([clean, old, result("worker killed", 0, (14.9,)), result("worker killed", 1, skipped="no")])
    assert (line.seeds, line.is_late) == (1, False)


def test_table_has_a_line_for_each_row_that_was_run():
    table = figures.markdown(
        figures.lines([result("worker killed", 0, (5.0,)), result("worker killed", 1, (5.0, 1.0))])
    )
    assert table.splitlines()[2:] == ["| worker killed | 2/2 | 1-2 | - | - |"]


def test_architecture_shows_the_table_of_all_that_is_kept():
    text = (figures.ROOT / "ARCHITECTURE.md").read_text()
    assert figures.shown(text) == figures.part(figures.read([figures.KEPT]))


def test_what_was_run_here_is_kept_once_and_shown_without_outputs(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "KEPT", tmp_path / "kept.jsonl")
    monkeypatch.setattr(figures, "RESULTS", tmp_path / "results.jsonl")
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    page = tmp_path / "ARCHITECTURE.md"
    page.write_text("Before.\n\n1 runs of 1 of the 2 rows, x:\n\n| a |\n| b |\n\nAfter.\n")
    ran = [
        *(result("worker killed", seed, (5.0,), commit=f"c{seed}", printed=("/home/me",)) for seed in range(5)),
        result("sender killed", 0, (5.0,), commit="c0", left=("raylet",)),
        result("sender killed", 1, skipped="no faketime"),
        result("undisturbed", 0, (5.0, 1.0), commit="other", machine="elsewhere"),
    ]
    for each in ran:
        figures.add(figures.RESULTS, each)
    figures.keep()
    figures.keep()
    kept = figures.read([figures.KEPT])
    assert [(r.row, r.seed, r.printed, r.left) for r in kept] == [
        *(("worker killed", seed, [], []) for seed in range(5)),
        ("sender killed", 0, [], []),
        ("undisturbed", 0, [], []),
    ]
    assert page.read_text() == f"Before.\n\n{figures.part(kept)}\nAfter.\n"
    assert figures.caption(kept) == (
        f"6 runs of 2 of the {len(ROWS)} rows, 1 of them with five seeds or more, commits: 5, machines: two cores."
    )
