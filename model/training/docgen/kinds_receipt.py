"""Till receipts: retail, meals, fuel, parking, transport, hotel and card slips."""
from . import content as C
from .blocks import barcode, qr, logo_mark, scribble, stamp, pick_family, inline_pair
from .canvas import Family, FAMILIES, Page, union

POOL = ["MY"] * 48 + ["SG"] * 9 + ["US"] * 15 + ["GB"] * 9 + ["AU"] * 5 + ["DE"] * 9 + ["FR"] * 7 + ["ES"] * 5 + ["IT"] * 5 + ["NL"] * 5 + ["PT"] * 4 + ["CH"] * 3 + ["AT"] * 2 + ["BE"] * 2 + ["IE"] * 2 + ["PL"] * 9 + ["CZ"] * 8
TILL = ["T3270", "T3270c", "LiberationMono", "NimbusMonoPS", "Cousine", "DejaVuSansMono", "OCRB", "OCRA", "FreeMono", "CourierPrime", "PTMono", "lmmono", "cursor", "NotoMono", "monofur", "agave", "Inconsolata", "Mplus50", "B612Mono", "LeagueMonoNarrow", "LeagueMonoCond", "Anonymous"]
TILL += ["PcATI", "PcBIOS", "PcCompaq", "PcMDA", "PcVGA8", "PcVGA9", "GlassTTY", "DotGothic"] * 2 + ["PcSmall", "AerialMono", "TlwgTypewriter", "GNUTypewriter"]
TILL = [name for name in TILL if name in FAMILIES["mono"]]
PRESSED = ["LiberationSans", "LiberationSansNarrow", "NimbusSans", "NimbusSansNarrow", "Aerial", "FreeSans", "RobotoCondensed", "Roboto", "PTSansNarrow", "PTSans", "OpenSansCond", "OpenSansLight", "RobotoLight",
           "UniversalisCond", "DejaVuSansCondensed", "ClearSans", "Tahoma", "OSPDIN", "Go", "GilliusCond", "Yanone"]
PRESSED = [name for name in PRESSED if name in FAMILIES["sans"]]


def pressed(r, fx=None):
    """A face as receipt printers have it: plain letters pressed into cells of one width."""
    cell = r.uniform(.4, .62)
    if fx is None: fx = r.choices([0, r.randint(14, 24), r.randint(8, 10)], [62, 28, 10])[0]
    return Family(r.choice(PRESSED), r.choice([1, 1, .9, .8, 1.1, 1.25]), fx, cell)


