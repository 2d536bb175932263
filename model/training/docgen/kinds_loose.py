"""Invoices whose parts stand in no fixed order: views of electronic invoices, letters with the amounts in
sentences, and blocks set freely side by side, with what real papers carry besides the values."""
from . import content as C
from .blocks import Style, Col, logo_mark, new_page, pairs, party, table, totals
from .canvas import union
from .kinds_trade import INCOTERMS, NAMES, Trade, _currency, _recount, brand, draw_totals, title_text, vat_summary

LANGS = C.LANGS
PHRASES = {}


def more(p, key, ink):
    """A value goes on in the next line."""
    if ink and key in p.fields: p.fields[key] += " " + ink.text; p.boxes[key] = union([p.boxes[key], ink.box])


def _p(key, *texts):
    """One string for each of LANGS, with | between the variants."""
    PHRASES[key] = {lang: text.split("|") for lang, text in zip(LANGS, texts, strict=True)}


_p("seller", "Seller|Vendor|Provider|Supplier|From|Issued by|Company", "Verkäufer|Lieferant|Rechnungssteller|Anbieter|Leistungserbringer|Absender", "Vendeur|Fournisseur|Émetteur|Prestataire", "Vendedor|Proveedor|Emisor",
   "Venditore|Fornitore|Cedente|Cedente/prestatore", "Verkoper|Leverancier|Afzender", "Vendedor|Fornecedor|Emitente",
   "Sprzedawca|Dostawca|Wystawca|Usługodawca|Wykonawca|Sprzedający", "Dodavatel|Prodávající|Zhotovitel|Poskytovatel|Vystavitel")
_p("buyer", "Buyer|Purchaser|Customer|Sold to|Client|Bill to Address|Invoice to|Billed to", "Käufer|Kunde|Rechnungsempfänger|Auftraggeber|Leistungsempfänger|Rechnung an", "Acheteur|Client|Destinataire|Facturé à", "Comprador|Cliente|Destinatario|Facturar a",
   "Acquirente|Cliente|Cessionario|Destinatario|Spett.le", "Koper|Klant|Afnemer|Factuur aan", "Comprador|Cliente|Adquirente|Exmo.(s) Sr.(s)",
   "Nabywca|Kupujący|Klient|Usługobiorca|Płatnik|Zamawiający", "Odběratel|Kupující|Zákazník|Objednatel|Příjemce plnění")
_p("other", "Ship to|Payee|Delivery address|Tax representative|Agent|Remit to", "Abweichender Warenempfänger|Abweichender Zahlungsempfänger|Lieferadresse|Steuervertreter|Lieferanschrift", "Livré à|Bénéficiaire du paiement|Adresse de livraison", "Enviar a|Dirección de entrega|Beneficiario",
   "Destinazione merce|Beneficiario|Luogo di consegna", "Afleveradres|Begunstigde", "Morada de entrega|Beneficiário",
   "Odbiorca|Adres dostawy|Miejsce dostawy|Adres korespondencyjny", "Příjemce|Dodací adresa|Místo určení|Korespondenční adresa|Provozovna")
_p("title", "{t} {n} dated {d}|{t} # {n} issued at {d}|{t} No. {n} of {d}|{t} {n} - {d}|{t} no. {n}, {d}", "{t} Nr. {n} vom {d}|{t} {n} vom {d}|{t}-Nr. {n} vom {d}|{t} Nr.: {n} / Datum: {d}", "{t} n° {n} du {d}|{t} N° {n} - {d}|{t} {n} en date du {d}", "{t} n.º {n} de fecha {d}|{t} {n} del {d}",
   "{t} n. {n} del {d}|{t} nr. {n} in data {d}|{t} N. {n} del {d}", "{t} nr. {n} van {d}|{t} {n} d.d. {d}", "{t} n.º {n} de {d}|{t} {n} emitida em {d}",
   "{t} nr {n} z dnia {d}|{t} nr {n} z {d}|{t} {n}, {d}|{t} numer {n} z dnia {d}", "{t} č. {n} ze dne {d}|{t} číslo {n} ze dne {d}|{t} {n} z {d}|{t} č. {n}, {d}")
_p("due", "Please remit until {due}.|Payment is due by {due}.|Please pay {amt} by {due}.|TOTAL AMOUNT DUE ON {due}|The amount will be debited from your account on {due}.|Due on {due}|Payable by {due} without deduction.",
   "Zahlbar bis {due} ohne Abzug.|Bitte überweisen Sie den Betrag bis zum {due}.|Der Betrag von {amt} ist am {due} fällig.|Wir buchen {amt} am {due} von Ihrem Konto ab.|Fällig am {due}|Zahlbar bis spätestens {due}|Bitte überweisen Sie {amt} bis {due} auf unser Konto.",
   "À régler avant le {due}.|Échéance le {due}|Le montant de {amt} sera prélevé le {due}.|Paiement au plus tard le {due}", "Pagadero antes del {due}.|Vence el {due}|El importe de {amt} se cargará el {due}.",
   "Da pagare entro il {due}.|Scadenza {due}|Pagamento di {amt} entro il {due}", "Gelieve te betalen vóór {due}.|Te betalen voor {due}|Het bedrag van {amt} wordt op {due} afgeschreven.", "A pagar até {due}.|Vencimento em {due}|Pague {amt} até {due}.",
   "Prosimy o zapłatę do dnia {due}.|Termin płatności: {due}|Płatne do {due}|Kwotę {amt} prosimy wpłacić do {due}.|Należność płatna do {due} bez potrąceń.", "Splatnost do {due}.|Prosíme o úhradu do {due}.|Splatné dne {due}|Částku {amt} uhraďte do {due}.|Celkem k úhradě {amt} do {due}.")
