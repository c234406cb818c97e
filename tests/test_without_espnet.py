"""What icefall's users have: the package in a process where ESPnet cannot be imported."""

import subprocess
import sys

NO_ESPNET = """
import sys
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
