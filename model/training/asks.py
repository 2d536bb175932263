"""Questions about a drawn page: the page's text as a reader would give it, and answers that stand in that text.

The decoder is taught to copy: where the text is spoiled (characters confused, lost, added), the answer is what stands in the
spoiled text; where a value is lost, the answer is null. `Sheet` holds one page with one state of its text."""
import json

INVOICE = ("document_type invoice_number issue_date due_date delivery_date purchase_order_number customer_number seller_name seller_address "
           "seller_vat_id seller_tax_number buyer_name buyer_address buyer_vat_id currency net_total tax_total gross_total amount_due payment_terms iban bic").split()
RECEIPT = ("merchant_name merchant_address merchant_phone merchant_tax_number receipt_number date time currency subtotal tax_total total "
           "payment_method tendered change").split()
LINES = {"invoice": ["name", "quantity", "unit", "unit_price", "tax_rate", "net_amount"], "receipt": ["description", "quantity", "unit_price", "amount"]}
TAXES = ["rate", "taxable_amount", "tax_amount"]
PLAIN = {"invoice.invoice": "invoice", "invoice.credit_note": "credit note", "invoice.proforma": "proforma invoice", "order.purchase_order": "purchase order",
         "order.confirmation": "order confirmation", "order.quotation": "quotation", "logistics.delivery_note": "delivery note", "logistics.packing_list": "packing list",
         "payment.bank_statement": "bank statement", "payment.remittance_advice": "remittance advice", "payment.reminder": "reminder", "hr.payslip": "payslip",
         "hr.timesheet": "timesheet", "hr.expense_report": "expense report", "hr.resume": "resume", "identity.id_card": "id card", "identity.driver_license": "driver license",
         "identity.passport": "passport", "office.letter": "letter", "office.memo": "memo", "office.email": "email", "order.contract": "contract", "office.form": "form",
         "office.questionnaire": "questionnaire", "office.report": "report", "office.budget": "budget", "office.presentation": "presentation", "office.price_list": "price list",
         "media.news": "news article", "media.scientific_publication": "scientific publication", "media.brochure": "brochure", "media.advertisement": "advertisement",
         "technical.data_sheet": "specification"}
LOOK = {}
for _c in "0O 0D 0Q 1l 1I 1i 1| l| I| Il 5S 5s 6b 6G 8B 8S 9g 9q 2Z 2z 7T 4A ce co oa ea uv nh nm rn un vy .,, ,; :; .: -~ EF PR CG ij tf fr bh äa öo üu éè éeèe ßB çc ñn €E".split():
    for _x in _c:
        for _y in _c:
            if _x != _y: LOOK.setdefault(_x, []).append(_y)
ADDED = "abcdefghijklmnopqrstuvwxyz0123456789.,-'ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def plain(kind):
    """An everyday name of a class."""
    return "receipt" if kind.startswith("receipt") else PLAIN.get(kind, kind.split(".")[-1].replace("_", " "))


def spoil(s, e, r):
    """s with errors at the rate e, and for every character of s (and its end) the place in the result."""
    if not e: return s, list(range(len(s) + 1))
    out, at = "", []
    for c in s:
        at.append(len(out))
        if r.random() >= e: out += c; continue
        y = r.random()
        if y < .6 and c in LOOK: out += r.choice(LOOK[c])
        elif y < .78: pass
        elif y < .9: out += c + " "
        else: out += r.choice(ADDED)
    at.append(len(out)); return out, at


def rows_of(boxes):
    """Numbers of the boxes row by row: a box joins the row whose horizontally nearest box lies less than half a height off."""
    rows = []
    for i in sorted(range(len(boxes)), key=lambda i: boxes[i][1] + boxes[i][3]):
        x0, y0, x1, y1 = boxes[i][:4]; c, h = (y0 + y1) / 2, y1 - y0; best = None
        for row in rows[-12:]:
            j = min(row, key=lambda j: max(boxes[j][0] - x1, x0 - boxes[j][2])); q = boxes[j]; d = abs((q[1] + q[3]) / 2 - c)
            if d < .5 * min(h, q[3] - q[1]) and (best is None or d < best[0]): best = d, row
        if best: best[1].append(i)
        else: rows.append([i])
    for row in rows: row.sort(key=lambda i: boxes[i][0])
    rows.sort(key=lambda row: sum(boxes[i][1] + boxes[i][3] for i in row) / len(row))
    return rows


