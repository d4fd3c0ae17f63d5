"""Results are told in the order of a clock on which every epoch takes one unit of time."""

from sepray.search.virtual_order import VirtualOrder


def events(order):
    found = []
    while (event := order.next()) is not None:
        number, result = event
        found.append((number, result and result["epoch"]))
    return found


def order_of(slots, *numbers):
    order = VirtualOrder(slots)
    for number in numbers:
        order.begin(number)
    return order


def test_an_early_result_waits_for_those_before_it():
    order = order_of(2, 0, 1)
    order.add(0, {"epoch": 1})
    order.add(0, {"epoch": 2})
    assert events(order) == [(0, 1)]  # trial 1 has not told its first epoch
    order.add(1, {"epoch": 1})
    assert events(order) == [(1, 1), (0, 2)]
    order.add(1, {"epoch": 2})
    assert events(order) == [(1, 2)]


def test_a_trial_starts_where_the_one_before_it_in_its_slot_has_ended():
    order = order_of(2, 0, 1)
    for number, epoch in ((0, 1), (1, 1), (0, 2), (1, 2), (0, 3)):
        order.add(number, {"epoch": epoch})
    assert events(order)[-1] == (0, 3)  # the clock stands at 3
    order.end(1, 2)
    assert order.expected == 1
    order.add(0, {"epoch": 4})
    assert events(order) == []  # the next trial's first epoch is due at 3
    order.begin(2)
    assert events(order) == []
    order.add(2, {"epoch": 1})
    assert events(order) == [(2, 1), (0, 4)]


def test_results_at_the_same_time_are_told_by_number_and_do_not_wait_for_a_trial_without_one():
    order = order_of(3, 0, 1, 2)
    for number in (2, 1, 0):
        order.add(number, {"epoch": 1})
    assert events(order) == [(0, 1), (1, 1), (2, 1)]
    order.end(0, 1)
    order.add(2, {"epoch": 2})
    order.add(1, {"epoch": 2})
    assert events(order) == [(1, 2), (2, 2)]  # the expected trial's number is higher: its turn is after theirs
    order.add(1, {"epoch": 3})
    order.add(2, {"epoch": 3})
    assert events(order) == []
    order.expect_no_more()
    assert events(order) == [(1, 3), (2, 3)]


def test_what_was_told_is_not_told_again_and_an_end_in_the_same_epoch_is():
    order = order_of(1, 0)
    for epoch in (1, 1, 2):
        order.add(0, {"epoch": epoch})
    order.add(0, {"epoch": 1})  # from a restarted worker
    assert events(order) == [(0, 1), (0, 2)]
    order.add(0, {"epoch": 2})
    assert events(order) == []
    order.add(0, {"epoch": 2, "outcome": "diverged"})
    assert events(order) == [(0, 2)]


def test_a_trial_that_is_gone_tells_what_it_has_and_then_that_it_is_gone():
    order = order_of(1, 0)
    order.add(0, {"epoch": 1})
    order.close(0)
    order.add(0, {"epoch": 2})  # too late
    assert order.next() == (0, {"epoch": 1})
    assert order.next() == (0, None)


def test_clock_goes_on_after_a_restart():
    """Slots 0 and 1 begin with trials 0 and 1; trial 2 follows 1 at 1, and 3 follows 0 at 3."""
    past = [(0, 3, True), (1, 1, True), (2, 1, False), (3, 0, False)]
    order = VirtualOrder(2, past)
    assert order.expected == 0
    order.begin(3)
    order.begin(2)
    order.add(3, {"epoch": 1})
    assert events(order) == []  # trial 2 is due at 3 and trial 3 at 4
    order.add(2, {"epoch": 1})
    assert events(order) == []  # that one was told before
    order.add(2, {"epoch": 2})
    assert events(order) == [(2, 2)]
    order.add(2, {"epoch": 3})
    assert events(order) == [(2, 3), (3, 1)]


def test_a_study_that_ended_between_two_trials_expects_them():
    order = VirtualOrder(2, [(0, 4, True), (1, 2, True)])
    assert order.expected == 2
    order.begin(2)  # follows trial 1, at 2
    order.begin(3)  # follows trial 0, at 4
    order.add(3, {"epoch": 1})
    order.add(2, {"epoch": 1})
    assert events(order) == [(2, 1)]