_p("early", "2% discount if paid by {d}.|3 % cash discount until {d}", "Bei Zahlung bis {d} 2 % Skonto.|3% Skonto bis {d}|Zahlung innerhalb 8 Tagen bis {d} abzgl. 2 % Skonto", "Escompte de 2 % si paiement avant le {d}", "2 % de descuento hasta el {d}", "Sconto 2% se pagato entro il {d}", "2% korting bij betaling voor {d}", "2% de desconto até {d}",
   "Przy zapłacie do {d} 2 % skonta.|Rabat 2% przy płatności do {d}", "Při platbě do {d} sleva 2 %.|Skonto 2 % do {d}")
_p("period", "This invoice is for the billing period {d} - {e}|Service period: {d} to {e}|Period {d} - {e}", "Abrechnungszeitraum: {d} bis {e}|Leistungszeitraum {d} - {e}|für den Zeitraum vom {d} bis zum {e}", "Période du {d} au {e}", "Periodo: {d} - {e}", "Periodo dal {d} al {e}", "Periode: {d} t/m {e}", "Período de {d} a {e}",
   "Okres rozliczeniowy: {d} - {e}|za okres od {d} do {e}|Okres {d} - {e}", "Fakturační období: {d} - {e}|za období od {d} do {e}|Období {d} - {e}")
_p("place", "{c}, {d}|{d}|Date: {d}|{c}, on {d}", "{c}, den {d}|{c}, {d}|{d}|Datum: {d}|{c}, im Auftrag, {d}", "{c}, le {d}|Le {d}|{d}", "{c}, a {d}|{c}, {d}|{d}", "{c}, lì {d}|{c}, {d}|{d}", "{c}, {d}|{d}", "{c}, {d}|{c}, em {d}|{d}",
   "{c}, dnia {d}|{c}, {d}|{d}|{c} dn. {d}|Data: {d}", "V {c} dne {d}|{c}, {d}|{d}|{c} dne {d}|Datum: {d}")
_p("order", "Your order {n}|Your order {n} of {d}|Order: {n}|Your reference {n}|PO {n}", "Ihre Bestellung {n} vom {d}|Ihre Bestellung: {n}|Bestellung Nr. {n} vom {d}|Ihre Auftragsnummer: {n}|Ihr Auftrag {n}", "Votre commande {n} du {d}|Commande n° {n}", "Su pedido {n} de {d}|Pedido: {n}", "Vs. ordine n. {n} del {d}|Ordine {n}", "Uw bestelling {n} van {d}|Bestelnummer: {n}", "V/ encomenda {n} de {d}|Encomenda: {n}",
   "Państwa zamówienie {n} z dnia {d}|Zamówienie nr {n}|Zamówienie: {n}|Do zamówienia {n} z {d}", "Vaše objednávka č. {n} ze dne {d}|Objednávka: {n}|Objednávka č. {n}|Na základě objednávky {n} z {d}")
_p("customer", "Customer: {n}|Customer no. {n}|Your customer number: {n}|Account number: {n}", "Ihre Kundennummer: {n}|Kunde: {n}|Kd.-Nr. {n}|Kundennr.: {n}", "Client n° {n}|N° client : {n}", "Cliente n.º {n}|N.º cliente: {n}", "Cod. cliente {n}|Cliente: {n}", "Klantnummer: {n}|Uw klantnr. {n}", "Cliente n.º {n}|N.º de cliente: {n}",
   "Nr klienta: {n}|Klient nr {n}|Kod klienta: {n}", "Číslo zákazníka: {n}|Zákazník č. {n}|Zákaznické číslo: {n}")
_p("ceo", "Managing director: {p}|CEO {p}|Director: {p}|Owner: {p}", "Geschäftsführer: {p}|GF {p}|Inhaber: {p}|Vorstand: {p}, {q}|Geschäftsführung: {p}", "Gérant : {p}|Directeur : {p}", "Administrador: {p}", "Amministratore: {p}", "Directeur: {p}", "Gerente: {p}",
   "Prezes Zarządu: {p}|Właściciel: {p}|Dyrektor: {p}|Zarząd: {p}, {q}", "Jednatel: {p}|Ředitel: {p}|Majitel: {p}|Jednatelé: {p}, {q}")
_p("court", "Registered in {c} No. {n}|Company No. {n}|Reg. office: {c}", "Amtsgericht {c}|HRB {n} {c}|{c} HRB {n}|Sitz der Gesellschaft: {c}|Handelsregisternummer: HRA {n}|Registergericht {c}, HRB {n}", "RCS {c} {n}|Capital social {a}", "Reg. Merc. {c}, tomo {n}", "REA {c} {n}|Cap. soc. {a} i.v.", "KvK {c} {n}|KvK {n}", "Mat. C.R.C. {c} {n}|Capital social {a}",
   "KRS {n}, Sąd Rejonowy w {c}|KRS: {n}|REGON {n}|Kapitał zakładowy: {a}|Siedziba: {c}", "Zapsáno v OR u KS v {c}, oddíl C, vložka {n}|Spisová značka C {n}, {c}|Sídlo: {c}|Základní kapitál {a}")
_p("hours", "Mon-Fri 9am-5pm|Opening hours Mo-Fr 8:30-17:00", "Mo.-Fr. 08.30 - 12.30 Uhr|Öffnungszeiten: Mo-Fr 9-18 Uhr, Sa 9-13 Uhr", "Du lundi au vendredi de 9h à 18h", "L-V 9:00-18:00", "Lun-Ven 9-13 / 14-18", "ma-vr 9.00-17.30 uur", "2.ª a 6.ª das 9h às 18h",
   "Pn-Pt 8:00-16:00|Godziny otwarcia: pn.-pt. 9-17, sob. 9-13", "Po-Pá 8:00-16:30|Otevírací doba: Po-Pá 9-17, So 9-12")
_p("holder", "Account holder: {n}|Payable to {n}|Beneficiary: {n}", "Kontoinhaber: {n}|Begünstigter: {n}", "Titulaire : {n}", "Titular: {n}", "Intestatario: {n}", "t.n.v. {n}|Rekeninghouder: {n}", "Titular: {n}",
   "Właściciel rachunku: {n}|Odbiorca przelewu: {n}", "Majitel účtu: {n}|Příjemce platby: {n}")
