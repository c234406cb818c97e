"""A prediction network with the attributes of icefall's: grouped convolution over the last symbols, zeros before the first."""

import torch


class Decoder(torch.nn.Module):
    def __init__(self, vocab_size, decoder_dim, blank_id, context_size):
        super().__init__()
        self.blank_id, self.context_size, self.vocab_size = blank_id, context_size, vocab_size
        self.embedding = torch.nn.Embedding(vocab_size, decoder_dim)
        self.conv = torch.nn.Conv1d(decoder_dim, decoder_dim, context_size, groups=decoder_dim // 4, bias=False)

    def forward(self, y, need_pad: bool = True):
        x = (self.embedding(y.clamp(min=0)) * (y >= 0).unsqueeze(-1)).transpose(1, 2)
        x = torch.nn.functional.pad(x, (self.context_size - 1 if need_pad else 0, 0))
        return torch.relu(self.conv(x)).transpose(1, 2)
