"""``sepray compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import tyro

from ..choices import measure_words
from ..console.output import say
from . import application
from .evaluate import BatchSize, SplitName, Task, check_flags

if TYPE_CHECKING:
    from ..models.comparison import ModelComparison


@application.command("compare")
def compare(
    model: application.ModelArgument,
    other: application.ModelArgument,
    task: Task = None,
    split: SplitName = "test",
    metric: Annotated[
        str | None,
        tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: the measure that the first model was chosen by)"),
    ] = None,
    json: application.Json = False,
    batch_size: BatchSize = 64,
    tracking_uri: application.TrackingUri = None,
    cache: application.Cache = application.CACHE,
    trust_model_code: application.TrustModelCode = False,
    shared: application.Shared = False,
) -> None:
    """Compare two models on the same items: which separates better, by how much, and how certain that is.

    Without --task, the items are of the task that the first model was trained on.

    Example: sepray compare models:/cass-ecg/2 models:/cass-ecg/1 --metric si_sdr

    Args:
        metric: Measure to compare by, as the mean over sources.
    """
    check_flags(model, other, batch_size=batch_size)
    from ..models import comparison
    from ..tracking import trust

    with trust.consent(trust_model_code):
        result = comparison.compare(
            model, other, task, split, metric, batch_size=batch_size, tracking_uri=tracking_uri, cache=cache
        )
    if json:
        application.print_json(result.document)
    else:
        say(_text(result))


def _text(result: ModelComparison) -> str:
    unit = f" {result.unit}" if result.unit else ""
    units = result.result.units
    of, over = (f" of {units.words}", units.name) if units.told else ("", "items")
    (first, second), (mean, other_mean), (low, high) = result.names, result.means, result.interval
    return (
        f"{measure_words(result.metric)} on {result.items} {result.split} items{of}: {first} {mean:.4f}{unit}, "
        f"{second} {other_mean:.4f}{unit}\n"
        f"difference {result.difference:+.4f}{unit} [{low:+.4f}, {high:+.4f}] "
        f"(95% over {over}), p {_p(result.p_sign_flips)} by sign flips; Wilcoxon p {_p(result.p_wilcoxon)}\n"
        f"effect size: rank-biserial {result.rank_biserial:+.2f}; {first} is the better one on {result.wins} of "
        f"{result.items} items\n" + "".join(f"{sentence}\n" for sentence in result.seen) + result.conclusion
    )


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"
