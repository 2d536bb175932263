"""Dense reading practice: any fonts, sizes, languages, columns and blocks."""
import math
import re
from . import content as C
from .alphabet import LONG_S
from .canvas import Family, FAMILIES, Page
from .blocks import pick_family, logo_mark
from .kinds_receipt import pressed

_CLS = (("sans", "serif", "mono", "hand"), (56, 22, 16, 6))


def any_family(r):
    x = r.random()
    return pick_family(r, *_CLS, xs=None if x < .8 else r.choice([.7, .75, .8, .85, .9, 1.1, 1.15, 1.25, 1.4]))


def _size(r):
    return r.choices([r.uniform(8, 11), r.uniform(11, 15), r.uniform(15, 22), r.uniform(22, 34), r.uniform(34, 48)], [16, 38, 28, 13, 5])[0]


def random_text(r, w, h, maxchars):
    bg = r.choices([255, r.randint(200, 254), r.randint(10, 90)], [60, 34, 6])[0]
    p = Page(r, w, h, bg, "page.text")
    p.ink = _ink(r, bg)
    mode = r.choices([_rows, _scatter, _paragraphs, _grid, _columns, _book, _heads, _twins], [18, 10, 11, 9, 6, 24, 30, 3] if p.w < 700 else [9, 3, 9, 8, 16, 40, 19, 1])[0]
    mode(p, maxchars)
    if r.random() < .2: _rules(p)
    return p


def _ink(r, bg):
    if bg < 128: return r.randint(min(255, bg + 110), 255)
    return r.choices([r.randint(0, 45), r.randint(45, max(46, min(135, bg - 90)))], [78, 22])[0]


