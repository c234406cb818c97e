import hypothesis.strategies as st
import pytest
from hypothesis import given

from espnet_plugin.common.tables import (
    Segment,
    read_segments,
    read_table,
    read_transcripts,
    table_text,
    write_speakers,
    write_table,
)
from espnet_plugin.errors import UserError

words = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)
blanks = [chr(c) for c in range(0x3001) if chr(c).isspace() and chr(c) != "\n"]


@given(table=st.dictionaries(words, st.lists(words, max_size=4).map(" ".join), max_size=8))
def test_tables_come_back_sorted_as_the_c_locale_does(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("table") / "text"
    write_table(path, table)
    assert read_table(path) == table
    keys = [line.split(b" ")[0] for line in path.read_bytes().split(b"\n")[:-1]]
    assert keys == sorted(keys)


@given(key=words, said=st.lists(words, min_size=1, max_size=4), data=st.data())
def test_any_white_space_but_a_line_end_separates_words(tmp_path_factory, key, said, data):
    path = tmp_path_factory.mktemp("table") / "text"
    gaps = [data.draw(st.text(st.sampled_from(blanks), min_size=1, max_size=3)) for _ in said]
    line = key + "".join(gap + word for gap, word in zip(gaps, said))
    path.write_bytes(f"first ONE\n{line}\nlast TWO\n".encode())
    assert read_transcripts(path) == {"first": "ONE", key: " ".join(said), "last": "TWO"}


def test_what_other_systems_write_is_read(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfa\tONE TWO\r\nb\r\n\nc  THREE \nd\xe3\x80\x80FOUR\xe2\x80\xa8FIVE\x0cSIX")
    assert read_transcripts(path) == {"a": "ONE TWO", "b": "", "c": "THREE", "d": "FOUR FIVE SIX"}


def test_paths_keep_what_is_in_them(tmp_path):
    path = tmp_path / "wav.scp"
    path.write_text("a /data/two  blanks,and a comma.wav\nb sox 'x  y.wav' -t wav - |\nc x.ark:41\n")
    assert list(read_table(path).values()) == [
        "/data/two  blanks,and a comma.wav",
        "sox 'x  y.wav' -t wav - |",
        "x.ark:41",
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a 1\na 2\n", "line 2: key 'a' stands twice"),
        (b"a \xff\n", "byte 2 is not UTF-8"),
        (b"\xff\xfea\x00", "byte 0 is not UTF-8"),
        (b"a 1\n\xef\xbb\xbfb 2\n", "line 2: key .* U\\+FEFF"),
        (b"a\x00b 1\n", "line 1: key .* U\\+0000"),
    ],
)
def test_a_bad_table_is_named(tmp_path, content, sentence):
    path = tmp_path / "utt2spk"
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        read_table(path)
    with pytest.raises(UserError, match="does not exist"):
        read_table(tmp_path / "none")


def test_a_line_that_could_not_be_read_back_is_not_written():
    for table in ({"a b": "1"}, {"a": "1\n2"}, {"": "1"}, {"a\u2028": "1"}):
        with pytest.raises(ValueError, match="no line of a table"):
            table_text(table)


def test_segments_may_name_a_channel(tmp_path):
    path = tmp_path / "segments"
    path.write_text("u1 talk 0 1.5\nu2 talk 2 -1 1\nu3 talk 2 3 B\n")
    assert read_segments(path) == {
        "u1": Segment("talk", 0, 1.5),
        "u2": Segment("talk", 2, -1, 1),
        "u3": Segment("talk", 2, 3, 1),
    }
    for wrong in ("u1 talk 0", "u1 talk zero 1", "u1 talk 0 1 -1", "u1 talk 0 1 0 0"):
        path.write_text(wrong + "\n")
        with pytest.raises(UserError, match=f"'{wrong}' must be"):
            read_segments(path)


def test_speakers_tables_are_inverse(tmp_path):
    write_speakers(tmp_path, {"u2": "B", "u1": "A", "u3": "A"})
    assert (tmp_path / "utt2spk").read_text() == "u1 A\nu2 B\nu3 A\n"
    assert (tmp_path / "spk2utt").read_text() == "A u1 u3\nB u2\n"