class Sheet:
    """One page and one state of its text."""

    def __init__(self, p, r, noise=None):
        self.p, self.r = p, r
        e = r.choice([0, 0, 0, 0, .003, .01, .02, .04, .07]) if noise is None else noise
        self.bits = [spoil(q[4], e, r) if not e or r.random() > .02 else ("", [0] * (len(q[4]) + 1)) for q in p.pieces]
        self.text = self._text()

    def _text(self):
        P, r, x = self.p.pieces, self.r, self.r.random(); s = [b[0].strip() for b in self.bits]
        if x < .86:                                         # as docvl itself writes a page
            out = []
            for row in rows_of(P):
                t, last = "", None
                for i in row:
                    if not s[i]: continue
                    if last is not None: t += "\t" if P[i][0] - P[last][2] > .9 * max(P[i][3] - P[i][1], P[last][3] - P[last][1]) else " "
                    t += s[i]; last = i
                if t: out.append(t)
            return "\n".join(out)
        sep = "\t" if x < .92 else "  " if x < .94 else " " if x < .96 else "\n"
        return "\n".join(filter(None, (sep.join(s[i] for i in row if s[i]) for row in self.p.rows())))

    def _piece(self, v, box):
        """What the text has for v, which stands inside one piece; None: nowhere on the page, "": lost."""
        best = None
        for i, q in enumerate(self.p.pieces):
            k = q[4].find(v)
            if k < 0: continue
            near = 0 if box and q[0] < box[2] + 2 and box[0] < q[2] + 2 and q[1] < box[3] + 2 and box[1] < q[3] + 2 else 1
            key = (near, len(q[4]) - len(v))
            if best is None or key < best[0]: best = key, i, k
        if best is None: return None
        t, at = self.bits[best[1]]; return " ".join(t[at[best[2]]: at[best[2] + len(v)]].split())

    def value(self, v, box=None):
        """A value as the text has it: (found, text or None)."""
        if isinstance(box, list): box = box[0] if box else None
        t = self._piece(v, box)
        if t is not None: return True, t or None
        found, t = self._rows_of(v, ", ", box)
        return (found, t) if found or " " not in v else self._rows_of(v, " ", box)

    def _rows_of(self, v, sep, box):
        """A value over several rows, an address or a long name: the longest beginnings that stand in one piece, joined by commas."""
        parts, out = v.split(sep), []
        while parts:
            for n in range(len(parts), 0, -1):
                t = self._piece(sep.join(parts[:n]), box)
                if t is not None: break
            if t is None or len(out) > 5: return False, None
            if t: out.append(t.rstrip(", ") if n < len(parts) else t)
            parts = parts[n:]
        return True, ", ".join(out) or None

    # ---- questions: (question, answer) as text --------------------------------------------------------
    def family(self): return "receipt" if str(self.p.kind).startswith("receipt") else "invoice" if str(self.p.kind).split(".")[0] in ("invoice", "order", "logistics") or self.p.kind == "payment.reminder" else ""

    def extract(self, keys):
        """Flat keys and lists: keys are names or (name, [columns])."""
        o, ask = {}, []
        for k in keys:
            name, sub = k if isinstance(k, tuple) else (k, None); v = self.p.fields.get(name)
            if sub is None:
                if isinstance(v, list) or v in ("checked", "unchecked"): continue
                ok, t = (True, None) if v is None else self.value(v, self.p.boxes.get(name))
                if not ok: continue
                o[name] = t; ask.append(name)
            else:
                rows = v if isinstance(v, list) and v and isinstance(v[0], dict) else []; out = []
                for row in rows:
                    out.append({q: self.value(row[q])[1] if row.get(q) is not None else None for q in sub})
                o[name] = out; ask.append(f"{name}[{', '.join(sub)}]")
        if not ask: return None
        return "Extract JSON: " + ", ".join(ask), json.dumps(o, ensure_ascii=False, separators=(",", ":"))

    def random_keys(self, no=()):
        r, f = self.r, self.p.fields; ks = [k for k in f if k not in no]; fam = self.family()
        pool = INVOICE if fam == "invoice" else RECEIPT if fam == "receipt" else INVOICE + RECEIPT
        if r.random() < .6 and len(ks) > 2: r.shuffle(ks); ks = ks[: r.randint(1, len(ks))]
        ks += r.sample(pool, min(len(pool), r.randint(0, max(1, len(ks) // 2))))
        ks = list(dict.fromkeys(ks))
        if r.random() < .4: r.shuffle(ks)
        out = []
        for k in ks:
            v = f.get(k)
            if isinstance(v, list) and v and isinstance(v[0], dict):
                sub = list(dict.fromkeys(s for row in v for s in row))
                if r.random() < .4 and len(sub) > 2: r.shuffle(sub); sub = sub[: r.randint(2, len(sub))]
                out.append((k, sub))
            else: out.append(k)
        return out

    def fixed(self):
        """The key sets that docvl's own schemas ask, one question each."""
        r, fam = self.r, self.family() or self.r.choice(["invoice", "receipt", "form"])
        if fam == "form": return [["title", "form_number"]]
        head = INVOICE if fam == "invoice" else RECEIPT; name = "lines"
        out = [head, [(name, LINES[fam])]]
        if fam == "invoice": out.append([("taxes", TAXES)])
        return out

    def form(self):
        rows = []
        for l, v, b in self.p.pairs[:60]:
            ok, t = self.value(v, b); ok2, u = self.value(l)
            if ok and ok2 and t and u: rows.append([u.rstrip(" :"), t])
        if not rows: return None
        if self.r.random() < .35: return "List the fields.", json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
        return "Extract JSON: fields[label, value]", json.dumps({"fields": [{"label": l, "value": v} for l, v in rows]}, ensure_ascii=False, separators=(",", ":"))

    def boxes(self):
        o = [[k, v] for k, v in self.p.fields.items() if v in ("checked", "unchecked")]
        return ("List the check boxes.", json.dumps(o, ensure_ascii=False, separators=(",", ":"))) if o else None

    def pair(self):
        if not self.p.pairs: return None
        l, v, b = self.r.choice(self.p.pairs); ok, t = self.value(v, b); ok2, u = self.value(l)
        return ("Find: " + u, t) if ok and ok2 and t and u else None

    def label(self, kinds):
        r, k = self.r, str(self.p.kind)
        if r.random() < .7: name = plain; k = plain(k)
        elif r.random() < .5: name = str
        else: name = lambda q: str(q).split(".")[0]; k = name(k)
        ks = list(dict.fromkeys([name(str(q)) for q in r.sample(kinds, r.randint(2, 16))] + [k])); r.shuffle(ks)
        return "Classify: " + ", ".join(ks), k

    def questions(self, kinds, n):
        """n different questions."""
        r, out = self.r, []; f = [k for k in self.p.fields]
        fixed = self.fixed(); r.shuffle(fixed)
        if fixed and r.random() < .5: fixed.sort(key=lambda q: isinstance(q[0], tuple))
        for _ in range(3 * n):
            if len(out) >= n: break
            x = r.random(); q = None
            if x < .6 and fixed and (self.family() or r.random() < .08): q = self.extract(fixed.pop(0))
            elif x < .82 and len(f) >= 2: q = self.extract(self.random_keys())
            elif x < .86: q = self.form() if not self.family() and r.random() < .7 else self.pair()
            elif x < .92: q = self.pair()
            else: q = self.label(kinds)
            if q and q[1] and all(q[0] != w[0] for w in out): out.append(q)
        return out