_p("account", "Please transfer the amount to our account: IBAN {iban}, BIC {bic}, {bank}.|Bank details: {bank}, IBAN {iban}, BIC {bic}|Pay to {iban} ({bank})", "Bitte überweisen Sie auf folgende Bankverbindung: IBAN {iban}, BIC {bic}, {bank}.|Bankverbindung: {bank}, IBAN: {iban}, BIC: {bic}|Unser Konto: {bank} IBAN {iban} BIC {bic}",
   "Virement à {bank}, IBAN {iban}, BIC {bic}.|Nos coordonnées bancaires : IBAN {iban} - BIC {bic}", "Transferencia a {bank}, IBAN {iban} (BIC {bic})", "Bonifico su {bank} - IBAN {iban} - BIC {bic}", "Overmaken op {iban} ({bic}) bij {bank}", "Transferência para {bank}, IBAN {iban}, BIC {bic}",
   "Prosimy o wpłatę na rachunek: {bank}, IBAN {iban}, SWIFT {bic}.|Bank: {bank}, nr konta {iban}, SWIFT: {bic}|Nasz rachunek: {iban} ({bank})", "Platbu zašlete na účet: IBAN {iban}, SWIFT {bic}, {bank}.|Bankovní spojení: {bank}, IBAN {iban}, BIC {bic}|Náš účet: {iban} ({bank})")
_p("zero", "Total of charges|Total of allowances|Line total|Prepaid amount|Rounding|Credits|Shipping", "Positionssumme|Gesamtbetrag der Zuschläge|Gesamtbetrag der Abschläge|Anzahlungen|Rundungsbetrag|Versandkosten|Zwischensumme Positionen", "Total des remises|Total des frais|Acompte versé|Port", "Total descuentos|Portes|Anticipos", "Totale sconti|Spese|Acconti", "Totaal korting|Verzendkosten|Aanbetaling", "Total descontos|Portes|Adiantamentos",
   "Zaliczki|Koszty wysyłki|Zaokrąglenie|Suma rabatów|Suma dopłat|Wpłacono", "Zálohy|Doprava|Zaokrouhlení|Slevy celkem|Poštovné|Uhrazeno zálohami")
_p("note", "Goods remain our property until paid in full.|This document is also proof for the tax office.|Please quote the invoice number with your payment.|Computer generated, valid without signature.|The date of supply is the date of invoice unless stated otherwise.",
   "Wenn nicht anders angegeben, entspricht das Leistungsdatum dem Rechnungsdatum.|Bitte geben Sie bei Zahlung die Rechnungsnummer an.|Die Ware bleibt bis zur vollständigen Bezahlung unser Eigentum.|Dieses Dokument dient auch zur Vorlage beim Finanzamt.|Umsatzsteuerbefreit nach §19 UStG|Es gelten unsere AGB.|Für Rückfragen stehen wir Ihnen gerne zur Verfügung.",
   "TVA non applicable, art. 293 B du CGI|En cas de retard, indemnité forfaitaire de 40 €.|Pas d'escompte pour paiement anticipé.", "Inscrita en el Registro Mercantil.|Gracias por su confianza.", "Contributo ambientale CONAI assolto.|Operazione non soggetta.", "Bij betaling graag factuurnummer vermelden.|Op al onze leveringen zijn onze voorwaarden van toepassing.", "Processado por programa certificado.|Obrigado pela preferência.",
   "Towar pozostaje własnością sprzedawcy do czasu zapłaty.|Prosimy podać numer faktury w tytule przelewu.|Mechanizm podzielonej płatności|Dokument wystawiony elektronicznie.|W razie pytań prosimy o kontakt.", "Zboží zůstává do zaplacení majetkem dodavatele.|Při platbě uveďte číslo faktury.|Faktura slouží zároveň jako dodací list.|Doklad vystaven elektronicky.|V případě dotazů nás kontaktujte.")
_p("moredate", "Order date|Print date|Ship date|Contract date|Training date|Date of order|Statement date", "Auftragsdatum|Druckdatum|Lieferscheindatum|Bestelldatum|Vertragsdatum|Erstellt am", "Date de commande|Date d'impression|Date du contrat", "Fecha de pedido|Fecha de impresión", "Data ordine|Data stampa|Data DDT", "Orderdatum|Afdrukdatum|Datum pakbon", "Data da encomenda|Data de impressão",
   "Data zamówienia|Data wydruku|Data umowy|Data wysyłki|Data WZ", "Datum objednávky|Datum tisku|Datum smlouvy|Datum odeslání|Datum dodacího listu")
_p("morenumber", "Contract no.|Supplier no.|GLN|Cost centre|Our reference|Serial number|Document ID|Commission|ID", "Vertragsnummer|Lieferantennummer|Unsere GLN|Ihre GLN|Kostenstelle|Vorgangsnummer|Leitweg-ID|Unser Zeichen|Versicherungsschein-Nr.|Objekt-Nr.", "N° de contrat|Code fournisseur|Réf. interne|N° de série", "N.º contrato|Cód. proveedor|Referencia interna", "N. contratto|Cod. fornitore|Rif. interno|CIG", "Contractnummer|Leveranciersnr.|Onze referentie|Serienummer", "N.º contrato|Cód. fornecedor|N/ ref.",
   "Nr umowy|Nr dostawcy|Nasz znak|Nr zlecenia|Nr seryjny|MPK|GLN", "Číslo smlouvy|Číslo dodavatele|Naše značka|Konstantní symbol|Zakázka č.|Výrobní číslo|Středisko")
_p("total", "Amount due|Due payable|Balance due|Amount to pay|To pay", "Zahlbetrag|Offener Betrag|Zu zahlen|Rechnungsbeitrag|Zahllast", "Net à payer|Reste à payer", "Total a pagar|Importe a pagar", "Totale da pagare|Netto a pagare", "Te betalen|Openstaand bedrag", "Total a pagar|Valor a pagar",
   "Do zapłaty|Razem do zapłaty|Pozostało do zapłaty|Kwota należności", "K úhradě|Celkem k úhradě|Zbývá uhradit|Částka k úhradě")
