"""What a training run will ask for: multiply-adds and bytes, counted from sizes, and a step measured on the machine at hand."""

import argparse
import multiprocessing
import random
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from espnet2.samplers.num_elements_batch_sampler import NumElementsBatchSampler

from espnet_plugin.asr.inference.extract import cost
from espnet_plugin.asr.training.batch import Batch
from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.asr.training.step import accumulate
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.subnet import Subnet

BACKWARD = 2  # multiply-adds of a backward pass over those of its forward pass: gradients of inputs, and of weights
STATE_BYTES = 4 * (1 + 1 + 2)  # a float32 parameter, its gradient and two moments
SYMBOLS_PER_SECOND = 4  # of the measured batch; about what 500 sentencepiece units make of read English
MATMUL = 1024  # rows of the square matrices that measure the machine


@dataclass(frozen=True)
class Workload:
    """Of one configuration, from its sizes alone.

    Args:
        params: of the whole model in training.
        step_macs: multiply-adds of all nets of a step, forward and backward, for a second of audio.
        nets: mean number of nets in a step, each weighed by its multiply-adds over the max net's.
    """

    params: int
    step_macs: float
    nets: float


@dataclass(frozen=True)
class Measured:
    """A step on this machine.

    Args:
        step_seconds: for a second of audio.
        activation_bytes: at the peak, for a second of audio.
        macs_per_second: multiply-adds in a second of wall time.
        utilisation: those over what a plain matrix product reaches here.
    """

    step_seconds: float
    activation_bytes: float
    macs_per_second: float
    utilisation: float


def arguments(conf: dict, vocabulary: int) -> argparse.Namespace:
    """What ESPnet's task needs to build the model of a configuration before there is a token list."""
    values = vars(TODMTask.get_parser().parse_args(["--output_dir", "unused"])) | conf
    tokens = ["<blank>", "<unk>", *(f"t{i}" for i in range(vocabulary - 3)), "<sos/eos>"]
    return argparse.Namespace(**values | dict(token_list=tokens, bpemodel=None, init=None, normalize=None))


def net_macs(model: TODMModel, subnet: Subnet) -> int:
    """Multiply-adds of one net's forward pass in training, for a second of audio; its joiner runs on R symbols a frame."""
    conf = model.criterion.conf
    if conf.loss != "pruned":
        raise UserError(f"transducer_conf.loss: '{conf.loss}' has no fixed number of cells a frame, plan for 'pruned'")
    cells = model.encoder.frame_rate * (conf.prune_range - 1)
    return cost(model, subnet).macs + cells * subnet["joiner"] * model.vocab_size


def workload(model: TODMModel, draws: int = 200) -> Workload:
    """Count a configuration; random nets by the mean of `draws` of them.

    Raises:
        UserError: the model is no supernet with a pruned loss.
    """
    space, sampling = model.search_space, model.sampling
    if space is None:
        raise UserError(
            f"encoder: '{model.encoder.name}' has one size, only a supernet can be planned for; one size is a search space of one point"
        )
    rng = random.Random(0)
    drawn = statistics.mean(net_macs(model, space.sample(rng)) for _ in range(draws))
    largest, smallest = net_macs(model, space.max), net_macs(model, space.min)
    if sampling.rule == "single":
        total = drawn
    elif space.size == 1:
        total = largest
    else:
        total = largest + sampling.student_share * (smallest + sampling.num_random * drawn)
    params = sum(p.numel() for p in model.parameters())
    return Workload(params, (1 + BACKWARD) * total, total / largest)


def updates_per_epoch(conf: dict, stats: Path) -> int:
    """Updates that ESPnet's batch sampler makes of the lengths that the recipe's stage 4 has collected.

    Args:
        stats: folder of the stage, with train/speech_shape and train/text_shape.
    """
    files = [stats / "train" / name for name in ("speech_shape", "text_shape")]
    for file in files:
        if not file.is_file():
            raise UserError(f"--stats: '{file}' does not exist, run stage 4 of the recipe first or give --hours")
    sampler = NumElementsBatchSampler(int(conf["batch_bins"]), [str(file) for file in files])
    return len(sampler) // int(conf.get("accum_grad") or 1)


def noise(vocabulary: int, fs: int, utterances: int, seconds: float, symbols: int) -> Batch:
    """A batch of noise. Args: seconds and symbols of each utterance."""
    samples, generator = int(seconds * fs), torch.Generator().manual_seed(0)
    return Batch.of(
        speech=0.1 * torch.randn(utterances, samples, generator=generator),
        speech_lengths=torch.full((utterances,), samples),
        text=torch.randint(2, vocabulary - 1, (utterances, symbols), generator=generator),
        text_lengths=torch.full((utterances,), symbols),
        utt_id=[f"utterance{i}" for i in range(utterances)],
    )


def matmul_seconds(device: str, amp: bool) -> float:
    """Time of a product of two square matrices of `MATMUL` rows."""
    kind = torch.bfloat16 if amp and device == "cuda" else torch.float32
    a = torch.ones(MATMUL, MATMUL, dtype=kind, device=device)
    count = 100 if device == "cuda" else 5
    a @ a  # warms up
    synchronise(device)
    began = time.perf_counter()
    for _ in range(count):
        a @ a
    synchronise(device)
    return (time.perf_counter() - began) / count


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak_bytes(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    rows = dict(row.split(":", 1) for row in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(rows["VmHWM"].split()[0])


def measure_here(conf: dict, vocabulary: int, seconds: float, rounds: int, device: str) -> Measured:
    """Time steps and matrix products in turn, and memory at two lengths of a batch, whose difference is that of activations."""
    torch.manual_seed(0)
    args = arguments(conf, vocabulary)
    model = TODMTask.build_model(args).to(device).train()
    optimizer = TODMTask.build_optimizers(args, model)[0]
    amp, fs = bool(conf.get("use_amp")) and device == "cuda", getattr(model.frontend, "fs", 16000)

    def step(length: float) -> float:
        values = noise(vocabulary, fs, 2, length / 2, max(1, int(length * SYMBOLS_PER_SECOND / 2)))
        values = values.to(torch.device(device))
        synchronise(device)
        began = time.perf_counter()
        accumulate(model, values, 1.0, amp)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        model.count_update()
        synchronise(device)
        return time.perf_counter() - began

    for length in (seconds / 2, seconds / 2):  # the optimizer's state is there before memory is looked at
        step(length)
    half = peak_bytes(device)
    took, products = [], []
    for _ in range(rounds):
        took.append(step(seconds))
        products.append(matmul_seconds(device, amp))
    activations = max(peak_bytes(device) - half, 0) / (seconds / 2)
    rate = workload(model).step_macs * seconds / statistics.median(took)
    return Measured(
        statistics.median(took) / seconds, activations, rate, rate * statistics.median(products) / MATMUL**3
    )


def measure(conf: dict, vocabulary: int, seconds: float = 10.0, rounds: int = 3) -> Measured:
    """A step of a configuration on this machine's GPU, or on its CPU where it has none, in a process of its own.

    Args:
        seconds: audio of the measured batch.
        rounds: timed steps.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(measure_here, (conf, vocabulary, seconds, rounds, device))


def count(conf: dict, vocabulary: int) -> Workload:
    """Count a configuration. Nothing is allocated for its weights; the frontend has none."""
    args = arguments(conf, vocabulary)
    args = argparse.Namespace(**vars(args) | dict(frontend=None, input_size=80, specaug=None))
    with torch.device("meta"):
        return workload(TODMTask.build_model(args))
