#!/usr/bin/env python3
"""Writes PDFs of prose whose text, pages and places are known, and beside each what must be found in it.

    PYTHONPATH=<site-packages with reportlab and matplotlib> make_documents.py OUTPUT_DIRECTORY

The prose is put together from a fixed vocabulary with a fixed seed, so the same library versions write the same bytes.
Beside NAME.pdf stands NAME.expect, one fact a line, fields separated by tabs:

    sentence  FIRST_PAGE LAST_PAGE X_MIN Y_MIN X_MAX Y_MAX TEXT   the box is that of its part on the first page, in
                                                                  points from the top left; -1 four times: not checked
    margin    PAGE TEXT       a running head or page number: on that page, but not in the flow of the text
    heading   LEVEL TITLE
    label     PAGE LABEL
    pages     COUNT
"""

import os
import random
import sys

import matplotlib
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen import canvas

WIDTH, HEIGHT = 595.0, 842.0

NOUNS = """river bridge garden harbour window letter mountain station machine village kitchen library engine forest
market teacher sailor farmer painter doctor captain valley journey picture message problem question answer morning
evening summer winter province instrument telescope collection expedition observation calculation laboratory
manuscript catalogue temperature measurement settlement agreement department translation foundation""".split()
VERBS = """follows describes measures repairs observes collects crosses remembers explains protects discovers visits
prepares examines compares replaces completes illustrates surrounds determines represents""".split()
ADJECTIVES = """quiet narrow distant careful ancient wooden yellow northern simple broken hidden heavy gentle
remarkable considerable unexpected particular independent magnificent traditional""".split()
PLACES = """near the river|behind the station|in the northern province|after a long winter|before the morning
|without a single question|under the wooden bridge|with remarkable patience|during the expedition""".replace("\n", "").split("|")


class Prose:
    """Sentences that differ from each other: each carries a number of its own in words."""

    DIGITS = "zero one two three four five six seven eight nine".split()

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.count = 0

    def sentence(self):
        pick = self.random.choice
        self.count += 1
        number = " ".join(self.DIGITS[int(d)] for d in str(self.count))
        text = f"The {pick(ADJECTIVES)} {pick(NOUNS)} {pick(VERBS)} the {pick(ADJECTIVES)} {pick(NOUNS)} {pick(PLACES)}"
        if self.random.random() < 0.5:
            text += f", and the {pick(NOUNS)} {pick(VERBS)} a {pick(ADJECTIVES)} {pick(NOUNS)}"
        return f"{text} of series {number}."

    def paragraph(self, sentences=4):
        return [self.sentence() for _ in range(sentences)]


class Document:
    def __init__(self, directory, name, size=(WIDTH, HEIGHT)):
        self.path = os.path.join(directory, name)
        self.canvas = canvas.Canvas(self.path + ".pdf", pagesize=size, invariant=1, pageCompression=1)
        self.size = size
        self.page = 1
        self.facts = []

    def fact(self, *fields):
        self.facts.append("\t".join(str(f) for f in fields))

    def sentence(self, text, first, last, box=None):
        box = box or (-1, -1, -1, -1)
        self.fact("sentence", first, last, *(f"{v:.1f}" for v in box), text)

    def next_page(self, size=None):
        self.canvas.showPage()
        self.page += 1
        if size:
            self.canvas.setPageSize(size)
            self.size = size

    def save(self):
        self.canvas.showPage()
        self.fact("pages", self.page)
        self.canvas.save()
        with open(self.path + ".expect", "w", encoding="utf-8") as out:
            out.write("\n".join(self.facts) + "\n")


