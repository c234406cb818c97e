import os
import signal

import numpy as np
import pytest
import soundfile
import torch
import yaml

from espnet_plugin.asr.inference.data import batches
from espnet_plugin.asr.inference.extract import extract
from espnet_plugin.asr.inference.loading import load_model
from espnet_plugin.errors import UserError
from espnet_plugin.search.cache import EvaluationCache
from espnet_plugin.search.quality import DevelopmentSet
from espnet_plugin.search.workers import Workers
from espnet_plugin.transducer.lattice import rnnt_loss


@pytest.fixture(scope="module")
def dev(loaded, supernet):
    return DevelopmentSet(loaded, [supernet[2]], proxy_share=0.5)


def test_the_proxy_takes_the_utterances_that_the_min_net_finds_hardest(dev, loaded, supernet):
    model = loaded.model
    alone, _ = extract(loaded, model.search_space.min)
    hardness, seconds = {}, {}
    for batch in batches(dev.wavs, dev.fs, batch_seconds=0.01):  # one by one
        labels = dev.symbol_ids()[batch.keys[0]].unsqueeze(0)
        out, lengths = alone.encode(batch.speech, batch.lengths)
        logits = alone.joint_network(out.unsqueeze(2), alone.decoder(blank_first(labels)).unsqueeze(1))
        loss = rnnt_loss(logits, labels, lengths, torch.tensor([labels.shape[1]]), blank=0)
        seconds[batch.keys[0]] = float(batch.lengths[0]) / dev.fs
        hardness[batch.keys[0]] = float(loss) / seconds[batch.keys[0]]
    assert dev.hardness(seconds, dev.symbol_ids()) == pytest.approx(hardness, rel=0.2)  # prune ranges are narrower
    chosen = {int(length) for part in dev.proxy for length in part.stem.lengths}
    assert 1 <= len(chosen) == len(dev.proxy_keys) < 6
    by_hardness = sorted(hardness, key=hardness.get, reverse=True)
    assert by_hardness[0] in dev.proxy_keys
    assert sum(map(seconds.get, dev.proxy_keys)) <= dev.proxy_seconds
    left = dev.proxy_seconds - sum(map(seconds.get, dev.proxy_keys))
    assert all(seconds[key] > left for key in set(hardness) - set(dev.proxy_keys))
    everything = DevelopmentSet(loaded, [supernet[2]], proxy_share=1.0)
    assert sorted(everything.proxy_keys) == sorted(dev.wavs)


def test_the_loss_is_that_of_the_extracted_model(loaded, dev):
    """Extracted models compute the loss on the whole lattice; here the max net's ranges are made as wide as that."""
    model = loaded.model
    subnet = model.search_space.resolve("0x8h2_2x4h4_d4_p8_j4_forward")
    alone, _ = extract(loaded, subnet)
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

    from espnet_plugin.asr.inference.recognise import greedy

    model = loaded.model
    subnet = model.search_space.min
    alone, _ = extract(loaded, subnet)
    errors = words = 0
    for batch in batches(dev.wavs, dev.fs):
        for key, text in greedy(alone, batch, dev.fs).items():
            errors += edit_distance(dev.texts[key].split(), text.split())["total"]
            words += len(dev.texts[key].split())
    assert dev.error_rate(subnet) == pytest.approx(100 * errors / words)


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


def test_keys_tell_audio_apart_that_was_made_anew_at_the_same_place(loaded, tmp_path):
    def key(seed, order=(0, 1)):
        for i in range(2):
            noise = np.random.default_rng(seed + i).standard_normal(6000 + 2000 * i)
            soundfile.write(tmp_path / f"u{i}.wav", 0.1 * noise, 16000)
        (tmp_path / "wav.scp").write_text("".join(f"u{i} {tmp_path}/u{i}.wav\n" for i in order))
        (tmp_path / "text").write_text("u0 AB\nu1 C\n")
        return DevelopmentSet(loaded, [tmp_path], proxy_share=1.0).key("wer")

    assert key(0) == key(0, (1, 0)) != key(2)


def test_processes_give_what_one_gives_and_the_cache_is_asked_first(dev, tmp_path):
    space, torch_threads = dev.model.search_space, torch.get_num_threads()
    torch.set_num_threads(1)
    keys = {"loss": "k", "wer": "k"}
    wanted = [space.max, space.min, space.uniform(2, 8), space.max]
    with Workers(dev.measure, EvaluationCache(tmp_path / "one", keys, space.parse)) as one:
        alone = dict(one("loss", wanted))
    with Workers(dev.measure, EvaluationCache(tmp_path / "two", keys, space.parse), 2) as two:
        together = dict(two("loss", wanted))
    torch.set_num_threads(torch_threads)
    assert alone == pytest.approx(together) and set(alone) == set(wanted)

    def never(name, subnet):
        raise AssertionError("was evaluated before")

    with Workers(never, EvaluationCache(tmp_path / "two", keys, space.parse)) as cached:
        assert dict(cached("loss", wanted)) == together


def test_a_killed_process_ends_the_search(dev, tmp_path):
    """What was known before stays in the cache."""
    space, here, cache = (
        dev.model.search_space,
        os.getpid(),
        EvaluationCache(tmp_path / "c", {"loss": "k"}, dev.model.search_space.parse),
    )

    def killed(name, subnet):
        assert os.getpid() != here
        if subnet == space.max:
            os.kill(os.getpid(), signal.SIGKILL)
        return 1.0

    with Workers(killed, cache, 2) as workers:
        assert dict(workers("loss", [space.min])) == {space.min: 1.0}
        with pytest.raises(UserError, match="--nj: one of 2 processes was killed"):
            dict(workers("loss", [space.max]))
    assert EvaluationCache(tmp_path / "c", {"loss": "k"}, dev.model.search_space.parse).values == {
        ("loss", space.min): 1.0
    }


def test_no_transcript_is_told(loaded, supernet, tmp_path):
    (tmp_path / "wav.scp").write_text((supernet[2] / "wav.scp").read_text())
    (tmp_path / "text").write_text("")
    with pytest.raises(UserError, match=r"6 of 6 utterances of '.*' have no transcript in text, as 'u0'"):
        DevelopmentSet(loaded, [tmp_path])
    (tmp_path / "text").write_text("".join(f"u{i}\n" for i in range(6)))
    with pytest.raises(UserError, match="has no transcript with a word"):
        DevelopmentSet(loaded, [tmp_path])


def test_transcripts_that_the_loss_has_no_path_for_are_told(supernet, tmp_path):
    """On the modified lattice there is one symbol a frame at most."""
    config, checkpoint, data = supernet
    conf = yaml.safe_load(config.read_text())
    conf["model_conf"]["transducer_conf"]["rnnt_type"] = "modified"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(conf))
    (tmp_path / "wav.scp").write_text((data / "wav.scp").read_text().splitlines()[0])
    (tmp_path / "text").write_text(f"u0 {'A' * 500}\n")
    with pytest.raises(UserError, match="has no utterance with a finite loss, each has more symbols"):
        DevelopmentSet(load_model(tmp_path / "config.yaml", checkpoint), [tmp_path])
