#!/usr/bin/python3
"""Draw the sample documents and write down what is on them.

Every name, number and address is invented (.example domains, bank "EXMP"), every sum
adds up, and IBANs and VAT identifiers have right check digits, so that a checker that
rejects one of these documents is wrong.  For each FILE there is FILE.expected.json with
the values as drawn: dates as ISO 8601, amounts with a decimal point.

    samples/draw.py              write the documents beside this script
    samples/draw.py -o DIR       write them somewhere else
    samples/draw.py --check      draw again and compare with what is there

Needs python3-pil, python3-numpy, python3-reportlab and fonts-dejavu (Debian 12).  Nothing
reads the clock and noise has a fixed seed, so the same versions of these give the same
bytes, but for the last bit of a float: linear algebra rounds as the processor's kernels
do.  So --check takes bytes that differ when the pictures in them agree to a grey level
that nobody sees.
"""
import argparse
import io
import json
import pathlib
import re
import sys
import tempfile
from decimal import ROUND_HALF_UP, Decimal as D

import numpy
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from reportlab import rl_config
from reportlab.lib.colors import black, white
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

HERE = pathlib.Path(__file__).resolve().parent
FONTS = pathlib.Path("/usr/share/fonts/truetype/dejavu")
FACES = {
    "sans": "DejaVuSans.ttf", "sans-b": "DejaVuSans-Bold.ttf",
    "serif": "DejaVuSerif.ttf", "serif-b": "DejaVuSerif-Bold.ttf",
    "narrow": "DejaVuSansCondensed.ttf", "narrow-b": "DejaVuSansCondensed-Bold.ttf",
    "mono": "DejaVuSansMono.ttf", "mono-b": "DejaVuSansMono-Bold.ttf",
}
A4 = (595.28, 841.89)
CENT = D("0.01")


# ---- check digits ----------------------------------------------------------

def as_number(text):
    """Letters become 10 to 35, the way ISO 7064 counts them."""
    return int("".join(str(int(c, 36)) for c in text))


def iban(country, bban):
    return f"{country}{98 - as_number(bban + country + '00') % 97:02d}{bban}"


def weighted(digits, weights):
    return sum(int(d) * w for d, w in zip(digits, weights))


def luhn_digit(digits):
    total = 0
    for i, d in enumerate(reversed(digits)):
        n = int(d) * (2 if i % 2 == 0 else 1)
        total += n - 9 if n > 9 else n
    return str(-total % 10)


def vat_de(body):
    p = 10
    for d in body:
        s = (int(d) + p) % 10 or 10
        p = 2 * s % 11
    return f"DE{body}{(11 - p) % 10}"


def vat_gb(body):
    return f"GB{body}{97 - weighted(body, range(8, 1, -1)) % 97:02d}"


def vat_fr(body):
    siren = body + luhn_digit(body)
    return f"FR{(12 + 3 * (int(siren) % 97)) % 97:02d}{siren}"


def vat_ie(body):
    return f"IE{body}{'WABCDEFGHIJKLMNOPQRSTUV'[weighted(body, range(8, 1, -1)) % 23]}"


def vat_nl(body):
    digit = weighted(body, range(9, 1, -1)) % 11
    assert digit < 10
    return f"NL{body}{digit}B01"


def vat_pl(body):
    digit = weighted(body, (6, 5, 7, 2, 3, 4, 5, 6, 7)) % 11
    assert digit < 10
    return f"PL{body}{digit}"


def vat_it(body):
    return f"IT{body}{luhn_digit(body)}"


# ---- how each country prints ----------------------------------------------

def grouped(text, size=4):
    return " ".join(text[i:i + size] for i in range(0, len(text), size))


def number(value, sign, group, places=2):
    whole, _, part = f"{value:.{places}f}".partition(".")
    digits = []
    while len(whole) > 3:
        digits.insert(0, whole[-3:])
        whole = whole[:-3]
    digits.insert(0, whole)
    return group.join(digits) + (sign + part if places else "")


MONTHS = {
    "en": "January February March April May June July August September October November "
          "December".split(),
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre "
          "décembre".split(),
}


def date(iso, form):
    y, m, d = iso.split("-")
    if form in MONTHS:
        return f"{int(d)} {MONTHS[form][int(m) - 1]} {y}"
    return form.replace("Y", y).replace("M", m).replace("D", d)


# ---- one page, two ways to put it down --------------------------------------

class PdfPage:
    """Pages of a PDF.  Points from the top left corner, y is the base line."""

    def __init__(self, stream, size, title):
        self.canvas = Canvas(stream, pagesize=size, invariant=1, pageCompression=1)
        self.canvas.setTitle(title)
        self.canvas.setProducer("samples/draw.py")
        self.canvas.setCreator("samples/draw.py")
        self.height = size[1]

    def text(self, x, y, text, size=9, face="sans", align="l"):
        width = pdfmetrics.stringWidth(text, face, size)
        self.canvas.setFont(face, size)
        self.canvas.drawString(x - {"l": 0, "r": width, "c": width / 2}[align],
                               self.height - y, text)

    def line(self, x0, y0, x1, y1, width=0.6):
        self.canvas.setLineWidth(width)
        self.canvas.line(x0, self.height - y0, x1, self.height - y1)

    def box(self, x, y, w, h, grey):
        self.canvas.setFillGray(grey)
        self.canvas.rect(x, self.height - y - h, w, h, stroke=0, fill=1)
        self.canvas.setFillGray(0)

    def next(self):
        self.canvas.showPage()

    def finish(self):
        self.canvas.showPage()
        self.canvas.save()