class Till:
    """A receipt being printed: one font, a cursor, and rows across the paper."""

    def __init__(self, r, w, h, kind):
        self.r = r
        bg = r.choices([255, r.randint(225, 254), r.randint(170, 225)], [4, 5, 1])[0]
        self.p = p = Page(r, w, h, bg, kind)
        self.kind = kind
        self.L = C.Local(r, r.choice(POOL))
        if r.random() < .6: self.L.place = r.choice(["sym", "sym-", "code-"]) if self.L.lang == "en" else self.L.place
        mono = r.random() < .72
        fx = r.choices([0, 1, r.randint(13 if mono else 11, 21), r.randint(7, 10)], [46, 6, 32, 16] if mono else [52, 2, 42, 4])[0]
        xs = r.choice([1, 1, 1, .85, .78, .7, .92, 1.1, 1.25]) if mono else r.choice([1, 1, .9, .8, 1.1])
        self.fam = Family(r.choice(TILL) if r.random() < .8 else r.choice(FAMILIES["mono"]), xs, fx) if mono else pick_family(r, ("sans", "serif"), (88, 12), xs)
        if mono and r.random() < .42: self.fam = pressed(r)
        self.mx = round(r.uniform(.02, .1) * w); self.x, self.x1 = self.mx, w - round(r.uniform(.02, .1) * w)
        if r.random() < .13:                                        # a small receipt on a large sheet
            self.mx = round(r.uniform(.13, .27) * w); self.x, self.x1 = self.mx, w - round(r.uniform(.13, .27) * w)
        self.cw = self.x1 - self.x
        n = r.uniform(28, 52)
        unit = self.fam(40).width("0") / 40
        self.s = self.cw / n / unit if mono else r.uniform(.030, .044) * w
        self.s = max(9.5, min(self.s, w * .058, r.uniform(24, 32) * w / 512))
        self.f = self.fam(self.s); self.b = self.fam(self.s, "b") if r.random() < .75 else self.f
        self.lh = round(self.s * r.uniform(.98, 1.45))
        self.y = r.uniform(.01, .05) * h + 6
        self.caps = r.random() < (.5 if mono else .3)
        faint = r.choices([0, 1, 2], [60, 24, 16])[0]
        p.ink = (r.randint(0, 55), r.randint(55, 110), r.randint(100, max(101, min(150, bg - 75))))[faint]
        self.cash_money = r.random() < .35                          # currency at every amount
        self.end = h - 8

    def case(self, s):
        return s.upper() if self.caps else s

    def room(self, n=1):
        return self.y + n * self.lh < self.end

    def wide(self, k=1.0):
        """A face for big lines: taller, wider or simply larger."""
        t = self.r.randrange(8); fx = 2 if self.r.random() < .08 else self.fam.fx; of = lambda xs: Family(self.fam.name, min(2.4, self.fam.xs * xs), fx, self.fam.cell * xs)
        if t in (5, 7): return of(2)(self.s * k, "r" if t == 5 else "b")
        if t == 6: return of(.5)(self.s * 2 * k, "b")
        if t == 0: return of(.6)(self.s * 2 * k, "r")
        if t == 1: return of(1.5)(self.s * k, "b")
        if t == 2: return self.fam(self.s * 1.6 * k, "b")
        if t == 3: return self.fam(self.s * 1.3 * k, "r")
        return self.b

    def centre(self, s, field=None, f=None, lines=2, ext=None, sep=" "):
        """Centred text; long text goes on to further rows."""
        f = f or self.f; p = self.p
        while f.width(f.clean(s)) > self.cw and f.size > self.s * 1.02: f = self.fam(max(self.s, f.size * .85))
        for i, t in enumerate(f.wrap(s, self.cw)[:lines]):
            ink = p.text((self.x + self.x1) / 2, self.y, t, f, None, "c", self.cw)
            if ink and self.r.random() < .03: p.hline(ink.x0, ink.x1, int(self.y + f.size * .98), p.ink, self.r.choice([1, 1, 2]))
            if field and i == 0: p.set(field, ink)
            elif field and ink and field in p.fields:
                p.fields[field] += sep + ink.text; p.boxes[field] = union([p.boxes[field], ink.box])
            if ext: p.extend(ext, ink)
            self.y += max(f.lh if f.size > self.s else self.lh, self.lh)

    def left(self, s, field=None, f=None, ext=None):
        f = f or self.f
        for t in f.wrap(s, self.cw)[:2]:
            ink = self.p.text(self.x, self.y, t, f, None, "l", self.cw)
            if field: self.p.set(field, ink); field = None
            if ext: self.p.extend(ext, ink)
            self.y += max(self.lh, f.lh if f.size > self.s else 0)

    def kv(self, lab, val, field, mode=None, f=None):
        """'Label: value' on one row; mode r puts the value at the right edge, c centres the whole."""
        f = f or self.f; p = self.p; mode = mode or "l"
        lab = self.case(lab)
        if mode == "r":
            a = p.text(self.x, self.y, lab, f); b = p.text(self.x1, self.y, val, f, None, "r", self.x1 - a.x1 - 6, field); p.pair(a.text, b)
        else:
            inline_pair(p, self.x if mode == "l" else (self.x + self.x1) / 2, self.y, lab, val, field, f, None, mode, self.cw)
        self.y += self.lh

    def rule(self, c=None):
        r, p = self.r, self.p
        k = self.rulestyle if hasattr(self, "rulestyle") else None
        if k is None: k = self.rulestyle = r.choice(["-", "-", "=", "*", "line", "dash", ".", "_", "gap", "line"])
        if k == "line": p.hline(self.x, self.x1, self.y + self.lh * .35, p.ink, r.choice([1, 1, 2])); self.y += self.lh * .7
        elif k == "dash": p.hline(self.x, self.x1, self.y + self.lh * .35, p.ink, 1, max(2, int(self.s / 3))); self.y += self.lh * .7
        elif k == "gap": self.y += self.lh * .6
        else:
            n = int(self.cw / max(1, self.f.width(k)))
            p.text(self.x, self.y, k * n, self.f, read="chars"); self.y += self.lh

    def gap(self, k=.5):
        self.y += self.lh * self.r.uniform(0, 2 * k)

    def amt(self, v):
        return self.L.money(v) if self.cash_money else self.L.amount(v)

    def line(self, lab, amount, field=None, f=None, at=None, tail=""):
        """Label at the left (or ending before the amounts), amount at the right."""
        f = f or self.f; p = self.p; lab = self.case(lab)
        tw = (f.width(tail) + f.adv[" "]) if tail else 0
        need = f.width(f.clean(amount)) + tw
        if need + f.width(f.clean(lab)) > self.cw - 4:
            f = self.f; need = f.width(f.clean(amount)) + tw
        b = p.text(self.x1 - tw, self.y, amount, f, None, "r", self.cw, field)
        lx = self.x
        if at == "r": a = p.text(b.x0 - f.adv["0"] * 2, self.y, lab, f, None, "r", b.x0 - self.x - f.adv["0"] * 2)
        else: a = p.text(lx + (at or 0), self.y, lab, f, None, "l", max(10, b.x0 - lx - (at or 0) - 4))
        if tail: p.text(self.x1, self.y, tail, f, None, "r")
        p.pair(a.text, b)
        self.y += max(self.lh, f.lh if f.size > self.s else 0)
        return b


# ---- contents ------------------------------------------------------------------------------------
def header(t):
    r, L, p = t.r, t.L, t.p
    name = L.company()
    if t.caps or r.random() < .3: name = name.upper()
    if r.random() < .18:
        size = t.s * r.uniform(2, 5); logo_mark(p, (p.w - size) / 2, t.y, size, p.ink); t.y += size + t.lh * .5
    brand = r.random()
    if brand < .1: t.centre(r.choice(["WELCOME TO", "Welcome to", "WELCOME", f"Welcome to {L.cap()}", "*** " + L.cap().upper() + " ***", L.cap() + " " + L.cap()]))
    elif brand < .32:                                               # a shop's sign over the legal name
        sign = r.choice([L.cap(), L.cap() + " " + L.cap(), C.letters(r, r.randint(2, 4)) + " " + L.cap(), L.cap() + "Mart", L.cap() + " Cafe"])
        if r.random() < .25: t.centre(r.choice(["Welcome to", "WELCOME TO", L.phrase(1, 3).capitalize()]))
        t.centre(sign.upper() if r.random() < .5 else sign, f=t.wide(r.choice([1, 1.2, 1.5])), lines=1)
        if r.random() < .2: t.centre(L.phrase(2, 5).capitalize())
    left = r.random() < .12
    put = (lambda s, field=None, f=None, ext=None: t.left(s, field, f, ext)) if left else (lambda s, field=None, f=None, ext=None: t.centre(s, field, f, 2, ext))
    number = C.shape(r, r.choice(["(######-@)", "(#####-@)", "(#######-@)", "(00######-@)", "(20########## (#######-@))"]))
    asian = L.country in ("MY", "SG")
    registered = r.random() < (.65 if asian else .08)
    behind = registered and r.random() < .5 and brand >= .1
    if behind or registered and brand < .32 and r.random() < .5:
        _named(t, name, number, left); registered = False           # the number stands behind the name, in its row
    else: put(name, "merchant_name", t.wide() if r.random() < .6 and not .1 <= brand < .32 else None)
    if registered: put(r.choice([number, number.strip("()"), "Co. No: " + number.strip("()"), "Reg No: " + number, "Co.Reg.No : " + number.strip("()"), "(Co. Reg. No. " + number.strip("()") + ")", "ROC No. " + number.strip("()")]))
    if r.random() < .12: put(r.choice(["(" + L.city() + ")", "Outlet: " + L.city(), "Store #" + C.digits(r, 4), "Branch " + L.city(), "Filiale " + C.digits(r, 3)]))
    if r.random() < .93:
        lines = _long_address(L) if asian and r.random() < .6 else L.address(r.random() < .1)
        for a in lines:
            put(t.case(a), None, None, "merchant_address")
    mode = "l" if left else "c"
    if r.random() < .62: t.kv(r.choice(["TEL", "Tel", "TEL :", "Phone:", "Tel:", L.lab("phone")]) if L.lang == "en" else L.lab("phone", r.choice([":", ""])), L.phone(), "merchant_phone", mode)
    if r.random() < .15: t.kv(L.lab("fax", ":"), L.phone(), None, mode)
    if r.random() < .1: put(L.web())
    if r.random() < (.75 if L.country in ("MY", "SG", "IT", "PT", "ES", "AU", "PL", "CZ") else .4): t.kv(L.vat_label(), L.vat(), "merchant_tax_number", mode)
    t.gap()
    if r.random() < (.55 if L.country in ("MY", "SG", "AU", "PL", "CZ") else .1):
        tt = L.t("t_receipt")
        t.centre(tt, "document_type", t.b if r.random() < .5 else None)
    t.name = name


