"""Rules for every separator, in its DEBUG configuration; a module of sepray.separators is enrolled by being there."""

import contextlib
import dataclasses
import functools
import math
import warnings
from typing import get_args, get_type_hints

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from sepray import registry
from sepray.contracts import Augmentation, Oracle, Separator, Signal, Split, Supervision, estimate
from sepray.errors import UsageError
from sepray.loading import build_separator
from sepray.training.functional import phase_gradients, phase_parameters
from sepray.training.trainer import NonFiniteLossError, Trainer, batches, build

from . import debug_runs
from .debug_runs import BATCH, COMPONENTS, IMAGES, NAMES, PACKAGE, SIGNAL, THREE, data, debug, split

pytestmark = pytest.mark.parametrize("name", NAMES)
trainer = functools.partial(debug_runs.trainer, items=2 * BATCH)  # two steps an epoch


def weights(run: Trainer) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in run.separator.state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def separated(run: Trainer) -> torch.Tensor:
    items = few(run.separator.signal)
    return estimate(run.separator, items.mixture, items.sources)


def few(signal: Signal = SIGNAL) -> Split:
    """Four items, for what is told by a few: some separators take long for each."""
    return first(split(signal), 4)


def learns(name: str) -> bool:
    return debug(name).build(SIGNAL).learns


class Work(TorchDispatchMode):
    """Counts the floating point operations of products and convolutions, and the calls of all operators."""

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.calls = 0, 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        self.calls += 1
        if count := flop_registry.get(function._overloadpacket):
            self.operations += count(*arguments, **(options or {}), out_val=result)
        return result


def test_it_passes_the_check_that_a_study_makes_before_its_first_trial(name):
    assert build_separator(debug(name), SIGNAL).signal == SIGNAL


def test_debug_is_small_enough_to_train_an_epoch_in_a_second(name):
    """No clock is asked: most work has cyclegan (7e7 operations) and most calls has ssgan (2800), at 16 items."""
    run = trainer(name)
    with Work() as work:
        run.epoch()
    assert work.operations < 1.5e8
    assert work.calls < 5e3
    copies = 4 * len(run.separator.state_dict())  # for where an epoch goes wrong; torch decides how many calls one is
    assert (work.calls > copies) == learns(name)


def test_an_epoch_follows_from_its_seed_alone(name):
    runs = [trainer(name), trainer(name), trainer(name, seed=1)]
    before = weights(runs[0])
    parts = [run.epoch() for run in runs]
    assert all(math.isfinite(value) for value in parts[0].values())
    assert parts[0] == parts[1]
    assert equal(weights(runs[0]), weights(runs[1]))
    if learns(name):
        assert parts[0]
        assert parts[0] != parts[2]
        assert not equal(weights(runs[0]), before)
    else:
        assert equal(weights(runs[0]), before)
        assert not runs[0].phases


