"""Items are worked on in parallel, in their order, and what takes long shows how far it is."""

import types

import pytest

from sepray.data import parallel
from sepray.data.parallel import in_parallel


def test_in_parallel_keeps_the_order_and_passes_errors_on() -> None:
    assert in_parallel(lambda x: x * x, range(50)) == [x * x for x in range(50)]
    with pytest.raises(ZeroDivisionError):
        in_parallel(lambda x: 1 // x, [1, 0, 2])


def test_what_takes_long_shows_a_progress_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_parallel(abs, range(3), "counting") == [0, 1, 2]
    assert capsys.readouterr().err == ""
    seconds = iter(range(0, 1000, 5))
    monkeypatch.setattr(parallel, "time", types.SimpleNamespace(monotonic=lambda: next(seconds)))
    assert in_parallel(abs, range(3), "counting") == [0, 1, 2]
    shown = capsys.readouterr().err
    assert "counting" in shown
    assert "100%" in shown
