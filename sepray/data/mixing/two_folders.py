"""Data of a task that mixes random crops of two folders of recordings, one for each source.

No recording is in two splits; groups of recordings (the takes of a speaker) stay together, and fewer than three groups
of a source are cut into stretches (``splitting.divide``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ...contracts import SPLITS, TaskData, Tracks
from ..cache import Entry, Plan, file_digests, mapped
from ..limits import Limits, check, check_ranges, items
from . import mixtures, recording_folders, splitting, whole_tracks
from .recording_folders import RecordingDecoder

PiecePairs = dict[str, tuple[list[splitting.Piece], list[splitting.Piece]]]
"""Pieces of both sources, for each split."""
Dealt = tuple[PiecePairs, list[dict[str, str]], list[str]]
"""Pieces, the group of each piece of either source, and why recordings cannot be used."""

RATIO_LIMITS = (-60, 60)
"""Lowest and highest level of the first source over the second, in dB."""

_VERSION = 1  # version of the facts and labels that are kept beside the samples

_LIMITS: Limits = {**mixtures.LIMITS, "validation_share": (0.01, 0.4), "test_share": (0.01, 0.4), **items(10**7)}


class TwoFoldersConfig(mixtures.MixtureConfig, Protocol):
    """Fields of the configuration of a task of two folders; a further field for each source names its folder."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def validation_share(self) -> float:
        """Share of the groups of recordings that is the validation split."""
        ...

    @property
    def test_share(self) -> float:
        """Share of the groups of recordings that is the test split."""
        ...


def check_config(config: TwoFoldersConfig, ratio: str) -> None:
    """Refuse values out of range.

    Args:
        config: the task's configuration.
        ratio: name of its field for the level of the first source over the second.

    Raises:
        UsageError: a value is out of range; one line names the first.
    """
    check(config, _LIMITS)
    check_ranges(config, {ratio: RATIO_LIMITS})


def one_group_each(piece: splitting.Piece, source: str, below: Path) -> str:
    """Return the piece's identity as its group: each recording is a group of its own."""
    return piece.identity