def changed_fields(config) -> dict[str, object]:
    """Return for each field of a Config that training or separation reads another one that differs in it alone."""
    # These have tests of their own: they do not act in one epoch of short items, or not on every CPU.
    elsewhere = {"batch_size", "betas", "wanted", "start", "start_epochs", "iterations", "epochs_per_iteration"}
    elsewhere |= {"context_hop", "precision", "kernels", "period_seconds", "mixing", "spatial_rank"}
    elsewhere |= {"critic_losses"}  # whose weights are hyperparameters, by default those of the paper's loss
    hints = get_type_hints(type(config))
    changed = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        choices: list[object] = [choice for choice in get_args(hints[field.name]) if choice != value]
        if isinstance(value, bool):
            choices = [not value]
        elif isinstance(value, int):
            choices = [value + 1, 2 * value, value - 1, value // 2]
        elif isinstance(value, float):
            choices = [value / 2, 0.9 * value]
        elif isinstance(value, tuple):
            choices = [tuple(2 * part for part in value)]
        elif value is None:
            choices = [0.3]
        for choice in choices if field.name not in elsewhere else ():
            with contextlib.suppress(UsageError, ValueError):
                other = dataclasses.replace(config, **{field.name: choice})
                other.build(SIGNAL)
                changed[field.name] = other
                break
        assert field.name in changed or field.name in elsewhere, field.name
    return changed


def test_every_field_of_the_config_arrives(name):
    """Another value of any field gives other weights, other losses or other estimates."""

    def begun(config):
        separator = build(config, SIGNAL, 0)
        return Trainer(separator, data(separator, items=2 * BATCH), {}, 0, BATCH, config.betas)

    def shapes(run):
        return {key: tensor.shape for key, tensor in run.separator.state_dict().items()}

    config = debug(name)
    if hasattr(config, "depth"):
        config = dataclasses.replace(config, depth=2)  # which bounds the stages
    reference = begun(config)
    parts, estimates = reference.epoch(), separated(reference)
    for field, other in changed_fields(config).items():
        changed = begun(other)
        if shapes(changed) != shapes(reference):
            continue  # it shows before anything is trained
        same = changed.epoch() == parts and equal(weights(changed), weights(reference))
        assert not (same and torch.equal(separated(changed), estimates)), field


def test_config_is_frozen_and_has_what_the_platform_reads(name):
    module = registry.find(PACKAGE, name)
    assert isinstance(debug(name), module.Config)
    assert isinstance(module.Config().batch_size, int)
    assert len(module.Config().betas) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        debug(name).batch_size = 1


@pytest.mark.parametrize("length", [256, 255, 100, 1000])
def test_separate_keeps_length_and_gives_every_source_without_gradients(name, length):
    separator = trainer(name).separator
    sources = torch.randn(3, 2, 1, length, generator=torch.Generator().manual_seed(0))
    estimates = estimate(separator, sources.sum(1), sources)
    assert estimates.shape == (3, 2, 1, length)
    assert estimates.isfinite().all()
    assert not estimates.requires_grad


@pytest.mark.parametrize("signal", [IMAGES, THREE], ids=["images", "three sources"])
def test_other_signals_train_and_are_separated_or_are_refused_in_one_line(name, signal):
    refusal = None
    try:
        run = trainer(name, signal=signal)
    except UsageError as error:
        refusal = str(error)
    if refusal is not None:
        assert len(refusal) > 20
        assert "\n" not in refusal
        return
    assert all(math.isfinite(value) for value in run.epoch().values())
    estimates = separated(run)
    assert estimates.shape == few(signal).sources.shape
    assert estimates.isfinite().all()


def test_components_of_several_channels_are_learned_or_refused_in_one_line(name):
    """Sources have the first channel of the mixture alone."""
    separator = None
    with contextlib.suppress(UsageError):
        separator = build(debug(name), COMPONENTS, 0)
    if separator is None or not separator.makes_components:
        if separator is not None:
            with pytest.raises(
                UsageError, match=r"gives each source all 3 channels .* sources have 1: leave out [^\n]*$"
            ):
                build_separator(debug(name), COMPONENTS)
        return
    run = Trainer(separator, data(separator), {}, 0, BATCH, debug(name).betas, augment=Augmentation(remix=0.5))
    assert all(math.isfinite(value) for value in run.epoch().values())
    for length in (256, 100):
        mixture = torch.randn(3, 3, length, generator=torch.Generator().manual_seed(0))
        estimates = estimate(separator, mixture, torch.zeros(3, 2, 1, length))
        assert estimates.shape == (3, 2, 1, length)
        assert estimates.isfinite().all()
    if separator.learns:  # all channels are heard
        assert (separator.separate(mixture[:, [0, 2, 1]]) - estimates).abs().max() > 1e-3


def test_an_oracle_alone_is_told_the_truth(name):
    separator = trainer(name).separator
    items = few()
    if isinstance(separator, Oracle):
        assert not separator.learns
        with pytest.raises(ValueError, match="an oracle needs the true sources"):
            separator.separate(items.mixture)
    else:
        estimates = estimate(separator, items.mixture, torch.full_like(items.sources, math.nan))
        assert torch.equal(estimates, separator.separate(items.mixture))


def test_training_changes_what_is_separated(name):
    run = trainer(name, {k: 1e-2 for k in trainer(name).hyperparameters if k.endswith("learning_rate")})
    before = separated(run)
    run.epoch()
    assert ((separated(run) - before).abs().max() > 1e-3) == learns(name)


def test_every_hyperparameter_is_read(name):
    reference = trainer(name)
    parts = reference.epoch()
    for key, value in reference.hyperparameters.items():
        changed = trainer(name, {key: 0.0 if value else 0.1})
        assert changed.epoch() != parts or not equal(weights(changed), weights(reference)), key


def test_unknown_hyperparameter_is_refused(name):
    with pytest.raises(ValueError, match=r"unknown hyperparameter no_such_name; there are: "):
        trainer(name, {"no_such_name": 1.0})


def test_restored_state_goes_on_bit_for_bit(name):
    run = trainer(name)
    run.epoch()
    tensors, values = run.state()
    tensors = {key: tensor.clone() for key, tensor in tensors.items()}
    parts = run.epoch()
    other = trainer(name, seed=7)
    other.load_state(tensors, values)
    assert other.epoch() == parts
    assert equal(weights(other), weights(run))


def test_weights_are_all_that_separation_needs(name):
    run = trainer(name)
    run.epoch()
    fresh = debug(name).build(SIGNAL)
    fresh.load_state_dict(weights(run))
    items = few()
    estimates = estimate(fresh.eval(), items.mixture, items.sources)
    torch.testing.assert_close(estimates, estimate(run.separator.eval(), items.mixture, items.sources))


def test_each_phase_touches_its_own_parameters_alone(name):
    rates = {phase.learning_rate for phase in trainer(name).phases}
    for phase in trainer(name).phases:
        run = trainer(name, {rate: 1e-3 if rate == phase.learning_rate else 0.0 for rate in rates})
        own = {
            k for p in run.phases if p.learning_rate == phase.learning_rate for k in phase_parameters(run.separator, p)
        }
        before = {k: p.detach().clone() for k, p in run.separator.named_parameters()}
        run.epoch()
        changed = {k for k, p in run.separator.named_parameters() if not torch.equal(p, before[k])}
        assert changed == own


def test_nan_input_stops_before_a_weight_changes(name):
    run = trainer(name)
    before = weights(run)
    run.data = {key: torch.full_like(value, math.nan) for key, value in run.data.items()}
    if learns(name):
        with pytest.raises(NonFiniteLossError, match=r"is not finite in epoch 1, step 1"):
            run.epoch()
    else:
        run.epoch()
    assert equal(weights(run), before)


def test_hidden_truth_leaves_no_trace_in_the_weights(name):
    """The sources of a mixture make not a bit of difference to an epoch in which they are hidden."""
    run = trainer(name, seen=split())
    supervision = run.separator.supervision
    if supervision is Supervision.PAIRED:
        return  # nothing is hidden
    hidden = otherwise(run.separator, split(), (5, 6))
    other = trainer(name, seen=hidden, view_seed=6)
    assert equal(run.data, other.data)
    assert run.epoch() == other.epoch()
    assert equal(weights(run), weights(other))
    if supervision is not Supervision.NONE:
        numbered = otherwise(run.separator, numbers(), (5, 6))
        moved = (numbered.sources != numbered.mixture[:, None]).float().mean()
        assert moved > 0.8 * (1 - run.separator.paired_fraction)


def otherwise(separator: Separator, items: Split, seeds: tuple[int, int]) -> Split:
    """Return mixtures made of other sources, of which the view makes with the second seed what it does with the first.

    That is, of these with the first. What the view never shows is NaN.
    """
    orders = [data(separator, numbers(), seed) for seed in seeds]
    mixture, sources = torch.full_like(items.mixture, math.nan), torch.full_like(items.sources, math.nan)
    for key in orders[0]:
        here, there = (order[key].flatten(1).long() for order in orders)  # [item, source] or [item, 1]
        if key.endswith("mixture"):
            mixture[there[:, 0]] = items.mixture[here[:, 0]]
        for source in range(sources.shape[1]) if key.endswith("sources") else ():
            sources[there[:, source], source] = items.sources[here[:, source], source]
        if key == "observed":
            sources[there[:, 0], -1] = items.sources[here[:, 0], -1]
    return Split(mixture, sources)


def numbers() -> Split:
    """Mixtures and sources that are the number of their item."""
    counted = torch.arange(32.0).reshape(32, 1, 1, 1).expand(32, 2, 1, 1)
    return Split(counted[:, 0], counted)


def test_three_members_under_vmap_step_as_each_alone(name):
    """One step of all phases, repeats included, each phase at the parameters that those before it have updated.

    Weights, losses and learning rates differ. Alone it is the Trainer that steps; packed, the same rule (Adam, its
    moments kept between repeats) runs under vmap. Adam's epsilon is a tenth of the largest gradient in both, because
    it would blow up gradients that are zero but for rounding to whole steps of either sign.
    """
    rates = {phase.learning_rate for phase in trainer(name).phases}
    settings = [
        {
            key: (1 - 0.2 * k) * (1e-2 if key in rates else value or 0.1)
            for key, value in trainer(name).hyperparameters.items()
        }
        for k in range(3)
    ]
    alone, packed = (
        [trainer(name, settings[k], seed=k, seen=first(split(), BATCH)) for k in range(3)] for _ in range(2)
    )
    before = [{key: p.detach().clone() for key, p in run.separator.named_parameters()} for run in packed]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an operation without a batching rule warns
        stepped, scales = packed_step(packed, settings)
    for k, run in enumerate(alone):
        for phase, scale in scales.items():
            run._optimizers[phase].eps = 0.1 * scale
        run.epoch()
        after = dict(run.separator.named_parameters())
        for phase in run.phases:
            own = phase_parameters(run.separator, phase)
            largest = max((after[key] - before[k][key]).abs().max().item() for key in own)
            assert largest > 1e-4
            for key in own:
                torch.testing.assert_close(stepped[key][k], after[key], rtol=1e-4, atol=1e-3 * largest)


def first(items: Split, count: int) -> Split:
    return Split(items.mixture[:count], items.sources[:count])


def packed_step(runs: list[Trainer], settings: list[dict[str, float]]):
    """The parameters, stacked, after one step of several members under vmap, and each phase's largest gradient."""
    stack = lambda dicts: {key: torch.stack([d[key] for d in dicts]) for key in dicts[0]}  # noqa: E731
    separator, betas = runs[0].separator, runs[0].betas
    parameters = stack([{k: p.detach() for k, p in run.separator.named_parameters()} for run in runs])
    views = [run.separator.before_epoch(run.data, 0, run.generator) for run in runs]
    buffers = stack([dict(run.separator.named_buffers()) for run in runs])
    members = stack([{key: torch.tensor(value) for key, value in setting.items()} for setting in settings])
    scales: dict[str, float] = {}

    def drawn_batches(draw):
        indices = [draw(run) for run in runs]
        return [{key: value[i] for key, value in view.items()} for view, i in zip(views, indices, strict=True)]

    step = drawn_batches(lambda run: next(batches(run.items, BATCH, run.generator)))
    size = len(step[0]["mixture"])
    for phase in runs[0].phases:
        moments, shown = None, step
        for repeat in range(phase.repeats):
            if phase.draws_batches:
                shown = drawn_batches(lambda run: torch.randint(run.items, (size,), generator=run.generator))
            random = [
                phase.draw(batch, run.generator) if phase.draw else {} for batch, run in zip(shown, runs, strict=True)
            ]

            def gradients_of(parameters, buffers, batch, hyperparameters, random, phase=phase):
                gradients, loss = phase_gradients(separator, phase, parameters, buffers, batch, hyperparameters, random)
                return gradients, loss.carry, loss.kept

            arguments = (parameters, buffers, stack(shown), members, stack(random))
            gradients, carry, kept = torch.func.vmap(gradients_of)(*arguments)
            scales.setdefault(phase.name, max(g.abs().max().item() for g in gradients.values()))
            moments = moments or {key: (torch.zeros_like(g), torch.zeros_like(g)) for key, g in gradients.items()}
            rates, epsilon = members[phase.learning_rate], 0.1 * scales[phase.name]
            update = functools.partial(adam, betas=betas, step=repeat + 1, epsilon=epsilon)
            for key, gradient in gradients.items():
                stepped = torch.func.vmap(update)(parameters[key], gradient, *moments[key], rates)
                parameters[key], moments[key] = stepped[0], stepped[1:]
            buffers |= kept
        step = [{**batch, **{key: c[k] for key, c in carry.items()}} for k, batch in enumerate(step)]
    return parameters, scales


def adam(parameter, gradient, mean, square, rate, betas, step, epsilon):
    """Kingma and Ba, algorithm 1, written out."""
    mean = betas[0] * mean + (1 - betas[0]) * gradient
    square = betas[1] * square + (1 - betas[1]) * gradient**2
    corrected = (square / (1 - betas[1] ** step)).sqrt()
    return parameter - rate * (mean / (1 - betas[0] ** step)) / (corrected + epsilon), mean, square


def test_a_phase_without_weight_costs_nothing_and_changes_nothing(name):
    """Losses leave out what weighs 0, draw the same random numbers, and train the other networks to the same bit."""
    switches = {phase.active for phase in trainer(name).phases if phase.active}
    if not switches:
        pytest.skip("no phase can be switched off")
    off, whole = (trainer(name, dict.fromkeys(switches, 0.0)) for _ in range(2))
    assert off.separator.off == switches
    assert trainer(name).separator.off == frozenset()
    whole.separator.off = frozenset()
    with Work() as least:
        parts = off.epoch()
    with Work() as most:
        everything = whole.epoch()
    assert set(parts) < set(everything)
    assert {key: everything[key] for key in parts} == parts
    critics = {key for phase in off.phases if phase.active for key in phase_parameters(off.separator, phase)}
    others = [key for key in weights(off) if key not in critics]
    assert all(torch.equal(weights(off)[key], weights(whole)[key]) for key in others)
    assert torch.equal(off.generator.get_state(), whole.generator.get_state())
    run = []
    for key in {key.partition(".")[0] for key in critics}:
        for module in getattr(off.separator, key).modules():
            module.register_forward_hook(lambda module, *_: run.append(module))
    off.epoch()
    assert run == []
    assert least.operations < most.operations


def test_a_loss_without_its_weightless_terms_is_the_same_under_vmap(name):
    switches = {phase.active for phase in trainer(name).phases if phase.active}
    if not switches:
        pytest.skip("no phase can be switched off")
    runs = [trainer(name, dict.fromkeys(switches, 0.0), seed=k, seen=first(split(), BATCH)) for k in range(2)]
    settings = [{key: 0.0 if key in switches else value for key, value in run.hyperparameters.items()} for run in runs]
    found = []
    for off in (frozenset(switches), frozenset()):
        for k, run in enumerate(runs):
            run.separator.off = off
            run.generator.manual_seed(k)
        found.append(packed_step(runs, settings)[0])
    critics = {k for p in runs[0].phases if p.active for k in phase_parameters(runs[0].separator, p)}
    for key in found[0].keys() - critics:
        torch.testing.assert_close(found[0][key], found[1][key])
