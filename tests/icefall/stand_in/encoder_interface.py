import torch


class EncoderInterface(torch.nn.Module):
    def forward(self, x, x_lens):
        raise NotImplementedError
