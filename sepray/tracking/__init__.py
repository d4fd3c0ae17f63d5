"""What MLflow is told: runs through a durable outbox, models, the registry. The only importer of mlflow.

MLflow itself is imported where it is first needed, because that takes seconds.
"""

from .connection import UnreachableError
from .environment import environment_tags, mask, resolve_uri
from .outbox import BusyError, Outbox, Rejected, RunKey
from .reconciliation import Reconciled, RunRecord, reconcile
from .tracker import Tracker

__all__ = [
    "BusyError",
    "Outbox",
    "Reconciled",
    "Rejected",
    "RunKey",
    "RunRecord",
    "Tracker",
    "UnreachableError",
    "environment_tags",
    "mask",
    "reconcile",
    "resolve_uri",
]