@dataclass(frozen=True)
class TwoFolders:
    """The data of a task of two folders.

    Attributes:
        task: name of the task, with which the names of its cache entries begin.
        sources: names of the two sources, and of the fields of ``config`` that hold their folders.
        needs: text for each source that says what its folder should hold, and where to get that.
        config: the task's configuration.
        ratio: lowest and highest level of the first source over the second, in dB.
        decoder: decodes the recordings.
        synthesise: writes small recordings for ``:synthesised:`` into a folder, from a random seed.
        group: group that a piece belongs to, from the piece, its source and its file's path below the folder.
        group_names: what the groups of each source are called, in the plural, where they have several recordings.
        tracks: whether the test split is scored on whole recordings of the first source.
    """

    task: str
    sources: tuple[str, str]
    needs: Mapping[str, str]
    config: TwoFoldersConfig
    ratio: tuple[float, float]
    decoder: RecordingDecoder
    synthesise: Callable[[Path, int], None]
    group: Callable[[splitting.Piece, str, Path], str] = one_group_each
    group_names: tuple[str, str] = ("groups", "groups")
    tracks: bool = False

    def load(self, cache: Path) -> TaskData:
        """Return the data; recordings are decoded and items cut once, and kept in the folder ``cache``."""
        entry = self._entry(cache)
        recording_folders.report_left_out(entry.facts)
        whole = self._tracks(cache) if self.tracks else None
        return mixtures.task_data(entry, self.sources, self.config.sample_rate, _units(entry), tracks=whole)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of its recordings (with the stretch, where a piece is a part of one)."""
        return mixtures.recordings_of(self._entry(cache))

    def _entry(self, cache: Path) -> Entry:
        key, dealt = self._described(cache)
        return mapped(cache, self.task, key, lambda: self._plan(*dealt()))

    def _tracks(self, cache: Path) -> tuple[Tracks, str]:
        key, dealt = self._described(cache)

        def plan() -> Plan:
            pairs, groups, _ = dealt()
            units = tuple(
                {p.identity: _unit("test", p, of) for p in own} for own, of in zip(pairs["test"], groups, strict=True)
            )
            return whole_tracks.of_pairs(
                *pairs["test"], self.sources, self.ratio, self.config.seed, self.config.test, (units[0], units[1])
            )

        return whole_tracks.tracks(cache, self.task, {**key, "most": self.config.test}, plan)

    def _described(self, cache: Path) -> tuple[dict[str, object], Callable[[], Dealt]]:
        """Return the key of the data's cache entries, and a function that deals the recordings to the splits."""
        folders = {source: self._folder(cache, source) for source in self.sources}
        files = {source: recording_folders.sound_files(folder) for source, folder in folders.items()}
        digests = file_digests(cache, sorted({file for several in files.values() for file in several}))
        key: dict[str, object] = {
            "config": {k: v for k, v in asdict(self.config).items() if k not in (*self.sources, "test_tracks")},
            "files": {
                source: [[file.relative_to(folders[source]).as_posix(), digests[file]] for file in files[source]]
                for source in self.sources
            },
            "versions": [self.decoder.version, mixtures.VERSION, _VERSION],
        }
        return key, lambda: self._dealt(cache, folders, files, digests)

    def _folder(self, cache: Path, source: str) -> Path:
        given, seed = getattr(self.config, source), self.config.seed
        if given == recording_folders.SYNTHESISED:
            name = f"{self.task.replace('_', '-')}-{seed}"
            return recording_folders.synthesised_folder(cache, name, lambda made: self.synthesise(made, seed)) / source
        return recording_folders.given_folder(given, f"--task.{source}", self.needs[source])

    def _dealt(
        self, cache: Path, folders: Mapping[str, Path], files: Mapping[str, list[Path]], digests: Mapping[Path, str]
    ) -> Dealt:
        config = self.config
        decoded, refused = recording_folders.decoded_files(cache, list(digests), self.decoder, config.sample_rate, 1)
        problems = list(refused.values())
        item = (config.item_samples, config.sample_rate)
        pieces = {}
        for source in self.sources:
            own = {file: decoded[file] for file in files[source] if file in decoded}
            pieces[source] = splitting.pieces_of_files(source, own, digests, item, problems)
        for source in self.sources:
            what = f"recordings in {folders[source]}"
            recording_folders.refuse_unusable(problems, config.skip_bad, len(pieces[source]), 1, what)
        groups = [self._groups(pieces[source], source, folders[source]) for source in self.sources]
        dealt = [self._divided(pieces[source], of) for source, of in zip(self.sources, groups, strict=True)]
        return {split: (dealt[0][split], dealt[1][split]) for split in SPLITS}, groups, problems

    def _plan(self, pairs: PiecePairs, groups: list[dict[str, str]], problems: list[str]) -> Plan:
        config = self.config
        both = {split: [*pair[0], *pair[1]] for split, pair in pairs.items()}
        plan = mixtures.cropped_plan(
            config,
            both,
            sources=2,
            channels=1,
            left_out=problems,
            fill=lambda out: mixtures.fill_from_pairs(out, pairs, self.sources, self.ratio, config.seed),
        )
        drawn = {f"{split}/pieces": (plan.shapes[f"{split}/mixture"][0], len(self.sources)) for split in SPLITS}
        facts = {
            "units": {
                split: [
                    [_unit(split, piece, of) for piece in of_source] for of, of_source in zip(groups, pair, strict=True)
                ]
                for split, pair in pairs.items()
            },
            "unit names": [
                name if len(set(of.values())) < len(of) else "recordings"
                for name, of in zip(self.group_names, groups, strict=True)
            ],
        }
        return Plan({**plan.shapes, **drawn}, plan.fill, {**plan.facts, **facts}, tuple(drawn))

    def _groups(self, pieces: list[splitting.Piece], source: str, folder: Path) -> dict[str, str]:
        """Return the group of each piece, by its identity."""
        return {piece.identity: self.group(piece, source, Path(piece.name).relative_to(folder)) for piece in pieces}

    def _divided(self, pieces: list[splitting.Piece], groups: Mapping[str, str]) -> dict[str, list[splitting.Piece]]:
        config = self.config
        shares = (config.validation_share, config.test_share)
        return splitting.divide(pieces, groups, *shares, seed=config.seed, samples=config.item_samples)


def _unit(split: str, piece: splitting.Piece, groups: Mapping[str, str]) -> str:
    """Return the unit of a piece: its group; stretches of one recording are one unit, in each split."""
    return f"{split} {groups[piece.identity.partition('[')[0]]}"


def _units(entry: Entry) -> mixtures.SplitUnits:
    """Return the units of items that are mixed from pieces of two folders; stretches of one recording are one unit."""
    units = {}
    for split, (first, second) in entry.facts["units"].items():
        drawn = entry.tensors[f"{split}/pieces"].int().tolist()
        units[split] = tuple((first[a], second[b]) for a, b in drawn)
    return mixtures.SplitUnits(units, tuple(entry.facts["unit names"]))