def _line(p, x, y, n, f, fill=None, anchor="l", maxw=None):
    """One piece of about n characters; returns the Ink."""
    return p.text(x, y, C.tokens(p.r, max(1, n // 6)), f, fill, anchor, maxw)


def _block(p, x, y, w, h):
    """An inverted or tinted block behind the text that follows; returns the ink to use on it."""
    r = p.r
    if p.bg < 128: v = r.randint(150, 255)
    else: v = r.choice([r.randint(0, 80), r.randint(60, 110), r.randint(180, 235)])
    p.rect((x, y, x + w, y + h), v)
    return r.randint(max(0, v + 120), 255) if v < 128 else r.randint(0, max(1, v - 120))


_TILL = [n for n in ("T3270", "T3270c", "LiberationMono", "NimbusMonoPS", "Cousine", "DejaVuSansMono", "OCRB", "FreeMono", "PTMono", "cursor", "NotoMono", "Inconsolata", "Mplus50", "B612Mono", "PcVGA8", "PcVGA9", "GlassTTY") if n in FAMILIES["mono"]]
_PLAIN = [n for n in ("LiberationSans", "LiberationSansNarrow", "NimbusSans", "DejaVuSans", "DejaVuSansCondensed", "OpenSans", "Heros", "PTSans", "Roboto", "WineTahoma", "Tahoma", "FreeSans", "Carlito", "Veranda", "AerialSans") if n in FAMILIES["sans"]]


def _said(r, L):
    """A line as the heads of business papers and receipts have it."""
    x = r.randrange(20)
    if x < 3: s = L.company()
    elif x < 7: s = r.choice([L.street, L.place_line, lambda: ", ".join(L.address())])()
    elif x == 7: s = f"{r.choice(['Tel', 'TEL', 'Tel.', 'Phone', 'Fax', 'H/P', 'Tel No'])}{r.choice([': ', ' : ', ' ', ':'])}{L.phone()}"
    elif x == 8: s = f"{L.vat_label()}{r.choice([': ', ' : ', ' '])}{L.vat()}"
    elif x == 9: s = f"{r.choice(['Invoice No', 'Bill No', 'Receipt #', 'Cash Sales No.', 'Ref', 'Doc No.', 'Order', 'Trans', 'Terminal', 'Slip'])}{r.choice([': ', ' : ', ' ', ':', '.: '])}{C.code(r)}"
    elif x == 10: s = f"{r.choice(['Date', 'DATE', 'Dated', 'Printed'])}{r.choice([': ', ' : ', ' ', ':'])}{L.date(L.today)} {L.time() if r.random() < .6 else ''}"
    elif x == 11: s = f"{r.choice(['Cashier', 'CASHIER', 'Served by', 'Sales Person', 'Attn', 'Staff', 'Cashier #'])}{r.choice([': ', ' : ', ' ', ':'])}{r.choice([L.person(), C.mixed(r), C.digits(r, r.randint(1, 5))])}"
    elif x == 12: s = f"{r.randint(1, 30)} {r.choice(['x', 'X', '@', '*', ''])} {L.amount(L.value())} {L.amount(L.value())} {r.choice(['SR', 'S', 'ZR', 'Z', 'A', 'B', 'T', ''])}"
    elif x == 13: s = f"{C.digits(r, r.randint(5, 13))} {L.product()}"
    elif x == 14: s = L.product() + " " + L.amount(L.value())
    elif x == 15: s = r.choice([L.email, L.web])() if r.random() < .5 else L.phrase(2, 6)
    elif x == 16: s = f"{r.choice(['SR', 'ZRL', 'ZR', 'S', 'Z', 'TX', 'GST', ''])}{r.choice([' ', ' ', ''])}{r.choice(['@', '@ ', '(@', '= '])}{r.choice(['0', '6', '5', '10', '6.00', '0.00'])}%{r.choice(['', ')', ' :', ':'])} {L.amount(L.value())} {L.amount(L.value())}"
    elif x == 17: s = f"{r.choice(['GST ID', 'GST No', 'GST Reg No', 'Co. Reg', 'ROC', 'CO REG NO', 'SST ID', 'Tax No', 'GST'])}{r.choice([': ', ' : ', ' ', ':', '. '])}{r.choice([C.shape(r, '000#########'), C.shape(r, '######-@'), C.shape(r, '#####-@'), '00' + C.digits(r, 10), C.shape(r, '@##-####-########')])}"
    elif x == 18: s = r.choice(["THANK YOU PLEASE COME AGAIN", "Goods sold are not returnable", "Thank you for shopping with us", "NO REFUND", "EXCHANGE WITHIN 7 DAYS WITH RECEIPT", "Please keep this receipt", "TAX INVOICE", "GST SUMMARY", "Amount (RM)", "Tax (RM)", "CUSTOMER COPY", "SIMPLIFIED TAX INVOICE", "INVOICE", "CASHIER", "Item(s) :"]) + r.choice(["", "", "!", ".", " !!", " " + L.phrase(1, 3)])
    else: s = f"{r.choice(['Total', 'Subtotal', 'Rounding Adj', 'Cash', 'Change', 'Total Sales (Excl GST)', 'Total Incl. of GST', 'GST @ 6%', 'Discount', 'Amount Due', 'Visa Card', 'Total Qty', 'Item(s)', 'Tax (RM)', 'GST Summary'])}{r.choice([': ', ' : ', ' '])}{L.money(L.value())}"
    s = " ".join(s.split())
    return s.upper() if r.random() < .5 else s


def _heads(p, left):
    """Names, addresses, numbers and items one under the other, as receipts and letterheads have them."""
    r = p.r; y = r.uniform(3, 20); L = C.Local(r, r.choice(["MY", "MY", "MY", "MY", "SG", "GB", "US", "DE", "FR", None, None]))
    fam = None
    while left > 0 and y < p.h - 14:
        if fam is None or r.random() < .12:
            mono = r.random() < .4; xs = r.choices([1, .8, .9, .7, .6, 1.15, 1.3], [50, 10, 12, 8, 6, 8, 6])[0]
            if r.random() < .2: fam = pressed(r)
            elif mono: fam = Family(r.choice(_TILL) if r.random() < .7 else r.choice(FAMILIES["mono"]), xs, r.choices([0, 1, r.randint(11, 22), r.randint(7, 10)], [40, 5, 37, 18])[0])
            elif r.random() < .5: fam = Family(r.choice(_PLAIN), xs, r.choices([0, r.randint(11, 20)], [55, 45])[0])
            else: fam = any_family(r)
            size = _size(r) if r.random() < .3 else r.uniform(11, 21); lf = r.uniform(1, 1.5); style = r.choices("rbi", [70, 26, 4])[0]
            anchor = r.choices("lcr", [50, 44, 6])[0]; x = r.uniform(3, 40)
        f = fam(size if r.random() < .9 else _size(r), style if r.random() < .85 else "b")
        if f.size > 15 and r.random() < .05: f = Family(fam.name, fam.xs, 2, fam.cell)(f.size, "b")
        for t in f.wrap(_said(r, L), p.w - x - 6)[:2]:
            if y > p.h - f.size * 1.2: break
            ink = p.text(x if anchor == "l" else p.w / 2 if anchor == "c" else p.w - x, y, t, f, None, anchor); left -= len(ink.text)
            if r.random() < .25 and anchor == "l" and ink and ink.x1 < p.w - 120: left -= len(p.text(p.w - r.uniform(4, 30), y, L.amount(L.value()), f, None, "r", p.w - ink.x1 - 20).text)
            y += f.size * lf
        if r.random() < .12: y += r.uniform(.2, 1.5) * f.size
        if r.random() < .04: p.hline(x, p.w - x, y + 1, p.ink, 1, r.choice([0, 2, 3])); y += 5


def _twin(r, L):
    """A word or number in which signs have changed places with those that small print makes look like them."""
    x = r.random()
    if x < .3: return C.number(round(10 ** r.uniform(0, 5), 2), r.randint(1, 6)) + r.choice(["", "", ".", ","])
    if x < .4: return r.choice(["%s.%s", "%s,%s", "%s.%s.%s", "%s,%s,%s", "%s. %s", "%s, %s"]).replace("%s", C.digits(r, r.randint(1, 3))) + r.choice(["", ",", "."])
    if x < .5: return "".join(r.choice(r.choice(C.TWINS)) for _ in range(r.randint(3, 8)))
    w = L.word(); w = w.upper() if r.random() < .6 else w; part = r.choice([0, .2, .5])
    return "".join(r.choice(C.TWIN[c]) if c in C.TWIN and r.random() < part else c for c in w) + r.choice(["", "", "", ".", ","])


def _twins(p, left):
    """Small print whose signs are easily taken for one another, mostly as printers with few dots set it."""
    r = p.r; L = C.Local(r); y = r.uniform(3, 16); fam = None
    while left > 0 and y < p.h - 14:
        if fam is None or r.random() < .1:
            x = r.random(); size = r.uniform(8.5, 13); lf = r.uniform(1.02, 1.5)
            fam = pressed(r) if x < .5 else Family(r.choice(_TILL), r.choice([1, 1, .85, .75]), r.choice([0, r.randint(7, 22)])) if x < .8 else any_family(r)
            f = fam(size, r.choice("rrrb")); left_x = r.uniform(3, 30)
        for t in f.wrap(" ".join(_twin(r, L) for _ in range(r.randint(2, 12))), p.w - left_x - 6)[:1]:
            left -= len(p.text(left_x, y, t, f).text)
        y += size * lf


def _rows(p, left):
    r = p.r; fam = any_family(r); base = _size(r); y = r.uniform(2, p.h * .3 if r.random() < .4 else 20); x0 = r.uniform(2, 40); lf = r.uniform(1.08, 1.8)
    while left > 0 and y < p.h - base * 1.3:
        if r.random() < .14: fam = any_family(r)
        size = base if r.random() < .8 else _size(r)
        f = fam(size, r.choices("rbiz", [70, 18, 9, 3])[0]); fill = None
        if r.random() < .1: y += r.uniform(5, 70)
        x = x0 if r.random() < .7 else r.uniform(2, p.w * .5)
        want = r.choice([r.randint(3, 20), r.randint(20, 90), 200])
        if r.random() < .07 and y + size * 1.5 < p.h:
            fill = _block(p, x - 4, y - 2, min(p.w - x, f.size * .6 * want) + 4, f.lh + 3)
        while left > 0 and x < p.w - size * 2:
            ink = _line(p, x, y, min(want, left), f, fill)
            if not ink: break
            left -= len(ink.text)
            if r.random() < .05: p.hline(ink.x0, ink.x1, y + size * 1.02, p.ink)
            if r.random() < .55 or fill is not None: break
            x = ink.x1 + r.uniform(size * 1.1, 200); want = r.randint(2, 25)
        y += f.lh * lf / 1.22


def _scatter(p, left):
    """Pieces in free places, none over another."""
    r = p.r; boxes = []; fam = any_family(r)
    for _ in range(90):
        if left <= 0: break
        if r.random() < .4: fam = any_family(r)
        f = fam(_size(r), r.choice("rrrb")); s = f.clean(C.tokens(r, r.randint(1, 5)))[: max(3, left)].strip(); w = f.width(s)
        if w > p.w - 10 or f.lh > p.h - 8: continue
        x, y = r.uniform(3, p.w - w - 5), r.uniform(3, p.h - f.lh - 4); b = (x - 6, y - 3, x + w + 6, y + f.size * 1.25)
        if any(b[0] < q[2] and q[0] < b[2] and b[1] < q[3] and q[1] < b[3] for q in boxes): continue
        fill = _block(p, b[0], b[1], b[2] - b[0], b[3] - b[1]) if r.random() < .08 else None
        ink = p.text(x, y, s, f, fill)
        if ink: boxes.append(b); left -= len(ink.text)


def _paragraphs(p, left):
    r = p.r; y = r.uniform(4, 30)
    while left > 0 and y < p.h - 14:
        L = C.Local(r) if r.random() < .7 else None; fam = any_family(r); f = fam(min(_size(r), 30), r.choices("rbi", [80, 12, 8])[0]); x = r.uniform(3, 50); w = (p.w - x - r.uniform(4, 40)) * r.choice([1, 1, .7])
        s = L.paragraph(r.randint(1, 4)) if L else C.tokens(r, r.randint(8, 40))
        s = s[:left]; fill = None; lh = max(f.lh * .95, f.size * r.uniform(1.1, 1.6)); ls = f.wrap(s, w); n = int((p.h - y - 4) / lh)
        ls = ls[:max(0, n)]
        if not ls: break
        if r.random() < .08: fill = _block(p, x - 5, y - 4, w + 8, lh * len(ls) + 4)
        just = r.random() < .2
        for t in ls:
            tr = min(1.0, max(0, (w - f.width(t)) / len(t))) if just and len(t) > 20 else 0
            left -= len(p.text(x, y, t, f, fill, track=tr).text); y += lh
        y += r.uniform(2, 30)


def _grid(p, left):
    """Numbers and words in cells, ruled or not."""
    r = p.r; fam = any_family(r); f = fam(min(_size(r), 24)); n = r.randint(2, 6); x0 = r.uniform(3, 20); w = p.w - 2 * x0; cw = w / n; y = y0 = r.uniform(4, 60); rh = f.lh * r.uniform(1, 1.7); ruled = r.random() < .6; al = [r.choice("lr") for _ in range(n)]
    style = r.randint(1, 6)
    while left > 0 and y + rh < p.h - 3:
        for i in range(n):
            k = r.random(); s = C.number(round(10 ** r.uniform(0, 5), 2), style) if k < .4 else C.token(r) if k < .85 else C.tokens(r, 2)
            ink = p.text(x0 + i * cw + 5 if al[i] == "l" else x0 + (i + 1) * cw - 5, y + (rh - f.size * 1.1) / 2, s, f, None, al[i], cw - 8); left -= len(ink.text)
        y += rh
        if ruled: p.hline(x0, x0 + w, y, min(220, p.ink + 60))
    if ruled and r.random() < .7:
        for i in range(n + 1): p.vline(x0 + i * cw, y0, y, min(220, p.ink + 60))


def _columns(p, left):
    r = p.r; n = 2 if p.w < 900 else r.choice([2, 3]); gap = r.uniform(20, 40); x0 = r.uniform(4, 20); cw = (p.w - 2 * x0 - gap * (n - 1)) / n; fam = any_family(r); f = fam(min(_size(r), 20)); lh = f.size * r.uniform(1.12, 1.5); L = C.Local(r)
    for c in range(n):
        p.next_region(); y = r.uniform(4, 12) if c == 0 else y0
        if c == 0: y0 = y
        while left > 0 and y < p.h - lh - 3:
            for t in f.wrap((L.paragraph(2) if r.random() < .7 else C.tokens(r, 20))[:left], cw):
                if y > p.h - lh - 3 or left <= 0: break
                left -= len(p.text(x0 + c * (cw + gap), y, t, f, None, "l", cw + 2).text); y += lh
            y += lh * .5


OLD = [n for n in ("EBGaramond", "Goudy", "Junicode", "Libertine", "C059", "P052", "Schola", "Bookman", "NimbusRoman", "LiberationSerif", "Tinos", "Vollkorn", "Gentium", "RomandeADFStd", "AccanthisADFStd", "lmroman", "CharisSIL", "FreeSerif", "PTSerif", "Baskervald", "CenturyCatalogue", "CMURoman", "Didot", "Fanwood", "GFSBaskerville", "LindenHill", "OldStandard", "Prociono", "Quattrocento", "Tymes", "Essays") if n in FAMILIES["serif"]]


def _split(r, f, s, w):
    """Lines of at most w, with words divided at their ends as printers of books do."""
    out, cur = [], ""
    for word in f.clean(s).split(" "):
        new = cur + " " + word if cur else word
        if f.width(new) <= w: cur = new; continue
        cut = 0
        if len(word) > 6 and word.isalpha():
            cut = next((i for i in range(len(word) - 3, 2, -1) if f.width(f"{cur} {word[:i]}-") <= w), 0)
        if cut: out.append(f"{cur} {word[:cut]}-".strip()); cur = word[cut:]
        else:
            if cur: out.append(cur)
            cur = f.fit(word, w)
    return out + [cur] if cur else out


_CAST = {"ch": -.07, "ck": -.07, "tz": -.04, LONG_S + "t": -.07, LONG_S + "i": -.05, LONG_S + LONG_S: -.05, LONG_S + "h": -.04, "ff": -.05, "fi": -.05, "fl": -.05, "ct": -.07, "st": -.05, "ll": -.02}
_SET_OFF = {";": .2, ":": .2, "?": .16, "!": .16, ",": .07}


def _mixed(p, x, y, t, f, other, room, track, space):
    """A line in which some words may be in the other style; returns the number of characters set."""
    p.space = space; r = p.r; n = 0
    words = t.split(" ") if other else [t]
    while words:
        k = r.choice([1, 2, 3, 5, 9]) if other else 1; g = f
        if other and r.random() < .3: g, k = other, r.choice([1, 1, 2, 4])
        ink = p.text(x, y, " ".join(words[:k]), g, None, "l", room, track=track); n += len(ink.text) + 1; words = words[k:]
        step = ink.x1 + f.adv[" "] + space - x; x += step; room -= step
        if not ink: break
    p.space = 0.0
    return n


def _book(p, left):
    """Pages of books, magazines and reports: dense justified text, a running head, a page number, one to three columns."""
    r = p.r; black = FAMILIES.get("black") and r.random() < .26; L = C.Local(r, "DE" if black and r.random() < .75 else None)
    fam = Family(r.choice(FAMILIES["black"])) if black else Family(r.choice(OLD)) if r.random() < .68 else any_family(r)
    aged = black or r.random() < .2; old = (lambda s: re.sub("s(?=[a-zäöüß])", LONG_S, s)) if aged and r.random() < .85 else (lambda s: s)
    size = r.uniform(8.5, 20) if p.w > 700 else r.uniform(8.5, 19); f = fam(size, r.choices("rbi", [80, 6 if not black else 16, 14])[0]); lh = size * r.uniform(1.0, 1.4)
    other = None if black or r.random() < .55 else fam(size, r.choice("iiib"))             # words set off in italics
    if aged: p.ties = {**(_CAST if r.random() < .8 else {}), **(_SET_OFF if r.random() < .6 else {})}
    mx = r.uniform(.01, .09) * p.w; n = 1 if p.w < 700 and r.random() < .8 else r.choices([1, 2, 3], [5, 4, 2])[0]
    gap = size * r.uniform(1.3, 2.4); cw = (p.w - 2 * mx - gap * (n - 1)) / n; y = r.uniform(4, .05 * p.h + 8); just = r.random() < .8; hyphen = r.random() < .7; spread = r.random() < .85
    number = str(r.randint(2, 699)); bottom = p.h - lh * 1.3
    if r.random() < .6:
        head = L.phrase(2, 6).capitalize(); head = head.upper() if r.random() < .5 else head; hf = fam(size * r.uniform(.8, 1), r.choice("rri"))
        where = r.choice("lrc"); left -= len(p.text(p.w / 2, y, head, hf, None, "c", p.w * .6).text)
        if where != "c": left -= len(p.text(mx if where == "l" else p.w - mx, y, number, hf, None, where).text)
        y += lh * 1.3
        if r.random() < .3: p.hline(mx, p.w - mx, y - lh * .2)
        y += lh * r.uniform(.1, .8)
    elif r.random() < .5: p.region = 900; p.text(p.w / 2, bottom - lh * .1, r.choice([number, f"- {number} -", f"[{number}]"]), f, None, "c"); p.region = 0; bottom -= lh * 1.2
    if r.random() < .25:
        tf = fam(size * r.uniform(1.3, 2.4), r.choice("rbi")); p.next_region()
        for t in tf.wrap(L.phrase(2, 7).capitalize(), p.w - 2 * mx)[:2]:
            left -= len(p.text(p.w / 2, y, t, tf, None, "c").text); y += tf.lh
        y += lh * .5
    bottom = min(bottom, p.h - lh * 1.1); indent = size * r.choice([0, 1, 1.5, 2]); rule = n > 1 and r.random() < .25; top = y
    for c in range(n):
        p.next_region(); y = top; x = mx + c * (cw + gap)
        if rule and c: p.vline(x - gap / 2, top, bottom)
        while left > 0 and y + f.lh < bottom:
            s = old(L.paragraph(r.randint(2, 6))); s = s[:220].upper() if not black and r.random() < .07 else s; ls = _split(r, f, s, cw - indent) if hyphen else f.wrap(s, cw - indent)
            for i, t in enumerate(ls):
                if y + f.lh > bottom or left <= 0: break
                dx = indent if i == 0 else 0; room = cw - dx; tr = min(1.4, max(0, (room - f.width(t)) / max(1, len(t) - 1))) if just and i < len(ls) - 1 and len(t) > 15 else 0
                sp = 0.0
                if tr and spread: sp, tr = min(1.5 * size, max(0, (room - f.width(t)) / max(1, t.count(" ")))), 0
                elif aged: sp = size * r.uniform(0, .3)
                left -= _mixed(p, x + dx, y, t, f, other, cw + 3, tr, sp); y += lh
            y += lh * r.choice([0, 0, .5])


def _rules(p):
    r = p.r
    for _ in range(r.randint(1, 5)):
        v = max(0, min(255, p.ink + r.randint(0, 90)))
        if r.random() < .7:
            y = r.randint(0, p.h - 1); cross = r.random() < .25
            if cross or all(not (q[1] - 2 < y < q[3] + 2) for q in p.pieces): p.hline(r.randint(0, p.w // 2), r.randint(p.w // 2, p.w), y, v, r.randint(1, 2))
        else:
            x = r.randint(0, p.w - 1)
            if all(not (q[0] - 3 < x < q[2] + 3) for q in p.pieces): p.vline(x, r.randint(0, p.h // 2), r.randint(p.h // 2, p.h), v, 1)
