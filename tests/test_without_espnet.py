"""What icefall's users have: the package in a process where ESPnet cannot be imported."""

import subprocess
import sys
from pathlib import Path

NO_ESPNET = """
import sys
from pathlib import Path
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("espnet", "espnet2", "espnet_model_zoo", "typeguard"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""


def run_without_espnet(code: str) -> str:
    """Output of a program; the test fails with its errors."""
    done = subprocess.run([sys.executable, "-c", NO_ESPNET + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_parts_import_without_espnet():
    run_without_espnet(
        """
import importlib, pkgutil
import espnet_plugin
for part in ("common", "frontend", "optim", "supernet", "transducer", "encoder.mhssm"):
    package = importlib.import_module(f"espnet_plugin.{part}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
import espnet_plugin.asr.training.step
assert not any(name.startswith("espnet2") for name in sys.modules)
"""
    )


def test_a_supernet_trains_in_a_recipe_without_espnet():
    folder = Path(__file__).parent / "icefall"
    out = run_without_espnet(
        f"""
sys.path[:0] = [{str(folder / "stand_in")!r}, {str(folder)!r}]
import torch
from ragged import Ragged
from train import compute_loss, get_model, get_params
from espnet_plugin.optim.eden import Eden
from espnet_plugin.optim.scaled_adam import ScaledAdam

torch.manual_seed(0)
params = get_params()
model = get_model(params).train()
groups = [dict(named_params=list(model.named_parameters()), lr=0.01)]
optimizer = ScaledAdam(groups, clipping_scale=2.0)
eden = Eden(optimizer, 100, 3.5, warmup_batches=5)
data = dict(x=torch.randn(2, 60, 80), x_lens=torch.tensor([60, 40]), y=Ragged([[2, 3], [1]]))
losses = []
for params.batch_idx_train in range(1, 21):
    loss = compute_loss(params, model, **data)
    loss.backward()
    eden.step_batch(params.batch_idx_train)
    optimizer.step()
    optimizer.zero_grad()
    losses.append(float(loss.detach()) / (0.1 + 0.9 * min(1, params.batch_idx_train / 10)))
assert losses[-1] < 0.8 * losses[0], losses
assert not any(name.startswith("espnet2") for name in sys.modules)
print(int(model.num_updates))
"""
    )
    assert out.split() == ["19"]


def test_verbs_say_what_is_not_installed():
    out = run_without_espnet(
        """
from espnet_plugin.bin.main import dispatch
from espnet_plugin.errors import UserError
for verb in ("choose", "extract", "train"):
    try:
        dispatch([verb, "--help"])
    except UserError as error:
        print(error)
"""
    )
    said = "needs 'espnet2', which is not installed: pip install 'espnet-todm[espnet]'"
    assert out.splitlines()[-3:] == [f"verb '{verb}' {said}" for verb in ("choose", "extract", "train")]
