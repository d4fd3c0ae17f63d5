"""Turns a trained model into one that comes with sepray: ``python -m sepray.models.make_pretrained NAME MODEL``.

``MODEL`` is a registered version (``models:/cass-ecg@champion``) or the folder of a packaged model. Its separator and
its task must be sepray's. Its configuration and weights go into ``sepray/pretrained/NAME``; its source files do not,
and none of them runs.

``model.json`` and the model card are written beside them. They say how the model was trained, on which data, its scores
on the test split beside the unprocessed mixture and the oracle bounds, and its limits. The scores are measured here
with the code that is installed. Those of the first validation items are kept, so that a test notices when changed code
makes another model of the weights.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..choices import MEASURES, measure_words
from ..console.output import say
from ..disk.files import replace_folder
from ..errors import UsageError
from ..module_names import given_name
from ..scoring.offsets import SOURCE_BASELINE, source_baseline
from ..tracking import models, pretrained
from ..tracking.packaged_model import DIGEST, PackagedModel
from .address import check_address, require_models
from .evaluation import Evaluation, evaluate
from .items import CACHE, on_tensors, task_data
from .model import Model
from .model_signal import lowest_heart_rate, require_sounds

LARGEST = 2 * 2**20
"""Greatest size of the weights, in bytes."""
CHECKED = 8
"""Number of items of the validation split whose scores are kept for the test."""
_OWN = "separators."  # modules of sepray, by their names in a packaged model
_KEPT = (
    "metric",
    "sources",
    "sample_rate",
    "supervision",
    "task",
    "task_config",
    "data_fingerprint",
    "hyperparameters",
    "mixture_level",
    "source_baseline",
    "n_fft",
    "hop",
    "study",
    "trial",
    "seed",
)
LIMITS = {
    "ecg": """\
- It has learned from synthetic hearts alone. On recordings of patients it is as good as its figures on real records
  above, and not as good as those on synthetic items. Where no figure on real records stands above, none was measured.
- It is no medical device: nobody has validated it for diagnosis or monitoring, and it does not say when it is wrong. A
  fetal estimate is drawn whether there is a fetus or not: what it leaves of a mother's beats is small and even.
- Amplitudes of the fetal estimate are less certain than its times. A fetal beat under a maternal QRS complex may be
  lost.
- Maternal rates of {maternal_bpm} and fetal rates of {fetal_bpm} beats a minute were trained; others, ectopic beats,
  twins and pacemakers were not. Beside a mother of more than 105 beats a minute a fetus is drawn at her own
  rate more often; `sepray evaluate` takes its beats for hers. Leads without a maternal R peak (scalp electrodes) are
  another problem.
- What is slower than hearts beat, steps of the level and pops of electrodes are taken away from recordings (`sepray
  separate`, `sepray evaluate --recordings`), and notes say where that is large; not from arrays that are given to the
  loaded model. Where it is not, a sine of 0.25 Hz in DaISy's five abdominal leads, half as high as their largest beat,
  leaves the fetus in 2 of them; where it is, in 4, as without the sine. One of 0.6 Hz, twice as high as the beat,
  still costs a lead. A pop that is less than 1.75 times as high as a beat (3.5 times, if it has no sharp edge) stays,
  and spoils some seconds.
