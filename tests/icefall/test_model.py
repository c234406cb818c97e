"""The contract with an icefall recipe, on a stand-in of a few lines."""

import copy
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from espnet_plugin.asr.training.nets import detached
from espnet_plugin.errors import UserError
from espnet_plugin.transducer.loss import TransducerConf, TransducerCriterion, distillation_cost


def batch(seed=0):
    from ragged import Ragged

    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 60, 80, generator=generator)
    return dict(x=x, x_lens=torch.tensor([60, 47, 31]), y=Ragged([[2, 3, 4, 5], [1], [7, 7]]))


def built(*given, seed=0):
    from train import get_model, get_params

    torch.manual_seed(seed)
    params = get_params(*given)
    return get_model(params), params


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_losses_are_those_of_the_nets_one_by_one():
    """An independent sum over the nets that the rule names, by the criterion alone, with the recipe's own modules at full width."""
    from train import compute_loss

    model, params = built("--todm-num-random", "1")
    model.train()
    params.batch_idx_train = 5
    data = batch()
    found = compute_loss(params, model, **data)
    assert int(model.num_updates) == 0
    space = model.search_space
    subnets = model.sampling.subnets(space, 0)
    assert subnets[:2] == (space.max, space.min)
    criterion = TransducerCriterion(TransducerConf(prune_range=3, warmup_steps=0), 16, 16, 9, 0)
    criterion.simple_am, criterion.simple_lm = model.simple_am_proj, model.simple_lm_proj
    labels, lengths = torch.tensor([[2, 3, 4, 5], [1, 0, 0, 0], [7, 7, 0, 0]]), torch.tensor([4, 1, 2])

    class Joint:
        lin_enc, lin_dec, lin_out = model.joiner.encoder_proj, model.joiner.decoder_proj, model.joiner.output_linear
        joint_activation = torch.nn.Identity()  # so that the joiner itself is called

        def __call__(self, a, b, no_projection):
            return model.joiner(*torch.broadcast_tensors(a, b), project_input=not no_projection)

    total, teacher = 0.0, None
    targets = criterion.targets(labels, lengths, model.decoder, Joint())
    for subnet in subnets:
        out, out_lens, _ = model.encoder.net(data["x"], data["x_lens"], subnet=subnet)
        lattice = criterion(out, out_lens, targets, Joint(), teacher and teacher.ranges)
        weight = 1.0 if teacher is None else model.sampling.weight(len(subnets))
        total = total + 0.55 * weight * lattice.cost.sum()
        if teacher is None:
            total = total + 0.75 * lattice.simple_cost.sum()
            teacher = detached(lattice)
        else:
            total = total + 0.55 * weight * 0.2 * distillation_cost(teacher, lattice, labels, model.distill, 0).sum()
    torch.testing.assert_close(found, total, rtol=1e-5, atol=1e-4)


WIDTHS = (
    "--todm-model-dims 8,16 --todm-prediction-dims 8,16 --todm-joiner-dims 8,16 --todm-directions forward,bidirectional"
)


@pytest.mark.parametrize("given", ["", WIDTHS, "--todm-student-share 0.5"])
def test_one_graph_at_a_time_gives_the_same_gradients(given):
    from train import compute_loss

    model, params = built(*given.split())
    other = copy.deepcopy(model)
    params.batch_idx_train = 5
    compute_loss(params, model.train(), **batch()).backward()
    conf = dict(prune_range=params.prune_range, am_scale=params.am_scale, lm_scale=params.lm_scale)
    other.train().accumulate(**batch(), scale=1.0, simple_scale=0.75, pruned_scale=0.55, **conf)
    ours, theirs = gradients(other), gradients(model)
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_choice_of_subnets_counts_updates_and_goes_on_from_a_checkpoint():
    from train import compute_loss

    def steps(model, params, count):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        compute_loss(params, model, **batch())  # as icefall's search for the batches that need most memory: no update
        seen = []
        for _ in range(count):
            compute_loss(params, model, **batch()).backward()
            seen.append((int(model.num_updates), model.step_subnets()))
            optimizer.step()
            optimizer.zero_grad()
        return seen

    model, params = built()
    seen = steps(model.train(), params, 3)
    saved = copy.deepcopy(model.state_dict())
    resumed, _ = built(seed=1)
    resumed.load_state_dict(saved)
    seen += steps(resumed.train(), params, 2)
    whole, _ = built()
    assert seen == steps(whole.train(), params, 5)
    assert [number for number, _ in seen] == list(range(5))
    assert len({subnets for _, subnets in seen}) > 1
    for (name, value), other in zip(resumed.state_dict().items(), whole.state_dict().values()):
        torch.testing.assert_close(value, other, msg=name)


