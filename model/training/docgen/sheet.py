#!/usr/bin/env python3
"""Draws a contact sheet of generated pages, to judge them by eye.

    sheet.py SEED [--kinds KIND,KIND] [--count N] [--columns N] [--tile WxH] [--out FILE.png]
"""
import argparse
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import docgen  # noqa: E402
from PIL import Image  # noqa: E402

MARGIN = 3


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seed", type=int)
    parser.add_argument("--kinds", default="", help="class labels, used in turn; without them drawn by weight")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--tile", default="400x566", help="size of one page on the sheet")
    parser.add_argument("--out", default="sheet.png")
    args = parser.parse_args()
    unknown = [kind for kind in args.kinds.split(",") if kind and kind not in docgen.KINDS]
    if unknown:
        parser.error(f"no such kind: {', '.join(unknown)}")
    if args.count < 1 or args.columns < 1:
        parser.error("--count and --columns must be at least 1")
    return args


def main():
    args = options()
    kinds = [kind for kind in args.kinds.split(",") if kind] or [None]
    width, height = (int(v) for v in args.tile.split("x"))
    rows = -(-args.count // args.columns)
    sheet = Image.new("L", (args.columns * width, rows * height), 128)
    for i in range(args.count):
        start = time.time()
        page = docgen.make(random.Random(args.seed * 1000 + i), kinds[i % len(kinds)])
        print(i, page.kind, page.img.size, len(page.chars), f"{(time.time() - start) * 1e3:.0f} ms")
        small = page.img.copy()
        small.thumbnail((width - 2 * MARGIN, height - 2 * MARGIN), Image.LANCZOS)
        sheet.paste(small, (i % args.columns * width + MARGIN, i // args.columns * height + MARGIN))
    sheet.save(args.out)


if __name__ == "__main__":
    main()
