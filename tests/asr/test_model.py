import copy

import pytest
import torch
import yaml
from espnet2.tasks.asr import ASRTask
from tiny import CONF, TOKENS, arguments, batch, build, global_mvn, model_conf

from espnet_plugin.asr.inference.extract import cost, extract, num_parameters, write_model_dir
from espnet_plugin.asr.inference.loading import TrainedModel, load_model, load_state, read_config
from espnet_plugin.errors import UserError


def test_a_step_trains_max_min_and_random_nets():
    model = build().train()
    loss, stats, weight = model(*batch())
    assert {"loss_max", "loss_min", "loss_random", "distill_min", "distill_random"} <= stats.keys()
    assert "distill_max" not in stats and weight.item() == 3 and loss.isfinite()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_loss_falls_when_trained():
    model = build().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss, stats, _ = model(*batch())
        loss.backward()
        optimizer.step()
        losses.append((stats["loss_max"].item(), stats["loss_min"].item()))
    assert losses[-1][0] < 0.5 * losses[0][0] and losses[-1][1] < 0.5 * losses[0][1]


def test_every_part_of_the_method_can_be_switched_off():
    conf = copy.deepcopy(CONF["encoder_conf"])
    conf["search_space"] = dict(ffn_dims=[16])
    _, stats, _ = build(encoder_conf=conf).train()(*batch())
    assert "loss_max" in stats and "loss_min" not in stats  # one fixed size
    _, stats, _ = build(model_conf=model_conf(distill_conf=dict(weight=0)))(*batch())
    assert "distill_min" not in stats and "loss_random" in stats
    single = build(model_conf=model_conf(sampling_conf=dict(rule="single"))).train()
    assert len(single.step_subnets()) == 1
    single(*batch())
    _, stats, _ = build(model_conf=model_conf(sampling_conf=dict(num_random=0)))(*batch())
    assert "loss_random" not in stats
    for form in ("full_vocabulary", "three_way"):
        for loss in ("full", "pruned"):
            conf = model_conf(transducer_conf=dict(loss=loss), distill_conf=dict(form=form, alpha=1.0))
            loss, stats, _ = build(model_conf=conf)(*batch())
            assert loss.isfinite() and stats["distill_min"] > 0


def test_features_computed_beforehand_stand_for_audio():
    model = build().train()
    speech, lengths, text, text_lengths = batch()
    feats, frames = model.frontend(speech, lengths)
    loss = model(speech, lengths, text, text_lengths)[0]
    model.num_updates.zero_()
    torch.testing.assert_close(model(feats, frames, text, text_lengths)[0], loss)
    with pytest.raises(UserError, match="2 columns, allowed are mono audio or the frontend's 80 features"):
        model(feats[..., :2], frames, text, text_lengths)


def test_steps_are_counted_in_training_only():
    model = build().train()
    for _ in range(3):
        model(*batch())
    model.eval()(*batch())
    assert model.num_updates == 3
    again = build(seed=1)
    again.load_state_dict(model.state_dict())
    assert again.num_updates == 3
    assert again.train().step_subnets() == model.train().step_subnets()


def test_validation_reports_max_and_min():
    model = build().eval()
    _, stats, _ = model(*batch())
    assert {"loss_max", "wer_max", "loss_min", "wer_min"} <= stats.keys()
    assert stats["wer_max"] >= 0


def test_a_space_of_one_size_is_trained_and_validated_as_one_net():
    """The individual models of the recipe."""
    encoder = {**CONF["encoder_conf"], "num_layers": 2, "search_space": dict(depths=[2], ffn_dims=[8])}
    model = build(encoder_conf=encoder)
    for training in (True, False):
        assert model.train(training).step_subnets() == (("max", model.search_space.max),)
        loss, stats, _ = model(*batch())
        assert torch.isfinite(loss) and "loss_min" not in stats