- It separates {length:g} s at once at {rate:g} Hz, and each recording in overlapping windows of that length.
""",
}
"""Limits of each model for its card, by its name; the card of a model without an entry has one general sentence."""


@dataclass(frozen=True)
class Shipped:
    """A model that was made to come with sepray.

    Attributes:
        folder: its folder.
        digest: SHA-256 of configuration and weights.
        size: bytes of the weights.
    """

    folder: Path
    digest: str
    size: int


def ship(
    name: str,
    model: str,
    tracking_uri: str | None = None,
    cache: str | os.PathLike[str] = CACHE,
    into: Path = pretrained.FOLDER,
    real: str = "",
) -> Shipped:
    """Make the folder of a model that comes with sepray; an older one of this name is replaced.

    Args:
        name: name of the model, the part of its address after ``pretrained:``.
        model: address of a registered model, or folder of a packaged one.
        tracking_uri: MLflow of the registered model.
        cache: folder for the task's data.
        into: folder of the models.
        real: scores on recordings of patients as Markdown, for the card; empty: none were measured.

    Raises:
        UsageError: there is no such model, its separator is not sepray's, the installed code does not fit its weights,
            or these are too large.
    """
    check_address(model)
    files, its_metadata = models.files_of(model, require_models(tracking_uri, model))
    packaged = files / "data" / "separator"
    described = json.loads((packaged / "separator.json").read_text(encoding="utf-8"))
    if not described["module"].startswith(_OWN):
        raise UsageError(f"the separator of {model} is not one of sepray's, so others could not load the model")
    size = (packaged / "weights.safetensors").stat().st_size
    if size > LARGEST:
        raise UsageError(f"{model} has {size / 2**20:.1f} MB of weights, more than {LARGEST / 2**20:g}")
    try:
        built = pretrained.built_here(packaged)
    except (RuntimeError, TypeError) as error:  # weights with other names or shapes, settings that no longer exist
        raise UsageError(f"{model}: its weights or settings do not fit the code that is installed ({error})") from None
    loaded = Model(model, PackagedModel(files, its_metadata, None, built), "cpu")
    scores = evaluate(loaded, cache=cache)
    metadata = {key: loaded.metadata[key] for key in _KEPT if key in loaded.metadata}
    if SOURCE_BASELINE not in metadata and (lowest := lowest_heart_rate(loaded)):
        hearts = task_data(loaded, None, cache).train.sources.numpy()
        metadata[SOURCE_BASELINE] = source_baseline(hearts, lowest / require_sounds(loaded))
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=f".{name}-") as work:
        folder = Path(work) / name
        shutil.copytree(packaged, folder / pretrained.DATA)
        digest = pretrained.digest_of(folder)
        metadata |= {
            DIGEST: digest,
            "made_of": str(loaded.metadata.get(DIGEST)),
            "made": datetime.now(UTC).strftime("%Y-%m-%d"),
            "versions": {package: version(package) for package in ("sepray", "torch")},
            "on_test": _mean(scores, loaded.name, metadata["metric"]),
            "check": check_of(loaded, cache),
        }
        text = json.dumps(metadata, indent=1) + "\n"
        (folder / pretrained.DESCRIPTION).write_text(text, encoding="utf-8")
        card = _card(name, loaded, described, metadata, scores, size, real)
        (folder / pretrained.CARD).write_text(card, encoding="utf-8")
        for path in (folder, *folder.rglob("*")):  # a study's files are its user's alone
            path.chmod(0o755 if path.is_dir() else 0o644)
        into.mkdir(exist_ok=True)
        replace_folder(into / name, folder)
    return Shipped(into / name, digest, size)


def check_of(model: Model, cache: str | os.PathLike[str] = CACHE) -> list[list[float]]:
    """Return the relative L2 errors ``[item, source]`` of a model on the first items of its validation split."""
    from ..scoring.metrics import relative_error

    items = task_data(model, None, cache).validation
    errors = relative_error(on_tensors(model)(items.mixture[:CHECKED]), items.sources[:CHECKED], 2)
    return [[round(value, 6) for value in row] for row in errors.tolist()]


def _mean(scores: Evaluation, system: str, measure: str) -> float:
    row = next(row for row in scores.rows[measure] if row.system == system)
    return float(row.values["mean"][0])


def _card(
    name: str,
    model: Model,
    described: Mapping[str, Any],
    metadata: Mapping[str, Any],
    scores: Evaluation,
    size: int,
    real: str,
) -> str:
    """Return the model card, in Markdown."""
    settings: dict[str, Any] = metadata["task_config"]
    task = given_name(str(metadata["task"]))
    made = f"study `{metadata.get('study')}`, {metadata.get('trial')}, seed {metadata.get('seed')}"
    facts = {
        "length": model.shape[0] / (model.sample_rate or 1.0),
        "rate": model.sample_rate or 0.0,
        **{key: " to ".join(f"{end:g}" for end in settings.get(key, ())) for key in ("maternal_bpm", "fetal_bpm")},
    }
    limits = LIMITS.get(name, "- It is as good as its figures above, on data like those that it has learned from.\n")
    lines = [
        f"# pretrained:{name}\n",
        f"Separates a recording of {model.channels} channel(s) into {', '.join(model.sources)}. Made by",
        f"`python -m sepray.models.make_pretrained {name} MODEL` on {metadata['made']}; "
        "licence: Apache 2.0, as sepray.\n",
        f"    sepray separate pretrained:{name} recording.csv\n",
        "## Training\n",
        f"- Separator: `{given_name('sepray.' + described['module'])}`, `{json.dumps(described['config'])}`.",
        f"- Hyperparameters: `{json.dumps(metadata.get('hyperparameters'))}`.",
        f"- Data: task `{task}`, `{json.dumps(settings)}`; digest `{metadata['data_fingerprint']}`.",
        f"- By {made}; {size} bytes of weights; SHA-256 of configuration and weights `{metadata[DIGEST]}`.\n",
        "## Scores on synthetic items\n",
        f"Means over {scores.item_count} items of the test split with 95% intervals.\n",
        *_score_lines(scores, f"pretrained:{name}"),
        "\n## Scores on real records\n",
        real.strip() or "None were measured.",
        "\n## Limits\n",
        limits.format(**facts).rstrip("\n"),
        *(_no_better_than_silence(scores)),
        "",
    ]
    return "\n".join(lines)


def _no_better_than_silence(scores: Evaluation) -> list[str]:
    """Return a line for each source whose estimate is, by its waveform, no closer to the truth than silence is."""
    (own,) = (row for row in scores.rows["relative_l2"] if row.system == scores.model)
    return [
        f"- By waveform the {source} estimate is no closer to the truth than silence is (relative L2 error "
        f"{own.values[source][0]:.2f}; of silence 1): use it for the times of beats at most."
        for source in scores.sources
        if own.values[source][2] >= 1  # the upper end of the interval
    ]


def _score_lines(scores: Evaluation, name: str) -> list[str]:
    columns = (*scores.sources, "mean")
    lines = [f"| measure | system | {' | '.join(columns)} |"]
    lines.append("|" + " --- |" * (2 + len(columns)))
    for measure, rows in scores.rows.items():
        unit = f" ({MEASURES[measure].unit})" if MEASURES[measure].unit else ""
        for row in rows:
            cells = [
                "{:.4g} [{:.4g}, {:.4g}]".format(*row.values[column]) if column in row.values else "-"
                for column in columns
            ]
            system = name if row.system == scores.model else row.system
            lines.append(f"| {measure_words(measure)}{unit} | {system} | {' | '.join(cells)} |")
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Make a model that comes with sepray, from the command line."""
    import argparse

    program = "python -m sepray.models.make_pretrained"
    parser = argparse.ArgumentParser(prog=program, description="Make a model that comes with sepray.")
    parser.add_argument("name", help="name of the model, as in pretrained:NAME")
    parser.add_argument("model", help="models:/NAME@champion, models:/NAME/VERSION, or a folder with an MLmodel file")
    parser.add_argument("--tracking-uri", help="MLflow tracking server or database")
    parser.add_argument("--cache", default=CACHE, help="folder for generated data")
    parser.add_argument(
        "--real", type=Path, help="Markdown file with the scores on recordings of patients, for the card"
    )
    given = parser.parse_args(arguments)
    real = given.real.read_text(encoding="utf-8") if given.real else ""
    made = ship(given.name, given.model, given.tracking_uri, Path(given.cache).expanduser(), real=real)
    say(f"{made.folder}: {made.size} bytes of weights, SHA-256 {made.digest}")


if __name__ == "__main__":
    main()