class PicturePage:
    """The same calls onto grey pictures, one per page, in self.pages."""

    def __init__(self, size, dpi):
        self.scale = dpi / 72
        self.size = tuple(round(s * self.scale) for s in size)
        self.pages = []
        self.fonts = {}
        self.next()

    def font(self, face, size):
        key = (face, round(size * self.scale))
        if key not in self.fonts:
            self.fonts[key] = ImageFont.truetype(str(FONTS / FACES[face]), key[1],
                                                 layout_engine=ImageFont.Layout.BASIC)
        return self.fonts[key]

    def text(self, x, y, text, size=9, face="sans", align="l"):
        self.pen.text((x * self.scale, y * self.scale), text, fill=15,
                      font=self.font(face, size),
                      anchor={"l": "ls", "r": "rs", "c": "ms"}[align])

    def line(self, x0, y0, x1, y1, width=0.6):
        s = self.scale
        self.pen.line((x0 * s, y0 * s, x1 * s, y1 * s), fill=40,
                      width=max(1, round(width * s)))

    def box(self, x, y, w, h, grey):
        s = self.scale
        self.pen.rectangle((x * s, y * s, (x + w) * s, (y + h) * s), fill=round(grey * 255))

    def next(self):
        self.pages.append(Image.new("L", self.size, 255))
        self.pen = ImageDraw.Draw(self.pages[-1])

    def finish(self):
        pass


# ---- invoices ---------------------------------------------------------------

def work_out(spec):
    """Amounts of lines, taxes and totals from quantities, prices and rates."""
    lines, base = [], {}
    for name, quantity, unit, price, rate in spec["lines"]:
        net = (D(quantity) * D(price)).quantize(CENT, ROUND_HALF_UP)
        lines.append({"name": name, "quantity": D(quantity), "unit": unit,
                      "unit_price": D(price), "rate": D(rate), "net_amount": net})
        base[D(rate)] = base.get(D(rate), D(0)) + net
    taxes = [{"rate": r, "taxable_amount": base[r],
              "tax_amount": (base[r] * r / 100).quantize(CENT, ROUND_HALF_UP)}
             for r in sorted(base, reverse=True)]
    net = sum(t["taxable_amount"] for t in taxes)
    tax = sum(t["tax_amount"] for t in taxes)
    return lines, taxes, {"net_total": net, "tax_total": tax, "gross_total": net + tax}


def expected_invoice(spec):
    lines, taxes, totals = work_out(spec)
    fields = {"document_type": "invoice", "currency": spec["currency"]}
    for key in ("invoice_number", "issue_date", "due_date", "customer_number",
                "purchase_order_number"):
        if key in spec:
            fields[key] = spec[key]
    for role in ("seller", "buyer"):
        party = spec[role]
        fields[f"{role}.name"] = party["name"]
        for key in ("line1", "postcode", "city"):
            fields[f"{role}.address.{key}"] = party[key]
        if "vat_id" in party:
            fields[f"{role}.vat_id"] = party["vat_id"]
    fields["payment.accounts.0.iban"] = spec["iban"]
    fields["payment.accounts.0.bic"] = spec["bic"]
    for key, value in totals.items():
        fields[f"totals.{key}"] = str(value)
    for i, tax in enumerate(taxes):
        for key, value in tax.items():
            fields[f"taxes.{i}.{key}"] = str(value)
    for i, line in enumerate(lines):
        for key in ("name", "quantity", "unit_price", "net_amount"):
            fields[f"lines.{i}.{key}"] = str(line[key])
    return {"schema": "invoice", "fields": fields}


