"""The changes of docs/extending.md, applied to a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

USE = """
import random, sys, torch, yaml
from pathlib import Path
from espnet_plugin.bin.main import dispatch
from espnet_plugin.supernet.configured import search_space
from espnet_plugin.supernet.dimensions import FFN, TAPS
from espnet_plugin.transducer.distill import DIVERGENCES, DistillConf
import espnet_plugin
assert Path(espnet_plugin.__file__).parents[1] == Path(sys.argv[1])

space = search_space(2, dict(ffn_dims=[4, 8], taps=[3, 5]), (FFN, TAPS), {})
assert str(space.max) == "0-1x8k5" and space.parse("0x4k3_1x8k5")["taps"] == (3, 5)
assert len({space.sample(random.Random(seed)) for seed in range(200)}) == space.size == 16

conf = DistillConf(divergence="variation")
even, sure = torch.zeros(1, 2), torch.tensor([[50.0, 0.0]])
assert abs(float(DIVERGENCES[conf.divergence](even, sure, conf)) - 0.5) < 1e-6

sys.path.append(sys.argv[2])
import tiny
sizes = dict(d_model=8, num_heads=4, num_modes=2, ffn_dims=[4])
args = tiny.arguments(encoder="mhssm", encoder_conf=sizes)
model = tiny.build(encoder="mhssm", encoder_conf=sizes)
Path("size").mkdir()
torch.save(model.state_dict(), "size/model.pth")
Path("size/config.yaml").write_text(yaml.safe_dump(vars(args)))
dispatch(["export", "size", "--format", "torchscript", "--out", "decoder.pt"])
out = torch.jit.load("decoder.pt")(torch.tensor([[-1, 0], [0, 3]]))
assert out.shape == (2, model.joint_network.lin_dec.out_features)
"""


def test_each_change_of_the_page_adds_what_it_says(tmp_path):
    shutil.copytree(ROOT / "espnet_plugin", tmp_path / "espnet_plugin", ignore=shutil.ignore_patterns("__pycache__"))
    diffs = re.findall(r"```diff\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), re.DOTALL)
    assert len(diffs) == 3
    for diff in diffs:
        apply = ["git", "apply", "-C1", "--recount", "-"]
        done = subprocess.run(apply, cwd=tmp_path, input=diff, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr + diff
    command = [sys.executable, "-c", USE, str(tmp_path), str(ROOT / "tests" / "asr")]
    here = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=here, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