def _named(t, name, number, left):
    """The legal name with its registration number behind it; only the name is the value."""
    p = t.p; f = t.b if t.r.random() < .4 else t.f
    if f.width(f.clean(f"{name} {number}")) > t.cw: f = t.f
    if f.width(f.clean(f"{name} {number}")) <= t.cw:
        p.spans(t.x if left else (t.x + t.x1) / 2, t.y, [(name, "merchant_name"), (number, None)], f, None, "l" if left else "c", t.cw); t.y += t.lh
    else:
        (t.left if left else t.centre)(name, "merchant_name", f); (t.left if left else t.centre)(number)


def _long_address(L):
    """A Malaysian address with lot, road, estate, post code and state, over two to four lines."""
    r = L.r; tail = r.choice(["", ",", ",", "."])
    parts = [r.choice(["No. %d", "NO.%d", "LOT %d", "%d & %d-G", "%d, Ground Floor", "G-%d", "Lot %d-%d, Level 2"])]
    parts[0] = "".join(str(r.randint(1, 199)) if q == "%d" else q for q in parts[0].replace("%d", "\0%d\0").split("\0"))
    road = f"{r.choice(['Jalan', 'Jln', 'Lorong', 'Jalan', 'Persiaran'])} {L.cap()} {r.choice(['', str(r.randint(1, 30)), f'{r.randint(1, 30)}/{r.randint(1, 90)}', f'SS {r.randint(1, 25)}/{r.randint(1, 60)}'])}".strip()
    estate = f"{r.choice(['Taman', 'Bandar', 'Kawasan Perindustrian', 'Pusat Bandar', 'Desa', 'Off Jalan'])} {L.cap()}{' ' + L.cap() if r.random() < .4 else ''}"
    town = C.digits(r, 5) + " " + L.city(); state = r.choice(["Selangor", "Johor", "Selangor Darul Ehsan", "Kuala Lumpur", "W.P. Kuala Lumpur", "Perak", "Pahang Darul Makmur", "Negeri Sembilan", "Melaka", "Pulau Pinang"])
    out = r.choice([[f"{parts[0]}, {road},", estate + ",", f"{town}, {state}"], [f"{parts[0]}, {road}, {estate},", f"{town}, {state}{tail}"], [parts[0] + ",", road + ",", estate + ",", f"{town} {state}{tail}"],
                    [f"{parts[0]} {road}", estate, town, state + tail], [f"{parts[0]}, {road}, {estate}, {town}, {state}{tail}"]])
    return [t.upper() for t in out] if r.random() < .5 else out


def _crowded(t, d, tm, num):
    """Date, time, till and receipt number in one or two rows without much order."""
    r, L, p, f = t.r, t.L, t.p, t.f
    first = [[(d, "date"), (tm, "time")], [(r.choice(["Date:", "DATE :", "Date"]), None), (d, "date"), (r.choice(["Time:", "TIME :", ""]), None), (tm, "time")], [("#" + C.digits(r, 4), None), (d, "date"), (tm, "time")], [(C.shape(r, r.choice(["######", "@@#", "##-##"])), None), (d, "date"), (tm, "time")]]
    second = [[(r.choice(["RCPT NO.", "No:", "#", "Bill:", "Inv:"]), None), (num, "receipt_number")], [(r.choice(["POS", "REG", "T:"]), None), (C.digits(r, 2), None), (r.choice(["CSH:", "Staff", "OP"]), None), (L.r.choice(L.d["first"]), "cashier")]]
    r.shuffle(second); rows = [r.choice(first)] + second[:r.randint(0, 2)]
    if r.random() < .5: r.shuffle(rows)
    while rows:
        q = [c for c in rows.pop(0) if c[0]]
        wide = lambda z: f.width(f.clean(" ".join(c[0] for c in z)))
        if rows and wide(q) + wide(rows[0]) + t.s * 2 < t.cw and r.random() < .6:
            p.spans(t.x1, t.y, [c for c in rows.pop(0) if c[0]], f, None, "r")
        p.spans(t.x, t.y, q, f, None, "l", t.cw); t.y += t.lh


