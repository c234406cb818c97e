import argparse
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from tiny import CONF, arguments, batch, build, global_mvn

from espnet_plugin.asr.adapt import extended, of_tokens, padded, start_from, training_conf, transplant
from espnet_plugin.asr.inference.extract import write_model_dir
from espnet_plugin.asr.inference.loading import load_model
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.common.text import TextConf
from espnet_plugin.common.tokens import bpe_tokens, check_bpemodel, train_bpe
from espnet_plugin.errors import UserError

TEXTS = ["ONE TWO", "TWO THREE FOUR"]


def supernet(folder: Path, **changes) -> Path:
    """A training directory with pieces, statistics and text normalisation."""
    folder.mkdir()
    (folder / "bpe.model").write_bytes(train_bpe(TEXTS, 30))
    conf = (
        dict(
            token_list=bpe_tokens(folder / "bpe.model"),
            bpemodel=str(folder / "bpe.model"),
            optim="scaledadam",
            optim_conf=dict(lr=0.05),
            scheduler="eden",
            scheduler_conf=dict(warmup_batches=100, lr_batches=300, batches_per_epoch=113),
            max_epoch=40,
            model_conf=CONF["model_conf"] | dict(text_conf=dict(form="nfc")),
        )
        | global_mvn(folder / "feats_stats.npz", 10, 1.0, 20.0)
        | changes
    )
    model = build(**conf)
    model.num_updates += 50
    torch.save(model.state_dict(), folder / "averaged.pth")
    (folder / "config.yaml").write_text(yaml.safe_dump(vars(arguments(**conf))))
    return folder