_p("view", "Electronic invoice, readable view|Visualisation of the XML data|Invoice viewer, version {v}", "Lesbare Darstellung der Rechnungsdaten|Visualisierung der E-Rechnung, Version {v}|Rechnungsansicht ({v})", "Visualisation de la facture électronique|Version lisible {v}", "Vista de la factura electrónica {v}", "Visualizzazione fattura elettronica {v}|FATTURA ELETTRONICA", "Weergave van de e-factuur {v}", "Visualização da fatura eletrónica {v}",
   "Wizualizacja faktury elektronicznej, wersja {v}|Krajowy System e-Faktur|Podgląd e-faktury ({v})", "Náhled elektronické faktury, verze {v}|Vizualizace elektronické faktury ({v})")
CODE = {"DE": "DE", "AT": "AT", "CH": "CH", "FR": "FR", "BE": "BE", "NL": "NL", "IT": "IT", "ES": "ES", "PT": "PT", "GB": "GB", "IE": "IE", "US": "US", "LU": "LU", "PL": "PL", "CZ": "CZ"}


class Scene:
    """One paper: its texts, and where the writing is."""

    def __init__(self, r, w, h, kind):
        self.r = r
        self.st = Style(r, w, h)
        if self.st.s > 15 * self.st.k: self.st = Style(r, w, h, self.st.fam, self.st.s * .8)
        self.p = new_page(r, w, h, kind)
        self.p.ink = self.st.ink
        self.T = Trade(r, kind)
        self.L = self.T.L
        self.f = self.st.f
        self.lh = self.st.lh
        self.colon = r.choice([":", ":", ":", " :", "", ".", ": "])
        self.two = r.random() < .06 and self.L.lang != "en"      # labels in two languages

    def say(self, key, **kw):
        """A phrase as [(text, field or None)]; kw: name -> text or (text, field)."""
        s = self.r.choice(PHRASES[key]["en" if self.L.english else self.L.lang])
        out, at = [], 0
        while at < len(s):
            i = s.find("{", at)
            if i < 0: out.append((s[at:], None)); break
            j = s.index("}", i); v = kw[s[i + 1:j]]
            if i > at: out.append((s[at:i], None))
            out.append(v if isinstance(v, tuple) else (v, None)); at = j + 1
        return out

    def phrase(self, key, **kw):
        return "".join(t for t, _ in self.say(key, **kw))

    def label(self, text):
        text = text.rstrip(":. ")
        return text + self.colon

    def lab(self, key):
        text = self.L.lab(key, "")
        if self.two: text += self.r.choice([" / ", " "]) + C.Local(self.r, "GB").lab(key, "")
        return self.label(text)

    def write(self, x, y, parts, w, f=None, anchor="l"):
        """Parts of a sentence, joined as they are, broken into lines; a value stays whole and in one line. The y below."""
        f = f or self.f; p = self.p; line, fields = "", []

        def flush():
            nonlocal y, line, fields
            if line.strip():
                ink = p.text(x if anchor == "l" else x + w if anchor == "r" else x + w / 2, y, line.strip(), f, None, anchor, w)
                for v, k in fields:
                    p.set(k, p.sub(ink, f, f.clean(v)))
                y += max(self.lh, f.lh)
            line, fields = "", []
        for text, field in parts:
            for word in ([text] if field else [q for q in text.replace(" ", " \0").split("\0") if q]):
                if line and f.width(f.clean(line + word)) > w: flush()
                line += word
                if field: fields.append((word, field))
        flush()
        return y

    def date(self, d):
        return self.L.date(d)


# ---- blocks: (scene, x, y, w) -> y below ------------------------------------------------------------
def side_lines(sc, side):
    """The address of a party as printed here."""
    r = sc.r; lines = list(side.lines); code = CODE.get(sc.L.country)
    if code and r.random() < .2 and lines:
        i = next((i for i, t in enumerate(lines) if any(c.isdigit() for c in t) and i), len(lines) - 1)
        lines[i] = f"{code}{r.choice([' ', ' ', '-'])}{lines[i].split('-', 1)[-1] if lines[i][:1].isalpha() and '-' in lines[i][:3] else lines[i]}"
    if r.random() < .12: lines.insert(0, side.contact)
    return lines


def address(sc, x, y, w, side, pre, head=None, f=None, anchor="l", number=False):
    r, p = sc.r, sc.p; f = f or sc.f
    at = x if anchor == "l" else x + w if anchor == "r" else x + w / 2
    if head: y = sc.write(x, y, [(sc.label(head), None)], w, r.choice([sc.st.b, f, sc.st.small]), anchor)
    if number: y = sc.write(x, y, [(sc.label(r.choice(["ID", "No.", "Nummer", "Nr.", "N°", "GLN", "Number"])) + " ", None), (C.digits(r, r.randint(4, 13)), None)], w, f, anchor)
    name, lines = side.name, side_lines(sc, side); tail = None
    if r.random() < .07 and pre: lines.insert(0, r.choice(["z. Hd. ", "ATTN: ", "c/o ", "Attn. ", "Abt. ", "à l'attention de "]) + side.contact)
    if r.random() < .12:                                         # all in one row
        sep = r.choice([", ", " · ", " - ", " | ", " ● ", " • "]); ink = p.text(at, y, sep.join([name] + lines), f, None, anchor, w)
        if pre and ink.text.startswith(f.clean(name)):
            p.set(f"{pre}_name", p.sub(ink, f, f.clean(name)))
            rest = f.clean(sep.join(lines))
            if rest and rest in ink.text and sep == ", ": p.set(f"{pre}_address", p.sub(ink, f, rest))
            elif f"{pre}_address" not in p.fields:
                for t in lines:
                    part = f.clean(t)
                    if part not in ink.text: part = ink.text.split(f.clean(sep).strip() or " ")[-1].strip()   # cut off at the edge; a face may lack the sign
                    if part and part in f.clean(t): p.extend(f"{pre}_address", p.sub(ink, f, part))
        return y + sc.lh
    nf = sc.fat if hasattr(sc, "fat") and r.random() < .3 else f
    fresh = pre and f"{pre}_name" not in p.fields; first = True
    for t in nf.wrap(name, w)[:2]:
        ink = p.text(at, y, t, nf, None, anchor, w); y += sc.lh
        if fresh and first: p.set(f"{pre}_name", ink)
        elif fresh: more(p, f"{pre}_name", ink)
        first = False
    fresh = pre and f"{pre}_address" not in p.fields
    for t in lines:
        for u in f.wrap(t, w):
            ink = p.text(at, y, u, f, None, anchor, w); y += sc.lh
            if fresh and not t.endswith(side.contact): p.extend(f"{pre}_address", ink)
    return y