def reference(t):
    """Date, time, numbers, cashier."""
    r, L, p = t.r, t.L, t.p
    d, tm = L.date(), L.time(); has_t = r.random() < .85
    num = C.code(r) if r.random() < .7 else r.choice([C.digits(r, r.randint(4, 8)), "CS" + C.digits(r, 6), "#" + C.digits(r, r.randint(4, 7))])
    lab = lambda k: L.lab(k, r.choice([":", ":", " :", "", ":"]))
    rows = []
    if L.lang == "en" and r.random() < .22: return _crowded(t, d, tm, num)
    x = r.random()
    if x < .35:
        rows.append(lambda: _date_row(t, lab("date_word") if r.random() < .6 else "", d, tm if has_t else ""))
    elif x < .6:
        rows.append(lambda: t.kv(lab("date_word"), d, "date", m))
        if has_t: rows.append(lambda: t.kv(r.choice(["Time:", "TIME :", "Time"]) if L.lang == "en" else {"de": "Uhrzeit:", "fr": "Heure:", "es": "Hora:", "it": "Ora:", "nl": "Tijd:", "pt": "Hora:", "pl": "Godz.:", "cs": "Čas:"}[L.lang], tm, "time", m))
    else:
        def both():
            a = p.text(t.x, t.y, d, t.f, field="date")
            if has_t: p.text(t.x1, t.y, tm, t.f, None, "r", t.x1 - a.x1 - 8, "time")
            t.y += t.lh
        rows.append(both)
    m = r.choice(["l", "l", "l", "r"])
    if r.random() < .8: rows.append(lambda: t.kv(lab("r_number"), num, "receipt_number", m))
    if r.random() < .45: rows.append(lambda: t.kv(lab("r_cashier"), r.choice([L.person(), C.digits(r, r.randint(1, 4)), L.r.choice(L.d["first"]), "USER " + C.digits(r, 2)]), "cashier", m))
    if r.random() < .25: rows.append(lambda: t.kv(r.choice(["POS:", "Till:", "Terminal", "Counter:", "Reg:", "Lane", "Kasse:"]), C.digits(r, r.randint(1, 3)), "register_id", m))
    if t.kind == "receipt.meal" and r.random() < .7: rows.append(lambda: t.kv(lab("r_table"), str(r.randint(1, 80)), "table_number", m))
    if r.random() < .12: rows.append(lambda: t.kv(lab("customer_number"), r.choice([C.code(r), "CASH", "WALK-IN"]), "customer_number", m))
    if r.random() < .08: rows.append(lambda: t.kv("Printed:", f"{L.date(L.after(r.randint(0, 2)), '%d/%m/%Y')} {L.time()}", None, m))
    r.shuffle(rows)
    for f in rows: f()


def _date_row(t, lab, d, tm):
    p, f = t.p, t.f
    lab = t.case(lab)
    parts = ([(lab, None)] if lab else []) + [(d, "date")] + ([(tm, "time")] if tm else [])
    ink = p.spans(t.x, t.y, parts, f, None, "l", t.cw)
    if lab and "date" in p.fields: p.pairs.append((f.clean(lab), p.fields["date"], p.boxes["date"]))
    t.y += t.lh


def goods(t):
    """The item rows in one of several till layouts; returns [(value, tax code)]."""
    r, L, p = t.r, t.L, t.p
    style = r.choice(["AB", "A", "A", "A", "B", "B", "C", "C", "D", "D", "E", "F"])
    if t.kind == "receipt.meal": style = r.choice(["A", "A", "C", "C", "C", "F", "B"])
    tax = r.random() < .35; codes = r.choice([["S", "Z"], ["SR", "ZRL"], ["A", "B"], ["1", "2"], ["*", ""], ["T", ""], ["SR", "ZR"], ["A"], ["V"]]) if tax else [""]
    f = t.f; adv = f.adv["0"]
    n = r.choices([1, 2, 3, 4, 5, 6, 8, 11, 15, 20], [12, 16, 15, 13, 11, 9, 9, 7, 5, 3])[0]
    tail = adv * (max(map(len, codes)) + 1) if tax else 0
    xa = t.x1 - tail
    aw = f.width(f.clean(t.amt(1000.00))); col_p = xa - aw - adv * 1.2; col_q = col_p - aw - adv
    heads = r.random() < .7 or style in "CD"
    H = lambda k: t.case(L.t(k))
    if heads and style in "ACD":
        if r.random() < .5: t.rule()
        hf = t.b if r.random() < .4 else f
        inv = r.random() < .05
        if inv: p.rect((t.x, t.y - 1, t.x1, t.y + t.lh - 1), max(0, p.ink)); keep, p.ink = p.ink, p.bg
        if style == "C": p.text(t.x, t.y, H("c_qty"), hf, maxw=adv * 5); p.text(t.x + adv * 6, t.y, H("c_name"), hf, maxw=col_p - t.x - adv * 6)
        else: p.text(t.x, t.y, H("c_name"), hf, maxw=col_q - t.x - adv * 5)
        if style == "D": p.text(col_q, t.y, H("c_qty"), hf, None, "r", adv * 5); p.text(col_p, t.y, H("c_price"), hf, None, "r", col_p - col_q - adv)
        p.text(xa, t.y, r.choice([H("c_net"), L.sym if len(L.sym) > 1 else H("c_net"), f"{H('c_net')}"]), hf, None, "r", xa - col_p)
        if inv: p.ink = keep
        t.y += t.lh
    if r.random() < .7: t.rule()
    out, boxes, vals = [], [], []
    scale = r.uniform(.2, 1.5) if t.kind != "receipt.retail" else r.uniform(.2, 1.9)
    both = r.random() < .5; x_sign = r.choice([" x ", " X ", "x", "*", " @ ", " * "])
    for i in range(n):
        if not t.room(9): break
        q = r.choices([1, 2, 3, 4, r.randint(5, 30), round(r.uniform(.1, 3), 3)], [66, 14, 6, 4, 4, 6])[0]
        pr = max(.1, round(10 ** r.gauss(scale, .35), 2)); am = round(q * pr + 1e-9, 2); code = r.choice(codes)
        d = t.case(r.choice(C.FOOD) if r.random() < .35 else L.product() if r.random() < .5 else L.phrase(1, 3).capitalize())
        qs = L.amount(q, 3) if q != int(q) else str(int(q)); ps, a = t.amt(pr), t.amt(am)
        sku = r.choice([C.digits(r, 13), C.digits(r, 6), C.digits(r, 8), C.code(r)])
        row, bb = {}, []
        def put(x, s, key, an="l", mw=None):
            ink = p.text(x, t.y, s, f, None, an, mw)
            if ink and key: row[key] = ink.text
            if ink: bb.append(ink.box)
            return ink
        def amount():
            put(xa, a, "amount", "r")
            if tax and code: put(t.x1, code, "tax_code", "r")
        if style in ("A", "AB", "F"):
            x = t.x
            if style == "F": x = put(x, f"{i + 1}.", None).x1 + adv * .6
            elif q != 1 and r.random() < .9 or both and q == int(q):
                ink = p.spans(x, t.y, [(qs, None), (x_sign.strip(), None)] if x_sign.strip() in "xX*" else [(qs, None)], f); row["quantity"] = qs; bb.append(ink.box); x = ink.x1 + adv * r.choice([.6, .6, 1.5])
            put(x, d, "description", "l", xa - f.width(f.clean(a)) - x - adv); amount(); t.y += t.lh
            if (style == "AB" or q != 1) and r.random() < .5:
                ink = p.spans(t.x + adv * 3, t.y, [(sku if style == "AB" else f"{qs}{x_sign}{ps}", None)], f); bb.append(ink.box)
                if style != "AB": row["unit_price"] = f.clean(ps); row["quantity"] = qs
                t.y += t.lh
        elif style in ("B", "E"):
            if style == "E":
                put(t.x, sku, "product_code", "l"); put(t.x + f.width(f.clean(sku)) + adv * 1.5, d, "description", "l", t.x1 - t.x - f.width(f.clean(sku)) - adv * 2)
            else: put(t.x, d, "description", "l", t.cw)
            t.y += t.lh
            x = t.x + adv * r.choice([0, 2, 3])
            if style == "B" and both: x = put(x, sku, "product_code", "l", t.cw * .5).x1 + adv
            s = f"{qs}{x_sign}{ps}"
            if x + f.width(f.clean(s)) + f.width(f.clean(a)) + adv * 2 > xa:
                if "product_code" in row and style == "B": t.y += t.lh
                x = t.x + adv
            ink = p.text(x, t.y, s, f, None, "l", xa - f.width(f.clean(a)) - x - adv)
            if ink: bb.append(ink.box); row["quantity"] = qs; row["unit_price"] = f.clean(ps)
            amount(); t.y += t.lh
        elif style == "C":
            put(t.x, qs, "quantity", "l", adv * 5.5); put(t.x + adv * 6, d, "description", "l", xa - f.width(f.clean(a)) - t.x - adv * 7); amount(); t.y += t.lh
            if r.random() < .08: p.text(t.x + adv * 7, t.y, r.choice(["- ", "+ ", "* "]) + L.phrase(1, 2), f); t.y += t.lh
        else:
            two = f.width(f.clean(d)) > col_q - t.x - adv * 5
            put(t.x, d, "description", "l", t.cw if two else None)
            if two: t.y += t.lh
            put(col_q, qs, "quantity", "r"); put(col_p, ps, "unit_price", "r"); amount(); t.y += t.lh
        if row.get("description"): out.append(row); boxes.append(union(bb)); vals.append((am, code))
        if r.random() < .03 and t.room(8):
            dv = round(am * .1, 2); t.line(r.choice(["DISCOUNT", "Disc 10%", "Promo", "RABATT", "REMISE"]) if L.lang == "en" else L.t("discount"), "-" + t.amt(dv)); vals.append((-dv, code))
    if out: p.fields["lines"] = out; p.boxes["lines"] = boxes
    return vals


