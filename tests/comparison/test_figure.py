"""The figures of a comparison."""

from sepray.comparison import figure


def test_figures_show_every_measure_and_say_it_in_words(built):
    shown = figure.pictures(built)
    assert [p.name for p in shown] == ["si_sdr.svg", "si_sdr.png", "relative_l2.svg", "relative_l2.png"]
    assert shown[0].content.startswith(b"<?xml")
    assert shown[1].content.startswith(b"\x89PNG")
    assert "good 8.50, poor_one (50% & {more}) 4.00, unprocessed mixture" in shown[0].description
    assert [p.content for p in figure.pictures(built)] == [p.content for p in shown]
