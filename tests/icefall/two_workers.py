"""Two data-parallel workers train the stand-in as icefall does; prints the largest difference from one process with both batches."""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "stand_in"), str(HERE)]
STEPS = 3


def batch(number: int) -> dict:
    from ragged import Ragged

    x = torch.randn(3, 60, 80, generator=torch.Generator().manual_seed(number))
    return dict(x=x, x_lens=torch.tensor([60, 47, 31]), y=Ragged([[2, 3, 4, 5], [1], [7, 7]]))


def built():
    from train import get_model, get_params

    torch.manual_seed(0)
    params = get_params()
    model = get_model(params).train()
    return params, model, torch.optim.SGD(model.parameters(), lr=0.01)


def alone():
    """Sums the halves of both workers' losses; each step's nets are those of its number."""
    from train import compute_loss

    params, model, optimizer = built()
    for step in range(STEPS):
        optimizer.zero_grad()
        for rank in range(2):  # weights are the same version still, so it is one update
            (compute_loss(params, model, **batch(2 * step + rank)) / 2).backward()
        optimizer.step()
    return model


def work(rank: int, port: str) -> None:
    from train import compute_loss

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    expected = alone() if rank == 0 else None
    dist.init_process_group("gloo", rank=rank, world_size=2)
    params, model, optimizer = built()
    parallel = torch.nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
    for step in range(STEPS):
        optimizer.zero_grad()
        compute_loss(params, parallel, **batch(2 * step + rank)).backward()
        optimizer.step()
    assert int(model.num_updates) == STEPS - 1
    # Nothing but the model has written the number, so that no step has to read it.
    buffer, version, number = model.known_updates
    assert buffer is model.num_updates and version == buffer._version and number == STEPS - 1
    if expected is not None:
        pairs = zip(expected.parameters(), model.parameters())
        print(max(float((ours - theirs).detach().abs().max()) for ours, theirs in pairs))


if __name__ == "__main__":
    torch.multiprocessing.spawn(work, (sys.argv[1],), nprocs=2)
