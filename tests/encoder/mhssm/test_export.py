"""Parts of the encoder for a device."""

import io
import warnings

import torch

from espnet_plugin.encoder.mhssm.encoder import MHSSMEncoder


def test_a_traced_encoder_can_be_exported():
    """As other programs do it: traced first, then written as ONNX. The gate's shape must be known to the exporter."""
    torch.manual_seed(0)
    encoder = MHSSMEncoder(6, d_model=8, num_heads=4, num_modes=2, ffn_dims=[8]).eval()
    example = torch.randn(2, 90, 6), torch.tensor([90, 60])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on the exporter's age, and on shapes that are constant here
        traced = torch.jit.trace(encoder.export_parts().offline(), example)
        file = io.BytesIO()
        axes = {"x": {0: "N", 1: "S"}, "x_lens": {0: "N"}}
        names = dict(input_names=["x", "x_lens"], dynamic_axes=axes)
        torch.onnx.export(traced, example, file, dynamo=False, opset_version=17, **names)
        expected, lengths, _ = encoder(*example)
        out, out_lengths = traced(*example)
    assert len(file.getvalue()) > 1000 and torch.equal(lengths, out_lengths)
    torch.testing.assert_close(out[0], expected[0], atol=1e-4, rtol=1e-4)
