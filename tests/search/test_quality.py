import pytest
import torch

from espnet_plugin.asr.extract import extract
from espnet_plugin.errors import UserError
from espnet_plugin.search.cache import EvaluationCache
from espnet_plugin.search.quality import DevelopmentSet
from espnet_plugin.search.workers import Workers
from espnet_plugin.transducer.lattice import rnnt_loss


@pytest.fixture(scope="module")
def dev(loaded, supernet):
    return DevelopmentSet(*loaded, [supernet[2]], proxy_share=0.5)


def test_the_proxy_takes_the_same_few_utterances(dev, loaded, supernet):
    count = sum(len(part.lengths) for part in dev.proxy)
    again = DevelopmentSet(*loaded, [supernet[2]], proxy_share=0.5)
    assert 1 <= count < 6
    for one, other in zip(dev.proxy, again.proxy, strict=True):
        assert torch.equal(one.labels, other.labels)
    everything = DevelopmentSet(*loaded, [supernet[2]], proxy_share=1.0)
    assert sum(len(part.lengths) for part in everything.proxy) == 6


def test_the_loss_is_that_of_the_extracted_model(loaded, dev):
    """Extracted models compute the loss on the whole lattice; here the max net's ranges are made as wide as that."""
    model, args = loaded
    subnet = model.search_space.resolve("0x8h2_2x4h4_d4_p8_j4_forward")
    alone, _ = extract(model, args, subnet)
    total = symbols = 0.0
    for part in dev.proxy:
        out = alone.encoder.run(alone_stem(alone, part, dev))
        targets = alone.criterion.targets(part.labels, part.lengths, alone.decoder, alone.joint_network)
        logits = alone.joint_network(out.unsqueeze(2), alone.decoder(blank_first(part.labels)).unsqueeze(1))
        total += float(rnnt_loss(logits, targets.labels, part.stem.lengths, part.lengths, blank=0).sum())
        symbols += float(part.lengths.sum())
    whole = dev.loss(subnet)
    # A pruned lattice has fewer paths, so it can only be less probable.
    assert whole >= total / symbols - 1e-4
    assert whole == pytest.approx(total / symbols, rel=0.2)


def alone_stem(alone, part, dev):
    """Stem of the extracted model for a batch of the proxy, from the same audio."""
    from espnet_plugin.asr.data import batches

    by_shape = {}
    for keys, _ in dev.stems:
        for batch in batches({key: dev.wavs[key] for key in keys}, dev.fs):
            feats, lengths = alone.features(batch.speech, batch.lengths)
            for i, key in enumerate(batch.keys):
                by_shape[key] = feats[i, : lengths[i]]
    frames = {int(alone.encoder.time_reduction.reduced(len(x))): x for x in by_shape.values()}
    rows = [frames[int(n)] for n in part.stem.lengths]
    lengths = torch.tensor([len(x) for x in rows])
    return alone.encoder.stem(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths)


def blank_first(labels):
    return torch.nn.functional.pad(labels, (1, 0), value=0)


def test_the_error_rate_is_that_of_the_extracted_model(loaded, dev):
    from kaldialign import edit_distance

    from espnet_plugin.asr.data import batches
    from espnet_plugin.asr.recognise import greedy

    model, args = loaded
    subnet = model.search_space.min
    alone, _ = extract(model, args, subnet)
    errors = words = 0
    for batch in batches(dev.wavs, dev.fs):
        for key, text in greedy(alone, batch, dev.fs).items():
            errors += edit_distance(dev.texts[key].split(), text.split())["total"]
            words += len(dev.texts[key].split())
    assert dev.word_error_rate(subnet) == pytest.approx(100 * errors / words)


def test_keys_tell_checkpoints_and_measures_apart(loaded, dev, supernet):
    model, _ = loaded
    before = {measure: dev.key(measure) for measure in ("loss", "wer")}
    assert before["loss"] != before["wer"] and before == {m: dev.key(m) for m in before}
    bias = model.joint_network.lin_out.bias
    with torch.no_grad():
        own = bias.clone()
        bias[1] += 1
        changed = dev.key("wer")
        bias.copy_(own)
    assert changed != before["wer"] and dev.key("wer") == before["wer"]


def test_processes_give_what_one_gives_and_the_cache_is_asked_first(dev, tmp_path):
    space, torch_threads = dev.model.search_space, torch.get_num_threads()
    torch.set_num_threads(1)
    keys = {"loss": "k", "wer": "k"}
    wanted = [space.max, space.min, space.uniform(2, 8), space.max]
    with Workers(dev.measure, EvaluationCache(tmp_path / "one", keys)) as one:
        alone = dict(one("loss", wanted))
    with Workers(dev.measure, EvaluationCache(tmp_path / "two", keys), 2) as two:
        together = dict(two("loss", wanted))
    torch.set_num_threads(torch_threads)
    assert alone == pytest.approx(together) and set(alone) == set(wanted)

    def never(name, subnet):
        raise AssertionError("was evaluated before")

    with Workers(never, EvaluationCache(tmp_path / "two", keys)) as cached:
        assert dict(cached("loss", wanted)) == together


def test_no_transcript_is_told(loaded, supernet, tmp_path):
    (tmp_path / "wav.scp").write_text((supernet[2] / "wav.scp").read_text())
    (tmp_path / "text").write_text("")
    with pytest.raises(UserError, match="has no utterance with a transcript"):
        DevelopmentSet(*loaded, [tmp_path])