@torch.no_grad()
def answers(model, subnet=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Encoder output of a subnet, by default the max net, and logits of the joiner on it."""
    speech, lengths, _, _ = batch()
    encoder_out, _ = model.eval().encode(speech, lengths, subnet)
    decoder, joiner = model.parts_at(subnet)
    decoder_out = decoder(torch.tensor([[0, 2, 3]] * len(speech)))
    return encoder_out, joiner(encoder_out[:, :3], decoder_out[:, :3])


def started(start) -> torch.nn.Module:
    """The model that a training would begin with."""
    model = TODMTask.build_model(
        arguments(**{key: start.conf[key] for key in CONF if key in start.conf} | {"init_param": []})
    )
    model.load_state_dict(start.state)
    return model


def test_one_subnet_begins_alone_as_it_was(tmp_path):
    """Its answers are those that it gives in the supernet; nothing else is in the space."""
    source = supernet(tmp_path / "old")
    old = load_model(source / "config.yaml", source / "averaged.pth").model
    for name in ("max", "min"):
        (tmp_path / name).mkdir()
        start = start_from(source, tmp_path / name, ["FOUR FOUR"], subnet=lambda space: space.resolve(name))  # noqa: B023
        new, subnet = started(start), old.search_space.resolve(name)
        assert new.search_space.size == 1 and start.state["num_updates"] == 50 and not start.grown
        for a, b in zip(answers(new, new.search_space.max), answers(old, subnet)):
            torch.testing.assert_close(a, b)
        assert sum(p.numel() for p in new.encoder.parameters()) == old.encoder.num_parameters(subnet)


@pytest.mark.parametrize("widths", [{}, dict(model_dims=[4, 8])])
def test_one_subnet_alone_has_its_widths_of_all_parts(tmp_path, widths):
    space = CONF["encoder_conf"]["search_space"] | dict(prediction_dims=[4, 8], joiner_dims=[4, 6, 8]) | widths
    decoder = dict(decoder="stateless_supernet", decoder_conf=dict(embed_dim=8, conv_group=4))
    source = supernet(tmp_path / "old", encoder_conf=CONF["encoder_conf"] | dict(search_space=space), **decoder)
    old = load_model(source / "config.yaml", source / "averaged.pth").model
    (tmp_path / "new").mkdir()
    start = start_from(source, tmp_path / "new", ["FOUR FOUR"], subnet=lambda space: space.min)
    assert start.conf["decoder_conf"] == dict(embed_dim=4, conv_group=4)
    assert start.conf["model_conf"]["joint_space_size"] == 4
    new = started(start)
    assert new.search_space.size == 1
    for name in ("prediction", "joiner", "d_model"):
        assert new.search_space.max[name] == old.search_space.min[name]
    for a, b in zip(answers(new), answers(old, old.search_space.min)):
        torch.testing.assert_close(a, b)


def test_one_subnet_must_be_there_and_even(tmp_path):
    source = supernet(tmp_path / "old")
    space = load_model(source / "config.yaml", source / "averaged.pth").model.search_space
    uneven = next(net for net in map(space.sample, map(random.Random, range(99))) if len(set(net["ffn"])) > 1)
    with pytest.raises(UserError, match=r"--init_subnet: the layers of '.*' differ in width"):
        start_from(source, tmp_path, TEXTS, subnet=lambda _: uneven)
    trained = load_model(source / "config.yaml", source / "averaged.pth")
    write_model_dir(trained, space.min, tmp_path / "size")
    with pytest.raises(UserError, match="--init_subnet: the model of --init_from has one size"):
        start_from(tmp_path / "size", tmp_path, TEXTS, subnet=lambda space: space.max)


def test_a_supernet_begins_as_it_was(tmp_path):
    source = supernet(tmp_path / "old")
    (tmp_path / "new").mkdir()
    start = start_from(source, tmp_path / "new", ["FOUR FOUR"])
    old = load_model(source / "config.yaml", source / "averaged.pth").model
    assert not start.grown and start.added == () and start.unknown == 0
    for a, b in zip(answers(started(start)), answers(old)):
        torch.testing.assert_close(a, b)
    assert start.state["num_updates"] == 50 and start.conf["model_conf"]["text_conf"] == dict(form="nfc")
    assert (tmp_path / "new/bpe.model").read_bytes() == (source / "bpe.model").read_bytes()
    assert start.conf["normalize_conf"]["stats_file"] == str(tmp_path / "new/feats_stats.npz")
    assert start.conf["optim_conf"]["lr"] == 0.01 and start.conf["scheduler_conf"] == dict(
        warmup_batches=20, lr_batches=300
    )
    given = start_from(source, tmp_path / "new", ["FOUR"], given=dict(encoder="mhssm", optim="adam", max_epoch=3)).conf
    assert (given["encoder"], given["optim"], given["max_epoch"]) == ("mhssm_supernet", "adam", 3)


def test_a_training_augments_as_the_models_own(tmp_path, capsys):
    """All but a table that is no longer there, of which a note tells."""
    (tmp_path / "rir.scp").write_text("a a.wav\n")
    own = dict(preprocessor_conf=dict(fs=16000, data_aug_prob=0.5, data_aug_effects=[[1.0, "noise", {"snr": [5, 30]}]]))
    own |= dict(bandwidth_augment=True, speech_volume_normalize=0.9, rir_scp=str(tmp_path / "rir.scp"))
    own |= dict(noise_db_range="5_20", noise_apply_prob=0.3, short_noise_thres=0.4, rir_apply_prob=0.2)
    conf = argparse.Namespace(encoder="mhssm_supernet", model="todm", **own, noise_scp="gone/noise.scp")
    assert own.items() <= training_conf(conf, None).items()
    assert "noise_scp" not in training_conf(conf, None)
    assert "note: noise_scp: 'gone/noise.scp', of the model's own training, is not here" in capsys.readouterr().err


def test_what_a_given_configuration_says_of_training_holds(tmp_path):
    source = supernet(tmp_path / "old")
    (tmp_path / "new").mkdir()
    own = start_from(source, tmp_path / "new", ["FOUR"]).conf
    given = dict(encoder=own["encoder"], encoder_conf=dict(dropout=0.3, d_model=512), model=own["model"])
    given |= dict(model_conf=dict(sampling_conf=dict(num_random=3), joint_space_size=7))
    for other, dropout in (({}, 0.3), (dict(encoder="conformer_supernet"), own["encoder_conf"]["dropout"])):
        conf = start_from(source, tmp_path / "new", ["FOUR"], given=given | other).conf
        assert conf["encoder_conf"] == own["encoder_conf"] | dict(dropout=dropout)
        assert conf["model_conf"] == own["model_conf"] | dict(sampling_conf=dict(num_random=3))


def test_text_with_symbols_is_normalised_before_characters_are_added():
    text = TextConf(case="upper", symbols=["<noise>"])
    tokens = ["<blank>", "<unk>", "<noise>", "A", "B", "<space>", "<sos/eos>"]
    conf = argparse.Namespace(token_type="char", bpemodel=None, model_conf={"text_conf": text.as_dict()})
    trained = SimpleNamespace(model=SimpleNamespace(token_list=tokens), conf=conf, normalise=text.normalise)
    assert extended(trained, ["ab <noise> ba"], None) == (tokens, [])
    assert extended(trained, ["abc <noise>"], None)[1] == ["C"]


def test_symbols_are_added_with_rows_of_an_average_symbol(tmp_path):
    source = supernet(tmp_path / "old")
    (tmp_path / "new").mkdir()
    texts = ["ZERO A\u0308X", "ONE"]
    with pytest.raises(UserError, match=r"1 of 2 transcripts hold symbols .* 'ZERO .*--extend_tokens true"):
        start_from(source, tmp_path / "new", texts)
    start = start_from(source, tmp_path / "new", texts, extend=True)
    old = load_model(source / "config.yaml", source / "averaged.pth").model
    tokens = start.conf["token_list"]
    assert start.added == ("X", "Z", "\u00c4") and tokens[-1] == "<sos/eos>" and start.unknown == 0
    check_bpemodel(tokens, tmp_path / "new/bpe.model")
    model = started(start)
    encoder_out, logits = answers(model)
    kept = [tokens.index(token) for token in old.token_list]
    torch.testing.assert_close(encoder_out, answers(old)[0])
    torch.testing.assert_close(logits[..., kept], answers(old)[1])
    symbols = [row for row, token in enumerate(old.token_list) if not token.startswith("<")]
    added = logits[..., tokens.index("Z")]
    torch.testing.assert_close(added, answers(old)[1][..., symbols].mean(-1))


def test_a_size_grows_into_a_supernet_that_holds_it(tmp_path):
    trained = load_model(supernet(tmp_path / "old") / "config.yaml", tmp_path / "old" / "averaged.pth")
    subnet = trained.model.search_space.max
    write_model_dir(trained, subnet, tmp_path / "size")
    (tmp_path / "new").mkdir()
    start = start_from(tmp_path / "size", tmp_path / "new", TEXTS)
    model = started(start)
    assert start.grown and start.conf["encoder"] == "mhssm_supernet" and start.state["num_updates"] == 0
    space = model.search_space
    assert space != trained.model.search_space and len(space.max.layers) == 3 and len(space.min.layers) == 2
    for a, b in zip(answers(model), answers(trained.model)):
        torch.testing.assert_close(a, b)


def test_a_size_of_uneven_widths_grows_too(tmp_path):
    conf = dict(d_model=8, num_heads=4, num_modes=2, ffn_dims=[4, 16, 8], dropout=0.0)
    source = supernet(tmp_path / "old", encoder="mhssm", encoder_conf=conf, normalize=None, normalize_conf={})
    (tmp_path / "new").mkdir()
    model = started(start_from(source, tmp_path / "new", TEXTS))
    for a, b in zip(answers(model), answers(load_model(source / "config.yaml", source / "averaged.pth").model)):
        torch.testing.assert_close(a, b)


def test_a_conformer_grows_too(tmp_path):
    blocks = dict(output_size=8, attention_heads=2, linear_units=8, num_blocks=2, cnn_module_kernel=3)
    source = supernet(
        tmp_path / "old", encoder="conformer_sized", encoder_conf=blocks, normalize=None, normalize_conf={}
    )
    (tmp_path / "new").mkdir()
    model = started(start_from(source, tmp_path / "new", TEXTS))
    old = load_model(source / "config.yaml", source / "averaged.pth").model
    for a, b in zip(answers(model), answers(old)):
        torch.testing.assert_close(a, b)


def test_layers_of_several_widths_become_parts_of_wider_ones(tmp_path):
    torch.manual_seed(0)
    narrow = [torch.nn.Linear(4, 3), torch.nn.Linear(3, 4)]
    wide = [torch.nn.Linear(4, 8), torch.nn.Linear(8, 4)]
    for small, large in zip(narrow, wide):
        for name, value in small.state_dict().items():
            large.state_dict()[name].copy_(padded(value, large.state_dict()[name]))
    x = torch.randn(5, 4)
    torch.testing.assert_close(wide[1](wide[0](x).relu()), narrow[1](narrow[0](x).relu()))


def test_an_encoders_width_may_be_the_number_of_tokens():
    """Its rows are those of channels then; the decoder's are those of tokens."""
    names, tokens = ("encoder.linear.weight", "decoder.embed.weight"), [*"ABCD"]
    old, fresh = ({name: torch.randn(size, 3) for name in names} for size in (4, 6))
    state = transplant(old, fresh, (tokens, [*tokens, "E", "F"]))
    torch.testing.assert_close(state[names[0]], torch.cat([old[names[0]], fresh[names[0]][4:]]))
    torch.testing.assert_close(state[names[1]][4:], old[names[1]].mean(0).expand(2, -1))


def test_rows_follow_their_tokens():
    value = torch.tensor([[9.0], [1.0], [3.0], [7.0]])
    found = of_tokens(value, ["<blank>", "A", "B", "<eos>"], ["<blank>", "B", "A", "C", "<eos>"])
    assert found.flatten().tolist() == [9, 3, 1, 2, 7]


def test_a_model_is_needed(tmp_path):
    with pytest.raises(UserError, match="has no config"):
        start_from(tmp_path, tmp_path, TEXTS)