def facts(sc, x, y, w, side, pre, keys, f=None, anchor="l"):
    """What a party says of itself: phone, web, tax numbers, bank, register; one a line, with or without labels."""
    r, L, T = sc.r, sc.L, sc.T; f = f or sc.f
    bare = r.random() < .3
    for k in keys:
        lab, val, field = {
            "phone": (sc.lab("phone"), side.phone, f"{pre}_phone"), "fax": (sc.lab("fax"), side.fax, f"{pre}_fax"), "email": ("" if bare else sc.lab("email"), side.email, f"{pre}_email"),
            "web": ("" if bare or r.random() < .6 else sc.lab("web"), side.web, f"{pre}_website"), "vat": (sc.label(L.vat_label()), side.vat, f"{pre}_vat_id"), "tax": (sc.lab("tax_number"), side.taxno, f"{pre}_tax_number"),
            "bank": ("" if r.random() < .6 else sc.lab("bank"), T.bank, "bank_name"), "iban": (r.choice(["IBAN", "IBAN", sc.lab("iban")]) if r.random() < .5 else sc.label("IBAN"), T.iban, "iban"), "bic": (r.choice(["BIC", "BIC/SWIFT", "SWIFT"]) + sc.colon, T.bic, "bic"),
        }.get(k, (None, None, None))
        if lab is None:
            parts = {"ceo": lambda: sc.say("ceo", p=L.person(), q=L.person()), "court": lambda: sc.say("court", c=L.city(), n=C.digits(r, r.randint(3, 6)), a=L.money(L.value(3, 5))), "hours": lambda: sc.say("hours"),
                     "holder": lambda: sc.say("holder", n=r.choice([side.name, L.person()])), "person": lambda: [(L.person(), None)]}[k]()
        else: parts = ([(lab.rstrip() + " ", None)] if lab else []) + [(val, field)]
        y = sc.write(x, y, parts, w, f, anchor)
    return y


def keys_of(sc, n, pool=("phone", "fax", "email", "web", "vat", "tax", "ceo", "court", "hours", "bank", "iban", "bic", "holder", "person")):
    return sc.r.sample(pool, min(n, len(pool)))


def meta(sc, x, y, w, items=None, mode=None):
    """Numbers and dates with labels, others among them."""
    r, L, T = sc.r, sc.L, sc.T; items = list(T.meta if items is None else items)
    items = [(sc.label(l), v, k) for l, v, k in items]
    for _ in range(r.choice([0, 0, 1, 1, 2, 3])):
        if r.random() < .5: extra = (sc.label(sc.phrase("moredate")), sc.date(L.near(60)), None)
        else: extra = (sc.label(sc.phrase("morenumber")), r.choice([C.code(r), C.digits(r, r.randint(4, 13)), f"{C.letters(r, 2)} {C.digits(r, 4)}"]), None)
        items.insert(r.randrange(len(items) + 1), extra)
    x0 = r.random()
    if mode is None and x0 < .3:                                 # label, sign and value as one run
        for l, v, k in items: y = sc.write(x, y, [(l.rstrip() + " ", None), (v, k)], w)
        return y
    if mode is None and x0 < .42:                                # values in a column behind the widest label
        lw = max(sc.f.width(sc.f.clean(l)) for l, *_ in items) + sc.f.adv[" "] * r.uniform(1, 2.5); lw = min(lw, w * .62)
        for l, v, k in items:
            sc.p.text(x, y, l, sc.f, maxw=lw); sc.p.text(x + lw, y, v, sc.f, maxw=w - lw, field=k); y += sc.lh
        return y
    return pairs(sc.p, sc.st, x, y, w, items, mode)


def loose_meta(sc, x, y, w):
    """Number and date in the title or in sentences, the rest beside it."""
    r, T, p = sc.r, sc.T, sc.p
    number = next((m for m in T.meta if m[1] == T.number), None); date = next((m for m in T.meta if m[2] == "issue_date"), None)
    rest = [m for m in T.meta if m is not number and m is not date]; t = title_text(T)
    f = r.choice([sc.st.b, sc.st.big, sc.f]); how = r.random()
    if number and date and how < .5:
        y = sc.write(x, y, sc.say("title", t=(t, "document_type"), n=(number[1], number[2]), d=(date[1], date[2])), w, f)
    else:
        if r.random() < .8: y = sc.write(x, y, [(t, "document_type")] + ([(r.choice([" ", " Nr. ", " No. ", " NO. ", " #", " n° "]), None), (number[1], number[2])] if number and how < .75 else []), w, f)
        if number and how >= .75: rest.insert(0, number)
        if date:
            if r.random() < .5: sc.write(x, y, sc.say("place", c=sc.L.city(), d=(date[1], date[2])), w, None, r.choice("lr")); y += sc.lh
            else: rest.insert(0, date)
    left = []
    for l, v, k in rest:
        if k == "purchase_order_number" and r.random() < .5: y = sc.write(x, y, sc.say("order", n=(v, k), d=sc.date(sc.L.near(40))), w)
        elif k == "customer_number" and r.random() < .5: y = sc.write(x, y, sc.say("customer", n=(v, k)), w)
        else: left.append((l, v, k))
    return meta(sc, x, y, w, left) if left else y