def sums(t, vals):
    """Subtotal, tax, total, payment, change, tax table."""
    r, L, p = t.r, t.L, t.p
    rate = r.choice(L.rates); net_lines = L.country == "US" or r.random() < .15
    s = round(sum(v for v, _ in vals), 2)
    tax = round(s * rate / 100, 2) if net_lines else round(s - s / (1 + rate / 100), 2)
    service = round(s * .1, 2) if t.kind == "receipt.meal" and r.random() < .25 else 0
    total = round(s + (tax if net_lines else 0) + service, 2)
    if r.random() < .7: t.rule()
    gst = not net_lines and L.lang == "en" and r.random() < .55
    at = "r" if r.random() < .2 else (t.cw * r.choice([.2, .3, .4]) if r.random() < .25 else None)
    col = r.choice(["", "", ":", " :"])
    if r.random() < .25: t.kv(L.lab("r_items", ":"), str(len(vals)), "item_count")
    showtax = rate > 0 and r.random() < (.85 if net_lines else .45)
    if gst:                                                         # sums that are not the total, before and around it
        ql = r.choice(["Total Qty", "Total Quantity", "Item(s)", "TOTAL QTY", "Qty(s)", "Total Item"]); qty = str(len(vals) + r.randint(0, 9))
        if r.random() < .4: t.line(ql + col, qty + (".00" if r.random() < .2 else ""), None, at=at)
        if rate: t.line(r.choice(["Total Excluding GST", "Total Sales (Excluding GST)", "Total Excl. GST", "Sub Total (Excl. GST)", "Amount before tax", "Total (Excluding GST)"]) + col, t.amt(round(s - tax, 2)), "subtotal", at=at)
        for lab, part in ((r.choice(["Discount", "DISC", "Total Discount", "Total Saving"]), .35), (r.choice(["Service Charge", "SVC CHG", "Svc Chg 0%"]), .15)):
            if r.random() < part: t.line(lab + col, t.amt(0), None, at=at)
        if rate and r.random() < .7: t.line(r.choice(["Total GST", "GST @ " + L.percent(rate), "GST Payable", "Add GST " + L.percent(rate), "GST Amount"]) + col, t.amt(tax), "tax_total", at=at); showtax = False
        if r.random() < .5: t.line(r.choice(["Total Incl. GST", "Total Sales (Inclusive of GST)", "TOTAL INCL. GST", "Sub Total (Incl. GST)", "Total Inclusive GST", "Total With GST @ " + L.percent(rate)]) + col, t.amt(total), None, at=at)
    elif net_lines and rate or r.random() < .45:
        t.line(L.t("r_subtotal") + col, t.amt(s if net_lines or r.random() < .5 else round(s - tax, 2)), "subtotal", at=at)
    if service: t.line(r.choice(["Service Charge 10%", "SVC CHG (10%)", "Service 10%"]) + col, t.amt(service), "service_charge", at=at)
    if showtax: t.line(_tax_label(t, rate, not net_lines) + col, t.amt(tax), "tax_total", at=at)
    rounded = total
    if L.country in ("MY", "CH", "SG", "AU") and r.random() < .45:
        rounded = round(round(total * 20) / 20, 2); t.line(r.choice(["ROUNDING", "Rounding Adj.", "Rounding Adjustment", "Round Adj"]) + col, t.amt(round(rounded - total, 2)), "rounding", at=at)
    if r.random() < .12: t.line(L.t("discount") + col, t.amt(0), None, at=at)
    big = t.wide() if r.random() < .5 else t.b if r.random() < .5 else t.f
    lab = L.t("r_total")
    if r.random() < .15: lab += f" ({L.sym})" if r.random() < .5 else f" {L.cur}"
    if r.random() < .15: t.rule()
    t.line(lab + col, L.money(rounded) if t.cash_money or r.random() < .45 else L.amount(rounded), "total", big, at if big.size <= t.s * 1.05 else None)
    if r.random() < .3: t.rule()
    if r.random() < .8: payment(t, rounded, col, at)
    if not showtax and rate and r.random() < .5: t.line(_tax_label(t, rate, True) + col, t.amt(tax), "tax_total", at=at)
    if rate and r.random() < (.6 if L.country in ("MY", "DE", "AT", "NL", "IT", "GB") else .2) and t.room(5): tax_table(t, rate, s, tax, net_lines, vals)