class InvoiceLayout:
    """Places an invoice on pages; `spec` holds words, style and values."""

    left, right = 56.0, 539.0

    def __init__(self, page, spec):
        self.page, self.spec, self.words = page, spec, spec["words"]
        self.face, self.bold = spec["face"], spec["face"] + "-b"
        self.lines, self.taxes, self.totals = work_out(spec)

    def amount(self, value, places=2):
        text = number(value, *self.spec["number"], places)
        return text

    def money(self, value):
        return self.spec["money"].format(self.amount(value))

    def put(self, x, y, text, size=9, bold=False, align="l"):
        self.page.text(x, y, text, size, self.bold if bold else self.face, align)

    def block(self, x, y, rows, size=9, step=12.5):
        for i, row in enumerate(rows):
            self.put(x, y + i * step, row, size, bold=i == 0)
        return y + len(rows) * step

    def address(self, role):
        p = self.spec[role]
        town = p.get("town_form", "{postcode} {city}").format(**p)
        rows = [p["name"], p["line1"], town, p["country_name"]]
        if "vat_id" in p:
            rows.append(f"{self.words['vat_id']} {p.get('vat_print', p['vat_id'])}")
        return rows

    def head(self):
        spec, words = self.spec, self.words
        seller_right = spec["seller_side"] == "right"
        self.put(self.left, 70, words["title"], 20, bold=True)
        x = 340 if seller_right else self.left
        self.block(x, 60 if seller_right else 100,
                   self.address("seller") + spec["seller"]["contact"], 8.5, 12)
        y = 190
        self.put(self.left, y, words["bill_to"], 8.5)
        self.block(self.left, y + 15, self.address("buyer"))
        facts = [(words[k], v) for k, v in spec["facts"]]
        for i, (label, value) in enumerate(facts):
            self.put(340, y + i * 14, label)
            self.put(self.right, y + i * 14, value, align="r", bold=i == 0)
        return 300

    def columns(self):
        return {"name": self.left + 24, "quantity": 350, "unit_price": 420, "rate": 465,
                "net_amount": self.right}

    def table_head(self, y):
        at = self.columns()
        self.page.box(self.left - 4, y - 12, self.right - self.left + 8, 17, 0.88)
        self.put(self.left, y, "#", 8.5, True)
        self.put(at["name"], y, self.words["name"], 8.5, True)
        for key in ("quantity", "unit_price", "rate", "net_amount"):
            self.put(at[key], y, self.words[key], 8.5, True, "r")
        return y + 20

    def row(self, y, index, line):
        at = self.columns()
        places = max(0, -line["quantity"].as_tuple().exponent)
        self.put(self.left, y, str(index + 1), 8.5)
        self.put(at["name"], y, line["name"], 8.5)
        self.put(at["quantity"], y, f"{self.amount(line['quantity'], places)} {line['unit']}",
                 8.5, align="r")
        self.put(at["unit_price"], y, self.amount(line["unit_price"]), 8.5, align="r")
        self.put(at["rate"], y, f"{line['rate']} %", 8.5, align="r")
        self.put(at["net_amount"], y, self.amount(line["net_amount"]), 8.5, align="r")

    def carry(self, y, word, upto):
        total = sum(line["net_amount"] for line in self.lines[:upto])
        self.put(465, y, self.words[word], 8.5, align="r")
        self.put(self.right, y, self.amount(total), 8.5, align="r")

    def sums(self, y):
        words = self.words
        rows = [(words["net_total"], self.totals["net_total"], False)]
        for tax in self.taxes:
            label = words["tax"].format(rate=tax["rate"],
                                        base=self.amount(tax["taxable_amount"]))
            rows.append((label, tax["tax_amount"], False))
        if len(self.taxes) > 1:
            rows.append((words["tax_total"], self.totals["tax_total"], False))
        rows.append((words["gross_total"], self.totals["gross_total"], True))
        for label, value, bold in rows:
            if bold:
                self.page.line(300, y - 11, self.right, y - 11, 1)
            self.put(310, y, label, 10 if bold else 9, bold)
            self.put(self.right, y, self.money(value), 10 if bold else 9, bold, "r")
            y += 16
        return y

    def foot(self, y):
        spec, words = self.spec, self.words
        y += 20
        self.put(self.left, y, words["pay"].format(due=date(spec["due_date"],
                                                            spec["date_form"])))
        for i, (label, value) in enumerate((
                ("IBAN", grouped(spec["iban"])), ("BIC", spec["bic"]),
                (words["reference"], spec["invoice_number"]))):
            self.put(self.left, y + 18 + i * 14, f"{label}:")
            self.put(self.left + 90, y + 18 + i * 14, value)
        self.page.line(self.left, 790, self.right, 790, 0.4)
        self.put((self.left + self.right) / 2, 803, spec["footer"], 7.5, align="c")

    def draw(self):
        per_page = self.spec.get("rows_per_page", len(self.lines))
        pages = -(-len(self.lines) // per_page)
        y = self.table_head(self.head())
        for i, line in enumerate(self.lines):
            if i and i % per_page == 0:
                self.carry(y + 4, "carried", i)
                self.number_page(i // per_page, pages)
                self.page.next()
                self.put(self.left, 56, f"{self.words['title']} "
                                        f"{self.spec['invoice_number']}", 10, True)
                y = self.table_head(84)
                self.carry(y, "brought", i)
                y += 16
            self.row(y, i, line)
            y += 15
        self.page.line(self.left, y - 8, self.right, y - 8)
        self.foot(self.sums(y + 12))
        if pages > 1:
            self.number_page(pages, pages)
        self.page.finish()

    def number_page(self, page, of):
        self.put(self.right, 820, self.words["page"].format(page=page, of=of), 8, align="r")


WORDS_EN = {
    "title": "Invoice", "bill_to": "Bill to", "vat_id": "VAT no.", "name": "Description",
    "quantity": "Qty", "unit_price": "Unit price", "rate": "VAT", "net_amount": "Amount",
    "net_total": "Subtotal", "tax": "VAT {rate} % on {base}", "tax_total": "Total VAT",
    "gross_total": "Total due", "pay": "Please pay by {due} to the account below.",
    "reference": "Reference", "number": "Invoice number", "issued": "Invoice date",
    "due": "Due date", "customer": "Customer no.", "order": "Purchase order",
    "carried": "Carried forward", "brought": "Brought forward", "page": "Page {page} of {of}",
}
WORDS_DE = {
    "title": "Rechnung", "bill_to": "Rechnungsempfänger", "vat_id": "USt-IdNr.",
    "name": "Bezeichnung", "quantity": "Menge", "unit_price": "Einzelpreis", "rate": "USt",
    "net_amount": "Gesamt", "net_total": "Nettobetrag",
    "tax": "zzgl. {rate} % USt auf {base}", "tax_total": "Umsatzsteuer gesamt",
    "gross_total": "Rechnungsbetrag", "pay": "Bitte überweisen Sie den Betrag bis {due}.",
    "reference": "Zweck", "number": "Rechnungsnummer", "issued": "Rechnungsdatum",
    "due": "Fällig am", "customer": "Kundennummer", "order": "Bestellnummer",
}
WORDS_FR = {
    "title": "Facture", "bill_to": "Facturé à", "vat_id": "N° TVA",
    "name": "Désignation", "quantity": "Quantité", "unit_price": "Prix unit.",
    "rate": "TVA", "net_amount": "Montant HT", "net_total": "Total HT",
    "tax": "TVA {rate} % sur {base}", "tax_total": "Total TVA", "gross_total": "Total TTC",
    "pay": "À régler avant le {due} par virement.", "reference": "Référence",
    "number": "Facture n°", "issued": "Date de facture", "due": "Échéance",
    "customer": "N° client", "order": "Commande n°",
}


def facts(spec, *keys):
    values = {"number": spec["invoice_number"],
              "issued": date(spec["issue_date"], spec["date_form"]),
              "due": date(spec["due_date"], spec["date_form"]),
              "customer": spec.get("customer_number"),
              "order": spec.get("purchase_order_number")}
    spec["facts"] = [(k, values[k]) for k in keys]
    return spec


def invoice_en():
    return facts({
        "words": WORDS_EN, "face": "sans", "seller_side": "right", "number": (".", ","),
        "money": "£{}", "currency": "GBP", "date_form": "en",
        "invoice_number": "INV-2026-0418", "issue_date": "2026-03-12",
        "due_date": "2026-04-11", "customer_number": "C-20771",
        "purchase_order_number": "PO-88123",
        "seller": {"name": "Larkmoor Instruments Ltd", "line1": "14 Tannery Row",
                   "city": "Sheffield", "postcode": "S3 8QX", "town_form": "{city} {postcode}",
                   "country_name": "United Kingdom", "vat_id": vat_gb("4217308"),
                   "contact": ["accounts@larkmoor.example", "+44 114 496 0417"]},
        "buyer": {"name": "Penhallow Field Studies", "line1": "2 Quay Street",
                  "city": "Truro", "postcode": "TR1 2HD", "town_form": "{city} {postcode}",
                  "country_name": "United Kingdom"},
        "iban": iban("GB", "EXMP40127665430981"), "bic": "EXMPGB2L",
        "lines": [("Rain gauge, brass, 200 mm", "3", "pcs", "84.50", "20"),
                  ("Soil probe, stainless", "12", "pcs", "17.25", "20"),
                  ("Field guide, second edition", "25", "pcs", "9.80", "0"),
                  ("Calibration on site", "1.5", "h", "62.00", "20")],
        "footer": "Larkmoor Instruments Ltd · registered in England · www.larkmoor.example",
    }, "number", "issued", "due", "customer", "order")


def invoice_de():
    return facts({
        "words": WORDS_DE, "face": "narrow", "seller_side": "right", "number": (",", "."),
        "money": "{} €", "currency": "EUR", "date_form": "D.M.Y",
        "invoice_number": "RE-10472", "issue_date": "2026-02-03", "due_date": "2026-02-17",
        "customer_number": "70318", "purchase_order_number": "B-2026/119",
        "seller": {"name": "Weidenbach Papierwerk GmbH", "line1": "Mühlgasse 27",
                   "city": "Göttingen", "postcode": "37073", "country_name": "Deutschland",
                   "vat_id": vat_de("28143097"),
                   "contact": ["rechnung@weidenbach.example", "Tel. 0551 4960 118"]},
        "buyer": {"name": "Buchhandlung Sörensen & Töchter", "line1": "Am Alten Hafen 5",
                  "city": "Flensburg", "postcode": "24937", "country_name": "Deutschland"},
        "iban": iban("DE", "120300000518204417"), "bic": "EXMPDEFFXXX",
        "lines": [("Schreibpapier A4, 90 g/m²", "40", "Pkg", "6.85", "19"),
                  ("Skizzenbuch, Leinen, 120 Blatt", "150", "Stk", "11.40", "19"),
                  ("Kalender 2027, Vorbestellung", "60", "Stk", "7.95", "7"),
                  ("Geschenkband, 25 m", "18", "Rll", "2.30", "19"),
                  ("Versand, Palette", "1", "Stk", "48.00", "19")],
        "footer": "Amtsgericht Göttingen · HRB 204417 · www.weidenbach.example",
    }, "number", "issued", "due", "customer", "order")


def invoice_fr():
    return facts({
        "words": WORDS_FR, "face": "serif", "seller_side": "left", "number": (",", " "),
        "money": "{} €", "currency": "EUR", "date_form": "fr",
        "invoice_number": "F2026-0073", "issue_date": "2026-01-28",
        "due_date": "2026-02-27", "customer_number": "CL-0459",
        "seller": {"name": "Atelier Rivebelle SARL", "line1": "8 rue des Tonneliers",
                   "city": "Angers", "postcode": "49100", "country_name": "France",
                   "vat_id": vat_fr("81230457"), "contact": []},
        "buyer": {"name": "Hôtel du Vieux Pressoir", "line1": "31 quai de la Loire",
                  "city": "Saumur", "postcode": "49400", "country_name": "France"},
        "iban": iban("FR", "30099000110004512870B64"), "bic": "EXMPFRPP",
        "lines": [("Chaise en hêtre, vernie", "16", "u", "118.00", "20"),
                  ("Table ronde, 90 cm", "4", "u", "342.50", "20"),
                  ("Pose et réglage", "7.5", "h", "45.00", "10")],
        "footer": "Atelier Rivebelle SARL · contact@rivebelle.example · capital 20 000 €",
    }, "number", "issued", "due", "customer")


def invoice_scan():
    return facts({
        "words": dict(WORDS_EN, title="INVOICE"), "face": "serif", "seller_side": "right",
        "number": (".", ","), "money": "€{}", "currency": "EUR", "date_form": "D/M/Y",
        "invoice_number": "2026-3051", "issue_date": "2026-05-19", "due_date": "2026-06-18",
        "purchase_order_number": "4500-771",
        "seller": {"name": "Corrib Joinery Works", "line1": "Unit 6, Ballyvane Park",
                   "city": "Galway", "postcode": "H91 X4T7", "town_form": "{city} {postcode}",
                   "country_name": "Ireland", "vat_id": vat_ie("4819207"),
                   "contact": ["office@corribjoinery.example"]},
        "buyer": {"name": "Kilbride Community Theatre", "line1": "19 Abbey Lane",
                  "city": "Sligo", "postcode": "F91 K2P8", "town_form": "{city} {postcode}",
                  "country_name": "Ireland"},
        "iban": iban("IE", "EXMP93115271604488"), "bic": "EXMPIE2D",
        "lines": [("Stage platform, oak, 2 x 1 m", "8", "pcs", "164.00", "23"),
                  ("Handrail, 3 m", "4", "pcs", "57.50", "23"),
                  ("Fitting, two persons", "9", "h", "38.00", "13.5"),
                  ("Delivery", "1", "trip", "45.00", "23")],
        "footer": "Corrib Joinery Works · Galway · corribjoinery.example",
    }, "number", "issued", "due", "order")


GOODS = [
    ("Hex bolt M6 x 20, zinc", "100", "0.09"), ("Hex bolt M8 x 30, zinc", "100", "0.14"),
    ("Hex nut M6", "200", "0.03"), ("Hex nut M8", "200", "0.05"),
    ("Washer 6.4 mm", "500", "0.02"), ("Washer 8.4 mm", "500", "0.02"),
    ("Threaded rod M8, 1 m", "20", "1.85"), ("Angle bracket 40 x 40", "60", "0.72"),
    ("Angle bracket 60 x 60", "40", "1.15"), ("Wall plug 8 mm, box of 100", "12", "4.60"),
    ("Wood screw 4 x 40, box of 200", "15", "6.95"),
    ("Wood screw 5 x 60, box of 200", "15", "9.40"), ("Hinge, steel, 80 mm", "48", "1.38"),
    ("Door closer, size 3", "6", "42.75"), ("Padlock, brass, 40 mm", "10", "8.20"),
    ("Cable tie 200 mm, bag of 100", "25", "2.45"), ("Insulating tape, black", "30", "1.10"),
    ("Sanding disc 125 mm, P80", "100", "0.38"), ("Sanding disc 125 mm, P120", "100", "0.38"),
    ("Cutting disc 125 mm", "50", "0.95"), ("Drill bit, HSS, 6 mm", "20", "1.75"),
    ("Drill bit, HSS, 8 mm", "20", "2.35"), ("Masonry bit, 8 mm", "15", "2.90"),
    ("Work gloves, size 9", "24", "3.15"), ("Safety glasses, clear", "24", "4.05"),
    ("Ear plugs, box of 50 pairs", "4", "7.60"), ("Dust mask FFP2, box of 20", "10", "12.80"),
    ("Paint brush, flat, 50 mm", "30", "2.20"), ("Paint roller, 180 mm", "12", "4.85"),
    ("Silicone, transparent, 310 ml", "36", "3.95"), ("Wood glue, 750 g", "8", "7.25"),
    ("Folding rule, 2 m", "10", "3.60"), ("Spirit level, 60 cm", "3", "18.90"),
    ("Cable reel, 25 m", "2", "39.50"), ("Tool box, steel", "2", "46.80"),
    ("Delivery, pallet", "1", "55.00"),
]


def invoice_long():
    return facts({
        "words": WORDS_EN, "face": "narrow", "seller_side": "right", "number": (".", ","),
        "money": "EUR {}", "currency": "EUR", "date_form": "Y-M-D", "rows_per_page": 28,
        "invoice_number": "NL26-00912", "issue_date": "2026-06-30",
        "due_date": "2026-07-30", "customer_number": "38-2204",
        "purchase_order_number": "WO-5567-B",
        "seller": {"name": "Van der Linde IJzerwaren B.V.", "line1": "Kanaalkade 118",
                   "city": "Alkmaar", "postcode": "1811 LP", "country_name": "Netherlands",
                   "vat_id": vat_nl("81247365"),
                   "contact": ["sales@vdlinde.example", "+31 72 549 6017"]},
        "buyer": {"name": "Noordwest Scheepsonderhoud", "line1": "Werfstraat 3",
                  "city": "Den Helder", "postcode": "1781 AK", "country_name": "Netherlands"},
        "iban": iban("NL", "EXMP0417164385"), "bic": "EXMPNL2A",
        "lines": [(name, n, "pcs", price, "21") for name, n, price in GOODS],
        "footer": "Van der Linde IJzerwaren B.V. · Alkmaar · vdlinde.example",
    }, "number", "issued", "due", "customer", "order")


def invoice_fax():
    spec = invoice_scan()
    spec.update({
        "words": WORDS_EN, "face": "sans", "money": "{} EUR", "date_form": "en",
        "rows_per_page": 9, "invoice_number": "A-77140", "issue_date": "2026-04-02",
        "due_date": "2026-05-02", "purchase_order_number": "7719",
        "seller": {"name": "Brandt & Osei Laboratory Supply", "line1": "Harbour Road 212",
                   "city": "Cork", "postcode": "T12 W8E2", "town_form": "{city} {postcode}",
                   "country_name": "Ireland", "vat_id": vat_ie("6351842"),
                   "contact": ["billing@brandt-osei.example"]},
        "buyer": {"name": "Institute for Coastal Water", "line1": "Strand Road 40",
                  "city": "Wexford", "postcode": "Y35 R6C1", "town_form": "{city} {postcode}",
                  "country_name": "Ireland"},
        "iban": iban("IE", "EXMP90201744120963"),
        "lines": [("Beaker, 250 ml", "24", "pcs", "3.40", "23"),
                  ("Beaker, 600 ml", "24", "pcs", "4.75", "23"),
                  ("Measuring cylinder, 100 ml", "10", "pcs", "12.60", "23"),
                  ("Filter paper, 110 mm, pack", "30", "pack", "8.15", "23"),
                  ("Pipette tips, 1 ml, box", "40", "box", "6.90", "23"),
                  ("Sample bottle, 500 ml", "120", "pcs", "1.35", "23"),
                  ("Buffer solution pH 7", "6", "l", "14.20", "23"),
                  ("Gloves, nitrile, M, box", "25", "box", "7.80", "23"),
                  ("Thermometer, -10 to 110 °C", "8", "pcs", "9.95", "23"),
                  ("Stirring rod, glass", "30", "pcs", "0.85", "23"),
                  ("Wash bottle, 500 ml", "15", "pcs", "3.10", "23"),
                  ("Freight", "1", "pcs", "28.50", "23")],
        "footer": "Brandt & Osei Laboratory Supply · Cork · brandt-osei.example",
    })
    return facts(spec, "number", "issued", "due", "order")


def invoice_pdf(spec):
    out = io.BytesIO()
    InvoiceLayout(PdfPage(out, A4, spec["words"]["title"] + " " + spec["invoice_number"]),
                  spec).draw()
    return out.getvalue()


def invoice_pictures(spec, dpi):
    page = PicturePage(A4, dpi)
    InvoiceLayout(page, spec).draw()
    return page.pages


# ---- paper that met a scanner or a camera -----------------------------------

def speckle(picture, seed, sigma):
    noise = numpy.random.RandomState(seed).normal(0, sigma, (picture.height, picture.width))
    grey = numpy.asarray(picture, dtype=numpy.float64) + noise
    return Image.fromarray(numpy.clip(grey, 0, 255).astype(numpy.uint8))


def scan(picture, seed):
    """Slightly turned, unevenly lit, a little noise: a desk scanner."""
    turned = picture.rotate(0.7, Image.Resampling.BICUBIC, fillcolor=250)
    light = numpy.linspace(244, 222, picture.width) / 255
    grey = (numpy.asarray(turned, dtype=numpy.float64) * light).astype(numpy.uint8)
    return speckle(Image.fromarray(grey).filter(ImageFilter.GaussianBlur(0.5)), seed, 3)


def scan_pdf(spec):
    dpi = 150
    jpeg = io.BytesIO()
    scan(invoice_pictures(spec, dpi)[0], 20260519).save(jpeg, "JPEG", quality=58,
                                                        dpi=(dpi, dpi))
    out = io.BytesIO()
    page = PdfPage(out, A4, "scan")
    page.canvas.drawImage(ImageReader(io.BytesIO(jpeg.getvalue())), 0, 0, *A4)
    page.finish()
    return out.getvalue()


def fax_tiff(spec):
    out = io.BytesIO()
    pages = [p.rotate(angle, Image.Resampling.BICUBIC, fillcolor=255)
             .point(lambda v: 255 if v > 140 else 0).convert("1", dither=0)
             for p, angle in zip(invoice_pictures(spec, 200), (-0.2, 0.3))]
    assert len(pages) == 2
    pages[0].save(out, "TIFF", compression="group4", dpi=(200, 200), save_all=True,
                  append_images=pages[1:])
    return out.getvalue()


# ---- receipts ---------------------------------------------------------------

def draw_receipt(spec, width, dpi):
    """A till slip: `spec["rows"]` of (left, right) texts; None is a rule."""
    rows = spec["rows"]
    page = PicturePage((width, 40 + 13.5 * len(rows)), dpi)
    y = 26
    for row in rows:
        if row is None:
            page.line(14, y - 4, width - 14, y - 4)
        elif isinstance(row, str):
            page.text(width / 2, y, row, 9, "mono-b" if y < 30 else "mono", "c")
        else:
            bold = "mono-b" if row[0] in spec["loud"] else "mono"
            page.text(14, y, row[0], 8.5, bold)
            page.text(width - 14, y, row[1], 8.5, bold, "r")
        y += 13.5
    return page.pages[0]


def receipt_fields(spec):
    fields = {f"merchant.{k}": v for k, v in spec["merchant"].items()}
    fields.update({k: spec[k] for k in ("date", "time", "currency", "total", "tax_total",
                                        "subtotal", "tendered", "change") if k in spec})
    for i, (description, _, _, amount) in enumerate(spec["items"]):
        fields[f"lines.{i}.description"] = description
        fields[f"lines.{i}.amount"] = amount
    return {"schema": "receipt", "fields": fields}


def items_right(items):
    for _, quantity, price, amount in items:
        assert (D(quantity) * D(price)).quantize(CENT, ROUND_HALF_UP) == D(amount)
    return sum(D(item[3]) for item in items)


def receipt_us():
    items = [("Oat porridge", "1", "6.50", "6.50"), ("Rye toast", "2", "3.25", "6.50"),
             ("Filter coffee", "2", "2.95", "5.90"), ("Apple cake", "1", "4.80", "4.80")]
    subtotal = items_right(items)
    tax = (subtotal * D("0.0825")).quantize(CENT, ROUND_HALF_UP)
    total = subtotal + tax
    spec = {"merchant": {"name": "HEATHER STREET CAFE", "phone": "(555) 013-0147"},
            "date": "2026-07-08", "time": "08:41", "currency": "USD", "items": items,
            "subtotal": str(subtotal), "tax_total": str(tax), "total": str(total),
            "tendered": "40.00", "change": str(D(40) - total), "loud": ("TOTAL",)}
    spec["rows"] = ["HEATHER STREET CAFE", "212 Heather Street", "Tel (555) 013-0147", None,
                    ("07/08/2026  08:41", "Check 1183"), None]
    spec["rows"] += [(f"{q} {name}", f"${amount}") for name, q, _, amount in items]
    spec["rows"] += [None, ("Subtotal", f"${subtotal}"), ("Sales tax 8.25%", f"${tax}"),
                     ("TOTAL", f"${total}"), None, ("Cash", "$40.00"),
                     ("Change", f"${spec['change']}"), None, "Thank you!",
                     "heatherstreet.example"]
    return spec


def receipt_pl():
    items = [("Chleb żytni", "1", "7.49", "7.49"), ("Mleko 3,2% 1l", "2", "4.29", "8.58"),
             ("Jabłka ligol", "1.350", "3.99", "5.39"), ("Ser gouda 300g", "1", "12.99", "12.99")]
    total = items_right(items)
    tax = (total * 5 / 105).quantize(CENT, ROUND_HALF_UP)
    nip = vat_pl("526103784")

    def pl(text):
        return text.replace(".", ",")
    spec = {"merchant": {"name": "SKLEP POD LIPĄ", "tax_number": nip[2:]},
            "date": "2026-09-14", "time": "17:26", "currency": "PLN", "items": items,
            "tax_total": str(tax), "total": str(total), "loud": ("SUMA PLN",)}
    spec["rows"] = ["SKLEP POD LIPĄ", "ul. Ogrodowa 11, 31-155 Kraków",
                    f"NIP {nip[2:]}", None, ("2026-09-14", "nr wydr. 004217"),
                    "PARAGON FISKALNY"]
    spec["rows"] += [(name, f"{pl(q)} x {pl(p)} {pl(a)} B") for name, q, p, a in items]
    spec["rows"] += [None, ("SPRZEDAŻ OPODATKOWANA B", pl(str(total))),
                     ("PTU B 5,00%", pl(str(tax))), ("SUMA PTU", pl(str(tax))),
                     ("SUMA PLN", pl(str(total))), None, ("Karta płatnicza", pl(str(total))),
                     ("Kasa 2", "17:26"), "Dziękujemy!"]
    return spec


def receipt_it():
    items = [("Pane casereccio", "1", "3.20", "3.20"), ("Pomodori kg", "1.2", "2.50", "3.00"),
             ("Olio oliva 0,75l", "2", "8.90", "17.80"), ("Basilico", "1", "1.50", "1.50")]
    total = items_right(items)
    tax = (total * 4 / 104).quantize(CENT, ROUND_HALF_UP)
    vat = vat_it("0482913001")

    def it(text):
        return text.replace(".", ",")
    spec = {"merchant": {"name": "ALIMENTARI BELVEDERE", "vat_id": vat},
            "date": "2026-10-05", "time": "11:08", "currency": "EUR", "items": items,
            "tax_total": str(tax), "total": str(total), "tendered": "30.00",
            "change": str(D(30) - total), "loud": ("TOTALE COMPLESSIVO",)}
    spec["rows"] = ["ALIMENTARI BELVEDERE", "Via dei Cipressi 9, 53100 Siena",
                    f"P.IVA {vat}", None, "DOCUMENTO COMMERCIALE",
                    "di vendita o prestazione", ("DESCRIZIONE   IVA", "Prezzo(€)")]
    spec["rows"] += [(f"{name:<17}4%", it(a)) for name, _, _, a in items]
    spec["rows"] += [None, ("TOTALE COMPLESSIVO", it(str(total))),
                     ("di cui IVA", it(str(tax))), None, ("Contante", "30,00"),
                     ("Resto", it(spec["change"])), None, ("05/10/2026 11:08", "DOC. 0412-0063"),
                     "Arrivederci"]
    return spec


def photo(slip, seed):
    """A slip on a table, seen from slightly aside, lit from one corner."""
    w, h = slip.width + 160, slip.height + 160
    rnd = numpy.random.RandomState(seed)
    grain = Image.fromarray(rnd.normal(92, 9, (h // 6, w // 40)).clip(0, 255)
                            .astype(numpy.uint8)).resize((w, h), Image.Resampling.BICUBIC)
    corners = [(78, 86), (w - 92, 70), (w - 66, h - 84), (88, h - 66)]
    source = [(0, 0), (slip.width, 0), (slip.width, slip.height), (0, slip.height)]
    rows, values = [], []
    for (x, y), (u, v) in zip(corners, source):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    a = numpy.linalg.solve(numpy.array(rows, float), numpy.array(values, float))
    warp = dict(size=(w, h), method=Image.Transform.PERSPECTIVE, data=a.tolist(),
                resample=Image.Resampling.BICUBIC)
    paper = slip.transform(fillcolor=255, **warp)
    mask = Image.new("L", slip.size, 255).transform(fillcolor=0, **warp)
    grey = Image.composite(paper.point(lambda v: 20 + v * 225 // 255), grain, mask)
    light = 1.02 - 0.28 * (numpy.arange(h)[:, None] / h) * (numpy.arange(w)[None, :] / w)
    grey = Image.fromarray((numpy.asarray(grey) * light).clip(0, 255).astype(numpy.uint8))
    grey = numpy.asarray(speckle(grey.filter(ImageFilter.GaussianBlur(0.7)), seed + 1, 2.5))
    tint = numpy.array([1.0, 0.97, 0.9])
    return Image.fromarray((grey[:, :, None] * tint).astype(numpy.uint8))


def receipt_photo():
    out = io.BytesIO()
    photo(draw_receipt(receipt_us(), 226, 200), 708).save(out, "JPEG", quality=70,
                                                          dpi=(200, 200))
    return out.getvalue()


def receipt_png(spec):
    out = io.BytesIO()
    draw_receipt(spec, 226, 200).save(out, "PNG", optimize=True, dpi=(203, 203))
    return out.getvalue()


# ---- a form -----------------------------------------------------------------

FORM_TITLE = "Library membership application"
FORM_FIELDS = [("Full name", "Ilse Marchetti"), ("Date of birth", "1991-04-23"),
               ("Street and number", "7 Orchard Close"), ("Postcode and town", "LD3 8BT Brecon"),
               ("E-mail", "ilse@marchetti.example"), ("Telephone", "+44 1874 496 022")]
FORM_BOXES = [("Membership", [("Adult", True), ("Student", False), ("Family", False)]),
              ("Send me", [("New book lists", True), ("Event calendar", False),
                           ("Opening hours", True)])]


def slug(label):
    return "".join(c if c.isalnum() else "_" for c in label.lower()).strip("_")


def form_pdf():
    out = io.BytesIO()
    page = PdfPage(out, A4, FORM_TITLE)
    form = page.canvas.acroForm
    page.text(56, 72, FORM_TITLE, 17, "sans-b")
    page.text(56, 92, "Form L-12 (2026)   Please fill in and return to the front desk.", 9)
    y = 130
    for label, value in FORM_FIELDS:
        page.text(56, y, label, 10)
        form.textfield(name=slug(label), value=value, x=200, y=page.height - y - 5, width=320,
                       height=18, fontName="Helvetica", fontSize=10, borderWidth=0.5,
                       borderColor=black, fillColor=white, forceBorder=True)
        y += 30
    for group, boxes in FORM_BOXES:
        y += 14
        page.text(56, y, group, 10, "sans-b")
        for label, is_checked in boxes:
            y += 22
            form.checkbox(name=slug(label), checked=is_checked, x=70,
                          y=page.height - y - 3, size=13, buttonStyle="check",
                          borderWidth=0.8, borderColor=black, fillColor=white,
                          forceBorder=True)
            page.text(92, y, label, 10)
        y += 14
    page.line(56, y + 60, 300, y + 60)
    page.text(56, y + 73, "Signature", 8)
    page.finish()
    return out.getvalue()


def form_fields():
    fields = {"title": FORM_TITLE}
    for label, value in FORM_FIELDS:
        fields[f"fields.{slug(label)}.value"] = value
    for _, boxes in FORM_BOXES:
        for label, is_checked in boxes:
            fields[f"checkboxes.{slug(label)}.state"] = "checked" if is_checked else "unchecked"
    return {"schema": "form", "fields": fields}


# ---- all of it --------------------------------------------------------------

def documents():
    """Yields (file name, bytes, what is on it)."""
    for name, spec in (("invoice-en.pdf", invoice_en()), ("invoice-de.pdf", invoice_de()),
                       ("invoice-fr.pdf", invoice_fr()), ("invoice-long.pdf", invoice_long())):
        yield name, invoice_pdf(spec), expected_invoice(spec)
    yield "invoice-scan.pdf", scan_pdf(invoice_scan()), expected_invoice(invoice_scan())
    yield "invoice-fax.tif", fax_tiff(invoice_fax()), expected_invoice(invoice_fax())
    yield "receipt-photo.jpg", receipt_photo(), receipt_fields(receipt_us())
    yield "receipt-pl.png", receipt_png(receipt_pl()), receipt_fields(receipt_pl())
    yield "receipt-it.png", receipt_png(receipt_it()), receipt_fields(receipt_it())
    yield "form-membership.pdf", form_pdf(), form_fields()


def draw_all(folder):
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for name, data, expected in documents():
        (folder / name).write_bytes(data)
        text = json.dumps(expected, ensure_ascii=False, indent=1)
        (folder / f"{name}.expected.json").write_text(text + "\n", encoding="utf-8")
        names += [name, f"{name}.expected.json"]
    return names


# Grey levels of 255.  Where the slip ends on the table one pixel may fall to the other
# side, and its JPEG block with it; a changed stroke of print is darker than that.
MEAN_MAX, DIFFERENCE_MAX = 0.004, 80
JPEG_STREAM = re.compile(rb"\xff\xd8\xff.*\xff\xd9", re.DOTALL)


def same_pictures(a, b):
    """Two image files: frame for frame the same but for roundings."""
    with Image.open(io.BytesIO(a)) as one, Image.open(io.BytesIO(b)) as other:
        frames = getattr(one, "n_frames", 1)
        if frames != getattr(other, "n_frames", 1):
            return False
        for i in range(frames):
            one.seek(i)
            other.seek(i)
            if (one.size, one.mode) != (other.size, other.mode):
                return False
            gap = abs(numpy.asarray(one, dtype=numpy.int16) -
                      numpy.asarray(other, dtype=numpy.int16))
            if gap.mean() > MEAN_MAX or gap.max() > DIFFERENCE_MAX:
                return False
    return True


def same_document(name, a, b):
    """Bytes, or where only a picture was rounded otherwise, what is to be seen."""
    if a == b:
        return True
    if not name.endswith(".pdf"):
        return not name.endswith(".json") and same_pictures(a, b)
    one, other = JPEG_STREAM.findall(a), JPEG_STREAM.findall(b)
    if len(one) != 1 or len(other) != 1 or not same_pictures(one[0], other[0]):
        return False
    # the rest but for the lengths and places that follow from the picture's length
    rest = [re.sub(rb"\d+", b"0", JPEG_STREAM.sub(b"", data)) for data in (a, b)]
    return rest[0] == rest[1]


def main():
    parser = argparse.ArgumentParser(description="Draw the sample documents.")
    parser.add_argument("-o", "--output", type=pathlib.Path, default=HERE, metavar="DIR")
    parser.add_argument("--check", action="store_true",
                        help="draw into a temporary folder and compare with what is there")
    args = parser.parse_args()
    rl_config.useA85 = 0
    for face, file in FACES.items():
        pdfmetrics.registerFont(TTFont(face, str(FONTS / file)))
    if not args.check:
        for name in draw_all(args.output):
            print(f"{(args.output / name).stat().st_size:8d}  {name}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        changed = [n for n in draw_all(folder) if not (args.output / n).is_file() or
                   not same_document(n, (folder / n).read_bytes(),
                                     (args.output / n).read_bytes())]
    for name in changed:
        print(f"differs: {name}")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