def payment(sc, x, y, w, maxy):
    """Due date, account and terms in sentences or rows."""
    r, L, T = sc.r, sc.L, sc.T; amt = L.money(T.due_amount); f = sc.f
    parts = [k for k, c in (("due", .55 if "due_date" not in sc.p.fields else .12), ("early", .2), ("period", .2), ("bank", .5 if "iban" not in sc.p.fields else .1), ("note", .5), ("note", .3), ("terms", .3), ("text", .15)) if r.random() < c]
    r.shuffle(parts)
    for k in parts:
        if y > maxy - sc.lh * 3: break
        if k == "due": y = sc.write(x, y, sc.say("due", due=(L.date(T.due), "due_date"), amt=(amt, None)), w)
        elif k == "early": y = sc.write(x, y, sc.say("early", d=sc.date(L.after(r.randint(3, 9)))), w)
        elif k == "period": y = sc.write(x, y, sc.say("period", d=sc.date(L.after(-40)), e=sc.date(L.after(-9))), w)
        elif k == "bank":
            how = r.random()
            if how < .4: y = sc.write(x, y, sc.say("account", iban=(T.iban, "iban"), bic=(T.bic, "bic"), bank=(T.bank, "bank_name")), w)
            elif how < .6: y = sc.write(x, y, [(r.choice(["IBAN ", "IBAN: "]), None), (T.iban, "iban"), (r.choice([", BIC ", " / BIC: ", " BIC "]), None), (T.bic, "bic"), (", ", None), (T.bank, "bank_name")], w)
            else: y = facts(sc, x, y, w * .6, T.first, T.fp, r.sample(["bank", "iban", "bic", "holder"], r.randint(1, 4)))
        elif k == "note": y = sc.write(x, y, sc.say("note"), w, r.choice([f, sc.st.small]))
        elif k == "terms": y = sc.write(x, y, [(L.fill(L.t("s_terms"), d=T.days), "payment_terms")], w)
        else: y = sc.p.para(x, y, w, L.paragraph(r.randint(1, 2)), r.choice([f, sc.st.small]), None, sc.lh, maxy=maxy)
        if r.random() < .3: y += sc.lh * .5
    return y


def sums(sc, x, y, w, maxy):
    """Totals, among sums that are none of them."""
    r, L, T = sc.r, sc.L, sc.T; ent = T.total_entries()
    for _ in range(r.choice([0, 0, 1, 2, 3])): ent.insert(r.randrange(len(ent) + 1), (sc.label(sc.phrase("zero")), L.amount(0) if r.random() < .7 else L.money(0), None, False))
    if T.kind == "invoice.invoice" and not any(e[2] == "amount_due" for e in ent) and r.random() < .35:
        due = T.due_amount; ent.append((sc.label(sc.phrase("total")), L.money(due) if r.random() < .6 else L.amount(due), "amount_due", r.random() < .5))
    mode = r.random()
    if mode < .3:                                                # each in a sentence of its own
        an = r.choice("lr")
        for l, v, k, _ in ent: y = sc.write(x, y, [(l.rstrip() + " ", None), (v, k)], w, None, an)
        return y
    tw = w * r.uniform(.4, .6) if mode < .85 else w
    need = max(sc.st.b.width(sc.st.b.clean(l)) + sc.st.b.width(sc.st.b.clean(v)) for l, v, *_ in ent) * 1.3 + sc.st.s * 2; tw = min(w, max(tw, need))
    y0 = y; y = totals(sc.p, sc.st, x + w - tw if r.random() < .8 else x, y, tw, ent)
    if r.random() < .3: y = vat_summary(sc.p, sc.st, T, x, y + sc.lh * .4, w * r.choice([.5, 1]), maxy)
    return y


def goods(sc, x, y, w, maxy):
    r, T, p = sc.r, sc.T, sc.p
    for row in T.rows:
        if "ordered" not in row: row["ordered"] = row["qty"]; row["weight"] = T.L.amount(round(r.uniform(.1, 80), 1), 1)
    if r.random() < .14:                                         # name and amount alone
        rows, boxes = [], []
        for row in T.rows[:12]:
            if y > maxy - sc.lh * 6: break
            b = p.text(x + w, y, row["net"], sc.f, None, "r"); a = p.text(x, y, row["name"], sc.f, maxw=b.x0 - x - sc.st.s)
            if a and b: rows.append({"name": a.text, "net_amount": b.text}); boxes.append((a.x0, a.y0, b.x1, b.y1))
            y += sc.lh
        if rows: p.fields["lines"] = rows; p.boxes["lines"] = boxes
        n = len(rows)
    else: y, n = table(p, sc.st, x, y, w, T.columns(), T.rows, maxy - sc.lh * 5, names=NAMES)
    if n < len(T.rows): _recount(T, n)
    return y


def foot(sc):
    """Columns of small print; the seller's data may stand nowhere else."""
    r, p, T = sc.r, sc.p, sc.T; x, w = sc.st.mx, p.w - sc.st.mx - sc.st.mr; f = sc.st.small if r.random() < .5 else sc.st.tiny
    n = r.choice([2, 3, 3, 4, 4, 5]); cw = w / n; rows = r.randint(2, 5); y = p.h - f.lh * (rows + 1.5) - 6
    pool = ["name", "phone", "fax", "email", "web", "vat", "tax", "ceo", "court", "bank", "iban", "bic", "holder"]
    if r.random() < .5: pool = [k for k in pool if r.random() < .75]
    lh, sc.lh = sc.lh, f.lh; p.region = 200; col = 0
    if r.random() < .5: p.hline(x, x + w, y - 4, sc.st.rule)
    while col < n and pool:
        take = [pool.pop(0) for _ in range(min(len(pool), r.randint(1, rows)))]; yy = y; xx = x + col * cw
        if "name" in take:
            take.remove("name")
            if r.random() < .6: yy = address(sc, xx, yy, cw - 6, T.first, T.fp, None, f)
            else: yy = sc.write(xx, yy, [(T.first.name, f"{T.fp}_name")], cw - 6, f)
        facts(sc, xx, yy, cw - 6, T.first, T.fp, take[: max(0, rows - int((yy - y) / f.lh))], f); col += 1
    sc.lh = lh; p.region = 0
    return y - lh


