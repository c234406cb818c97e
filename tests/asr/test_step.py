"""One net at a time against the summed loss of the model's own forward."""

import copy
import math

import pytest
import torch
from tiny import CONF, batch, build, model_conf, named, options, train_epoch

from espnet_plugin.asr.training.batch import Batch
from espnet_plugin.asr.training.step import accumulate
from espnet_plugin.errors import UserError
from espnet_plugin.optim.eden import Eden
from espnet_plugin.transducer.distill import DIVERGENCES

SPECAUG = dict(apply_time_warp=False, time_mask_width_range=[0, 10], freq_mask_width_range=[0, 20])


def arguments_of(values=None):
    utt_id, arguments = named(values or batch())
    return Batch.of(**arguments, utt_id=utt_id)


def gradients(model):
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


def assert_same(ours, theirs, **tolerance):
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        if gradient is None:
            assert ours[name] is None, name
        else:
            torch.testing.assert_close(ours[name], gradient, msg=lambda m, name=name: f"{name}: {m}", **tolerance)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        dict(model_conf=model_conf(sampling_conf=dict(num_random=2))),
        dict(model_conf=model_conf(sampling_conf=dict(rule="single"))),
        dict(model_conf=model_conf(sampling_conf=dict(num_random=2, student_share=0.5))),
        dict(model_conf=model_conf(sampling_conf=dict(num_random=2, others_weight=0.7))),
        dict(model_conf=model_conf(transducer_conf=dict(loss="full"))),
        dict(
            decoder="stateless_supernet",
            encoder_conf=CONF["encoder_conf"]
            | dict(search_space=dict(depths=[1, 3], ffn_dims=[4, 16], prediction_dims=[4, 8], joiner_dims=[6, 8])),
            model_conf=model_conf(sampling_conf=dict(num_random=2, student_share=0.5)),
        ),
        dict(
            model_conf=model_conf(
                sampling_conf=dict(student_share=0.5),
                transducer_conf=dict(max_lattice_mb=1e-6, rnnt_type="modified"),
            )
        ),
        dict(encoder_conf=CONF["encoder_conf"] | {"dropout": 0.3}, specaug="specaug", specaug_conf=SPECAUG),
    ],
)
def test_gradients_are_those_of_the_summed_loss(changes):
    summed = build(**changes).double().train()
    single = copy.deepcopy(summed)
    values = [x.double() if x.is_floating_point() else x for x in batch()]
    torch.manual_seed(5)
    loss, stats, _ = summed(*values)
    loss.backward()
    torch.manual_seed(5)
    result = accumulate(single, arguments_of(values), 1.0, amp=False)
    assert_same(gradients(single), gradients(summed), atol=1e-7, rtol=1e-5)  # the kernels are float32
    expected = {key: value.item() for key, value in stats.items() if value is not None}
    assert result.stats == pytest.approx(expected, rel=1e-9) and result.bad is None


def test_the_other_nets_have_their_weight_together():
    def losses(**sampling) -> list[float]:
        model = build(model_conf=model_conf(sampling_conf=dict(num_random=1, **sampling))).train()
        return [float(net.loss) for net in model.nets(model.shared(Batch.of(*batch())))]

    plain, weighed = losses(), losses(others_weight=0.8)
    assert len(plain) == 3 and weighed == pytest.approx([plain[0], 0.4 * plain[1], 0.4 * plain[2]])


def test_a_graph_is_gone_when_the_next_net_is_built():
    """Counts tensors that the graphs of finished nets keep for their backward: none."""
    model = build(model_conf=model_conf(sampling_conf=dict(num_random=2))).train()
    held, at_start = [0], []

    class Kept:
        def __init__(self, tensor):
            self.tensor = tensor
            held[0] += 1

        def __del__(self):
            held[0] -= 1

    run = model.encoder.run
    model.encoder.run = lambda *args: at_start.append(held[0]) or run(*args)
    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        accumulate(model, arguments_of(), 1.0, amp=False)
        one_by_one, at_start[:] = list(at_start), []
        loss, _, _ = model(*batch())
    assert len(one_by_one) >= 3 and len(set(one_by_one)) == 1  # only the shared part's
    assert len(set(at_start)) == len(at_start) and at_start[-1] > one_by_one[-1]
    del loss