def _tax_label(t, rate, incl):
    r, L = t.r, t.L
    lab = L.t("r_tax")
    if r.random() < .65: lab = r.choice([f"{lab} {L.percent(rate)}", f"{lab} @ {L.percent(rate)}", f"{lab} ({L.percent(rate)})", f"{L.percent(rate)} {lab}"])
    if incl and r.random() < .5: lab = {"en": r.choice(["Incl. ", "Included ", "Inclusive "]), "de": "inkl. ", "fr": "dont ", "es": "incl. ", "it": "di cui ", "nl": "incl. ", "pt": "incl. ", "pl": "w tym ", "cs": "z toho "}[L.lang] + lab
    return lab


def payment(t, total, col, at):
    r, L = t.r, t.L
    if r.random() < .55:
        given = total if r.random() < .3 else round(max(total, (int(total / r.choice([1, 5, 10, 50])) + 1) * r.choice([1, 5, 10, 10, 50])), 2)
        lab = L.t("r_cash"); t.line(lab + col, t.amt(given), "tendered", at=at)
        _method(t, lab)
        if given > total or r.random() < .5: t.line(L.t("r_change") + col, t.amt(round(given - total, 2)), "change", at=at)
    else:
        lab = L.t("r_card"); t.line(lab + col, t.amt(total), "tendered", at=at)
        _method(t, lab)
        if r.random() < .6: card(t)


def _method(t, lab):
    p = t.p; s = t.f.clean(t.case(lab))
    for q in reversed(p.pieces):
        if q[4].startswith(s):
            p.fields["payment_method"] = s; p.boxes["payment_method"] = q[:4]; return


def card(t):
    r, L, p = t.r, t.L, t.p
    rows = [(r.choice(["Card:", "CARD NO", "Kartennr.", "PAN:"]), r.choice(["************", "XXXX XXXX XXXX ", "**** **** **** ", "xxxxxxxxxxxx"]) + C.digits(r, 4), "card_number"), (r.choice(["Auth Code:", "APPR CODE", "AUTH:", "Approval Code:"]), C.shape(r, "******"), "auth_code"), (r.choice(["TID:", "Terminal ID:", "TERM"]), C.digits(r, 8), "terminal_id"), (r.choice(["AID:", "AID"]), "A0000000" + C.digits(r, 6), None), ("MID:", C.digits(r, 12), None), (r.choice(["Ref:", "RRN", "Trace No."]), C.digits(r, 6), None), ("Entry:", r.choice(["CHIP", "Contactless", "Swiped"]), None)]
    m = r.choice("lr")
    for a, b, k in r.sample(rows, r.randint(1, 5)):
        if t.room(3): t.kv(a, b, k, m)
    if r.random() < .4 and t.room(2): t.centre(L.t("r_copy"))


def tax_table(t, rate, s, tax, net_lines, vals):
    r, L, p, f = t.r, t.L, t.p, t.f
    t.gap(.3)
    if r.random() < .3: t.rule()
    net = round(s, 2) if net_lines else round(s - tax, 2)
    c1, c2 = t.x + t.cw * r.uniform(.52, .66), t.x1
    h = {"en": [r.choice(["GST Summary", "Tax Code", "GST Analysis", "Tax Summary", "VAT Summary"]), f"{r.choice(['Amount', 'Amt', 'Goods'])}({L.sym})", r.choice([f"Tax({L.sym})", "GST Amt", "Tax Amount"])]}.get(L.lang) or [L.t("tax_code"), L.t("tax_base"), L.t("r_tax")]
    b = p.text(c1, t.y, t.case(h[1]), f, None, "r", t.cw * .4); p.text(c2, t.y, t.case(h[2]), f, None, "r", c2 - c1 - 6)
    p.text(t.x, t.y, t.case(h[0]), f, None, "l", max(f.adv["0"], b.x0 - t.x - 4))
    t.y += t.lh
    if r.random() < .4: t.rule()
    codes = [c for c in dict.fromkeys(c for _, c in vals) if c] or [r.choice(["SR", "S", "A", "1", "VAT"])]
    for i, c in enumerate(codes):
        if not t.room(2): break
        base, tx = (net, tax) if i == 0 else (0, 0)
        rt = rate if i == 0 else 0
        p.text(t.x, t.y, r.choice([f"{c} ({L.percent(rt)})", f"{c} = {L.percent(rt)}", f"{c} {L.percent(rt)}", f"{c} @ {L.percent(rt)}"]), f); p.text(c1, t.y, L.amount(base), f, None, "r"); p.text(c2, t.y, L.amount(tx), f, None, "r"); t.y += t.lh
    if r.random() < .4:
        p.text(t.x, t.y, t.case(r.choice(["Total", "TOTAL:", ""])), f); p.text(c1, t.y, L.amount(net), f, None, "r"); p.text(c2, t.y, L.amount(tax), f, None, "r"); t.y += t.lh


