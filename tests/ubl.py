"""Is this XML an invoice of EN 16931 in UBL 2.1?  Structure and sums, without any schema file.

The order of elements and how often each may occur are those of the OASIS UBL 2.1 schemas
(UBL-Invoice-2.1, UBL-CreditNote-2.1, UBL-CommonAggregateComponents-2.1), narrowed to what
EN 16931-1 makes mandatory; the sums are its rules BR-CO-10 to BR-CO-17.  Only what docvl
writes is listed: any other element is an error here.

The rules as CEN publishes them (EN16931-UBL-validation.xslt of its validation artefacts) can
be run too: official() with the path of that file, where Saxon is installed.
"""
import re
import subprocess
import xml.etree.ElementTree as ET
from decimal import ROUND_HALF_UP, Decimal

NS = "urn:oasis:names:specification:ubl:schema:xsd:"
CAC, CBC = f"{{{NS}CommonAggregateComponents-2}}", f"{{{NS}CommonBasicComponents-2}}"
SAXON = ("java", "-cp", "/usr/share/java/*", "net.sf.saxon.Transform")

# name: children in order; "?" at most one, "*" any number, "+" at least one, else exactly one
PARTY = ("PartyIdentification?", "PostalAddress", "PartyTaxScheme*", "PartyLegalEntity")
TREE = {
    "Invoice": ("CustomizationID", "ID", "IssueDate", "DueDate?", "InvoiceTypeCode",
                "DocumentCurrencyCode", "BuyerReference?", "OrderReference?",
                "DespatchDocumentReference?", "ContractDocumentReference?",
                "AccountingSupplierParty", "AccountingCustomerParty", "Delivery?",
                "PaymentMeans?", "PaymentTerms?", "TaxTotal", "LegalMonetaryTotal",
                "InvoiceLine+"),
    "CreditNote": ("CustomizationID", "ID", "IssueDate", "CreditNoteTypeCode",
                   "DocumentCurrencyCode", "BuyerReference?", "OrderReference?",
                   "DespatchDocumentReference?", "ContractDocumentReference?",
                   "AccountingSupplierParty", "AccountingCustomerParty", "Delivery?",
                   "PaymentMeans?", "PaymentTerms?", "TaxTotal", "LegalMonetaryTotal",
                   "CreditNoteLine+"),
    "OrderReference": ("ID",),
    "DespatchDocumentReference": ("ID",),
    "ContractDocumentReference": ("ID",),
    "PartyIdentification": ("ID",),
    "SellersItemIdentification": ("ID",),
    "AccountingSupplierParty": ("Party",),
    "AccountingCustomerParty": ("Party",),
    "Party": PARTY,
    "PostalAddress": ("StreetName?", "AdditionalStreetName?", "CityName?", "PostalZone?",
                      "AddressLine?", "Country"),
    "AddressLine": ("Line",),
    "Country": ("IdentificationCode",),
    "PartyTaxScheme": ("CompanyID", "TaxScheme"),
    "TaxScheme": ("ID",),
    "PartyLegalEntity": ("RegistrationName", "CompanyID?"),
    "Delivery": ("ActualDeliveryDate",),
    "PaymentMeans": ("PaymentMeansCode", "PaymentDueDate?", "PaymentID?",
                     "PayeeFinancialAccount"),
    "PayeeFinancialAccount": ("ID", "FinancialInstitutionBranch?"),
    "FinancialInstitutionBranch": ("ID",),
    "PaymentTerms": ("Note",),
    "TaxTotal": ("TaxAmount", "TaxSubtotal+"),
    "TaxSubtotal": ("TaxableAmount", "TaxAmount", "TaxCategory"),
    "TaxCategory": ("ID", "Percent", "TaxExemptionReasonCode?", "TaxExemptionReason?",
                    "TaxScheme"),
    "ClassifiedTaxCategory": ("ID", "Percent", "TaxScheme"),
    "LegalMonetaryTotal": ("LineExtensionAmount", "TaxExclusiveAmount", "TaxInclusiveAmount",
                           "PrepaidAmount?", "PayableRoundingAmount?", "PayableAmount"),
    "InvoiceLine": ("ID", "InvoicedQuantity", "LineExtensionAmount", "Item", "Price"),
    "CreditNoteLine": ("ID", "CreditedQuantity", "LineExtensionAmount", "Item", "Price"),
    "Item": ("Description?", "Name", "SellersItemIdentification?", "ClassifiedTaxCategory"),
    "Price": ("PriceAmount",),
}
DATE = re.compile(r"\d{4}-\d\d-\d\d")


