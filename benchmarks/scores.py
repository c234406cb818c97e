"""What the tables of ./tables.sh are made of, in one small file: texts, losses and cost of each run, without audio and models.

    python benchmarks/scores.py pack exp/tables_mini exp/tables_equal --archive docs/results/mini_scores.tar.xz
    python benchmarks/scores.py unpack docs/results/mini_scores.tar.xz --into exp
    ./tables.sh --scale mini --root exp/tables_mini --sizes "6x512 5x256 5x128 3x64" --only_tables true

So the tables of a record can be made again and looked at from another side, and seeds that were trained on several machines be put into one
table: each machine packs its own, one unpacks them all. Folders keep their names; a folder that is a link into another stays one.
"""

import argparse
import io
import lzma
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from espnet_plugin.common.files import need_file, temporary_folder, write_whole
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.layout import Experiment

# Of each size and test set: what runs.py reads.
SCORES = ("score.json", "ref.trn", "hyp.trn", "loss")


def files_of(root: Path) -> Iterator[Path]:
    """Of the runs below a folder of tables.sh whose training is finished; of a folder that is a link, the link itself."""
    links = [path for path in root.glob("seed*/*") if path.is_symlink()]
    yield from links
    for marker in root.glob(f"seed*/**/{Experiment(root).trained.name}"):
        run = Experiment(marker.parent)
        found = [path for name in SCORES for path in run.sizes.glob(f"*/score/*/{name}")]
        if found and not any(marker.is_relative_to(link) for link in links):
            yield from (marker, run.cost, *found, *run.sizes.glob("*/subnet.json"))


def pack(roots: list[Path], archive: Path) -> int:
    """Write an archive, equal for equal runs. Returns: files in it.

    Raises:
        UserError: a folder without a finished and scored run, two folders of one name, or a link to what is not packed.
    """
    names = [root.resolve().name for root in roots]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"'{twice[0]}': is the name of two folders, which one archive cannot tell apart")
    members = {}
    for root, folder in zip(roots, names):
        found = {f"{folder}/{path.relative_to(root)}": path for path in files_of(root)}
        if not any(name.endswith("/score.json") for name in found):
            raise UserError(f"'{root}': holds no seedN/RUN that is trained and scored")
        members |= found
    places = {root.resolve(): folder for root, folder in zip(roots, names)}

    def alike(name: str) -> tuple[str, ...]:  # what is nearly the same side by side, which is what makes it small
        return tuple(reversed(name.split("/")))

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mode = 0o644
        if member.issym():
            target = members[member.name].resolve()
            there = [
                f"{name}/{target.relative_to(root)}" for root, name in places.items() if target.is_relative_to(root)
            ]
            if not there:
                raise UserError(f"'{members[member.name]}': is a link to '{target}', which is in none of the folders")
            member.linkname = os.path.relpath(there[0], os.path.dirname(member.name))
        return member

    def write(path: Path) -> None:
        with tarfile.open(path, "w:xz", preset=9) as file:
            for name in sorted(members, key=alike):
                file.add(members[name], name, recursive=False, filter=plain)

    write_whole(archive, write)
    return len(members)


def unpack(archive: Path, into: Path) -> int:
    """Write the runs of an archive below a folder. Returns: files written.

    Raises:
        UserError: no such archive, a damaged one, or one of whose files is there already; nothing is written then.
    """
    try:
        whole = lzma.decompress(need_file("archive", archive).read_bytes())  # tarfile takes half an archive in silence
        with tarfile.open(fileobj=io.BytesIO(whole)) as file:
            names = file.getnames()
            if there := [name for name in names if os.path.lexists(into / name)]:
                raise UserError(f"--into: '{into / there[0]}' is there already, give another folder")
            with temporary_folder(into / archive.name) as folder:
                file.extractall(folder, filter="data")
                for name in names:
                    (into / name).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(folder / name, into / name)
    except (tarfile.TarError, lzma.LZMAError) as error:
        raise UserError(f"'{archive}': is no whole archive of scores: {error}") from error
    return len(names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    packing = verbs.add_parser("pack", help="write an archive")
    packing.add_argument("roots", type=Path, nargs="+", metavar="ROOT", help="--root of tables.sh")
    packing.add_argument("--archive", type=Path, required=True, help="file to write, as scores.tar.xz")
    unpacking = verbs.add_parser("unpack", help="write the runs of an archive")
    unpacking.add_argument("archive", type=Path)
    unpacking.add_argument("--into", type=Path, required=True, help="folder in which the folders of the runs are made")
    args = parser.parse_args()
    if args.verb == "pack":
        print(f"written: {args.archive}, {pack(args.roots, args.archive)} files of {len(args.roots)} folders")
    else:
        print(f"written: {unpack(args.archive, args.into)} files below {args.into}")


if __name__ == "__main__":
    run_main(main)
