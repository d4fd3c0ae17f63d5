"""Cost of an epoch of CASS: the trainer against a loop written by hand, and number formats against each other.

    OMP_NUM_THREADS=1 python benchmarks/epoch.py --formats

All variants take turns in one process, several times. Ratios are those of median CPU times, which other processes on
the machine disturb less than wall time. With ``--device cuda`` they are those of wall times, and each variant has the
share of an epoch in which the GPU is idle.

Measured with the default configuration (1000 mixtures of 504 samples, both phases) on one thread of an AMD EPYC with
AVX-512 BF16, the other core busy, torch 2.11, 3 rounds (12 rounds without ``--formats``: 1.48 s against 1.50 s):

    trainer                     1.52 s   0.99 of by hand
    by hand                     1.54 s   1 (the default precision, here bfloat16)
    float32, contiguous         2.04 s   1.33
    float32, channels_last      6.02 s   3.9
    bfloat16, contiguous        1.52 s   0.99
    bfloat16, channels_last     6.05 s   3.9

Since then the trainer copies gradients whose memory order differs from that of their weight, because torch's fused
Adam would misread them: 1.30 s against 1.28 s by hand (1.014; ``--rounds 8``, the other core idle).

On an NVIDIA H100 (``--device cuda``, torch 2.11, 5 rounds, wall time) the trainer takes 0.74 s (0.69 to 0.86) and the
loop by hand 0.87 s (0.73 to 0.89). The GPU is idle for 93% of the time with either: the CPU cannot start the kernels of
so small a network as fast as the GPU ends them.

So bfloat16 is the default on CPUs that have it, and the separator has no option for channels_last, which is slower with
8 to 16 channels. The number format changes the error no more than the seed does: on the ecg task, after 15 epochs (beta
1e-3, rates 5e-3 and 3e-4), the mean relative L2 error on validation, maternal / fetal, was 0.190 / 0.356 and 0.185 /
0.326 with bfloat16, and 0.187 / 0.343 and 0.184 / 0.335 with float32 (two seeds each). The plain autoencoder's, on the
first seed, was 0.188 / 0.339 with bfloat16 and 0.189 / 0.338 with float32.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from sepray.contracts import Signal, Split, Supervision
from sepray.separators import cass
from sepray.training.trainer import Trainer
from sepray.training.views import view

HYPERPARAMETERS = {"beta": 1e-3, "autoencoder_learning_rate": 2e-3, "discriminator_learning_rate": 5e-4}
SIGNAL = Signal(("maternal", "fetal"), 1, (504,), 128.0)


def mixtures(items: int) -> Split:
    """Return sources with beats of two rates, the second source quieter, and their mixtures."""
    generator = torch.Generator().manual_seed(0)
    seconds = torch.arange(504) / 128
    phase = torch.rand(items, 2, 1, 1, generator=generator)
    rate = torch.tensor([1.4, 2.3])[:, None, None]
    sources = torch.exp(-(((rate * seconds + phase) % 1.0 - 0.5) ** 2) / 0.001)
    sources = sources * torch.tensor([1.0, 0.2])[:, None, None]
    return Split(sources.sum(1), sources)


def trainer(config: cass.Config, data: dict[str, Tensor], device: str) -> Trainer:
    """Return a trainer before its first epoch."""
    torch.manual_seed(0)
    separator = config.build(SIGNAL)
    return Trainer(separator, data, HYPERPARAMETERS, 0, config.batch_size, config.betas, device)


def by_hand(
    config: cass.Config,
    data: dict[str, Tensor],
    device: str,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Iterator[float]:
    """Train as ``trainer`` does, one epoch per ``next``, in a loop written for this separator only; yield its loss."""
    torch.manual_seed(0)
    separator = config.build(SIGNAL).to(device, memory_format=memory_format)  # type: ignore[call-overload] # torch's stubs lack it
    data = {name: tensor.to(device) for name, tensor in data.items()}
    separator.prepare(data)
    weights = {k: torch.tensor(v, device=device) for k, v in (separator.hyperparameters() | HYPERPARAMETERS).items()}
    autoencoders = [*separator.encoders.parameters(), *separator.decoders.parameters()]
    discriminators = list(separator.discriminators.parameters())
    rates = [weights[f"{name}_learning_rate"].item() for name in ("autoencoder", "discriminator")]
    first = torch.optim.Adam(autoencoders, lr=rates[0], betas=config.betas, fused=True)
    second = torch.optim.Adam(discriminators, lr=rates[1], betas=config.betas, fused=True)
    generator = torch.Generator().manual_seed(0)
    items, size = len(data["mixture"]), config.batch_size
    while True:
        total = torch.zeros((), device=device)
        for index in torch.randperm(items, generator=generator)[: items // size * size].split(size):
            index = index.to(device)
            batch = {"mixture": data["mixture"][index], "sources": data["sources"][index]}
            loss = cass.autoencoder_loss(separator, batch, weights, {})
            first.zero_grad()
            loss.total.backward(inputs=autoencoders)
            first.step()
            total += loss.total.detach()
            loss = cass.discriminator_loss(separator, batch | loss.carry, weights, {})
            second.zero_grad()
            loss.total.backward(inputs=discriminators)
            second.step()
            total += loss.total.detach()
        yield total.item()


def timed(epoch: Callable[[], object], device: str) -> float:
    """Return the CPU time of an epoch in seconds; on a GPU the time until it is done, which the CPU waits for."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    epoch()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - start


def idle_share(epoch: Callable[[], object]) -> float:
    """Return the share of an epoch's time in which the GPU runs no kernel and copies nothing."""
    activities = [torch.profiler.ProfilerActivity.CUDA]  # without the CPU's, which would slow the epoch down
    with torch.profiler.profile(activities=activities) as profile:
        seconds = timed(epoch, "cuda")
    busy = sum(event.self_device_time_total for event in profile.key_averages()) * 1e-6
    return 1 - busy / seconds


def main() -> None:
    """Print a line of JSON for each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1000, help="training mixtures")
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each variant")
    parser.add_argument("--formats", action="store_true", help="also measure channels_last and bfloat16")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to train")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = view(mixtures(options.items), Supervision.PAIRED, torch.Generator())
    config, device = cass.Config(), options.device
    variants: dict[str, Callable[[], object]] = {
        "trainer": trainer(config, data, device).epoch,
        "by hand": by_hand(config, data, device).__next__,
    }
    if options.formats:
        for precision in ("float32", "bfloat16"):
            for memory_format in (torch.contiguous_format, torch.channels_last):
                changed = dataclasses.replace(config, precision=precision)
                name = f"by hand, {precision}, {str(memory_format).removeprefix('torch.')}"
                variants[name] = by_hand(changed, data, device, memory_format).__next__
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for round_ in range(options.rounds + 1):
        names = list(variants) if round_ % 2 else list(variants)[::-1]
        for name in names:
            value = timed(variants[name], device)
            if round_:  # the first warms up
                seconds[name].append(value)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        spread = [round(value, 3) for value in sorted(seconds[name])]
        ratio = round(median / medians["by hand"], 3)
        line: dict[str, object] = {"variant": name, "seconds": round(median, 3), "of by hand": ratio, "all": spread}
        if device == "cuda":
            line["GPU idle"] = round(idle_share(variants[name]), 3)
        print(json.dumps(line))


if __name__ == "__main__":
    main()
