"""What a study remembers in its Optuna storage, and Ray Tune's searcher over it.

The searcher itself is in ``searcher.searcher``: that alone imports Ray, which takes seconds.
"""

from ..samplers import make_sampler
from .ledger import AskedTrial, FixedTrial, contains, history
from .outcomes import Outcome, decide
from .storage import FingerprintMismatchError, StorageError, Study, open_study

__all__ = [
    "AskedTrial",
    "FingerprintMismatchError",
    "FixedTrial",
    "Outcome",
    "StorageError",
    "Study",
    "contains",
    "decide",
    "history",
    "make_sampler",
    "open_study",
]