def closing(t):
    r, L, p = t.r, t.L, t.p
    parts = [q for q, pr in (("thanks", .7), ("policy", .4), ("hours", .15), ("web", .2), ("code", .2), ("number", .1), ("more", .15), ("again", .1)) if r.random() < pr]
    r.shuffle(parts)
    t.gap()
    for q in parts:
        if not t.room(3): break
        if q == "thanks": t.centre(L.t("r_thanks"), f=t.wide() if r.random() < .15 else None)
        elif q == "policy": t.centre(t.case(L.t("r_policy")), lines=3)
        elif q == "hours": t.centre(L.t("r_hours"))
        elif q == "web": t.centre(r.choice([L.web(), L.email(), "facebook.com/" + L.domain().split(".")[0], "WIFI: " + C.code(r)]))
        elif q == "more": t.centre(t.case(L.sentence(4, 14)), lines=4)
        elif q == "again": t.centre("*" * r.randint(2, 6) + " " + r.choice(L.words).upper() + " " + "*" * 3)
        elif q == "number": t.centre(" ".join(C.digits(r, r.randint(8, 12))))
        elif q == "code" and t.room(6):
            if r.random() < .6:
                bw = t.cw * r.uniform(.4, .8); barcode(p, t.x + (t.cw - bw) / 2, t.y, bw, t.lh * 2)
                t.y += t.lh * 2.2
                if r.random() < .6: t.centre(C.digits(r, 13))
            else: t.y += qr(p, t.x + t.cw / 2 - t.lh * 2.5, t.y, t.lh * 5) + t.lh * .4
        if r.random() < .2: t.gap()


def fuel(t):
    r, L, p = t.r, t.L, t.p
    grade = r.choice(["Unleaded 95", "Diesel", "SUPER E10", "V-Power", "RON95", "SP98", "Gasolina 95", "Super Plus", "LPG"])
    pr = round(r.uniform(.9, 2.3), 3); q = round(r.uniform(5, 70), 2); am = round(pr * q, 2)
    if r.random() < .6: t.kv(r.choice(["Pump", "PUMP NO", "Säule", "Pompe"]), str(r.randint(1, 16)), "pump", r.choice("lr"))
    qs, ps, a = L.amount(q), L.amount(pr, 3), t.amt(am); y0 = t.y
    p.text(t.x, t.y, t.case(grade), t.f); t.y += t.lh
    u = r.choice(["L", "Ltr", "l", "GAL"]); s = r.choice([f"{qs} {u} x {ps}", f"{qs} {u} @ {ps}", f"{qs}{u} * {ps} /{u}"])
    b = p.text(t.x1, t.y, a, t.f, None, "r"); g = t.f.shrunk(s, b.x0 - t.x - t.s * .6); p.text(t.x, t.y, s, g, maxw=b.x0 - t.x - t.s * .4); t.y += t.lh
    p.fields["lines"] = [{"description": t.f.clean(t.case(grade)), "quantity": qs, "unit_price": ps, "amount": a}]; p.boxes["lines"] = [(t.x, y0, t.x1, t.y)]
    return [(am, "")]


def slip(t):
    """A card terminal slip: no goods."""
    r, L, p = t.r, t.L, t.p
    t.centre(r.choice(["SALE", "PURCHASE", "Kartenzahlung", "CARD SALE", "PAYMENT", "Debit Sale"]) if L.lang in ("en", "de") else L.t("r_card"), f=t.wide())
    card(t); total = L.value(.5, 2.6); t.gap()
    tip = round(total * .15, 2) if L.country == "US" and r.random() < .6 else 0
    if tip: t.line("AMOUNT", L.money(total), "subtotal"); t.line("TIP", L.money(tip), "tip")
    t.line(L.t("r_total"), L.money(round(total + tip, 2)), "total", t.wide())
    lab = L.t("r_card"); t.left(lab); _method(t, lab)
    t.gap()
    if r.random() < .5:
        t.y += t.lh
        if r.random() < .6: scribble(p, t.x + t.cw * .1, t.y, t.cw * .5, t.lh * 2.4, 60, 2)
        t.y += t.lh * 2.4; p.hline(t.x, t.x + t.cw * .8, t.y); t.y += 4; t.left(r.choice(["Signature", "CARDHOLDER SIGNATURE", "Unterschrift", "x"]))
    if r.random() < .5: t.centre(L.t("r_copy"))


def trip(t):
    """Parking and transport tickets."""
    r, L, p = t.r, t.L, t.p
    m = r.choice("lr")
    if t.kind == "receipt.parking":
        rows = [(r.choice(["Entry:", "Entry Time", "IN:", "Einfahrt"]), f"{L.date()} {C.digits(r, 1)}{r.randint(0, 9)}:{r.randint(10, 59)}", None), (r.choice(["Exit:", "Exit Time", "OUT:", "Ausfahrt"]), f"{L.date()} 1{r.randint(0, 9)}:{r.randint(10, 59)}", None), (r.choice(["Duration", "Dauer", "Parked:"]), f"{r.randint(0, 9)}h {r.randint(0, 59)}m", None), (r.choice(["Plate", "Vehicle:", "Kennzeichen"]), C.shape(r, r.choice(["@@@ ####", "@@-@@ ###", "@@## @@@"])), "plate"), (r.choice(["Bay", "Level", "Ticket No"]), C.digits(r, r.randint(1, 6)), None)]
    else:
        rows = [(r.choice(["From:", "Von", "De", "Depart"]), L.city(), None), (r.choice(["To:", "Nach", "À", "Arrive"]), L.city(), None), (r.choice(["Train", "Taxi No", "Route", "Zug", "Seat"]), C.code(r), None), (r.choice(["Class", "Klasse", "Fare type"]), str(r.randint(1, 2)), None), (r.choice(["Distance", "km"]), L.amount(r.uniform(1, 90), 1), None)]
    for a, b, k in r.sample(rows, r.randint(2, len(rows))): t.kv(a, b, k, m)
    return [(L.value(.3, 2), "")]


