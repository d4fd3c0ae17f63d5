"""The state of a study, with its words and its exit status, from the outcomes of its trials."""

from types import SimpleNamespace

import pytest
from optuna.trial import TrialState, create_trial

from sepray.results import progress


def trials(*outcomes):
    """Trials that ended so; ``waiting`` is one that has not."""
    made = []
    for tag in outcomes:
        state = {"waiting": TrialState.RUNNING, "complete": TrialState.COMPLETE, "collapsed": TrialState.COMPLETE}
        violated = {"constraints:collapsed": 1.0 if tag == "collapsed" else 0.0}
        made.append(
            create_trial(
                state=state.get(tag, TrialState.FAIL),
                value=1.0 if tag in ("complete", "collapsed") else None,
                user_attrs={} if tag == "waiting" else {"outcome": {"tag": tag}},
                system_attrs=violated if tag in ("complete", "collapsed") else {},
            )
        )
    return made


def record(wanted):
    return SimpleNamespace(name="small", description={"trials": str(wanted)})


@pytest.mark.parametrize(
    ("wanted", "search", "finals", "registered", "states"),
    [
        # the state without a driver, and with one
        (2, ["complete"], None, False, ("not finished", "running")),
        (2, ["complete", "waiting"], None, False, ("not finished", "running")),
        (2, ["complete", "lost"], None, False, ("not finished", "running")),
        (2, ["lost", "collapsed"], None, False, ("nothing to register", "running")),
        (2, ["lost", "collapsed"], [], False, ("nothing to register", "running")),
        (2, ["complete", "lost"], [], False, ("not finished", "running")),
        (2, ["complete", "lost"], ["lost"], False, ("nothing to register", "running")),
        (2, ["complete", "lost"], ["lost", "complete"], False, ("not finished", "running")),
        (2, ["complete", "lost"], ["lost", "waiting"], False, ("not finished", "running")),
        (2, ["complete", "lost"], ["complete"], True, ("finished", "finished")),
        (2, ["complete", "lost"], ["complete", "waiting"], True, ("not finished", "running")),
        (3, ["complete", "lost"], ["complete"], True, ("finished", "running")),
        (1, ["complete", "lost"], ["complete"], True, ("finished", "finished")),
    ],
)
def test_state(wanted, search, finals, registered, states):
    stages = {"search": trials(*search)} | ({} if finals is None else {"finals": trials(*finals)})
    assert progress.state(record(wanted), stages, registered) == states[0]
    assert progress.state(record(wanted), stages, registered, is_running=True) == states[1]


def test_state_in_words():
    stages = {"search": trials("complete", "waiting", "lost")}
    both = {**stages, "finals": []}
    assert progress.in_words("running", record(4), stages) == "small is running: 2 of 4 trials have ended"
    goes_on = "the same command continues it"
    assert progress.in_words("not finished", record(1), both) == (
        f"small is not finished: 2 of 3 trials have ended, and the best were being trained again; {goes_on}"
    )
    alone = progress.in_words("not finished", record(1), {"search": trials("waiting")})
    assert alone == f"small is not finished: 0 of 1 trial have ended; {goes_on}"
    assert progress.in_words("finished", record(4), both) == "small is finished"
    why = "small has nothing to register: none of the best configurations could be trained again"
    assert progress.in_words("nothing to register", record(3), both) == why
    none = {"search": trials("collapsed", "waiting")}
    why = "small has nothing to register: no trial has run its whole budget"
    assert progress.in_words("nothing to register", record(2), none) == why


@pytest.mark.parametrize(
    ("found", "search", "finals", "packaged", "status"),
    [
        ("running", ["complete"], [], True, None),
        ("not finished", ["complete"], [], True, 130),
        ("finished", ["complete"], [], True, 0),
        ("finished", ["complete"], [], False, 1),
        ("nothing to register", ["collapsed", "error"], [], True, 3),
        ("nothing to register", ["collapsed", "lost"], ["error"], True, 1),
        ("nothing to register", ["complete", "error"], ["lost"], True, 1),
        ("nothing to register", ["complete", "lost"], ["collapsed", "error"], True, 3),
    ],
)
def test_exit_status(found, search, finals, packaged, status):
    stages = {"search": trials(*search), "finals": trials(*finals)}
    assert progress.exit_status(found, stages, packaged) == status
