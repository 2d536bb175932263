#!/usr/bin/env python3
"""Builds words/more/ from Debian's word lists: many more words than words/ holds, for drawing only.

    build_words.py [--number N] [--out FOLDER]

Downloads the packages that LISTS names (with apt-get, into a folder that is removed afterwards), unpacks them without installing,
and writes N words of every language that alphabet.py can print, chosen evenly with a fixed seed. Needs apt-get and dpkg-deb.
The lists stay under their own licences (GPL, LGPL, BSD or public domain, see each package's copyright file); nothing of them is
in the repository.
"""
import argparse
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# language | package | file under usr/share, a plain list or the word list of a spelling checker ("word/flags")
LISTS = [("en", "wamerican", "dict/american-english"), ("de", "wngerman", "dict/ngerman"), ("fr", "wfrench", "dict/french"), ("es", "wspanish", "dict/spanish"),
         ("it", "witalian", "dict/italian"), ("nl", "wdutch", "dict/dutch"), ("pt", "wportuguese", "dict/portuguese"), ("pl", "wpolish", "dict/polish"),
         ("cs", "hunspell-cs", "hunspell/cs_CZ.dic"), ("sv", "wswedish", "dict/swedish"), ("da", "wdanish", "dict/danish"), ("nb", "wnorwegian", "dict/bokmaal")]


def words(path, known, number):
    """Words of 2 to 16 known characters; those with capitals or accents are not preferred, only the choice is even."""
    raw = path.read_bytes()
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    found = sorted({w for w in (line.split("/")[0] for line in text.split()) if 1 < len(w) < 17 and known.issuperset(w) and "'s" not in w})
    chosen = random.Random(1).sample(found, min(number, len(found)))
    return sorted(chosen)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=30000)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "words" / "more")
    args = parser.parse_args()
    sys.path.insert(0, str(HERE))
    from alphabet import CHARS
    args.out.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="docgen-words-"))
    try:
        subprocess.run(["apt-get", "download", "-q", *[package for _, package, _ in LISTS]], cwd=folder, check=True)
        for deb in folder.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", deb, folder / "all"], check=True)
        for language, _, name in LISTS:
            chosen = words(folder / "all/usr/share" / name, set(CHARS), args.number)
            (args.out / f"{language}.txt").write_text("\n".join(chosen) + "\n", encoding="utf-8")
            print(language, len(chosen))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
