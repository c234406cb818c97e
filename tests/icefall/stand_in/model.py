"""A model with the constructor, the attributes and the calls of icefall's, for the contract that espnet_plugin.icefall relies on."""

import torch
from encoder_interface import EncoderInterface


class AsrModel(torch.nn.Module):
    def __init__(
        self,
        encoder_embed,
        encoder,
        decoder=None,
        joiner=None,
        attention_decoder=None,
        encoder_dim=384,
        decoder_dim=512,
        vocab_size=500,
        use_transducer=True,
        use_ctc=False,
        use_attention_decoder=False,
    ):
        super().__init__()
        assert isinstance(encoder, EncoderInterface)
        self.encoder_embed, self.encoder, self.decoder, self.joiner = encoder_embed, encoder, decoder, joiner
        self.use_transducer, self.use_ctc, self.use_attention_decoder = use_transducer, use_ctc, use_attention_decoder
        self.simple_am_proj = torch.nn.Linear(encoder_dim, vocab_size)
        self.simple_lm_proj = torch.nn.Linear(decoder_dim, vocab_size)

    def forward_encoder(self, x, x_lens):
        x, x_lens = self.encoder_embed(x, x_lens)
        mask = torch.arange(x.shape[1]) >= x_lens.unsqueeze(1)
        out, lengths = self.encoder(x.permute(1, 0, 2), x_lens, mask)
        return out.permute(1, 0, 2), lengths
