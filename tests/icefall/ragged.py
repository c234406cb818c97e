"""What the plugin asks of a k2.RaggedTensor with two axes."""

from types import SimpleNamespace

import torch


class Ragged:
    def __init__(self, rows):
        self.rows = rows
        splits = torch.tensor([0, *map(len, rows)], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        self.shape = SimpleNamespace(row_splits=lambda axis: {1: splits}[axis])

    def pad(self, mode, padding_value):
        assert mode == "constant"
        rows = [torch.tensor(row, dtype=torch.int32) for row in self.rows]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding_value)