def make_receipt(r, w, h, kind, crop=False):
    t = Till(r, w, h, kind); p = t.p
    if r.random() < .07: backprint(p)
    header(t)
    if r.random() < .3: t.rule()
    late = r.random() < .15
    if not late: reference(t)
    t.gap(.4)
    if kind == "receipt.card_slip": slip(t)
    else:
        vals = fuel(t) if kind == "receipt.fuel" else trip(t) if kind in ("receipt.parking", "receipt.transport") else goods(t)
        if vals: sums(t, vals)
    if late and t.room(6): t.gap(); reference(t)
    closing(t)
    _currency(p, t.L)
    pen(t)
    if r.random() < .1:
        stamp(p, r.choice(["PAID", "POSTED", "POSTED", "PAID " + t.L.date(), "RECEIVED", "COPY", "CLAIMED", "BEZAHLT", "OK", t.L.date()]), r.uniform(.1, .7) * w, r.uniform(.02, r.choice([.2, .95])) * min(h, t.y), t.s * r.uniform(1.2, 2.2), r.gauss(0, 9), r.randint(20, 150))
    if r.random() < .06: p.d.ellipse(_around(p, r), outline=r.randint(40, 120), width=2)
    if crop: shrink(p, min(h, int(t.y + r.uniform(.02, .12) * h)))
    return p


def backprint(p):
    """Words or marks of the paper's maker, faint behind the print."""
    r = p.r; tone = max(0, p.bg - r.randint(10, 40)); f = Family(r.choice(FAMILIES["sans"]))(r.uniform(16, 40), "b"); s = f.clean(r.choice(["SAMPLE", "Thank You", "ORIGINAL", C.Local(r).cap().upper()]))
    cell = Page(r, int(f.width(s)) + 12, int(f.lh) + 6, 0); cell.text(4, 2, s, f, 255, read=False); mark = cell.img.rotate(r.choice([0, 20, 30, 45]), expand=True, resample=2)
    for y in range(r.randint(0, 60), p.h, mark.height + r.randint(10, 90)):
        for x in range(r.randint(-40, 20), p.w, mark.width + r.randint(10, 90)): p.img.paste(tone, (x, y), mark)


def pen(t):
    """What people leave on receipts: notes, ticks, strokes; words are read, strokes are not."""
    r, p = t.r, t.p; tone = r.randint(20, 120)
    if r.random() < .1 and t.y + t.s * 3 < p.h:
        f = Family(r.choice(FAMILIES["hand"]))(t.s * r.uniform(1.2, 1.9)); p.region = 950
        p.text(r.uniform(t.x, t.x + t.cw * .5), t.y + t.s * .4, r.choice([t.L.phrase(1, 3), C.digits(r, r.randint(3, 7)), t.L.r.choice(t.L.d["first"]), t.L.date()]), f, tone); t.y += f.lh + t.s
    if r.random() < .1:
        for _ in range(r.randint(1, 5)):
            x, y = r.uniform(0, p.w), r.uniform(0, min(p.h, t.y)); k = t.s * r.uniform(.5, 1.2)
            p.d.line((x, y, x + k * .4, y + k * .5, x + k * 1.3, y - k * .6), fill=tone, width=r.randint(1, 3))
    if r.random() < .06: scribble(p, r.uniform(.05, .5) * p.w, r.uniform(0, .8) * min(p.h, t.y), p.w * r.uniform(.15, .4), t.lh * r.uniform(1, 2.5), r.randint(60, 150), r.choice([1, 2]))
    if r.random() < .04:
        x, y, k = r.uniform(0, p.w), r.uniform(0, min(p.h, t.y)), t.s * r.uniform(.2, .5); p.d.ellipse((x, y, x + k, y + k), fill=tone)
    if r.random() < .13: over(t, tone)


def over(t, tone):
    """Large handwriting, strokes and rings across the print; none of it is read."""
    r, p = t.r, t.p; low = min(p.h, t.y)
    for _ in range(r.randint(1, 3)):
        x, y, k = r.uniform(0, p.w * .7), r.uniform(0, low * .9), t.s * r.uniform(2.2, 5); kind = r.randrange(4); wd = r.randint(2, 4)
        if kind == 0: p.d.ellipse((x, y, x + k * r.uniform(1.5, 4), y + k), outline=tone, width=wd)
        elif kind == 1: p.d.line([(x + k * i * .4, y + k * r.uniform(0, 1)) for i in range(r.randint(3, 9))], fill=tone, width=wd, joint="curve")
        else:
            f = Family(r.choice(FAMILIES["hand"]))(k); p.text(x, y, r.choice([C.digits(r, 2) + "." + C.digits(r, 2), f"{r.randint(1, 31)}/{r.randint(1, 12)}", t.L.cap(), C.digits(r, r.randint(2, 4))]), f, tone, read=False)
    if r.random() < .3:                                             # punched to be filed
        x, y, k = r.choice([r.uniform(0, t.x), r.uniform(t.x1, p.w)]), r.uniform(0, low), t.s * r.uniform(.8, 1.5); p.d.ellipse((x - k, y - k, x + k, y + k), fill=r.choice([0, 255, tone]))


def _around(p, r):
    b = p.boxes.get("total") or p.boxes.get("date") or (20, 20, 120, 50)
    return (max(0, b[0] - 12), max(0, b[1] - 6), min(p.w, b[2] + 10), min(p.h, b[3] + 7))


def _currency(p, L):
    for s in (L.sym, L.cur):
        for q in p.pieces:
            i = q[4].find(s)
            if i >= 0 and not q[4][i - 1:i].isalpha() and not q[4][i + len(s):i + len(s) + 1].isalpha():
                p.fields["currency"] = s; p.boxes["currency"] = q[:4]; return


def shrink(p, h):
    """Cut the empty paper below."""
    low = max([q[3] for q in p.pieces] or [0]) + 6
    h = max(int(low), min(p.h, h))
    p.img = p.img.crop((0, 0, p.w, h)); p.h = h
    from PIL import ImageDraw
    p.d = ImageDraw.Draw(p.img)
