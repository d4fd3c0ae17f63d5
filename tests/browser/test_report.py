"""The report as a browser shows it, from a file and without a network."""

import pytest

from .conftest import SECONDS

pytestmark = pytest.mark.browser


@pytest.fixture
def page(study, open_page):
    [path] = (study.laboratory.folder / "sepray-results" / "lab").glob("*/report.html")
    page = open_page(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    page.evaluate("document.querySelectorAll('[loading=lazy]').forEach(each => each.loading = 'eager')")
    return page


def test_every_figure_is_drawn_and_nothing_is_wrong(page, study):
    page.wait_for_function("[...document.images].every(image => image.complete)")
    widths = page.evaluate("[...document.images].map(image => image.naturalWidth)")
    drawings = page.locator("svg").count()
    assert len(widths) + drawings > 5
    assert min(widths, default=1) > 0
    assert page.errors == []
    assert study.answer in " ".join(page.locator("body").inner_text().split())
    inside = page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert inside, "the page is wider than the window"


def test_report_fits_a_telephone(page):
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_player_plays_a_sound_of_the_right_length(page):
    player = page.locator("audio").first
    page.wait_for_function("document.querySelector('audio').readyState >= 1")  # without being touched
    assert player.evaluate("audio => audio.duration") == pytest.approx(SECONDS, abs=0.01)
    player.evaluate("audio => { audio.muted = true; return audio.play() }")
    page.wait_for_function("document.querySelector('audio').currentTime > 0.05")
    page.wait_for_function("document.querySelector('audio').ended")
    assert player.evaluate("audio => audio.error") is None
