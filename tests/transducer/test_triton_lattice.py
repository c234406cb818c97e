"""Runs kernels/cases.py, which needs a process of its own: whether Triton interprets is settled when it is first imported.

Triton's compiler makes machine code for a GPU also where there is none.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from espnet_plugin.transducer.triton_kernels import backward_kernel, forward_kernel

CASES = Path(__file__).parent / "kernels" / "cases.py"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_triton_lattice(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    environment = dict(os.environ, LATTICE_DEVICE=device, TRITON_INTERPRET=str(int(device == "cpu")))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.parametrize("kernel", [forward_kernel, backward_kernel])
def test_the_kernels_compile_for_a_gpu(kernel, tmp_path, monkeypatch):
    from triton import knobs
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    monkeypatch.setattr(knobs.cache, "dir", str(tmp_path))
    integers = dict(T_lens="*i64", U_lens="*i64", T="i32", W="i32")
    kinds = {name: integers.get(name, "*fp32") for name in kernel.arg_names}
    kinds |= {name: "*fp64" for name in ("alpha", "total") if name in kinds}
    constants = dict(SHEAR=1, DELAY=0.1, BLOCK=64)
    source = ASTSource(fn=kernel, signature=kinds | dict.fromkeys(constants, "constexpr"), constexprs=constants)
    made = compile(source, target=GPUTarget("cuda", 80, 32), options=dict(num_warps=1))
    assert len(made.asm["cubin"]) > 1000
