import errno
from pathlib import Path

import numpy as np
import pytest

from espnet_plugin.errors import UserError
from espnet_plugin.recipe.kaldi_data import write_flac, write_folder


def test_a_failure_leaves_the_folder_as_it_was(tmp_path):
    target = tmp_path / "out"
    write_folder(target, lambda folder: (folder / "wav.scp").write_text("old"), made_of="wav.scp")

    def fail(folder):
        (folder / "wav.scp").write_text("new")
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        write_folder(target, fail, made_of="wav.scp")
    assert (target / "wav.scp").read_text() == "old"
    write_folder(target, lambda folder: (folder / "wav.scp").write_text("new"), made_of="wav.scp")
    assert (target / "wav.scp").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_is_not_ours_is_kept(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match=r"holds no wav\.scp"):
        write_folder(tmp_path, lambda folder: None, made_of="wav.scp")
    assert (tmp_path / "thesis.tex").read_text() == "precious"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_says_so_and_names_the_output(tmp_path):
    def fill(folder):
        (folder / "a.flac").symlink_to("/dev/full")
        write_flac(folder / "a.flac", np.zeros(16000), 16000)

    with pytest.raises(OSError) as caught:
        write_folder(tmp_path / "out", fill)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "out")
    assert not any(tmp_path.iterdir())