def test_bfloat16_is_near_float32():
    plain, mixed = build().train(), build().train()
    stats = [
        accumulate(m, arguments_of(), 1.0, amp=amp).stats["loss_max"] for m, amp in ((plain, False), (mixed, True))
    ]
    assert stats[0] != stats[1] and stats[1] == pytest.approx(stats[0], rel=0.02)
    ours, theirs = (torch.cat([g.flatten() for g in gradients(m).values()]) for m in (mixed, plain))
    assert ours.dtype == torch.float32 and torch.cosine_similarity(ours, theirs, dim=0) > 0.98


def test_students_see_a_share_of_the_batch():
    model = build(model_conf=model_conf(sampling_conf=dict(student_share=0.34))).train()
    sizes = []
    run = model.encoder.run
    model.encoder.run = lambda stem, subnet: sizes.append(len(stem.x)) or run(stem, subnet)
    accumulate(model, arguments_of(), 1.0, amp=False)
    assert sizes[0] == 3 and set(sizes[1:]) == {1}


def test_fewer_frames_are_compared_in_training_and_all_in_validation(monkeypatch):
    model, compared = build(model_conf=model_conf(distill_conf=dict(frame_stride=2))), []
    whole = DIVERGENCES["alpha"]

    def watched(teacher, student, conf):
        compared.append(student.shape[1])
        return whole(teacher, student, conf)

    monkeypatch.setitem(DIVERGENCES, "alpha", watched)
    accumulate(model.train(), arguments_of(), 1.0, amp=False)
    frames = int(model.encode(*batch()[:2])[1].max())
    assert set(compared) <= {frames // 2, (frames + 1) // 2}
    compared.clear()
    model.eval()(*batch())
    assert set(compared) == {frames}


def test_two_batches_make_one_update_as_the_whole_batch_does():
    speech, lengths, text, _ = batch()
    whole = [speech[:2], lengths[:2], text[:2, :2], torch.tensor([2, 2])]
    halves = [named([x[i : i + 1] for x in whole], f"h{i}") for i in range(2)]
    conf = dict(model_conf=model_conf(transducer_conf=dict(loss="full")))
    one, two = build(**conf), build(**conf)
    train_epoch(one, [named(whole)])
    train_epoch(two, halves, accum_grad=2)
    assert one.num_updates == two.num_updates == 1
    for a, b in zip(one.parameters(), two.parameters()):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_a_rest_too_small_for_an_update_leaves_no_trace():
    one, two = build(), build()
    train_epoch(one, [named(batch(0)), named(batch(1)), named(batch(2))], accum_grad=2)
    train_epoch(two, [named(batch(0)), named(batch(1))], accum_grad=2)
    for model in (one, two):
        train_epoch(model, [named(batch(3)), named(batch(4))], accum_grad=2, epoch=2)
    assert one.num_updates == 2
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters()))


def broken(values):
    speech = values[0].clone()
    speech[1] = math.nan
    return (speech, *values[1:])


def test_a_bad_batch_is_skipped_and_named(caplog):
    one, two = build(), build()
    batches = [named(batch(0), "a"), named(broken(batch(1)), "b"), named(batch(2), "c")]
    reporter = train_epoch(one, batches)
    train_epoch(two, [batches[0], batches[2]])
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters()))
    assert one.num_updates == 2
    assert [v.value for v in reporter.stats["skipped"]] == [0, 1, 0]
    assert "'b0', 'b1', 'b2'" in caplog.text and f"'{one.search_space.max}' (max)" in caplog.text


def test_a_bad_gradient_is_skipped_though_the_loss_is_finite(caplog):
    model = build()
    before = copy.deepcopy(model.state_dict())
    model.joint_network.lin_out.weight.register_hook(lambda grad: grad * math.inf)
    with pytest.raises(UserError, match="epoch 1 had no update in 1 batches"):
        train_epoch(model, [named(batch(0), "a")])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert "'a0'" in caplog.text and "(max) or" in caplog.text


