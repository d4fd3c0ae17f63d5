"""The description of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from .. import arms as arms_module
from .. import identity, registry
from ..arms import Arm
from ..choices import BLIND_SAMPLERS, ONE_SPACE_SAMPLERS, SCHEDULERS, Objective
from ..errors import UsageError
from . import choosing, named_by_user, objectives
from .field_types import FieldError, require_known
from .folder import is_name
from .named_fields import Given, NamedConfig, published_space, require_own_types, with_python_numbers
from .parts import (
    Budget,
    BudgetFlags,
    Changeable,
    Resources,
    ResourcesFlags,
    Search,
    SearchFlags,
    Stores,
    StoresFlags,
    field_names,
    flat,
    merged,
)
from .settings import Settings, separator_name

if TYPE_CHECKING:
    from ..contracts import Signal

GIVEN = ("space", "reference_points", "reference_epochs", "controls", "arms", "fixed_settings", "first_settings")
"""Fields that the study's file gives, without a flag."""


@dataclass(frozen=True, init=False)
class StudySpec(Changeable):
    """A hyperparameter study: a separator on a task, the search space, and the way to search.

    Running the same command again continues the study where it stopped, or extends it where --trials is larger.

    Fields of the four parts may be given by their own names: ``StudySpec(..., trials=6)`` is
    ``StudySpec(..., budget=Budget(trials=6))``, ``changed`` takes them too.
    """

    name: str
    """Name of the study: in the Optuna storage, of the parent run in MLflow, and of its folder."""
    separator: Any = NamedConfig("sepray.separators")  # noqa: RUF009 - a descriptor
    """Configuration of the separator: a name from sepray.separators (cass, or cass:published for one of its named
    configurations), a module of your own, or a Config."""
    task: Any = NamedConfig("sepray.tasks")  # noqa: RUF009 - a descriptor
    """Configuration of the task: a name from sepray.tasks, a module of your own, or a Config."""
    space: Given  # type: ignore[misc] # the two fields above have no default, whatever their descriptors look like
    """Search space: hyperparameter -> Optuna distribution. ``{i}``, ``{j}`` stand for every ordered pair of sources.
    Left out: the published one of the separator, with its published settings, controls and arms."""
    reference_points: Given = field(default_factory=dict)
    """Published settings by name, tried first and never stopped early (``reference_budget``)."""
    reference_epochs: Given = field(default_factory=dict)
    """Name of published settings -> epochs that their paper trains them for; no entry where the paper is silent."""
    controls: Given = field(default_factory=dict)
    """Changes to the best settings, by name, that are trained beside them for the final table."""
    arms: Given = field(default_factory=dict)
    """Alternatives that the study is about, by name, the control first: the settings that each fixes and searches
    (``sepray.arms.Arm``)."""
    fixed_settings: Given = field(default_factory=dict)
    """Hyperparameter -> its value in every trial, where it is fixed instead of searched."""
    first_settings: Given = field(default_factory=dict)
    """Settings by name that are tried before the published ones, such as another study's champion's."""
    objective: tuple[str, ...] = ("relative_l2",)
    """Metrics to optimise on validation, several for a Pareto front: relative_l2 (mean over sources),
    fetal/si_sdr:max (one source, and its direction) or relative_l2:each (one per source)."""
    choose: tuple[str, ...] = (choosing.KNEE,)
    """Rule that chooses the champion from the Pareto front of several objectives: knee; the name of an objective, whose
    best trial is taken; or weights and a number for each objective."""
    start: str = ""
    """Initial model, with whose weights every training begins: pretrained:ecg, models:/NAME@champion or a folder. It
    has a row of the final table as it is, without further training. Empty: random weights."""
    seed: int = 0
    """Random seed of the sampler, of all trials, and of the choice of items that give unpaired samples. A study that
    goes on keeps the seed that it was begun with."""
    budget: BudgetFlags = field(default_factory=Budget)
    """Amount of training."""
    search: SearchFlags = field(default_factory=Search)
    """Choice of the settings that are tried, and of the trials that are stopped early."""
    resources: ResourcesFlags = field(default_factory=Resources)
    """Machines that trials run on, and the CPUs and GPUs of a trial."""
    stores: StoresFlags = field(default_factory=Stores)
    """Stores of trials, runs, models, checkpoints and data."""

    def __new__(cls, *positional: Any, **fields: Any) -> Self:
        """Refuse unknown fields with the nearest known one, before Python finds that others are missing."""
        require_known(fields, field_names(StudySpec))
        return super().__new__(cls)

    def __init__(
        self,
        name: str,
        separator: Any,
        task: Any,
        space: Mapping[str, Any] | None = None,
        reference_points: Mapping[str, Mapping[str, Any]] | None = None,
        controls: Mapping[str, Mapping[str, Any]] | None = None,
        fixed_settings: Mapping[str, Any] | None = None,
        first_settings: Mapping[str, Mapping[str, Any]] | None = None,
        objective: tuple[str, ...] = ("relative_l2",),
        seed: int = 0,
        budget: Budget | None = None,
        search: Search | None = None,
        resources: Resources | None = None,
        stores: Stores | None = None,
        arms: Mapping[str, Arm] | None = None,
        choose: tuple[str, ...] = (choosing.KNEE,),
        reference_epochs: Mapping[str, int] | None = None,
        start: str = "",
        **fields: Any,
    ) -> None:
        """Refuse values of a wrong type or out of range; see the class for the fields.

        Without ``space`` the study has the published search space of its separator, with its published settings,
        controls and arms where none are given.
        """
        if space is None:
            published = published_space(separator)
            space = published.space
            if reference_points is None:
                reference_points = published.reference_points
                reference_epochs = published.reference_epochs if reference_epochs is None else reference_epochs
            controls = published.controls if controls is None else controls
            arms = published.arms if arms is None else arms
        values: dict[str, Any] = {"name": name, "space": space, "objective": objective, "seed": seed}
        values |= {"choose": choose, "start": start}
        values |= {"reference_points": reference_points or {}, "controls": controls or {}}
        values |= {"reference_epochs": reference_epochs or {}}
        values |= {"fixed_settings": fixed_settings or {}, "first_settings": first_settings or {}, "arms": arms or {}}
        parts = (budget or Budget(), search or Search(), resources or Resources(), stores or Stores())
        values |= merged(StudySpec, *parts, fields)
        values |= {name: with_python_numbers(values[name]) for name in GIVEN}
        require_own_types(values)
        self.__dict__.update(values)
        # Set by their descriptors: separator and task may be names, which are resolved later.
        object.__setattr__(self, "separator", separator)
        object.__setattr__(self, "task", task)
        if self.budget.trials < 1:
            raise FieldError("trials", f"must be at least 1, not {self.budget.trials}")
        if seed < 0:
            raise FieldError("seed", f"must be at least 0, not {seed}")
        if not objective or len(set(objective)) < len(objective):
            raise FieldError("objective", f"must name one metric or more, each once, not {' '.join(objective)!r}")
        if not is_name(name):
            raise FieldError("name", f"must be of letters, digits, dots, dashes and underscores, not {name!r}")

    def with_fixed(self, settings: Settings) -> StudySpec:
        """Return the study with these settings fixed; only the other hyperparameters are searched.

        Raises:
            UsageError: the settings are for another separator.
        """
        settings.check(separator_name(self.separator))
        return self.changed(fixed_settings={**self.fixed_settings, **settings.hyperparameters})

    def with_first(self, settings: Settings) -> StudySpec:
        """Return the study with these settings tried first, before the published ones, and never stopped early.

        Raises:
            UsageError: the settings are for another separator.
        """
        settings.check(separator_name(self.separator))
        name = f"settings of {settings.study}" if settings.study else "settings given"
        return self.changed(first_settings={**self.first_settings, name: settings.hyperparameters})

    def check(self) -> None:
        """Check that separator, task, sampler, scheduler and objectives exist and fit together, without torch or Ray.

        Raises:
            UsageError: a name is unknown, an objective is too slow for every epoch, or the scheduler is pbt with a
                sampler that it would mislead.
        """
        from ..search.samplers import sampler_class  # Optuna

        for name, package in (("separator", "sepray.separators"), ("task", "sepray.tasks")):
            if isinstance(self.__dict__[name], str):
                registry.check(package, self.__dict__[name])
        sampler_class(self.search.sampler)
        if self.search.scheduler not in SCHEDULERS:
            raise UsageError(f"unknown scheduler {self.search.scheduler!r}; there are: {', '.join(SCHEDULERS)}")
        if self.search.scheduler == "pbt" and self.search.sampler not in BLIND_SAMPLERS:
            raise UsageError(
                f"pbt changes hyperparameters while they are trained, which would mislead the sampler "
                f"{self.search.sampler!r}; use one of {', '.join(BLIND_SAMPLERS)}, or another scheduler"
            )
        self._check_arms()
        for text in self.objective:
            objectives.read(text)
        choosing.check(self.choose)

    def _check_arms(self) -> None:
        """Refuse samplers and schedulers that cannot tell arms apart, and a choice of arms where there are none."""
        if self.search.only_arms and not self.arms:
            raise UsageError(f"--only-arms {' '.join(self.search.only_arms)}: the study has no arms")
        arms_module.refuse_unknown_arms(self.search.only_arms, self.arms)
        if self.arms and self.search.sampler in ONE_SPACE_SAMPLERS:
            raise UsageError(
                f"sampler {self.search.sampler!r} lays out points in one search space, but each arm has its own; "
                "use tpe, gp, random, cmaes or nsgaii, or give the study no arms"
            )
        if self.arms and self.search.scheduler == "pbt":
            raise UsageError("pbt would copy the weights of one arm into another; use another scheduler with arms")

    @property
    def model_name(self) -> str:
        """Name under which models are registered: ``<separator>-<task>``."""
        return "-".join(key(config).replace("_", "-") for config in (self.separator, self.task))

    def objectives(self, signal: Signal) -> tuple[Objective, ...]:
        """Return the objectives.

        Raises:
            UsageError: an unknown metric or source, a metric that is not defined for it, or one that is there twice.
        """
        return objectives.objectives(self.objective, signal)

    def modules(self) -> list[str]:
        """Return the names of the modules whose code workers need."""
        return ["sepray", type(self.separator).__module__, type(self.task).__module__]

    @property
    def metric(self) -> str:
        """The metric of the final table: the first objective's."""
        return objectives.read(self.objective[0]).measure

    def plain(self) -> dict[str, Any]:
        """Return the study as JSON values, as its storage keeps it; ``restored`` makes the study from them again.

        All fields of the parts lie side by side, as in studies of every version. Left out are the fields of
        ``plain_given``, what depends on the machine (addresses and the cache), and what is asked of one command alone
        (``retry_failed``). Secrets of separator and task are masked.
        """
        values: dict[str, Any] = {"name": self.name, "seed": self.seed, "objective": list(self.objective), **flat(self)}
        values["choose"] = list(self.choose)
        values |= {"start": self.start} if self.start else {}
        del values["cache"], values["retry_failed"]
        values["only_arms"] = list(self.search.only_arms)
        for part in ("separator", "task"):
            config = getattr(self, part)
            module = registry.stored_module(type(config).__module__)
            values[part] = {"module": module, "config": identity.without_secrets(config)}
        return identity.plain(values | {"storage": "", "tracking_uri": ""})  # type: ignore[no-any-return]

    def plain_given(self) -> dict[str, Any]:
        """Return the fields without a flag (``GIVEN``) as JSON values, as the study's storage keeps them."""
        from optuna.distributions import distribution_to_json

        values = {name: identity.plain(getattr(self, name)) for name in GIVEN if name not in ("space", "arms")}
        values |= {"arms": arms_module.plain(self.arms)}
        return values | {"space": {name: distribution_to_json(value) for name, value in self.space.items()}}

    @classmethod
    def restored(cls, values: Mapping[str, Any], given: Mapping[str, Any] | None = None, **changes: Any) -> StudySpec:
        """Return the study that ``plain`` described, as far as the stored description may say what runs here.

        A sampler's module, a cluster and the modules of separator and task are used only where commands of this user
        have named them (``named_by_user.usable``, ``registry.require_named``).

        Args:
            values: what ``plain`` returned.
            given: what ``plain_given`` returned; without it the study has no search space.
            changes: other values of some fields, the addresses of the stores among them.
        """
        if given:
            from optuna.distributions import json_to_distribution

            space = {name: json_to_distribution(text) for name, text in given["space"].items()}
            changes = {**given, "space": space, "arms": arms_module.restored(given.get("arms", {})), **changes}
        parts = {p: rebuilt(f"sepray.{p}s", values[p]["module"], values[p]["config"]) for p in ("separator", "task")}
        lists = {name: tuple(values.get(name, ())) for name in ("objective", "only_arms")}
        lists["choose"] = tuple(values.get("choose", (choosing.KNEE,)))
        named_by_user.require_warm_start(parts["separator"])
        return cls(**{**named_by_user.usable(values), **parts, **lists, "space": {}, **changes})


def rebuilt(package: str, module: str, settings: Mapping[str, Any]) -> Any:
    """Return a ``Config`` from its JSON form, which has lists where a configuration has tuples."""
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    return registry.restored(package, module, values)


def key(config: Any) -> str:
    """Return the name of a configuration's module, which is the key of a separator or a task."""
    return registry.key(type(config).__module__)
