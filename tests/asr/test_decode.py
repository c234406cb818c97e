"""Options of decoding: each that cannot be is told before anything is decoded."""

import pytest

from espnet_plugin.asr.inference.decode import DecodeConf, read_conf
from espnet_plugin.errors import UserError


def test_options_are_read(tmp_path):
    (tmp_path / "c.yaml").write_text("beam_size: 4\ntransducer_conf: {search_type: maes, expansion_gamma: 2}\n")
    conf = read_conf(tmp_path / "c.yaml")
    assert conf == DecodeConf(4, transducer_conf={"search_type": "maes", "expansion_gamma": 2})
    (tmp_path / "c.yaml").write_text("")
    assert read_conf(tmp_path / "c.yaml") == read_conf(None) == DecodeConf()


@pytest.mark.parametrize(
    "text, said",
    [
        ("chunk_ms: 33.3", "chunk_ms: 33.3 must be an integer"),
        ("chunk_ms: null", "chunk_ms: None must be an integer"),
        ("chunk_ms: 0", "chunk_ms: 0 must be from 1 to"),
        ("beam_size: two", "beam_size: 'two' must be an integer"),
        ("beam_size: 0", "beam_size: 0 must be at least 1"),
        ("batch_seconds: x", "batch_seconds: 'x' must be a number"),
        ("batch_seconds: -4", "batch_seconds: -4 must be above 0 and at most 36,000"),
        ("batch_seconds: .inf", "batch_seconds: inf must be above 0"),
        ("beams: 1", "beams: unknown key, allowed are beam_size"),
        ("a: [", "is not YAML"),
        ("[1]", "must hold 'key: value' lines"),
        ("transducer_conf: maes", "transducer_conf: 'maes' must be a dictionary or null"),
        ("transducer_conf: {foo: 1}", "transducer_conf.foo: unknown key, allowed are search_type, max_sym_exp"),
        ("transducer_conf: {beam_size: 1}", "transducer_conf.beam_size: unknown key"),
        (
            "transducer_conf: {search_type: mbg}",
            "transducer_conf.search_type: 'mbg' is not one of ['modified', 'default'",
        ),
        ("transducer_conf: {nstep: 0}", "transducer_conf.nstep: 0 must be at least 1"),
        ("transducer_conf: {nbest: 2}", "transducer_conf.nbest: unknown key"),
        ("transducer_conf: {search_type: maes}", "transducer_conf: {'search_type': 'maes'} needs a beam_size above 1"),
        ("nbest: 2", "nbest: 2 must be at least 1 and at most beam_size, which is 1"),
        ("{beam_size: 4, nbest: 5}", "nbest: 5 must be at least 1 and at most beam_size, which is 4"),
        ("hotwords_file: a.txt", "hotwords_file: a.txt needs a beam_size above 1"),
        ("{beam_size: 4, hotwords_score: -1}", "hotwords_score: -1 must be from 0 to 100"),
        ("{beam_size: 4, lm_weight: 1.0e+9}", "lm_weight: 1000000000.0 must be from 0 to 100"),
        ("{beam_size: 4, lm_train_config: a.yaml}", "lm_train_config: 'a.yaml' needs lm_file"),
        ("transducer_conf: {u_max: many}", "transducer_conf.u_max: 'many' must be an integer"),
    ],
)
def test_impossible_options_are_told(text, said, tmp_path):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        read_conf(tmp_path / "c.yaml")
    assert said in str(error.value) and str(tmp_path / "c.yaml") in str(error.value)
    assert "\n" not in str(error.value)