def name_of(element):
    return element.tag.rpartition("}")[2]


def structure(element, wrong, path=""):
    name = name_of(element)
    path = f"{path}/{name}"
    if name not in TREE:  # a value
        if not element.tag.startswith(CBC):
            wrong.append(f"{path}: in the wrong name space")
        if len(element) or not (element.text or "").strip():
            wrong.append(f"{path}: empty")
        if name.endswith("Date") and not DATE.fullmatch(element.text or ""):
            wrong.append(f"{path}: no date")
        if name.endswith("Amount") and not re.fullmatch(r"[A-Z]{3}", element.get("currencyID", "")):
            wrong.append(f"{path}: without currency")
        return
    if path.count("/") > 1 and not element.tag.startswith(CAC):
        wrong.append(f"{path}: in the wrong name space")
    order = [child.rstrip("?*+") for child in TREE[name]]
    places = []
    for child in element:
        if name_of(child) not in order:
            wrong.append(f"{path}: has {name_of(child)}")
        else:
            places.append(order.index(name_of(child)))
    if places != sorted(places):
        wrong.append(f"{path}: not in order")
    for place, child in enumerate(TREE[name]):
        count, sign = places.count(place), child[-1]
        if (count == 0 and sign not in "?*") or (count > 1 and sign not in "*+"):
            wrong.append(f"{path}: {count} of {child}")
    for child in element:
        structure(child, wrong, path)


def sums(root, wrong):
    def number(element, path):
        found = element.findtext(path)
        return Decimal(found) if found is not None else Decimal(0)

    total = root.find(CAC + "LegalMonetaryTotal")
    lines = [e for e in root if name_of(e) in ("InvoiceLine", "CreditNoteLine")]
    subtotals = root.findall(f"{CAC}TaxTotal/{CAC}TaxSubtotal")
    tax = number(root, f"{CAC}TaxTotal/{CBC}TaxAmount")
    net = number(total, CBC + "TaxExclusiveAmount")
    gross = number(total, CBC + "TaxInclusiveAmount")
    line_sum = sum(number(e, CBC + "LineExtensionAmount") for e in lines)
    for rule, left, right in (
            ("BR-CO-10", number(total, CBC + "LineExtensionAmount"), line_sum),
            ("BR-CO-13", net, line_sum),
            ("BR-CO-14", tax, sum(number(e, CBC + "TaxAmount") for e in subtotals)),
            ("BR-CO-15", gross, net + tax),
            ("BR-CO-16", number(total, CBC + "PayableAmount"),
             gross - number(total, CBC + "PrepaidAmount") +
             number(total, CBC + "PayableRoundingAmount"))):
        if left != right:
            wrong.append(f"{rule}: {left} is not {right}")

    def group(element, tag):
        category = element.find(tag)
        return category.findtext(CBC + "ID"), number(category, CBC + "Percent")

    bases = {}
    for line in lines:
        key = group(line, f"{CAC}Item/{CAC}ClassifiedTaxCategory")
        bases[key] = bases.get(key, 0) + number(line, CBC + "LineExtensionAmount")
    for subtotal in subtotals:
        key = group(subtotal, CAC + "TaxCategory")
        base = number(subtotal, CBC + "TaxableAmount")
        if bases.pop(key, None) != base:
            wrong.append(f"BR-S-08 and its like: {key}")
        cents = (base * key[1] / 100).quantize(Decimal("0.01"), ROUND_HALF_UP)
        if number(subtotal, CBC + "TaxAmount") != cents:
            wrong.append(f"BR-CO-17: {key}")
        if (key[0] == "S") != (key[1] > 0):
            wrong.append(f"BR-S-05 and its like: {key}")
    if bases:
        wrong.append(f"BR-S-01 and its like: {list(bases)}")


def faults(path):
    """Everything that is wrong with it; empty: nothing."""
    root, wrong = ET.parse(path).getroot(), []
    name = name_of(root)
    if root.tag != f"{{{NS}{name}-2}}{name}" or name not in ("Invoice", "CreditNote"):
        return [f"the root is {root.tag}"]
    structure(root, wrong)
    if not wrong:
        sums(root, wrong)
    return wrong


def official(path, rules):
    """Ids of the fatal rules that it breaks, by CEN's own stylesheet."""
    done = subprocess.run([*SAXON, f"-s:{path}", f"-xsl:{rules}"], capture_output=True, text=True,
                          check=True, timeout=120)
    return re.findall(r'<svrl:failed-assert[^>]*?\bid="([^"]+)"', done.stdout)
