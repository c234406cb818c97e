"""The encoder of an icefall recipe: a supernet behind the recipe's own ``EncoderInterface``.

Shapes: N batch, S input frames (10 ms), T encoder frames (40 ms), F features, D largest model dimension.
"""

from functools import cache
from typing import Any, cast

import torch
import torch.nn.functional as F

from espnet_plugin.encoder.mhssm.encoder import MHSSMEncoder, MHSSMLayer
from espnet_plugin.encoder.mhssm.export import OFFLINE_CHUNK
from espnet_plugin.encoder.mhssm.supernet import MHSSMSupernetEncoder
from espnet_plugin.errors import UserError
from espnet_plugin.icefall.options import Options, read_options, whole_space
from espnet_plugin.icefall.stream import StreamAttributes, folded
from espnet_plugin.icefall.traced import TracedSSM


class PassThrough(torch.nn.Module):
    """icefall's ``encoder_embed`` where the encoder reduces time itself."""

    def forward(self, x: torch.Tensor, x_lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Args: x (N, S, F), x_lens (N,). Returns: the same."""
        return x, x_lens

    def get_init_states(self, batch_size: int = 1, device: torch.device | str = "cpu") -> torch.Tensor:
        """A state that nobody uses, of the shape that sherpa-onnx gives zipformer's: (N, 128, 3, 19)."""
        return torch.zeros(batch_size, 128, 3, 19, device=device)

    def streaming_forward(
        self, x: torch.Tensor, x_lens: torch.Tensor, cached_left_pad: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Frames of a chunk, see `folded`. Args: x (N, S, F), x_lens (N,), the state. Returns: folded frames, lengths, the state."""
        return folded(x), x_lens, cached_left_pad * 1


def frozen(module: torch.nn.Module) -> torch.nn.Module:
    """A module whose weights are buffers outside checkpoints: what is derived from a supernet is never saved or trained with it."""
    for part in module.modules():
        for name, value in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, value.detach(), persistent=False)
    return module


def refresh(module: torch.nn.Module, _) -> None:
    """Derive anew, after weights were loaded, what `train` derives of them."""
    module.train(module.training)


@cache
def encoder_class() -> type:
    """A subclass of the recipe's ``EncoderInterface``, made when the recipe is there.

    Raises:
        UserError: the recipe's folder is not on the path.
    """
    try:
        from encoder_interface import EncoderInterface
    except ImportError as error:
        raise UserError(
            f"the recipe's encoder_interface does not import ({error}): run from the recipe's folder"
        ) from error

    class SupernetEncoder(StreamAttributes, EncoderInterface):
        """A supernet that decodes and is exported at one size.

        Args:
            input_size: F.
            options: of the command line.
            params: icefall's, which hold the widths of prediction network and joiner.

        Raises:
            UserError: see `MHSSMSupernetEncoder`, `whole_space` and `SearchSpace.resolve`.
        """

        def __init__(self, input_size: int, options: Options, params):
            super().__init__()
            self.net = MHSSMSupernetEncoder(input_size, **options.encoder)
            self.options = options
            self.search_space = whole_space(self.net.search_space, params)
            self.subnet = self.search_space.resolve(options.subnet)
            self.offline: torch.nn.Module | None = None
            self.streaming: torch.nn.Module | None = None
            self.register_load_state_dict_post_hook(refresh)

        def check(self, ilens: torch.Tensor) -> None:
            self.net.check(ilens)

        def frames(self, ilens: torch.Tensor) -> torch.Tensor | None:
            return self.net.frames(ilens)

        def stem(self, xs_pad: torch.Tensor, ilens: torch.Tensor):
            return self.net.stem(xs_pad, ilens)

        def run(self, stem, subnet=None) -> torch.Tensor:
            return self.net.run(stem, subnet)

        def plain(self) -> MHSSMEncoder:
            """The encoder of the size, of ordinary layers."""
            alone = MHSSMEncoder(self.net.input_size, **self.net.extracted_conf(self.subnet))
            alone.load_state_dict(self.net.extracted_state(self.subnet))
            return alone.eval()

        def train(self, mode: bool = True):
            """Besides, keep a form for export beside the net in evaluation on CPU: a trace is no place to cut it out."""
            super().train(mode)
            self.offline = self.streaming = None
            if not mode and next(self.net.parameters()).device.type == "cpu":
                plain = self.plain()
                parts = plain.export_parts()
                whole: Any = parts.offline()
                own = [cast(MHSSMLayer, layer).mixer.ssm for layer in plain.layers]
                for layer, ssm in zip(whole.encoder.layers, own):
                    layer.mixer.ssm = TracedSSM(ssm, OFFLINE_CHUNK)
                self.offline = frozen(whole)
                if all(ssm.num_directions == 1 for ssm in own):
                    self.streaming = frozen(parts.streaming())
                    self.query_head_dim = (cast(int, self.streaming.state_size),)
            return self

        def widened(self, x: torch.Tensor) -> torch.Tensor:
            """x (..., d) with zeros up to D, which is what the joiner's projection takes."""
            return F.pad(x, (0, self.net.d_model - x.shape[-1]))

        def forward(
            self, x: torch.Tensor, x_lens: torch.Tensor, src_key_padding_mask: torch.Tensor | None = None
        ) -> tuple[torch.Tensor, torch.Tensor]:
            """icefall's interface, at the chosen size.

            Args:
                x: (S, N, F).
                x_lens: (N,) input frames.
                src_key_padding_mask: not used, the lengths tell as much.

            Returns:
                (T, N, D), zero beyond the size's own dimension, and (N,) encoder frames.

            Raises:
                UserError: it is traced elsewhere than on CPU, or in training.
            """
            x = x.permute(1, 0, 2)
            if torch.jit.is_tracing() or torch.onnx.is_in_onnx_export():
                if self.offline is None:
                    raise UserError("export: call .to('cpu') and .eval() before the encoder is traced")
                out, lengths = self.offline(x, x_lens)
            else:
                out, lengths, _ = self.net(x, x_lens, subnet=self.subnet)
            return self.widened(out).permute(1, 0, 2), lengths

    return SupernetEncoder


def get_encoder_embed(params) -> torch.nn.Module:
    """What stands for the recipe's ``encoder_embed``: features pass as they are."""
    return PassThrough()


def get_encoder_model(params) -> torch.nn.Module:
    """The supernet encoder.

    Args:
        params: icefall's, with what `add_arguments` adds.

    Raises:
        UserError: an option that is not allowed, or no recipe on the path.
    """
    options = read_options(params)
    encoder = encoder_class()(params.feature_dim, options, params)
    set_rates(encoder.net, options.dynamics_lr_scale)
    return encoder


def set_rates(net: MHSSMSupernetEncoder, scale: float) -> None:
    """Give the dynamics of the state space heads a rate of their own, as icefall's optimizer groups read it: ``lr_scale`` of a module."""
    if scale != 1.0:
        for layer in net.layers:
            dynamics = cast(MHSSMLayer, layer).mixer.ssm.dynamics
            dynamics.lr_scale = scale  # type: ignore[assignment]  # PyTorch annotates what a module is given as tensors and modules