def test_loss_does_not_depend_on_padding():
    model = build().eval()
    speech, lengths, text, text_lengths = batch()
    _, together, _ = model(speech, lengths, text, text_lengths)
    alone = [
        model(speech[i : i + 1, :n], lengths[i : i + 1], text[i : i + 1, :u], text_lengths[i : i + 1])[1]["loss_max"]
        for i, (n, u) in enumerate(zip(lengths.tolist(), text_lengths.tolist()))
    ]
    torch.testing.assert_close(
        together["loss_max"], torch.cat([loss.view(1) for loss in alone]).mean().view(1), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("text", ["max", "min", "0x8_2x8", "0x16_2x4", "0-1x4_2x16"])
def test_extracted_model_equals_the_subnet(text):
    model = build().eval()
    args = arguments()
    subnet = model.search_space.resolve(text)
    alone, alone_args = extract(TrainedModel(model, args), subnet)
    assert alone_args.encoder == "mhssm" and args.encoder == "mhssm_supernet"
    assert not any("Elastic" in type(module).__name__ for module in alone.modules())
    speech, lengths, tokens, _ = batch()
    inside, inside_lengths = model.encode(speech, lengths, subnet)
    outside, outside_lengths = alone.encode(speech, lengths)
    torch.testing.assert_close(inside, outside, atol=1e-6, rtol=1e-6)
    assert torch.equal(inside_lengths, outside_lengths)
    predicted = model.decoder(tokens.clamp(min=0))
    logits = [
        m.joint_network(encoded.unsqueeze(2), predicted.unsqueeze(1))
        for m, encoded in ((model, inside), (alone, outside))
    ]
    torch.testing.assert_close(*logits, atol=1e-5, rtol=1e-5)
    assert sum(p.numel() for p in alone.parameters()) == num_parameters(model, subnet)


def test_a_subnet_outside_the_space_is_not_extracted():
    model = build()
    with pytest.raises(UserError, match="feed-forward widths: 5 is not one of"):
        extract(TrainedModel(model, arguments()), model.search_space.min.with_values(ffn=(5,)))


def test_model_directory_can_be_moved_and_is_loaded_by_espnet(tmp_path):
    stats = tmp_path / "feats_stats.npz"
    changes = global_mvn(stats, 10, 1.0, 50.0)
    model = build(**changes).eval()
    facts = write_model_dir(TrainedModel(model, arguments(**changes)), model.search_space.min, tmp_path / "size")
    assert facts == {
        "subnet": "0x4",
        "params": num_parameters(model, model.search_space.min),
        "share": facts["share"],
    } | {"macs_per_second": cost(model, model.search_space.min).macs}
    theirs, _ = ASRTask.build_model_from_file(tmp_path / "size" / "config.yaml", tmp_path / "size" / "model.pth")
    stats.unlink()
    (tmp_path / "size").rename(tmp_path / "moved")
    ours, _ = load_model(tmp_path / "moved" / "config.yaml", tmp_path / "moved" / "model.pth")
    speech, lengths, _, _ = batch()
    expected, _ = model.encode(speech, lengths, model.search_space.min)
    for other in (theirs.eval(), ours):
        torch.testing.assert_close(other.encode(speech, lengths)[0], expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    "changes, said",
    [
        (dict(encoder_conf=dict(num_layer=3)), "encoder_conf.num_layer: unknown key of MHSSMSupernetEncoder"),
        (dict(model_conf=dict(distil_conf={})), "model_conf.distil_conf: unknown key"),
        (dict(model_conf=dict(distill_conf=dict(wieght=1))), "distill_conf.wieght: unknown key"),
        (
            dict(model_conf=dict(distill_conf=dict(frame_stride=0))),
            "distill_conf.frame_stride: 0 must be from 1 to 100",
        ),
        (dict(model_conf=dict(transducer_conf=dict(loss="ctc"))), "transducer_conf.loss: 'ctc' is not one of"),
        (dict(model_conf=dict(transducer_conf=dict(prune_range=1))), "prune_range: 1 must be from 2"),
        (dict(encoder_conf=dict(search_space=dict(ffn_dims=[8], depth=[1]))), "search_space: keys"),
        (dict(encoder="transformer", encoder_conf={}), "encoder: model 'todm' needs one of mhssm_supernet, mhssm,"),
        (dict(decoder=None), "decoder: model 'todm' needs a prediction network"),
    ],
)
def test_wrong_configurations_are_told_in_one_sentence(changes, said):
    with pytest.raises(UserError) as error:
        build(**changes)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_token_list_that_does_not_fit_the_checkpoint_is_told(tmp_path):
    torch.save(build().state_dict(), tmp_path / "m.pth")
    with pytest.raises(UserError, match=r"token_list: 8 tokens .* trained with 7"):
        load_state(build(token_list=[*TOKENS, "E"]), tmp_path / "m.pth")
    with pytest.raises(UserError, match="does not fit"):
        load_state(build(decoder_conf=dict(embed_dim=4)), tmp_path / "m.pth")
    (tmp_path / "bad.pth").write_bytes(b"half a checkpoint")
    with pytest.raises(UserError, match="cannot be read"):
        load_state(build(), tmp_path / "bad.pth")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"model": "espnet"}))
    with pytest.raises(UserError, match="must be 'todm'"):
        read_config(tmp_path / "c.yaml")


def test_espnets_recurrent_prediction_network_works():
    changes = dict(
        decoder="transducer",
        decoder_conf=dict(rnn_type="lstm", num_layers=1, hidden_size=8),
        joint_net_conf=dict(joint_space_size=8),
    )
    model = build(**changes)
    loss, _, _ = model.train()(*batch())
    loss.backward()
    _, stats, _ = model.eval()(*batch())
    assert stats["wer_max"] >= 0


def test_an_utterance_with_too_many_symbols_for_its_frames_is_named(caplog):
    model = build(model_conf=model_conf(transducer_conf=dict(rnnt_type="modified"))).train()
    speech, speech_lengths, text, text_lengths = batch()
    text_lengths[1] = 40
    text = torch.nn.functional.pad(text, (0, 40 - text.shape[1]), value=-1)
    text[1] = 2
    loss, _, _ = model(speech, speech_lengths, text, text_lengths, utt_id=["a", "b", "c"])
    assert loss.isfinite() and "utterance 'b': 40 symbols do not fit into" in caplog.text and "'a'" not in caplog.text
