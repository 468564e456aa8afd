# Excel, Word, PowerPoint and PDF files are written and read.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import io
import docx, openpyxl, pptx, pypdf
from reportlab.pdfgen import canvas
book = openpyxl.Workbook()
book.active["A1"] = 42
book.save("b.xlsx")
assert openpyxl.load_workbook("b.xlsx").active["A1"].value == 42
document = docx.Document()
document.add_paragraph("hello")
document.save("d.docx")
assert docx.Document("d.docx").paragraphs[0].text == "hello"
pptx.Presentation().save("p.pptx")
page = canvas.Canvas("p.pdf")
page.drawString(100, 700, "hello page")
page.save()
assert "hello page" in pypdf.PdfReader("p.pdf").pages[0].extract_text()
print("twin ok")
