from pathlib import Path

import pytest
import torch
import yaml
from tiny import arguments, build

from espnet_plugin.asr.inference.loading import load_model, read_config
from espnet_plugin.asr.model_dir import beside, keep_beside
from espnet_plugin.asr.training.checks import check_files, check_start
from espnet_plugin.asr.training.task import TODMTask, path_name_type
from espnet_plugin.common.tokens import bpe_tokens, char_tokens, train_bpe
from espnet_plugin.deploy.pack import pack, unpack
from espnet_plugin.errors import UserError

TEXTS = ["ONE TWO THREE", "TWO <noise> FOUR"]


def model_dir(folder: Path, **changes) -> Path:
    """A model with its files beside it, as a training leaves it."""
    folder.mkdir()
    conf = vars(arguments(**changes))
    torch.save(build(**changes).state_dict(), folder / "model.pth")
    keep_beside(conf, folder)
    (folder / "config.yaml").write_text(yaml.safe_dump(conf))
    return folder


@pytest.fixture
def bpe(tmp_path) -> Path:
    (tmp_path / "used.model").write_bytes(train_bpe(TEXTS, 30, ["<noise>"]))
    tokens = bpe_tokens(tmp_path / "used.model")
    return model_dir(tmp_path / "model", token_type="bpe", token_list=tokens, bpemodel=str(tmp_path / "used.model"))


def test_what_was_used_lies_beside(bpe, tmp_path):
    assert (bpe / "bpe.model").read_bytes() == (tmp_path / "used.model").read_bytes()
    assert {name for _, _, name in beside(vars(read_config(bpe / "config.yaml")))} == {"bpe.model"}
    keep_beside(vars(read_config(bpe / "config.yaml")), bpe)  # its own file stays
    assert load_model(bpe / "config.yaml", bpe / "model.pth").tokenizer.tokens2text(["\u2581", "O", "N", "E"]) == "ONE"


def test_another_model_of_pieces_is_refused_everywhere(bpe, tmp_path):
    (bpe / "bpe.model").write_bytes(train_bpe(["SEVEN EIGHT NINE"], 30))
    for use in (
        lambda: read_config(bpe / "config.yaml"),
        lambda: load_model(bpe / "config.yaml", bpe / "model.pth"),
        lambda: pack(bpe, tmp_path / "m.zip"),
    ):
        with pytest.raises(UserError, match=r"bpe\.model' does not go with the token list"):
            use()
    (tmp_path / "tokens.txt").write_text("\n".join(bpe_tokens(tmp_path / "used.model")) + "\n")
    options = ["--token_list", tmp_path / "tokens.txt", "--token_type", "bpe", "--bpemodel", bpe / "bpe.model"]
    args = TODMTask.get_parser().parse_args([*map(str, options), "--output_dir", "unused"])
    with pytest.raises(UserError, match=r"bpe\.model' does not go with the token list"):
        check_files(args)


def test_symbols_of_characters_go_along(tmp_path):
    (tmp_path / "symbols").write_text("<noise>\n")
    conf = dict(form="nfkc", symbols=["<noise>"])
    folder = model_dir(
        tmp_path / "model",
        token_type="char",
        token_list=char_tokens(TEXTS, ["<noise>"]),
        non_linguistic_symbols=str(tmp_path / "symbols"),
        model_conf=dict(joint_space_size=8, text_conf=conf),
    )
    pack(folder, tmp_path / "m.zip")
    (tmp_path / "symbols").unlink()
    unpack(tmp_path / "m.zip", tmp_path / "other")
    trained = load_model(tmp_path / "other" / "config.yaml", tmp_path / "other" / "model.pth")
    ids = [trained.model.token_list.index(token) for token in trained.tokenizer.text2tokens("TWO <noise>")]
    assert len(ids) == 5 and trained.model.words(ids) == ["TWO", "<noise>"]
    assert trained.normalise("ＴＷＯ  ") == "TWO"  # noqa: RUF001


def test_a_space_is_a_token_and_not_letters_that_spell_it():
    model = build(token_list=["<blank>", "<unk>", "<space>", "<spac", "e>", "<sos/eos>"], token_type="char")
    assert model.words([3, 4, 2, 3]) == ["<space>", "<spac"]


def test_paths_of_data_may_hold_commas():
    assert path_name_type("a,b/wav.scp,speech,sound") == ("a,b/wav.scp", "speech", "sound")
    assert path_name_type("('a', 'speech', 'sound')") == ("a", "speech", "sound")


def test_weights_of_other_tokens_are_refused(bpe, tmp_path):
    own = bpe_tokens(bpe / "bpe.model")
    check_start(f"{bpe}/model.pth", own)
    other = [*own[:-2], "X", own[-1]]
    for start in (f"{bpe}/model.pth", f"{bpe}/model.pth:::num_updates"):
        with pytest.raises(UserError, match=f"another token list than --token_list, 2 tokens .*--init_from {bpe}'"):
            check_start(start, other)
        with pytest.raises(UserError, match="the same in another order"):
            check_start(start, own[::-1])
    for start in (
        f"{bpe}/model.pth:encoder:encoder",
        f"{bpe}/model.pth:::decoder,joint_network",
        f"{tmp_path}/used.model",
    ):
        check_start(start, other)
