#!/usr/bin/env python3
"""Writes tests/testdata/office: documents with known text, by the libraries that people write them with.

Run with Carrel's Python runtime (python-docx 1.2, python-pptx 1.0, openpyxl 3.1):
    PYTHONPATH=build/share/carrel/runtimes/python/site-packages python3 tests/support/office/make_documents.py
What must be found in them stands in tests/integration/retrieval/extraction_office_test.cc.
"""

import datetime
import pathlib
import re
import sys
import zipfile

import docx
import openpyxl
import pptx
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pptx.util import Inches

HERE = pathlib.Path(__file__).resolve().parents[2] / "testdata" / "office"
WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5)


def steady(path, change=None):
    """The same bytes at every run: entries in order, with one date; `change(name, bytes)` may rewrite a part."""
    with zipfile.ZipFile(path) as old:
        parts = [(info.filename, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in parts:
            if change:
                data = change(name, data)
            new.writestr(zipfile.ZipInfo(name, (2026, 1, 2, 3, 4, 4)), data, zipfile.ZIP_DEFLATED)


def run(paragraph, xml):
    paragraph._p.append(parse_xml(xml))


W = nsdecls("w")
FOOTNOTES = f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<w:footnotes {W}>
<w:footnote w:type="separator" w:id="-1"><w:p><w:r><w:separator/></w:r></w:p></w:footnote>
<w:footnote w:id="2"><w:p><w:r><w:footnoteRef/></w:r><w:r><w:t xml:space="preserve"> Measured in the spring of 1911.</w:t></w:r></w:p></w:footnote>
</w:footnotes>"""


def report():
    document = docx.Document()
    properties = document.core_properties
    properties.title, properties.created, properties.modified = "The bridges of the valley", WHEN, WHEN
    document.add_heading("Bridges", level=1)
    first = document.add_paragraph("The old bridge was built in 1842")
    run(first, f'<w:r {W}><w:footnoteReference w:id="2"/></w:r>')
    run(first, f'<w:r {W}><w:t xml:space="preserve"> and carries one lane.</w:t></w:r>')
    run(first, f'<w:del {W} w:id="7" w:author="a"><w:r><w:delText>It is falling down.</w:delText></w:r></w:del>')
    run(first, f'<w:ins {W} w:id="8" w:author="a"><w:r><w:t xml:space="preserve"> It stands well.</w:t></w:r></w:ins>')
    run(first, f'<w:r {W}><w:rPr><w:vanish/></w:rPr><w:t>Nobody sees this.</w:t></w:r>')
    document.add_heading("Loads", level=2)
    for text in ("Carts", "Coaches"):
        document.add_paragraph(text, style="List Bullet")
    for text in ("Measure the span.", "Load the middle.", "Read the gauge."):
        document.add_paragraph(text, style="List Number")
    table = document.add_table(rows=1, cols=3)
    for cell, text in zip(table.rows[0].cells, ("Bridge", "Span", "Load")):
        cell.text = text
    for row in (("Old", "24 m", "8 t"), ("New", "31 m", "40 t")):
        for cell, text in zip(table.add_row().cells, row):
            cell.text = text
    box = document.add_paragraph("Beside the picture.")
    run(box, f"""<w:r {W} xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"
      xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"
      xmlns:v="urn:schemas-microsoft-com:vml"><mc:AlternateContent><mc:Choice Requires="wps"><w:drawing><wps:wsp>
      <wps:txbx><w:txbxContent><w:p><w:r><w:t>A word in a box.</w:t></w:r></w:p></w:txbxContent></wps:txbx></wps:wsp>
      </w:drawing></mc:Choice><mc:Fallback><w:pict><v:textbox><w:txbxContent><w:p><w:r><w:t>A word in a box.</w:t></w:r>
      </w:p></w:txbxContent></v:textbox></w:pict></mc:Fallback></mc:AlternateContent></w:r>""")
    document.add_heading("Größe und 長さ", level=1)
    document.add_paragraph("Das Maß ist voll. 橋は長い。")
    path = HERE / "report.docx"
    document.save(path)

    def with_notes(name, data):
        if name == "[Content_Types].xml":
            return data.replace(b"</Types>", b'<Override PartName="/word/footnotes.xml" ContentType="application/vnd.'
                                b'openxmlformats-officedocument.wordprocessingml.footnotes+xml"/></Types>')
        if name == "word/_rels/document.xml.rels":
            return data.replace(b"</Relationships>", b'<Relationship Id="rIdNotes" Type="http://schemas.openxmlformats.org'
                                b'/officeDocument/2006/relationships/footnotes" Target="footnotes.xml"/></Relationships>')
        return data

    steady(path, with_notes)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("word/footnotes.xml", (2026, 1, 2, 3, 4, 4)), FOOTNOTES, zipfile.ZIP_DEFLATED)


def talk():
    deck = pptx.Presentation()
    properties = deck.core_properties
    properties.title, properties.created, properties.modified = "Water", WHEN, WHEN
    slides = []
    slide = deck.slides.add_slide(deck.slide_layouts[0])
    slide.shapes.title.text = "Where the water goes"
    slide.placeholders[1].text = "A talk for the council"
    slides.append(slide)
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "Losses"
    body = slide.placeholders[1].text_frame
    body.text = "Pipes leak"
    inner = body.add_paragraph()
    inner.text, inner.level = "most at the joints", 1
    body.add_paragraph().text = "Taps drip"
    slide.notes_slide.notes_text_frame.text = "Say that joints are cheap to mend."
    slides.append(slide)
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "Figures"
    table = slide.shapes.add_table(3, 2, Inches(1), Inches(2), Inches(6), Inches(2)).table
    for row, texts in enumerate((("Part", "Loss"), ("Pipes", "12 %"), ("Taps", "3 %"))):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(Inches(1), Inches(5), Inches(3), Inches(1)).text_frame.text = "Source: the waterworks"
    slides.append(slide)
    # The order of the presentation is not that of the files: the last made comes second.
    ids = deck.slides._sldIdLst
    last = list(ids)[2]
    ids.remove(last)
    ids.insert(1, last)
    path = HERE / "talk.pptx"
    deck.save(path)
    steady(path)


def budget():
    book = openpyxl.Workbook()
    book.properties.title = "Budget"
    book.properties.created = book.properties.modified = WHEN
    sheet = book.active
    sheet.title = "Budget"
    sheet.append(["Budget of the library"])
    sheet.append([])
    sheet.append(["Item", "Due", "Cost", "Share", "Paid"])
    sheet.append(["Shelves", datetime.date(2026, 3, 1), 1250.5, 0.25, True])
    sheet.append(["Books", datetime.datetime(2026, 4, 15, 13, 30), 0.1 + 0.2, 0.125, False])
    sheet.append(["Total", None, "=SUM(C4:C5)", None, None])
    for row in (4, 5):
        sheet.cell(row, 4).number_format = "0.0%"
    other = book.create_sheet("Opening hours")
    other.append(["Day", "From"])
    other.append(["Monday", datetime.time(9, 30)])
    other.append(["Größe\nzwei", datetime.time(17, 5, 9)])
    hidden = book.create_sheet("Scratch")
    hidden.append(["never seen"])
    hidden.sheet_state = "hidden"
    path = HERE / "budget.xlsx"
    book.save(path)

    def computed(name, data):  # as Excel keeps the last value beside the formula
        if name == "docProps/core.xml":
            return re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>2026-01-02T03:04:05Z", data)
        if name != "xl/worksheets/sheet1.xml":
            return data
        return re.sub(rb"<f>SUM\(C4:C5\)</f><v ?/?>(</v>)?", b"<f>SUM(C4:C5)</f><v>1250.8</v>", data)

    steady(path, computed)


def main():
    HERE.mkdir(parents=True, exist_ok=True)
    report()
    talk()
    budget()
    return 0


if __name__ == "__main__":
    sys.exit(main())
