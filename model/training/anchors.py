"""What the text head's anchors should say about a tile: the labels that reading.py and the C program undo."""
import numpy as np

LEAST = 5.5                    # capitals of fewer pixels are not judged


def labels(ch, ox, oy, w, h):
    """What every anchor (4 pixels wide, one patch of 16 high) should name: the nearest character within 4 pixels of its middle.

    ch: rows of x, y, class, height of a capital, gap behind; ox, oy: where their page lies on the canvas of w x h.
    [h/16, w/4, 5]: class (0 none, -1 not judged: between 4 and 6 pixels), x from the anchor / 4, y from the patch's middle / 16,
    height / 32, gap. A character near a patch's upper or lower edge belongs to both patches, unless the other has a line of its
    own there; reading joins the two."""
    rows, cols = h // 16, w // 4
    out = np.zeros((rows * cols, 5), np.float16)
    if not len(ch):
        return out.reshape(rows, cols, 5)
    c = np.asarray(ch, np.float64)
    x, y = c[:, 0] + ox, c[:, 1] + oy
    i0, j0 = np.floor(y / 16).astype(int), np.floor(x / 4).astype(int)
    fy = y / 16 - i0
    other = np.where(fy < .25, i0 - 1, np.where(fy > .75, i0 + 1, -1))
    n = len(c)
    who = np.repeat(np.tile(np.arange(n), 2)[:, None], 5, 1)
    row = np.repeat(np.concatenate((i0, other))[:, None], 5, 1)
    col = j0[who] + np.arange(-2, 3)
    dx = x[who] - 4 * col - 2
    ok = (row >= 0) & (row < rows) & (col >= 0) & (col < cols) & (np.abs(dx) < 6)
    row, col, who, dx = (q[ok] for q in (row, col, who, dx))
    at = row * cols + col
    # One patch speaks of one line: its own, else the nearer of two that reach in, however near a letter of the other is.
    far = np.where(row == i0[who], 0, 100 + 10 * np.abs(y[who] - 16 * row - 8))
    order = np.lexsort((np.abs(dx) + far, at))
    at, who, dx, row = (q[order] for q in (at, who, dx, row))
    first = np.nonzero(np.append(True, at[1:] != at[:-1]))[0] if len(at) else []
    at, who, dx, row = (q[first] for q in (at, who, dx, row))
    kind = np.where((np.abs(dx) > 4) | (c[who, 3] < LEAST), -1, c[who, 2])
    out[at] = np.stack((kind, dx / 4, (y[who] - 16 * row - 8) / 16, c[who, 3] / 32, c[who, 4]), 1)
    return out.reshape(rows, cols, 5)
