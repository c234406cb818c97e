import torch


class Joiner(torch.nn.Module):
    def __init__(self, encoder_dim, decoder_dim, joiner_dim, vocab_size):
        super().__init__()
        self.encoder_proj = torch.nn.Linear(encoder_dim, joiner_dim)
        self.decoder_proj = torch.nn.Linear(decoder_dim, joiner_dim)
        self.output_linear = torch.nn.Linear(joiner_dim, vocab_size)

    def forward(self, encoder_out, decoder_out, project_input=True):
        if project_input:
            encoder_out, decoder_out = self.encoder_proj(encoder_out), self.decoder_proj(decoder_out)
        return self.output_linear(torch.tanh(encoder_out + decoder_out))
