"""Outputs in place of what was there: replaced if they were made before, and nothing else is."""

import pytest

from espnet_plugin.common.files import check_place, is_plain_name, write_whole
from espnet_plugin.errors import UserError

MADE_OF = ("made.json",)


def make(folder):
    folder.mkdir()
    (folder / "made.json").write_text("new")


def content(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def mine(tmp_path):
    """A folder of the user's."""
    folder = tmp_path / "mine"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "thesis.txt").write_text("years of work")
    return folder


def test_a_folder_is_replaced_if_it_is_empty_or_was_made_before(tmp_path):
    out = tmp_path / "a" / "out"
    for _ in range(2):
        write_whole(out, make, MADE_OF)
        assert content(out) == {"made.json": "new"}
        (out / "old").write_text("goes")
    (tmp_path / "empty").mkdir()
    write_whole(tmp_path / "empty", make, MADE_OF)
    (tmp_path / "link").symlink_to(out)
    write_whole(tmp_path / "link", make, MADE_OF)
    assert (tmp_path / "link").is_symlink() and content(out) == {"made.json": "new"}


def test_without_marks_a_folder_is_replaced_if_it_holds_all_that_the_new_one_does(tmp_path, mine):
    write_whole(tmp_path / "out", make)
    write_whole(tmp_path / "out", make)
    with pytest.raises(UserError, match=r"holds no made\.json"):
        write_whole(mine, make)


@pytest.mark.parametrize("out", ["mine", "mine/", "mine/../mine", "mine/inner/.."])
@pytest.mark.parametrize(
    "write, made_of, said",
    [
        (make, MADE_OF, "exists and is not replaced, since it holds no made.json"),
        (lambda path: path.write_text("file"), (), "is a folder, must be the name of a file"),
    ],
)
def test_a_users_folder_stays(tmp_path, mine, out, write, made_of, said):
    with pytest.raises(UserError, match=f"'{mine}' {said}"):
        write_whole(tmp_path / out, write, made_of)
    assert content(tmp_path) == {"mine/inner/thesis.txt": "years of work"} and list(tmp_path.iterdir()) == [mine]


def test_a_folder_never_replaces_a_file(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UserError, match="file' is a file, must be the name of a folder"):
        write_whole(tmp_path / "file", make, MADE_OF)
    assert content(tmp_path) == {"file": "kept"}


@pytest.mark.parametrize("out", [".", "..", "/", "../..", "inner/..", "none/.."])
def test_the_current_directory_and_what_is_above_stay(mine, monkeypatch, out):
    (mine / "made.json").write_text("made before")
    (mine.parent / "made.json").write_text("made before")
    monkeypatch.chdir(mine)
    for write, made_of in ((make, MADE_OF), (lambda path: path.write_text("file"), ())):
        with pytest.raises(UserError, match="is not replaced, since it is or holds the current directory"):
            write_whole(type(mine)(out), write, made_of)
    assert (mine / "inner" / "thesis.txt").exists() and not list(mine.parent.glob(".*"))


def test_inputs_stay(mine, tmp_path):
    (mine / "made.json").write_text("made before")
    for out in (mine, mine / "inner" / "thesis.txt"):
        with pytest.raises(UserError, match=r"since it is or holds the input '.*thesis\.txt'"):
            check_place(out, MADE_OF, [mine / "inner" / "thesis.txt"])
    assert check_place(mine / "inner" / ".." / "beside", MADE_OF, [mine / "inner"]) == mine / "beside"


@pytest.mark.parametrize("name", ["", ".", "..", "/", "/tmp/x", "../up", "a/b", "a/", "./a", "a\0", None, 3])
def test_names_that_lead_elsewhere(name):
    assert not is_plain_name(name) and is_plain_name("p70") and is_plain_name("..x")