def test_too_many_bad_batches_in_a_row_stop_the_run():
    model = build()
    bad = [named(broken(batch(i)), f"b{i}_") for i in range(3)]
    train_epoch(model, [*bad[:2], named(batch(0)), *bad[:2]], max_bad_updates=3)
    with pytest.raises(UserError) as error:
        train_epoch(model, bad, max_bad_updates=3)
    said = str(error.value)
    assert (
        "the audio of 'b2_1' has samples that are infinite or no numbers; leave 'b2_1' out" in said
        and "lower" not in said
    )
    assert "3 in a row" in said and "'b2_0'" in said and "(max)" in said and "\n" not in said


def test_bad_batches_in_a_row_are_counted_over_the_end_of_an_epoch():
    model, kept = build(), options(max_bad_updates=3, grad_clip=1e9)
    bad = [named(broken(batch(i)), f"b{i}_") for i in range(2)]
    train_epoch(model, [named(batch(0)), *bad], kept=kept)
    with pytest.raises(UserError, match="3 in a row"):
        train_epoch(model, [bad[0], named(batch(0))], epoch=2, kept=kept)


def test_an_epoch_without_an_update_is_no_success():
    model = build()
    with pytest.raises(UserError, match=r"epoch 2 had no update in 2 batches .* 2 had a loss"):
        train_epoch(model, [named(broken(batch(i))) for i in range(2)], epoch=2)
    with pytest.raises(UserError, match="--accum_grad: 50 is more than the 2 batches of an epoch"):
        train_epoch(model, [named(batch(i)) for i in range(2)], accum_grad=50)


def test_eden_learns_the_length_of_an_epoch_in_updates():
    """A batch left over makes no update; a length that the configuration gives stays."""
    model, batches = build(), [named(batch(i)) for i in range(5)]
    rates = []
    for given in (None, 2, 7):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        eden = Eden(optimizer, lr_batches=9, lr_epochs=1, warmup_batches=0, batches_per_epoch=given)
        train_epoch(model, batches, optimizer, eden, accum_grad=2)
        assert eden.batches_per_epoch == (given or 2)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[0] == rates[1] != rates[2]
    assert rates[0] == pytest.approx(0.1 * (1 + (2 / 9) ** 2) ** -0.25 * 2**-0.25)
    with pytest.raises(UserError, match=r"scheduler_conf\.batches_per_epoch: must be given"):
        train_epoch(model, iter(batches), optimizer, Eden(optimizer))


def test_what_is_reported():
    model = build()
    reporter = train_epoch(model, [named(batch(i)) for i in range(4)])
    for key in ("loss", "loss_max", "loss_min", "loss_random", "distill_min", "distill_random"):
        assert all(math.isfinite(v.value) for v in reporter.stats[key]), key
    for key in ("grad_norm", "optim0_lr0", "train_time", "iter_time", "memory_gb"):
        assert all(v.value > 0 for v in reporter.stats[key]), key


def test_one_size_alone_trains_too():
    conf = CONF["encoder_conf"] | {"search_space": dict(ffn_dims=[16])}
    reporter = train_epoch(build(encoder_conf=conf), [named(batch(i)) for i in range(2)])
    assert "loss_max" in reporter.stats and "loss_min" not in reporter.stats


@pytest.mark.parametrize(
    "changes, said",
    [
        (dict(max_bad_updates=0), "--max_bad_updates: 0 must be at least 1"),
        (dict(sharded_ddp=True), "--sharded_ddp: True is not possible"),
        (
            dict(multiple_iterator=True),
            "--multiple_iterator: True is not possible with model 'todm', data in parts are",
        ),
        (dict(ngpu=2), "--ngpu: 2 is not possible with model 'todm', several GPUs need"),
    ],
)
def test_options_without_use_are_refused(changes, said):
    with pytest.raises(UserError) as error:
        train_epoch(build(), [], **changes)
    assert said in str(error.value)