class Flow:
    """Sets paragraphs into columns, line by line, and notes where each sentence came to stand."""

    def __init__(self, document, columns, font="Times-Roman", size=11, leading=14, hyphenate=False, justify=True,
                 indent=0, gap=6, on_page=None, hyphen="-", spaced=True, draw=None):
        self.document, self.columns = document, columns  # columns: (x, top, width, bottom), from the top left
        self.font, self.size, self.leading = font, size, leading
        self.hyphenate, self.justify, self.indent, self.gap = hyphenate, justify, indent, gap
        self.on_page, self.hyphen, self.spaced = on_page, hyphen, spaced
        self.draw = draw or (lambda x, y, text: document.canvas.drawString(x, document.size[1] - y, text))
        self.column, self.y = 0, columns[0][1]
        self.marks = {}  # sentence index -> [(page, box)]
        self.sentences = []
        if on_page:
            on_page(document)

    def width(self, text, font=None, size=None):
        return pdfmetrics.stringWidth(text, font or self.font, size or self.size)

    def line_room(self):
        x, top, width, bottom = self.columns[self.column]
        if self.y + self.leading > bottom:
            self.column += 1
            if self.column == len(self.columns):
                self.column = 0
                self.document.next_page()
                if self.on_page:
                    self.on_page(self.document)
            self.y = self.columns[self.column][1]
        return self.columns[self.column]

    def place(self, words, indent, last, font, size):
        """words: [(text, sentence)] of one line, which is then drawn."""
        x, _, width, _ = self.line_room()
        self.y += self.leading
        self.document.canvas.setFont(font, size)
        natural = sum(self.width(w, font, size) for w, _ in words)
        gaps = len(words) - 1 if self.spaced else 0
        space = self.width(" ", font, size)
        if self.justify and not last and gaps > 0:
            space = min((width - indent - natural) / gaps, 4 * space)
        at = x + indent
        for text, sentence in words:
            self.draw(at, self.y, text)
            end = at + self.width(text, font, size)
            self.marks.setdefault(sentence, []).append(
                (self.document.page, (at, self.y - 0.75 * size, end, self.y + 0.2 * size)))
            at = end + (space if self.spaced else 0)

    def split(self, word, room, font, size):
        """The longest beginning of at least three letters that fits with a hyphen, leaving three."""
        letters = len(word.rstrip(".,"))
        for cut in range(letters - 3, 2, -1):
            if word[:cut].isalpha() and self.width(word[:cut] + self.hyphen, font, size) <= room:
                return cut
        return 0

    def paragraph(self, sentences, font=None, size=None, check=True):
        font, size = font or self.font, size or self.size
        words = []
        for text in sentences:
            index = len(self.sentences)
            self.sentences.append((text, check))
            pieces = text.split(" ") if self.spaced else list(text)
            words += [(w, index) for w in pieces]
        line, used, indent = [], 0.0, self.indent
        space = self.width(" ", font, size) if self.spaced else 0
        while words:
            word, sentence = words[0]
            room = self.columns[self.column][2] - indent - used - (space if line else 0)
            if self.width(word, font, size) <= room:
                used += self.width(word, font, size) + (space if line else 0)
                line.append(words.pop(0))
                continue
            cut = self.split(word, room, font, size) if self.hyphenate else 0
            if cut:
                line.append((word[:cut] + self.hyphen, sentence))
                words[0] = (word[cut:], sentence)
            elif not line:
                line.append(words.pop(0))
            self.place(line, indent, False, font, size)
            line, used, indent = [], 0.0, 0
        if line:
            self.place(line, indent, True, font, size)
        self.y += self.gap

    def skip(self, points):
        self.y += points

    def finish(self):
        for index, (text, check) in enumerate(self.sentences):
            if not check:
                continue
            marks = self.marks[index]
            first, last = marks[0][0], marks[-1][0]
            boxes = [box for page, box in marks if page == first]
            box = (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes),
                   max(b[3] for b in boxes))
            self.document.sentence(text, first, last, box)


def one_column(size=(WIDTH, HEIGHT), margin=72):
    return [(margin, margin, size[0] - 2 * margin, size[1] - margin)]


