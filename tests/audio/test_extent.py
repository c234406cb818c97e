"""Whether libsndfile finds the end of a file: headers by hand."""

import io
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.audio import extent
from espnet_plugin.audio.extent import UNKNOWN, count, counts_all, finds_end, has_one_stream


def page(begins: bool, *lengths: int) -> bytes:
    """A page of Ogg with segments of so many bytes."""
    return b"OggS\0" + bytes([2 * begins]) + bytes(20) + bytes([len(lengths), *lengths]) + bytes(sum(lengths))


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 255), max_size=3)), max_size=6))
def test_no_page_of_one_stream_begins_after_one_that_goes_on(pages):
    content = io.BytesIO(b"".join(page(begins, *lengths) for begins, lengths in pages))
    begins = [begins for begins, _ in pages]
    assert has_one_stream(content) == (begins == sorted(begins, reverse=True))


def test_what_follows_the_last_page():
    whole = page(True, 30) + page(False, 255, 7)
    assert has_one_stream(io.BytesIO(whole[:-5]))  # cut off: there is nothing more to read
    assert not has_one_stream(io.BytesIO(whole + b"tail"))


def mp3(counted: int, size: int, tag: int = 0, flags: int = 15) -> bytes:
    """A file of `size` bytes behind a tag, which says that it has `counted` of them."""
    before = b"ID3\4\0\0" + bytes([0, 0, tag >> 7, tag & 127]) + bytes(tag) if tag else b""
    head = b"\xff\xf3\x88\xc4" + bytes(9) + b"Xing" + bytes([0, 0, 0, flags]) + bytes(4) + counted.to_bytes(4)
    return before + head + bytes(size - len(head))


@pytest.mark.parametrize(
    "content, whole",
    [
        (mp3(9000, 9000), True),
        (mp3(9000, 9128), True),  # a tag at the end
        (mp3(9000, 5000), True),  # cut off, which reading tells
        (mp3(9000, 9000, tag=5000), True),
        (mp3(9000, 18000), False),
        (mp3(9000, 18000, tag=300), False),
        (mp3(9000, 9000, flags=1), False),  # no number of bytes
        (bytes(9000), False),
        (b"", False),
    ],
)
def test_an_mp3_file_counts_its_bytes(content, whole):
    assert counts_all(io.BytesIO(content)) == whole


@pytest.mark.parametrize(
    "format, frames, found",
    [
        ("FLAC", UNKNOWN, False),
        ("WAV", 0, False),
        ("FLAC", 1, True),
        ("WAV", 1, True),
        ("MP3", 1, False),
        ("OGG", 1, True),
    ],
)
def test_each_format_has_its_own_way(format, frames, found):
    assert finds_end(SimpleNamespace(format=format, frames=frames), io.BytesIO()) == found


@given(st.lists(st.sampled_from([b"ab", b"a", b"b"]), max_size=12), st.integers(1, 5))
def test_marks_are_found_across_blocks(parts, size):
    content = b"".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extent, "BLOCK", size)
        assert count(b"ab", io.BytesIO(content)) == content.count(b"ab")
