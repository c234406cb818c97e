"""Another corpus among the training data of one's own: its utterances that hold a word of ours, at the sampling rate of ours.

    python benchmarks/mix_data.py --data_dir DIR/theo --more dump/mini/raw/train-clean-mini --out MIXED/theo

`DIR/theo/{train,valid,test}` are Kaldi directories; only `train` gets more utterances. Audio of --data_dir is not copied. The last
line is a JSON object with the counts.
"""

import argparse
import json
from collections.abc import Collection, Set
from pathlib import Path

from espnet_plugin.audio.source import Recording
from espnet_plugin.audio.utterances import open_utterances, read_utterances, whole_recordings
from espnet_plugin.common.files import file_name
from espnet_plugin.common.tables import read_table, read_transcripts, write_table
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.kaldi_data import write_flac, write_folder


def read_set(folder: Path) -> dict[str, dict[str, str]]:
    """wav.scp, text and utt2spk of a directory whose utterances are whole recordings.

    Raises:
        UserError: it has segments; see `read_table`.
    """
    recordings = whole_recordings(folder)
    return {"wav.scp": recordings, "text": read_transcripts(folder / "text"), "utt2spk": speakers(folder, recordings)}


def speakers(folder: Path, keys: Collection[str]) -> dict[str, str]:
    """Utterance -> speaker; one of its own where nothing tells, as in formatting."""
    path = folder / "utt2spk"
    named = read_table(path) if path.is_file() else {}
    return {key: named.get(key) or key for key in keys}


def chosen(folder: Path, words: set[str]) -> dict[str, str]:
    """Utterance -> transcript, of those that hold one of the words.

    Raises:
        UserError: there is none.
    """
    texts = {key: text for key, text in read_transcripts(folder / "text").items() if words & set(text.split())}
    if not texts:
        raise UserError(f"--more: no transcript of '{folder / 'text'}' has a word of --data_dir's")
    return texts


def write_audio(folder: Path, keys: Set[str], audio: Path, fs: int) -> None:
    """Write utterances of a Kaldi directory, each as KEY.flac. Args: audio: folder to write into; fs: Hz.

    Raises:
        UserError: one is not usable.
    """
    recordings, segments, _ = read_utterances(folder)
    if lost := keys - segments.keys():
        raise UserError(f"--more: utterance '{min(lost)}' has no recording in '{folder}'")
    audio.mkdir()
    for key, mono in open_utterances(recordings, {key: segments[key] for key in segments if key in keys}, fs):
        if isinstance(mono, UserError):
            raise UserError(f"--more: utterance '{key}': {mono}") from mono
        write_flac(audio / file_name(key, ".flac"), mono.samples(), fs)


def mix(data_dir: Path, more: Path, out: Path) -> dict[str, int]:
    """Write the directories of `data_dir` with utterances of `more` in train.

    Returns:
        counts: utterances of ours and of the other corpus, Hz.

    Raises:
        UserError: an input is missing or not usable, or both have an utterance of one name.
    """
    sets = {folder.name: read_set(folder) for folder in sorted(data_dir.iterdir()) if (folder / "wav.scp").is_file()}
    if "train" not in sets:
        raise UserError(f"--data_dir: '{data_dir / 'train' / 'wav.scp'}' does not exist")
    ours = sets["train"]
    texts = chosen(more, {word for text in ours["text"].values() for word in text.split()})
    if both := ours["text"].keys() & texts.keys():
        raise UserError(f"--more: utterance '{min(both)}' is in --data_dir too, names must differ")
    with Recording(next(iter(ours["wav.scp"].values()))) as first:
        fs = first.rate
    theirs = {
        "wav.scp": {key: str(out.absolute() / "audio" / file_name(key, ".flac")) for key in texts},
        "text": texts,
        "utt2spk": speakers(more, texts),
    }
    mixed = sets | {"train": {table: rows | theirs[table] for table, rows in ours.items()}}

    def write(folder: Path) -> None:
        write_audio(more, texts.keys(), folder / "audio", fs)
        for name, tables in mixed.items():
            (folder / name).mkdir()
            for table, rows in tables.items():
                write_table(folder / name / table, rows)

    sources = [source for tables in sets.values() for source in tables["wav.scp"].values()]
    files = [Path(source) for source in sources if not source.endswith("|")]
    write_folder(out, write, made_of="audio", inputs=(data_dir, more, *files))
    return {"ours": len(ours["text"]), "more": len(texts), "fs": fs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data_dir", type=Path, required=True, help="holds a Kaldi directory for each set, train among them"
    )
    parser.add_argument("--more", type=Path, required=True, help="Kaldi directory of the other corpus")
    parser.add_argument("--out", type=Path, required=True, help="folder for the same sets, the recipe's --data_dir")
    args = parser.parse_args()
    print(json.dumps(mix(args.data_dir, args.more, args.out)))


if __name__ == "__main__":
    run_main(main)
