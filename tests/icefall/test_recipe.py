"""A real recipe, patched as docs/icefall.md says, where there is one: icefall's own loop, checkpoints, averaging and decoding's encoder."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOC = Path(__file__).parents[2] / "docs" / "icefall.md"
RECIPE = os.environ.get("ICEFALL_RECIPE")
pytestmark = [
    pytest.mark.icefall,
    pytest.mark.skipif(RECIPE is None, reason="ICEFALL_RECIPE names no folder of an icefall recipe"),
    pytest.mark.skipif(importlib.util.find_spec("k2") is None, reason="k2 is not installed"),
]

PROGRAM = """
import copy, random, sys
from pathlib import Path
import torch
import train
from icefall.checkpoint import average_checkpoints_with_averaged_model
from icefall.utils import get_parameter_groups_with_lrs

exp = Path(sys.argv[1])
tiny = "--encoder-dim 16 --decoder-dim 16 --joiner-dim 16 --todm-layers 3 --todm-depths 1,2,3 --todm-ffn-dims 8,16 --todm-num-heads 4"
tiny += " --todm-num-modes 2 --todm-directions forward"

class Pieces:
    def encode(self, texts, out_type=int):
        return [[1 + ord(c) % 29 for c in text] for text in texts]

class Batches(list):
    sampler = None

def batches(first, count):
    made = []
    for seed in range(first, first + count):
        x = torch.randn(3, 120, 80, generator=torch.Generator().manual_seed(seed))
        spoken = dict(text=["hello", "abc", "xy z"], num_frames=torch.tensor([120, 110, 100]))
        made.append(dict(inputs=x, supervisions=spoken))
    return Batches(made)

def params_of(*given):
    params = train.get_params()
    params.update(vars(train.get_parser().parse_args(["--exp-dir", str(exp), *tiny.split(), *given])))
    params.exp_dir, params.vocab_size, params.blank_id = exp, 30, 0
    params.update(dict(use_autocast=False, dtype=torch.float32, average_period=5, save_every_n=10**9, valid_interval=10**9))
    params.update(dict(max_duration=100, world_size=1, spec_aug_time_warp_factor=80))
    return params

def build(params):
    torch.manual_seed(0)
    model = train.get_model(params)
    average = copy.deepcopy(model).to(torch.float64)
    groups = get_parameter_groups_with_lrs(model, lr=0.01, include_names=True)
    optimizer = train.ScaledAdam(groups, lr=0.01, clipping_scale=2.0)
    return model, average, optimizer, train.Eden(optimizer, 7500, 3.5, warmup_start=0.1)

def epoch(params, parts, number):
    model, average, optimizer, scheduler = parts
    random.seed(number)
    torch.manual_seed(number)
    params.cur_epoch = number
    scheduler.step_epoch(number - 1)
    shared = dict(params=params, model=model, model_avg=average, optimizer=optimizer, scheduler=scheduler)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    train.train_one_epoch(**shared, sp=Pieces(), train_dl=batches(10 * number, 10), valid_dl=batches(99, 1), scaler=scaler)
    train.save_checkpoint(**shared)

params = params_of()
parts = build(params)
for number in (1, 2):
    epoch(params, parts, number)
resumed_params = params_of("--start-epoch", "2")
resumed = build(resumed_params)
saved = train.load_checkpoint_if_available(params=resumed_params, model=resumed[0], model_avg=resumed[1])
resumed[2].load_state_dict(saved["optimizer"])
resumed[3].load_state_dict(saved["scheduler"])
epoch(resumed_params, resumed, 2)
whole, again = parts[0].state_dict(), resumed[0].state_dict()
assert int(again["num_updates"]) == 19
state = average_checkpoints_with_averaged_model(exp / "epoch-1.pt", exp / "epoch-2.pt")
for name in ("max", "min"):
    model = train.get_model(params_of("--subnet", name))
    model.load_state_dict(state)
    out, lengths = model.eval().forward_encoder(torch.randn(2, 120, 80), torch.tensor([120, 100]))
    assert out.shape == (2, 29, 16) and lengths.tolist() == [29, 24] and bool(out.isfinite().all())
print(max(float((value - whole[key]).abs().max()) for key, value in again.items()))
"""


def test_twenty_updates_resume_average_and_decode(tmp_path):
    code = tmp_path / "recipe"
    code.mkdir()
    for path in Path(RECIPE).glob("*.py"):
        (code / path.name).write_bytes(path.read_bytes())
    patch = re.search(r"```diff\n(.*?)```", DOC.read_text(), re.DOTALL)[1]
    subprocess.run(["patch", "-p5", str(code / "train.py")], input=patch, text=True, check=True, capture_output=True)
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "exp").mkdir()
    paths = [str(code), *sys.path]  # icefall itself is on the path of whoever has a recipe
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "exp")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.split()[-1]) < 0.05  # icefall's balancers act at random