def columns(count, gutter=24, margin=60):
    width = (WIDTH - 2 * margin - gutter * (count - 1)) / count
    return [(margin + i * (width + gutter), margin + 20, width, HEIGHT - margin - 20) for i in range(count)]


def prose_document(directory, name, seed, paragraphs, cols, **options):
    document = Document(directory, name)
    prose = Prose(seed)
    flow = Flow(document, cols, **options)
    for _ in range(paragraphs):
        flow.paragraph(prose.paragraph())
    flow.finish()
    document.save()


def running_heads(directory):
    document = Document(directory, "running_heads")
    prose = Prose(5)

    def on_page(doc):
        c, page = doc.canvas, doc.page
        c.setFont("Times-Italic", 9)
        head = "A Survey of the Northern Province" if page % 2 else "Chapter on Rivers and Bridges"
        c.drawString(72, HEIGHT - 40, head)
        c.drawCentredString(WIDTH / 2, 36, f"- {page} -")
        doc.fact("margin", page, head)
        doc.fact("margin", page, f"- {page} -")

    flow = Flow(document, one_column(), on_page=on_page, hyphenate=True)
    for _ in range(45):
        flow.paragraph(prose.paragraph())
    flow.finish()
    document.save()


def footnotes(directory):
    document = Document(directory, "footnotes")
    prose = Prose(6)
    notes = Prose(60)

    def on_page(doc):
        c = doc.canvas
        text = notes.sentence().replace("series", "note")
        c.line(72, 100, 200, 100)
        c.setFont("Times-Roman", 8)
        c.drawString(72, 86, text)
        doc.sentence(text, doc.page, doc.page)

    cols = [(72, 72, WIDTH - 144, HEIGHT - 120)]
    document_flow = Flow(document, cols, on_page=on_page)
    for _ in range(12):
        # Whole paragraphs per page: a note between them interrupts no sentence.
        if document_flow.y + 5 * document_flow.leading > cols[0][3]:
            document_flow.y = cols[0][3]
        document_flow.paragraph(prose.paragraph(3))
    document_flow.finish()
    document.save()


def labels(directory):
    document = Document(directory, "printed_labels")
    prose = Prose(7)
    document.canvas.addPageLabel(0, style="ROMAN_LOWER", start=1)
    document.canvas.addPageLabel(3, style="ARABIC", start=1)
    document.canvas.addPageLabel(6, style="ARABIC", start=1, prefix="A-")
    expected = ["i", "ii", "iii", "1", "2", "3", "A-1", "A-2"]
    for number, label in enumerate(expected, 1):
        document.fact("label", number, label)
        flow = Flow(document, one_column())
        flow.paragraph(prose.paragraph())
        flow.finish()
        c = document.canvas
        c.setFont("Times-Roman", 9)
        c.drawCentredString(WIDTH / 2, 36, label)
        document.fact("margin", number, label)
        if number < len(expected):
            document.next_page()
    document.save()


