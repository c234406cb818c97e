"""Small models of every kind whose steps the tests of this folder run, and a batch for them."""

from tiny import CONF, CONFORMER, batch, model_conf, named

from espnet_plugin.asr.training.batch import Batch

ELASTIC = dict(
    decoder="stateless_supernet",
    encoder_conf=CONF["encoder_conf"]
    | dict(
        search_space=dict(depths=[1, 3], ffn_dims=[4, 16], heads=[2, 4], prediction_dims=[4, 8], joiner_dims=[6, 8])
    ),
)
VARIANTS = {
    "mhssm": {},
    "conformer": CONFORMER,
    "elastic": ELASTIC,
    "full": dict(model_conf=model_conf(transducer_conf=dict(loss="full"))),
    "modified": dict(
        model_conf=model_conf(transducer_conf=dict(rnnt_type="modified", delay_penalty=0.01, fast_emit=0.1))
    ),
    "parts": dict(model_conf=model_conf(transducer_conf=dict(max_lattice_mb=1e-6))),
    "share": dict(model_conf=model_conf(sampling_conf=dict(student_share=0.5), distill_conf=dict(form="three_way"))),
    "one size": dict(
        encoder="mhssm", encoder_conf=dict(d_model=8, num_heads=4, num_modes=2, ffn_dims=[8, 8], dropout=0.0)
    ),
}
# Beyond the one wait for the figures: ESPnet's Conformer asks for lengths.
WAITS = {"conformer": 2}


def noise() -> Batch:
    ids, values = named(batch())
    return Batch.of(**values, utt_id=ids)
