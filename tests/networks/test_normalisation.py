"""GroupNorm whose groups divide the channels."""

from sepray.networks.normalisation import group_norm


def test_groups_divide_the_channels():
    assert [group_norm(c).num_groups for c in (3, 6, 8, 12, 32)] == [1, 2, 8, 4, 8]
    assert [group_norm(c, 4).num_groups for c in (6, 8)] == [2, 4]