# ---- papers ----------------------------------------------------------------------------------------
def columns(sc, fy):
    """Blocks in two or three columns at the top, each where it likes."""
    r, p, T, st = sc.r, sc.p, sc.T, sc.st; x, w = st.mx, p.w - st.mx - st.mr; y = st.my
    if r.random() < .4: y = brand(p, st, T, x, y, w * r.choice([.5, 1]), r.choice("lrc"), record=r.random() < .5) + sc.lh * .3
    elif r.random() < .2: logo_mark(p, x + r.uniform(0, .8) * w, y, st.s * r.uniform(2, 4), st.accent); y += st.s * 4
    n = r.choice([2, 2, 2, 3]); gap = st.s * 1.5; cut = [0] + sorted(r.uniform(.3, .68) if n == 2 else (i + r.uniform(.85, 1.15)) / 3 for i in range(n - 1)) + [1]
    heads = r.random() < .45; sender_row = r.random() < .3; titled = r.random() < .5
    blocks = ["second", "meta"] + (["first"] if r.random() < .8 else []) + (["other"] if r.random() < .25 else []) + (["facts"] if r.random() < .5 else [])
    r.shuffle(blocks)
    if titled and r.random() < .4: y = sc.write(x, y, [(title_text(T), "document_type")], w, r.choice([st.title, st.big, st.b]), r.choice("llcr")) + sc.lh * .3
    low = y; at = [y + (r.uniform(0, 3) * sc.lh if r.random() < .6 else 0) for _ in range(n)]
    for i, b in enumerate(blocks):
        c = i % n if r.random() < .75 else min(range(n), key=lambda c: at[c]); cx = x + cut[c] * w; cw = (cut[c + 1] - cut[c]) * w - gap; yy = at[c]; an = "r" if c == n - 1 and r.random() < .2 else "l"
        if b == "second":
            if sender_row:
                ink = p.text(cx, yy, r.choice([" · ", ", ", " - ", " ● "]).join([T.first.name] + T.first.lines), st.tiny, maxw=cw); yy += st.tiny.lh * 1.3
                name = st.tiny.clean(T.first.name)
                if ink.text.startswith(name): p.set(f"{T.fp}_name", p.sub(ink, st.tiny, name))
            yy = address(sc, cx, yy, cw, T.second, T.sp, sc.phrase("buyer" if T.sells else "seller") if heads or r.random() < .15 else None, number=r.random() < .08)
            if r.random() < .2: yy = facts(sc, cx, yy, cw, T.second, T.sp, ["vat"])
        elif b == "first":
            yy = address(sc, cx, yy, cw, T.first, T.fp, sc.phrase("seller" if T.sells else "buyer") if heads else None, anchor=an, number=r.random() < .05)
            yy = facts(sc, cx, yy, cw, T.first, T.fp, keys_of(sc, r.choice([0, 1, 2, 3, 4, 6])), None, an)
        elif b == "facts": yy = facts(sc, cx, yy, cw, T.first, T.fp, keys_of(sc, r.randint(1, 5)), r.choice([sc.f, st.small]), an)
        elif b == "other": yy = address(sc, cx, yy, cw, T.ship or T.buyer, None, sc.phrase("other"))
        else: yy = (meta if titled else loose_meta)(sc, cx, yy, cw)
        at[c] = yy + sc.lh * r.uniform(.2, 1.6); low = max(low, at[c])
    y = low
    if titled and "document_type" not in p.fields: y = sc.write(x, y, [(title_text(T), "document_type")], w, r.choice([st.title, st.big, st.b])) + sc.lh * .3
    if r.random() < .35: y = sc.p.para(x, y, w, T.L.fill(T.L.t("s_intro")), sc.f, None, sc.lh)
    if r.random() < .15: y = payment(sc, x, y, w * .6, y + sc.lh * 6)
    y = goods(sc, x, y + sc.lh * .4, w, fy)
    y = sums(sc, x, y + sc.lh * .4, w, fy)
    payment(sc, x, y + sc.lh * .5, w, fy)


