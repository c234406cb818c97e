"""What a training step starts on a device and waits for, counted on a simulated one; waits for a real GPU as torch tells them."""

import multiprocessing
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module

import torch
from espnet2.tasks.asr import encoder_choices

from espnet_plugin.asr.training.batch import Batch
from espnet_plugin.asr.training.step import BatchResult, clip, figures_of, start, update
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.asr.training.workload import arguments, noise
from espnet_plugin.common import accelerator

STEPS = 4  # of which the first makes the optimizer's state, and the last is one in which ScaledAdam looks at sizes


def sent(batch: Batch) -> Batch:
    """A batch on the simulated device."""
    keys = ("speech", "speech_lengths", "text", "text_lengths")
    return replace(batch, **{key: accelerator.to_device(getattr(batch, key)) for key in keys})


def train_step(model, optimizer, batch: Batch, amp: bool = False) -> BatchResult:
    """A step as the training loop does it."""
    figures = start(model, batch, 1.0, amp)
    norm = clip(model, 1e5)
    result, (_, numbers) = figures.read(norm.reshape(1).double(), *figures_of([optimizer]))
    update(optimizer, numbers)
    model.count_update()
    optimizer.zero_grad()
    return result


def count_launches(
    conf: dict, vocabulary: int, utterances: int = 2, seconds: float = 1.0, symbols: int = 4, steps: int = STEPS
) -> accelerator.Counts:
    """Count what a step of a configuration would start on a GPU; the number hardly depends on lengths.

    Args:
        conf: configuration.
        vocabulary: tokens.
        utterances, seconds, symbols: a batch of noise, and of each utterance.
        steps: that are run, two at least.

    Returns:
        counts of that step, but for the first, that starts the most.
    """
    torch.manual_seed(0)
    args = arguments(conf, vocabulary)
    model = accelerator.to_device(TODMTask.build_model(args).train())
    optimizer = TODMTask.build_optimizers(args, model)[0]
    batch = sent(noise(vocabulary, getattr(model.frontend, "fs", 16000), utterances, seconds, symbols))
    found = []
    for _ in range(steps):
        with accelerator.counting() as counts:
            train_step(model, optimizer, batch)
        found.append(counts)
    return max(found[1:], key=lambda counts: counts.launches.total())


def count_apart(conf: dict, vocabulary: int) -> dict[str, int]:
    """Totals of `count_launches` on a small batch, counted in a process of its own.

    Autograd counts devices before the first backward pass of a process, and would not know one that comes later.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(totals, conf, vocabulary, encoder_choices.get_class(conf["encoder"]).__module__).result()


def totals(conf: dict, vocabulary: int, module: str) -> dict[str, int]:
    """See `count_launches`. Args: module: of the encoder, whose import registers one of another package."""
    import_module(module)
    return count_launches(conf, vocabulary, steps=2).totals()


@contextmanager
def host_waits() -> Iterator[list[str]]:
    """Lines, as ``FILE:LINE``, at which the host waits for a GPU inside; the list is filled at the end."""
    lines: list[str] = []
    torch.cuda.set_sync_debug_mode("warn")  # out of what is recorded: it warns of itself
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            yield lines
        lines += [f"{w.filename}:{w.lineno}" for w in seen if "synchronizing" in str(w.message)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
