"""What all elastic encoders do alike to cut a subnet out."""

import torch

from espnet_plugin.supernet.cost import Cost
from espnet_plugin.supernet.slices import leading
from espnet_plugin.supernet.subnet import Subnet


class Extractable:
    """Part of an elastic encoder, which has ``shape`` (with ``input_size`` and ``cost``) and ``extracted_conf`` besides.

    Class attributes:
        plain_class: encoder of one size, whose state has the names of the elastic one's.
        layer_prefix: first part of the names of what is in a layer, before its number.
    """

    plain_class: type[torch.nn.Module]
    layer_prefix: str

    def extracted_state(self, subnet: Subnet) -> dict[str, torch.Tensor]:
        """State of the plain encoder of a subnet, named as in ``plain_class``; tensors are copies."""
        _, conf = self.extracted_conf(subnet)
        with torch.device("meta"):  # shapes without memory
            plain = self.plain_class(self.shape.input_size, **conf)
        own, state = self.state_dict(), {}
        for name, value in plain.state_dict().items():
            source = name
            if name.startswith(f"{self.layer_prefix}."):
                _, position, rest = name.split(".", 2)
                source = f"{self.layer_prefix}.{subnet.layers[int(position)]}.{rest}"
            state[name] = leading(own[source], value.shape)
        return state

    def cost(self, subnet: Subnet) -> Cost:
        """Of the plain encoder of a subnet, without building it."""
        return self.shape.cost(subnet)

    def num_parameters(self, subnet: Subnet) -> int:
        """Parameters of the plain encoder of a subnet, without building it."""
        return self.cost(subnet).params