def outline(directory):
    document = Document(directory, "outline")
    c = document.canvas
    prose = Prose(8)
    titles = [(1, "1 The first journey"), (2, "1.1 Preparation of the expedition"), (2, "1.2 Across the valley"),
              (1, "2 The second journey"), (2, "2.1 A winter in the village"), (1, "3 Results")]
    c.setFont("Times-Bold", 16)
    c.drawString(72, HEIGHT - 90, "Contents")
    c.setFont("Times-Roman", 11)
    for i, (level, title) in enumerate(titles):
        c.drawString(72 + 12 * (level - 1), HEIGHT - 120 - 16 * i, title)
        dots = 72 + 12 * level + pdfmetrics.stringWidth(title, "Times-Roman", 11)
        while dots < 490:
            c.drawString(dots, HEIGHT - 120 - 16 * i, ".")
            dots += 6
        c.drawRightString(WIDTH - 72, HEIGHT - 120 - 16 * i, str(2 + i // 2))
    document.next_page()
    flow = Flow(document, one_column(), hyphenate=True)
    for i, (level, title) in enumerate(titles):
        flow.skip(14)
        if flow.y + 80 > HEIGHT - 72:
            flow.y = HEIGHT
        flow.line_room()
        c.bookmarkPage(f"s{i}")
        c.addOutlineEntry(title, f"s{i}", level - 1)
        flow.paragraph([title], font="Times-Bold", size=15 if level == 1 else 12, check=False)
        document.fact("heading", level, title)
        for _ in range(6):
            flow.paragraph(prose.paragraph())
    flow.finish()
    document.save()


def headings_by_size(directory):
    document = Document(directory, "headings_by_size")
    prose = Prose(9)
    flow = Flow(document, one_column(), hyphenate=True)
    for level, title in [(1, "On harbours"), (2, "Their bridges"), (2, "Their markets"), (1, "On mountains")]:
        flow.skip(14)
        flow.leading = 24
        flow.paragraph([title], font="Helvetica-Bold", size=20 if level == 1 else 15, check=False)
        flow.leading = 14
        document.fact("heading", level, title)
        for _ in range(5):
            flow.paragraph(prose.paragraph())
    flow.finish()
    document.save()


def rotated(directory):
    document = Document(directory, "rotated_pages")
    prose = Prose(10)
    for angle in (0, 90, 180, 270):
        c = document.canvas
        # /Rotate turns the page for display; the content is turned against it, so that it reads upright.
        # (reportlab swaps the sides of a page that is turned by a quarter.)
        c.setPageSize((WIDTH, HEIGHT) if angle % 180 == 0 else (HEIGHT, WIDTH))
        c.setPageRotation(angle)
        shown = (WIDTH, HEIGHT) if angle % 180 == 0 else (HEIGHT, WIDTH)
        turn = {0: (0, 0), 90: (WIDTH, 0), 180: (WIDTH, HEIGHT), 270: (0, HEIGHT)}[angle]
        c.saveState()
        c.translate(*turn)
        c.rotate(angle)
        flow = Flow(document, one_column(shown), draw=lambda x, y, text, h=shown[1]: c.drawString(x, h - y, text))
        for _ in range(3):
            flow.paragraph(prose.paragraph())
        flow.finish()
        c.restoreState()
        if angle < 270:
            document.next_page()
    document.save()


def sideways(directory):
    """Text that runs up and down an upright page."""
    document = Document(directory, "sideways_text")
    c = document.canvas
    prose = Prose(11)
    for angle in (90, 270):
        c.saveState()
        c.translate(*((WIDTH, 0) if angle == 90 else (0, HEIGHT)))
        c.rotate(angle)
        flow = Flow(document, [(72, 60, HEIGHT - 144, WIDTH - 60)],
                    draw=lambda x, y, text: c.drawString(x, WIDTH - y, text))
        for _ in range(4):
            flow.paragraph(prose.paragraph())
        for index, (text, _) in enumerate(flow.sentences):
            document.sentence(text, document.page, document.page)
        c.restoreState()
        if angle == 90:
            document.next_page()
    document.save()


def cropped(directory):
    document = Document(directory, "crop_box")
    prose = Prose(12)
    left, bottom, right, top = 40, 60, 555, 800
    document.canvas.setCropBox((left, bottom, right, top))
    shift_x, shift_y = left, HEIGHT - top
    flow = Flow(document, one_column())
    for _ in range(6):
        flow.paragraph(prose.paragraph())
    for index, (text, _) in enumerate(flow.sentences):
        boxes = [box for _, box in flow.marks[index]]
        document.sentence(text, 1, 1, (min(b[0] for b in boxes) - shift_x, min(b[1] for b in boxes) - shift_y,
                                       max(b[2] for b in boxes) - shift_x, max(b[3] for b in boxes) - shift_y))
    document.save()


def page_sizes(directory):
    document = Document(directory, "page_sizes")
    prose = Prose(13)
    sizes = [(420, 595), (842, 595), (612, 792), (300, 300)]
    for number, size in enumerate(sizes):
        if number:
            document.next_page(size)
        else:
            document.canvas.setPageSize(size)
            document.size = size
        flow = Flow(document, one_column(size, 40))
        flow.paragraph(prose.paragraph(3))
        flow.finish()
    document.save()


def ligatures(directory):
    document = Document(directory, "ligatures")
    c = document.canvas
    c.setFont("DejaVu", 11)
    pairs = [("The o\ufb03ce \ufb01les a \ufb01nal note about the \ufb02ow of co\ufb00ee.",
              "The office files a final note about the flow of coffee."),
             ("A \ufb02uent waf\ufb02e seller \ufb01nds the di\ufb03cult cli\ufb00.",
              "A fluent waffle seller finds the difficult cliff."),
             ("The ru\ufb04ed o\ufb03cer shu\ufb04es ef\ufb01ciently.", "The ruffled officer shuffles efficiently.")]
    for i, (drawn, read) in enumerate(pairs):
        c.drawString(72, HEIGHT - 100 - 16 * i, drawn)
        document.sentence(read, 1, 1)
    document.save()


def soft_hyphens(directory):
    document = Document(directory, "soft_hyphens")
    prose = Prose(15)
    flow = Flow(document, [(72, 72, 200, HEIGHT - 72)], font="DejaVu", size=10, hyphenate=True, hyphen="\u00ad",
                justify=False)
    for _ in range(8):
        flow.paragraph(prose.paragraph())
    flow.finish()
    document.save()


def compounds(directory):
    """Hyphens that belong to words, broken at the line's end, beside the same words unbroken."""
    document = Document(directory, "compounds")
    c = document.canvas
    c.setFont("Times-Roman", 11)
    lines = ["A well-known captain and a long-term plan meet in the harbour, where the well-",
             "known captain speaks of the Anglo-",
             "Saxon manuscript and of the measure-",
             "ment that was made in 1999-",
             "2001 before the long-",
             "term agreement."]
    for i, line in enumerate(lines):
        c.drawString(72, HEIGHT - 100 - 14 * i, line)
    document.sentence("A well-known captain and a long-term plan meet in the harbour, where the well-known captain "
                      "speaks of the Anglo-Saxon manuscript and of the measurement that was made in 1999-2001 before "
                      "the long-term agreement.", 1, 1)
    document.save()


CJK = {
    "cjk_japanese": ("HeiseiMin-W3", ["川の近くに古い図書館があります。", "先生は毎朝その橋を渡って学校へ行きます。",
                                      "冬になると山の上に雪が降り、村は静かになります。",
                                      "船長は長い旅の話を子供たちに聞かせました。",
                                      "新しい望遠鏡は夜空の星をはっきりと映し出した。"]),
    "cjk_chinese": ("STSong-Light", ["河边有一座古老的图书馆。", "老师每天早上走过那座桥去学校。",
                                     "冬天山上下雪，村子变得很安静。", "船长给孩子们讲了一个漫长的旅行故事。",
                                     "新的望远镜清楚地显示了夜空中的星星。"]),
}


def cjk(directory, name):
    font, sentences = CJK[name]
    pdfmetrics.registerFont(UnicodeCIDFont(font))
    document = Document(directory, name)
    flow = Flow(document, [(72, 72, 180, HEIGHT - 72)], font=font, size=12, leading=18, justify=False, spaced=False,
                gap=10)
    flow.paragraph(sentences)
    flow.finish()
    document.save()


def vertical(directory):
    """Japanese from top to bottom, the lines from right to left, with the font's punctuation for vertical lines."""
    font = UnicodeCIDFont("HeiseiMin-W3", isVertical=True)
    pdfmetrics.registerFont(font)
    document = Document(directory, "vertical_japanese")
    sentences = CJK["cjk_japanese"][1]
    text = "".join(sentences)
    document.canvas.setFont(font.fontName, 14)
    for i in range(0, len(text), 20):
        document.canvas.drawString(500 - 24 * (i // 20), HEIGHT - 72, text[i:i + 20])
    at = 0
    for sentence in sentences:
        places = [(500 - 24 * (i // 20), 72 + 14 * (i % 20)) for i in range(at, at + len(sentence))]
        at += len(sentence)
        # A glyph hangs from the middle of its upper edge.
        document.sentence(sentence, 1, 1, (min(x for x, _ in places) - 7, min(y for _, y in places),
                                           max(x for x, _ in places) + 7, max(y for _, y in places) + 14))
    document.save()


def korean(directory):
    pdfmetrics.registerFont(UnicodeCIDFont("HYSMyeongJo-Medium"))
    document = Document(directory, "cjk_korean")
    flow = Flow(document, [(72, 72, 220, HEIGHT - 72)], font="HYSMyeongJo-Medium", size=12, leading=18, justify=False)
    flow.paragraph(["강가에 오래된 도서관이 있습니다.", "선생님은 매일 아침 다리를 건너 학교에 갑니다.",
                    "겨울이 되면 산에 눈이 내리고 마을은 조용해집니다."])
    for index, (text, _) in enumerate(flow.sentences):
        document.sentence(text, 1, 1)
    document.save()


HEBREW = ["הספרן הישן יושב ליד החלון וקורא מכתב.", "הגשר מעל הנהר נבנה לפני שנים רבות.",
          "בחורף יורד שלג על ההר והכפר שקט.", "המורה שואל את הילדים שאלה קשה על הים.",
          "רב החובל סיפר סיפור ארוך על המסע."]
MIXED = ["הספר נדפס בשנת 1984 בעיר הצפונית.", "המנוע נקרא Carrel Engine ונבנה בשקט."]
ARABIC = ["يجلس امين المكتبة قرب النافذة ويقرا رسالة.", "بني الجسر فوق النهر قبل سنوات كثيرة."]


def visual(words):
    """The words of a right-to-left line from left to right, each with its glyphs from left to right."""
    out = []
    run = []  # left-to-right words keep their order among themselves
    for word in reversed(words):
        core = word.rstrip(".,")
        if core.isascii():
            run.insert(0, word)
            continue
        out += run + ["".join(reversed(word))]
        run = []
    return out + run


def right_to_left(directory, name, sentences):
    document = Document(directory, name)
    c = document.canvas
    c.setFont("DejaVu", 12)
    right, y = WIDTH - 72, 100
    words = [(w, i) for i, s in enumerate(sentences) for w in s.split(" ")]
    while words:
        line, used = [], 0
        while words and used + pdfmetrics.stringWidth(words[0][0] + " ", "DejaVu", 12) <= 300:
            used += pdfmetrics.stringWidth(words[0][0] + " ", "DejaVu", 12)
            line.append(words.pop(0)[0])
        c.drawRightString(right, HEIGHT - y, " ".join(visual(line)))
        y += 18
    for text in sentences:
        document.sentence(text, 1, 1)
    document.save()


def other_scripts(directory):
    document = Document(directory, "greek_cyrillic_accents")
    flow = Flow(document, one_column(), font="DejaVu", size=11, justify=False)
    flow.paragraph(["Η παλιά βιβλιοθήκη βρίσκεται κοντά στο ποτάμι.", "Ο δάσκαλος περνά τη γέφυρα κάθε πρωί."])
    flow.paragraph(["Старая библиотека стоит у реки.", "Учитель каждое утро переходит мост."])
    flow.paragraph(["Der Fährmann überquert täglich den Fluß.", "L'élève préfère la forêt à côté du château.",
                    "El niño señaló la montaña española.", "Příliš žluťoučký kůň pěl ódy."])
    flow.finish()
    document.save()


def lists(directory):
    document = Document(directory, "lists")
    c = document.canvas
    prose = Prose(16)
    y = 100
    for i in range(1, 9):
        text = prose.sentence()[:80].rsplit(" ", 1)[0] + "."
        mark = f"{i}." if i <= 4 else "\u2022"
        c.setFont("DejaVu", 10)
        c.drawString(80, HEIGHT - y, mark)
        c.drawString(100, HEIGHT - y, text)
        document.sentence(text, 1, 1)
        y += 15
    document.save()


def table(directory):
    document = Document(directory, "table")
    c = document.canvas
    prose = Prose(17)
    flow = Flow(document, one_column())
    flow.paragraph(prose.paragraph())
    rng = random.Random(17)
    y = flow.y + 30
    for _ in range(12):
        row = [rng.choice(NOUNS), rng.choice(ADJECTIVES), str(rng.randint(100, 999))]
        for x, cell in zip((80, 220, 360), row):
            c.drawString(x, HEIGHT - y, cell)
        y += 14
    flow.y = y + 20
    flow.paragraph(prose.paragraph())
    flow.finish()
    document.save()


def listing(directory):
    document = Document(directory, "listing")
    prose = Prose(18)
    flow = Flow(document, one_column())
    flow.paragraph(prose.paragraph())
    c = document.canvas
    y = flow.y + 20
    for line in ["def area(width, height):", "    if width < 0:", "        return 0", "    return width * height"]:
        c.setFont("Courier", 10)
        c.drawString(72, HEIGHT - y, line)
        document.sentence(line.strip(), 1, 1)
        y += 12
    flow.y = y + 14
    flow.paragraph(prose.paragraph())
    flow.finish()
    document.save()


def styles(directory):
    """Bold and italic words and raised numbers within lines."""
    document = Document(directory, "styles")
    c = document.canvas
    prose = Prose(19)
    y = 100
    for i in range(12):
        x, words = 72, prose.sentence().split(" ")[:9]
        for j, word in enumerate(words):
            font = ("Times-Roman", "Times-Bold", "Times-Italic")[(i + j) % 3 if j % 4 == 0 else 0]
            c.setFont(font, 11)
            c.drawString(x, HEIGHT - y, word)
            x += pdfmetrics.stringWidth(word, font, 11) + 3.2
        document.sentence(" ".join(words), 1, 1)
        y += 16
    document.save()


def main():
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    fonts = os.path.join(os.path.dirname(matplotlib.__file__), "mpl-data", "fonts", "ttf")
    pdfmetrics.registerFont(TTFont("DejaVu", os.path.join(fonts, "DejaVuSans.ttf")))

    prose_document(directory, "plain", 1, 16, one_column())
    prose_document(directory, "ragged", 20, 10, one_column(), justify=False, gap=0, indent=18)
    prose_document(directory, "two_columns", 2, 40, columns(2), size=10, leading=12)
    prose_document(directory, "two_columns_hyphens", 3, 40, columns(2), size=10, leading=12, hyphenate=True, gap=0,
                   indent=12)
    prose_document(directory, "three_columns", 4, 30, columns(3, 18, 40), size=9, leading=11, hyphenate=True)
    prose_document(directory, "narrow_hyphens", 14, 12, [(72, 72, 150, HEIGHT - 72)], hyphenate=True)
    prose_document(directory, "long", 21, 150, one_column(), hyphenate=True)
    running_heads(directory)
    footnotes(directory)
    labels(directory)
    outline(directory)
    headings_by_size(directory)
    rotated(directory)
    sideways(directory)
    cropped(directory)
    page_sizes(directory)
    ligatures(directory)
    soft_hyphens(directory)
    compounds(directory)
    for name in CJK:
        cjk(directory, name)
    vertical(directory)
    korean(directory)
    right_to_left(directory, "hebrew", HEBREW)
    right_to_left(directory, "hebrew_mixed", MIXED)
    right_to_left(directory, "arabic", ARABIC)
    other_scripts(directory)
    lists(directory)
    table(directory)
    listing(directory)
    styles(directory)


if __name__ == "__main__":
    main()
