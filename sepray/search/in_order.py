"""A searcher that gives the same trials every time, with several slots too: it hears results in a virtual order.

What a sampler proposes, and whom a scheduler stops, depends on what both have heard so far, and so on which trial was
faster. Here they hear of results in the order of ``virtual_order.VirtualOrder``, and the sampler is asked for a trial
exactly when the one before it in its slot has ended in that order. A slot that is ahead of the others waits for them,
or trains an epoch more than needed of a trial that is stopped later: that is the price.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from optuna.samplers import BaseSampler
from optuna.trial import TrialState
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from .ledger import STOPPED, virtual_time
from .live_trial import LiveTrial
from .outcomes import Outcome, decide
from .searcher import StudySearcher
from .virtual_order import VirtualOrder


class InOrderSearcher(StudySearcher):
    """Asks, tells and stops in an order that does not depend on timing.

    Tune's own scheduler must be ``schedulers.StopsAsTold``, which brings each result here and obeys.

    Args:
        args: arguments of ``StudySearcher``.
        slots: number of trials that run at once. Another number gives other trials.
        judge: scheduler that decides whom to stop; one that needs nothing of Tune (ASHA, median rule, none).
        sampler_for: makes the sampler that proposes the trial of a number, with random numbers of that trial alone. So
            a study that is interrupted and goes on gives the same trials as one that is not. None: the study's own.
        kwargs: keyword arguments of ``StudySearcher``.
    """

    def __init__(
        self,
        *args: Any,
        slots: int,
        judge: Any,
        sampler_for: Callable[[int], BaseSampler] | None = None,
        **kwargs: Any,
    ) -> None:
        self._sampler_for = sampler_for
        self._slots, self._judge = slots, judge
        self._order: VirtualOrder | None = None
        self._told: dict[int, LiveTrial] = {}  # trials that have not ended in the virtual order, by number
        self._ended: set[int] = set()  # numbers of trials that have ended in the virtual order
        self._reported: dict[int, int] = {}  # number -> the last epoch that its worker has reported
        # Shared with the background thread, under its lock:
        self._asks = 0  # asks that are queued
        self._asked: deque[int] = deque()  # numbers of trials that were asked for, in order
        super().__init__(*args, **kwargs)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the config of the next trial, as ``StudySearcher`` does; None also where it is not due yet."""
        self._advance()
        config = super().suggest(trial_id)
        self._advance()  # the trial may have become ready meanwhile: its results are taken from now on
        # A result may still wait for its turn although no trial runs: until it is known that no other is to come.
        return None if config == Searcher.FINISHED and self._told else config

    def hear(self, number: int, result: Mapping[str, Any]) -> bool:
        """Take a result of a trial; return whether the trial is to be stopped."""
        if self._stops_study(result):
            return False
        self._add(number, result)
        self._advance()
        return number in self._ended

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: ``StopsAsTold`` has brought the result."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Take the last result of a trial, or hand the trial out again where its worker was lost."""
        live = self._live.pop(trial_id, None)
        if live is None or live.trial.number in self._ended:
            return
        number = live.trial.number
        live.last_epoch = self._reported.get(number, 0)
        if (error and self._hand_out_again(live, self._loss_of(trial_id))) or self._stops_study(result or {}):
            return
        if result:
            self._add(number, result)
        if self._order is not None:
            self._order.close(number)
        self._advance()

    def _add(self, number: int, result: Mapping[str, Any]) -> None:
        assert self._order is not None  # a trial has been handed out
        self._reported[number] = max(self._reported.get(number, 0), int(result.get("epoch") or 0))
        if number in self._told:
            self._write_conditions(number, result)  # at once: an epoch that is trained once more is not told
        for entry in (*result.get("history", ()), result):
            self._order.add(number, {k: value for k, value in entry.items() if k not in ("history", "conditions")})

    def _advance(self) -> None:
        """Tell all results whose turn it is."""
        with self._background.changed:
            order, asked = self._order, list(self._asked)
            self._asked.clear()
            no_more = self._remaining == 0 and not self._asks
        if order is None:
            return
        for number in asked:
            order.begin(number)
        if no_more:
            order.expect_no_more()
        while (event := order.next()) is not None:
            self._tell(order, *event)

    def _tell(self, order: VirtualOrder, number: int, result: Mapping[str, Any] | None) -> None:
        told = self._told[number]
        arm, protected = told.trial.arm, told.trial.label is not None
        trial = SimpleNamespace(config={"number": number, "arm": arm, "protected": protected})
        if not told.last_epoch:
            self._judge.on_trial_add(None, trial)
        if result is None:
            self._end(order, told, decide(told.result, True, self._objectives))
            return
        goes_on, outcome = not result.get("outcome"), decide(result, False, self._objectives)
        stops = goes_on and self._judge.on_trial_result(None, trial, dict(result)) == TrialScheduler.STOP
        if stops and outcome.state is TrialState.PRUNED:  # before the value: no later driver judges that once more
            self.annotate(number, STOPPED, int(result["epoch"]))
        self._write_epochs(told, result)
        if goes_on and not stops:
            return
        self._judge.on_trial_complete(None, trial, dict(result))
        self._end(order, told, outcome)

    def _end(self, order: VirtualOrder, told: LiveTrial, outcome: Outcome) -> None:
        """Write how a trial has ended, and ask for the trial that takes its slot on the virtual clock."""
        number = told.trial.number
        del self._told[number]
        self._ended.add(number)
        self._finish(number, outcome, told.result)
        order.end(number, virtual_time(len(told.trial.stored_epochs), outcome.state))
        self._queue_ask()

    def _queue_ask(self) -> None:
        with self._background.changed:
            self._asks += 1
        self._background.put(self._ask)

    def _needs_preparing(self) -> bool:
        """Return whether the trials are still to be counted; all asks are queued among the writes."""
        return self._order is None

    def _prepare(self) -> None:
        """Count the trials, place those of earlier drivers on the virtual clock, and queue the first asks."""
        self._ledger.sampler_for = self._sampler_for
        self._count()
        past = self._ledger.past()
        order = VirtualOrder(self._slots, past)
        with self._background.changed:
            self._order, self._remaining = order, self._ledger.remaining
        for _ in range(order.expected + sum(not ended for _, _, ended in past)):
            self._queue_ask()

    def _ask(self) -> None:
        """Make one suggestion ready, if the study has one more; in the background thread.

        After a failure the trials are counted anew, as in ``StudySearcher``.
        """
        if self._remaining is None:
            self._count()
        self._remaining = None
        trial = self._ledger.next() if self._ledger.remaining else None
        with self._background.changed:
            if trial is not None:
                self._told[trial.number] = LiveTrial(trial)
                self._ready.append(trial)
                self._asked.append(trial.number)
            self._asks -= 1
            self._remaining = self._ledger.remaining
            self._background.changed.notify_all()