def test_any_size_decodes_with_the_recipes_own_modules():
    """At narrow widths the recipe's decoder and joiner, which know of none, give what the narrow parts give."""
    model, _ = built(*WIDTHS.split())
    state = copy.deepcopy(model.state_dict())
    generator, labels = torch.Generator().manual_seed(3), torch.tensor([[0, 3, 4], [0, 7, 1]])
    x = torch.randn(2, 50, 80, generator=generator)
    lengths = torch.tensor([50, 39])
    texts = set()
    for name in ("max", "min", "max_forward", "0x8_2x8_d8_p16_j8_bidirectional"):
        one, _ = built(*WIDTHS.split(), "--subnet", name)
        one.load_state_dict(state)
        one.eval()
        subnet = model.search_space.resolve(name)
        prediction, joiner = model.parts_at(subnet)
        encoder_out, expected_lengths, _ = model.encoder.net.eval()(x, lengths, subnet=subnet)
        expected = joiner(encoder_out[:, :3], prediction(labels))
        out, out_lengths = one.forward_encoder(x, lengths)
        assert out.shape[2] == 16 and torch.equal(out_lengths, expected_lengths)
        torch.testing.assert_close(one.joiner(out[:, :3], one.decoder(labels)), expected)
        texts.add(tuple(expected.argmax(-1).flatten().tolist()))
    assert len(texts) > 1
    with pytest.raises(UserError, match="--subnet"):
        one.train()(**batch())


def test_validation_is_the_loss_of_the_chosen_size():
    from train import compute_loss

    model, params = built()
    with torch.no_grad():
        losses = [float(compute_loss(params, model.eval(), **batch())) for _ in range(2)]
    assert losses[0] == losses[1] and int(model.num_updates) == -1


def test_dynamics_have_a_rate_of_their_own():
    model, _ = built("--todm-dynamics-lr-scale", "0.2")
    slow = {name.rpartition(".")[2] for name, module in model.named_modules() if getattr(module, "lr_scale", 1) == 0.2}
    assert slow == {"dynamics"}
    names = {name for name, _ in model.encoder.net.layers[0].mixer.ssm.dynamics.named_parameters()}
    assert names == {"log_dt", "log_decay", "frequency"}


def test_checkpoints_hold_the_supernet_alone():
    model, _ = built("--todm-directions", "forward")
    names, weights = set(model.state_dict()), [id(p) for p in model.parameters()]
    assert model.eval().encoder.offline is not None and model.encoder.streaming is not None
    assert set(model.state_dict()) == names
    assert [id(p) for p in model.parameters()] == weights
    assert "num_updates" in names and "encoder.net.norm_out.weight" in names
    assert model.train().encoder.offline is None


def test_data_parallel_workers():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [sys.executable, str(Path(__file__).with_name("two_workers.py")), str(port)]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout) < 1e-6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--encoder-dim 16,32", "--encoder-dim: '16,32' must be one number"),
        ("--todm-prediction-dims 6,16", "--todm-prediction-dims: .* multiples of 4"),
        ("--todm-joiner-dims 4,8", "--todm-joiner-dims: .* must be --joiner-dim, 16"),
        ("--todm-directions back", "--todm-directions: 'back'"),
        ("--todm-depths 1,2", "depths"),
        ("--subnet 0x5", "subnet '0x5'"),
    ],
)
def test_wrong_options_are_refused(given, said):
    with pytest.raises(UserError, match=said):
        built(*given.split())