def view(sc, fy):
    """How a program shows an electronic invoice: headings, labels before colons, everything one below the other."""
    r, p, T, st, L = sc.r, sc.p, sc.T, sc.st, sc.L; x, w = st.mx, p.w - st.mx - st.mr; y = st.my; half = w * r.choice([.5, .6, 1])
    sc.colon = r.choice([":", " :"])
    for _ in range(r.randint(0, 4)):
        version = f"{r.randint(1, 9)}.{r.randint(0, 12)}" + r.choice(["", f".{r.randint(0, 3)}"])
        dated = [(f"{L.cap()}{r.choice(['-', ' '])}{r.choice(['Version', 'Release', 'Code'])}{sc.colon} {version} " + r.choice(["", r.choice(["vom ", "of ", "", "du ", "("]) + sc.date(L.near(900))]), None)]
        y = sc.write(x, y, sc.say("view", v=version) if r.random() < .4 else dated if r.random() < .6 else [(sc.label(sc.phrase("morenumber")) + " ", None), (r.choice([C.code(r), "urn:cen.eu:en16931:2017"]), None)], w, r.choice([sc.f, st.small]))
    y = loose_meta(sc, x, y + sc.lh * .3, w)
    if r.random() < .7: y = sc.write(x, y, [(sc.lab("currency") + " ", None), (L.cur, "currency")], w)
    if r.random() < .5: y = sc.write(x, y, sc.say("period", d=sc.date(L.after(-40)), e=sc.date(L.after(-9))), w)
    order = ["first", "second"] + (["other"] if r.random() < .4 else []) + (["other"] if r.random() < .15 else [])
    if r.random() < .2: r.shuffle(order)
    two = r.random() < .35; left = y; right = y
    for i, b in enumerate(order):
        cx, cw = (x, w / 2 - 10) if not two or i % 2 == 0 else (x + w / 2, w / 2); yy = (left if not two or i % 2 == 0 else right) + sc.lh * r.uniform(.2, .8)
        side, pre, key = (T.first, T.fp, "seller" if T.sells else "buyer") if b == "first" else (T.second, T.sp, "buyer" if T.sells else "seller") if b == "second" else (T.ship or T.second, None, "other")
        yy = address(sc, cx, yy, cw, side, pre, sc.phrase(key), number=r.random() < .35)
        if b != "other": yy = facts(sc, cx, yy, cw, side, pre, ["vat"] * (r.random() < .6) + r.sample(["phone", "email", "tax"], r.choice([0, 0, 1, 2])) if b == "first" else ["vat"] * (r.random() < .35))
        if not two or i % 2 == 0: left = yy
        else: right = yy
    y = max(left, right) + sc.lh * .5
    if r.random() < .6:                                          # notes, often the letterhead again
        for t in ([T.first.name] + T.first.lines if r.random() < .5 else []) + [sc.phrase("note")]: y = sc.write(x, y, [(t, None)], w)
        y = facts(sc, x, y, w, T.first, T.fp, keys_of(sc, r.randint(0, 3), ("ceo", "court", "person", "phone")))
    y = goods(sc, x, y + sc.lh * .4, w, fy)
    if r.random() < .6: y = sc.write(x, y, [(sc.lab("payment_terms"), None)], w); y = payment(sc, x, y, w, fy)
    y = sums(sc, x, y + sc.lh * .4, w, fy)
    if "iban" not in p.fields and r.random() < .6: facts(sc, x, y + sc.lh * .4, w, T.first, T.fp, ["bank", "iban", "bic"])


def letter(sc, fy):
    """A letter that is an invoice: the values stand in sentences."""
    r, p, T, st, L = sc.r, sc.p, sc.T, sc.st, sc.L; x, w = st.mx, p.w - st.mx - st.mr; y = st.my
    below = r.random() < .35                                     # the sender's name at the top, its address under the recipient's
    if below:
        f = r.choice([st.big, st.b]); first = True; fresh = f"{T.fp}_name" not in p.fields
        for t in f.wrap(T.first.name, w * r.choice([.25, .4, .9])):
            ink = p.text(x, y, t, f); y += f.lh
            if first: p.set(f"{T.fp}_name", ink)
            elif fresh: more(p, f"{T.fp}_name", ink)
            first = False
        y1 = y
    else:
        y1 = address(sc, x + w * .6, y, w * .4, T.first, T.fp) if r.random() < .7 else brand(p, st, T, x + w * .5, y, w * .5, "r")
        y1 = facts(sc, x + w * .6, y1, w * .4, T.first, T.fp, keys_of(sc, r.randint(1, 5)))
        if r.random() < .4: y = sc.write(x, y, [(T.first.name, f"{T.fp}_name")], w * .5, st.tiny)
    y = address(sc, x, y + sc.lh * r.uniform(0, 5), w * .5, T.second, T.sp)
    if below:
        if r.random() < .5: y = sc.write(x, y, [(r.choice([L.phrase(1, 2).capitalize(), L.person(), L.cap()]), None)], w * .5)
        for t in T.first.lines:
            ink = p.text(x, y, t, sc.f, maxw=w * .5); y += sc.lh; p.extend(f"{T.fp}_address", ink)
        y = facts(sc, x, y, w * .5, T.first, T.fp, keys_of(sc, r.randint(1, 5)))
    y = max(y, y1) + sc.lh; number = next((m for m in T.meta if m[1] == T.number), None); date = next((m for m in T.meta if m[2] == "issue_date"), None)
    t = title_text(T)
    if r.random() < .35 and number and date: y = sc.write(x, y, sc.say("title", t=(t, "document_type"), n=(number[1], number[2]), d=(date[1], date[2])), w, st.b)
    else:
        if date: ink = p.text(x + w, y, *[date[1], sc.f], anchor="r"); p.set(date[2], ink)
        y = sc.write(x, y, [(t, "document_type")], w * .6, r.choice([st.b, st.big]))
        if number and r.random() < .8: y = sc.write(x, y, [(sc.phrase("morenumber") + " ", None), (C.code(r), None)] if r.random() < .15 else [(number[0].rstrip(": ") + r.choice([": ", " "]), None), (number[1], number[2])], w)
        else: number = None
    y += sc.lh * .5
    y = sc.write(x, y, [(L.fill(L.t("s_dear")), None)], w) + sc.lh * .4
    y = sc.write(x, y, [(L.fill(L.t("s_intro")) + " ", None)] + sc.say("period", d=sc.date(L.after(-40)), e=sc.date(L.after(-9))), w)
    y = goods(sc, x, y + sc.lh * .4, w * r.choice([.7, 1]), fy)
    y = sums(sc, x, y + sc.lh * .4, w * r.choice([.7, 1]), fy)
    y = payment(sc, x, y + sc.lh * .5, w, fy)
    for _ in range(r.randint(0, 3)):
        if y > fy - sc.lh * 4: break
        y = p.para(x, y, w, L.paragraph(r.randint(1, 3)), sc.f, None, sc.lh, maxy=fy)
    if y < fy - sc.lh * 2: sc.write(x, y, [(L.fill(L.t("s_close")), None)], w)


def make_loose(r, w, h, kind="invoice.invoice"):
    sc = Scene(r, w, h, kind); p = sc.p; sc.fat = sc.st.b
    fy = foot(sc) if r.random() < .5 else h - sc.st.my * .6
    r.choices([columns, view, letter], [60, 25, 15])[0](sc, fy)
    _currency(p, sc.T)
    return p
