# Makes testdata/files with other people's tools:
#
#	pip install reportlab python-docx openpyxl pyarrow pillow
#	python make.py files
import sys, os
out = sys.argv[1]
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen import canvas
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.platypus import SimpleDocTemplate, Paragraph, Table, PageBreak, Spacer
from reportlab.lib.styles import getSampleStyleSheet

def path(n): return os.path.join(out, n)
st = getSampleStyleSheet()
d = SimpleDocTemplate(path("lease.pdf"), pagesize=A4, invariant=1, title="Lease", author="")
d.build([Paragraph("Lease Agreement", st["Heading1"]),
  Paragraph("This agreement is made between <b>Nordwind Logistics GmbH</b> (the landlord) and Café Ölmühle OHG (the tenant). The monthly rent is 1,250.00 euros, due on the third working day.", st["BodyText"]),
  Spacer(1, 12),
  Table([["Item", "Quantity", "Price"], ["Chairs", "12", "480.00"], ["Tables", "3", "900.00"]]),
  PageBreak(),
  Paragraph("Term", st["Heading2"]),
  Paragraph("The lease ends on 31 March 2027 and may be ended by either party with six months’ notice.", st["BodyText"])])
c = canvas.Canvas(path("scan.pdf"), pagesize=A4, invariant=1)
c.setFillGray(0.9); c.rect(50, 50, 480, 700, fill=1); c.showPage(); c.save()
c = canvas.Canvas(path("locked.pdf"), pagesize=A4, invariant=1, encrypt=StandardEncryption("secret", canPrint=0))
c.drawString(100, 700, "Nobody reads this without the password."); c.showPage(); c.save()
c = canvas.Canvas(path("owner.pdf"), pagesize=A4, invariant=1, encrypt=StandardEncryption("", ownerPassword="owner", canPrint=0, canCopy=0))
c.drawString(100, 700, "Everybody may read this."); c.showPage(); c.save()

import docx
from docx.shared import Pt
w = docx.Document()
w.add_heading("Service Agreement", 0)
w.add_heading("Scope", 1)
p = w.add_paragraph("The supplier maintains "); p.add_run("all pumps").bold = True; p.add_run(" at the plant in Gießen.")
w.add_heading("Duties", 2)
for x in ("Inspect monthly", "Repair within 48 hours"): w.add_paragraph(x, style="List Bullet")
for x in ("First reminder", "Second reminder"): w.add_paragraph(x, style="List Number")
t = w.add_table(rows=1, cols=2); t.rows[0].cells[0].text = "Pump"; t.rows[0].cells[1].text = "Fee | year"
for a, b in (("North", "€ 1,200"), ("South", "€ 900")):
    r = t.add_row().cells; r[0].text = a; r[1].text = b
w.add_paragraph("Either party may terminate with three months’ notice.")
import datetime
w.core_properties.created = w.core_properties.modified = datetime.datetime(2026,1,1)
w.core_properties.author = ""
w.save(path("service.docx"))

import openpyxl
b = openpyxl.Workbook()
s = b.active; s.title = "Invoices"
s.append(["id", "vendor", "amount", "due"])
s.append(["inv-1", "Acme", 1250.5, datetime.date(2026, 3, 1)])
s.append([None]*4)
s.append(["inv-2", "Globex GmbH", -3, datetime.date(2026, 4, 15)])
for r in s.iter_rows(min_col=3, max_col=3, min_row=2):
    for cell in r: cell.number_format = "#,##0.00"
n = b.create_sheet("Notes"); n.append(["vendor", "note"]); n.append(["Acme", "pays late"])
b.create_sheet("Empty")
b.save(path("invoices.xlsx"))

import pyarrow as pa, pyarrow.parquet as pq, decimal
tab = pa.table({
 "id": pa.array(["p-1", "p-2", None]),
 "text": pa.array(["The pump leaks.", "Le café est fermé.", "No id here."]),
 "n": pa.array([1, None, 3], pa.int64()),
 "price": pa.array([decimal.Decimal("12.50"), decimal.Decimal("-0.05"), None], pa.decimal128(9, 2)),
 "day": pa.array([datetime.date(2026,3,1), None, datetime.date(1969,12,31)]),
 "at": pa.array([datetime.datetime(2026,3,1,12,30,15), None, None], pa.timestamp("us")),
 "ok": pa.array([True, False, None]),
 "score": pa.array([0.1, 1e30, None], pa.float64()),
 "tags": pa.array([["a", "b"], [], None], pa.list_(pa.string())),
 "place": pa.array([{"city": "Gießen", "zip": 35390}, None, {"city": "Bonn", "zip": None}], pa.struct([("city", pa.string()), ("zip", pa.int32())])),
})
pq.write_table(tab, path("rows.parquet"), compression="zstd")

from PIL import Image
im = Image.new("RGB", (8, 8), (200, 30, 30))
im.save(path("red.png")); im.save(path("red.jpg"), quality=80); im.save(path("red.webp")); im.save(path("red.gif"))

open(path("latin1.txt"), "wb").write("Der Vertrag läuft am 31. März aus. Gebühr: 12 £.\n".encode("latin-1"))
import zipfile
with zipfile.ZipFile(path("bundle.zip"), "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr(zipfile.ZipInfo("letters/rain.txt"), "Dear Sir, it is raining.\n")
    z.writestr(zipfile.ZipInfo("rows.csv"), "id,vendor\nz-1,Acme\n")
