"""What exporters ask of the encoder's layers."""

import io
import warnings

import torch

from espnet_plugin.encoder.mhssm.encoder import MHSSM


class Gate(torch.nn.Module):
    """The gate of a mixer between two linear layers, as in a layer."""

    def __init__(self, mixer: MHSSM):
        super().__init__()
        self.mixer = mixer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mixer.linear_out(self.mixer.gate(self.mixer.linear_in(x)))


def test_a_traced_gate_can_be_exported():
    """As other programs do it: traced first, then written as ONNX. The rank of each shape must be known to the exporter then."""
    torch.manual_seed(0)
    gate, x, file = Gate(MHSSM(8, 4, 4, num_modes=2)).eval(), torch.randn(2, 9, 8), io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on the exporter's age
        traced, axes = torch.jit.trace(gate, x), {"x": {0: "N", 1: "T"}}
        torch.onnx.export(traced, x, file, dynamo=False, opset_version=17, input_names=["x"], dynamic_axes=axes)
    assert len(file.getvalue()) > 1000
    longer = torch.randn(1, 14, 8)
    assert torch.equal(traced(longer), gate(longer))
