"""The blocks of a whole supernet: those of its encoder, and the search with its prediction network and joiner."""

from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.encoder.interface import TimingBlocks
from espnet_plugin.supernet.subnet import Subnet


class ModelBlocks:
    """What the latency of a subnet is the sum of.

    The search is there twice, with a symbol at no frame (``silent``) and at every frame (``emitting``).

    Args:
        model: supernet.

    Raises:
        UserError: its encoder has no blocks to time.
    """

    def __init__(self, model: TODMModel):
        self.encoder: TimingBlocks = model.encoder.timing_blocks()
        self.frame_rate = model.encoder.frame_rate
        self.sizes = self.encoder.shapes() | dict(
            prediction=model.decoder.dunits,
            joiner=len(model.joint_network.lin_enc.weight),
            vocabulary=model.vocab_size,
            context=getattr(model.decoder, "context_size", 0),
        )

    def share(self, symbols_per_second: float) -> float:
        """Frames at which search finds a symbol, of all."""
        return min(1.0, symbols_per_second / self.frame_rate)

    def weighted(self, subnet: Subnet, share: float) -> list[tuple[str, float]]:
        """Blocks of a subnet and how often each counts. Args: share: see `share`."""
        widths = "d{} p{} j{}".format(*(subnet[name] for name in ("d_model", "prediction", "joiner")))
        silent, emitting = (f"{kind} {widths}" for kind in ("silent", "emitting"))
        return [*((name, 1.0) for name in self.encoder.names(subnet)), (silent, 1 - share), (emitting, share)]
