#!/usr/bin/python3
"""Writes harder PDFs, and beside each the text that a reader would read in it: for tests/quality/text_quality_test.cc.

    make_quality.py OUTPUT_DIRECTORY [NAME...]

Set by Pango and cairo (Debian: python3-gi python3-gi-cairo gir1.2-pango-1.0, fonts-dejavu, fonts-ipafont-gothic,
fonts-wqy-microhei), so that scripts are shaped as they should be: ligatures, Arabic forms, marks, kerning. NAME.txt has
one paragraph, heading, row or note a line, in the order of reading; running heads and page numbers are not in it.
"""

import os
import sys

import cairo
import gi

gi.require_version("Pango", "1.0")
gi.require_version("PangoCairo", "1.0")
from gi.repository import Pango, PangoCairo  # noqa: E402

WIDTH, HEIGHT = 595, 842
BODY = "DejaVu Serif 10"

PARAGRAPHS = [
    "The first lighthouse on this coast was a wooden tower with an iron basket at its top, in which the keepers burned coal. "
    "In a strong wind it used half a ton in one night, and the light could be seen for eleven miles; in fog it could hardly be "
    "seen from the shore below.",
    "When the tower burned down in the winter of 1823, the harbour office decided to build a second one of granite. The stones "
    "were cut on the mainland, numbered, and fitted together there before they were shipped, so that nothing would have to be "
    "changed on the narrow rock.",
    "Johanna Feldt kept the light for thirty-one years. Her journals fill forty volumes, and they note the weather, the ships, "
    "the oil that was used, and every visitor; on the last page of each year she added up the wrecks, of which there were "
    "nineteen in all.",
    "The lens came from a workshop in Paris. It weighs four tons, floats in a trough of mercury, and can be turned with one "
    "finger; a clockwork that had to be wound every ninety minutes kept it moving until electricity reached the island.",
    "Today the light is controlled from an office two hundred kilometres away. A sensor reports every failure within a few "
    "seconds, and a technician visits the tower twice a year, mostly to clean the glass and to count the birds.",
    "The house beside the tower is a small museum. Among its treasures are the first journal, a model of the wooden tower, and "
    "a brass telescope through which visitors may look at the seals on the southern bank.",
]


class Book:
    def __init__(self, directory, name, size=(WIDTH, HEIGHT)):
        self.path = os.path.join(directory, name)
        self.surface = cairo.PDFSurface(self.path + ".pdf", *size)
        # The same bytes at every run.
        self.surface.set_metadata(cairo.PDF_METADATA_CREATE_DATE, "2024-01-01T00:00:00Z")
        self.context = cairo.Context(self.surface)
        self.truth = []

    def say(self, text):
        self.truth.append(" ".join(text.split()))

    def layout(self, text, font=BODY, width=None, justify=False, align="left", rtl=False, markup=False, spacing=1.35):
        layout = PangoCairo.create_layout(self.context)
        layout.set_font_description(Pango.FontDescription(font))
        if width:
            layout.set_width(int(width * Pango.SCALE))
            layout.set_wrap(Pango.WrapMode.WORD_CHAR)
        layout.set_justify(justify)
        layout.set_line_spacing(spacing)
        layout.set_auto_dir(True)
        if align == "center":
            layout.set_alignment(Pango.Alignment.CENTER)
        if align == "right":
            layout.set_alignment(Pango.Alignment.RIGHT)
        if rtl:
            layout.get_context().set_base_dir(Pango.Direction.RTL)
            layout.context_changed()
        (layout.set_markup if markup else layout.set_text)(text, -1)
        return layout

    def put(self, text, x, y, **options):
        """Draws at (x, y), the upper left corner. The height."""
        layout = self.layout(text, **options)
        self.context.move_to(x, y)
        PangoCairo.show_layout(self.context, layout)
        return layout.get_pixel_size()[1]

    def next_page(self):
        self.context.show_page()

    def save(self):
        self.context.show_page()
        self.surface.finish()
        with open(self.path + ".txt", "w", encoding="utf-8") as out:
            out.write("\n".join(self.truth) + "\n")


def flow(book, paragraphs, columns, size=BODY, gap=8, justify=True):
    """Paragraphs down the columns (x, top, width, bottom), lines that do not fit at the top of the next."""
    at = 0
    x, top, width, bottom = columns[0]
    y = top
    for text in paragraphs:
        book.say(text)
        layout = book.layout(text, font=size, width=width, justify=justify)
        lines = layout.get_lines_readonly()
        iterator = layout.get_iter()
        begin = 0
        for _ in range(len(lines)):
            line = iterator.get_line_readonly()
            _, extents = iterator.get_line_extents()
            height = extents.height / Pango.SCALE
            if y + height > bottom:
                at += 1
                x, top, width, bottom = columns[at]
                y = top
                begin = 0
            baseline = iterator.get_baseline() / Pango.SCALE
            line_top = iterator.get_line_yrange()[0] / Pango.SCALE
            book.context.move_to(x + extents.x / Pango.SCALE, y + baseline - line_top)
            PangoCairo.show_layout_line(book.context, line)
            y += height
            if not iterator.next_line():
                break
        y += gap
    return x, y


def three_columns(directory):
    book = Book(directory, "three_narrow_columns")
    book.say("Notes on a light")
    book.put("Notes on a light", 50, 40, font="DejaVu Sans Bold 20")
    columns = [(50 + i * 170, 90, 154, 480) for i in range(3)]
    flow(book, PARAGRAPHS, columns, size="DejaVu Serif 8.5", justify=False)
    book.save()


def two_columns_with_figure(directory):
    """A heading over both columns, a figure with a caption in one of them."""
    book = Book(directory, "figure_in_column")
    title = "The lights of the northern coast and those who kept them through two centuries"
    book.say(title)
    book.put(title, 60, 50, font="DejaVu Sans Bold 18", width=475, align="center")
    columns = [(60, 150, 225, 420), (310, 150, 225, 420)]
    flow(book, PARAGRAPHS[:3], columns, size="DejaVu Serif 9")
    c = book.context
    c.rectangle(60, 450, 225, 120)
    c.set_source_rgb(0.8, 0.85, 0.9)
    c.fill()
    c.set_source_rgb(0, 0, 0)
    caption = "Figure 1. The tower of 1824, seen from the southern bank."
    book.put(caption, 60, 578, font="DejaVu Serif Italic 8", width=225)
    book.say(caption)
    flow(book, PARAGRAPHS[3:5], [(310, 450, 225, 760)], size="DejaVu Serif 9")
    book.save()


def table(directory):
    book = Book(directory, "ruled_table")
    book.say(PARAGRAPHS[0])
    y = 60 + book.put(PARAGRAPHS[0], 70, 60, width=455, justify=True) + 20
    rows = [("Year", "Keeper", "Oil used", "Wrecks"), ("1824", "Peter Lund", "812 litres", "2"),
            ("1851", "Johanna Feldt", "1 140 litres", "0"), ("1882", "Karl August Brandt", "960 litres", "1"),
            ("1907", "Maria Ekholm", "1 022 litres", "3")]
    c = book.context
    for i, row in enumerate(rows):
        book.say(" ".join(row))
        for x, cell in zip((70, 150, 320, 440), row):
            book.put(cell, x + 4, y + 4, font="DejaVu Sans Bold 9" if i == 0 else "DejaVu Sans 9")
        c.rectangle(70, y, 455, 22)
        c.set_line_width(0.5)
        c.stroke()
        y += 22
    book.say(PARAGRAPHS[1])
    book.put(PARAGRAPHS[1], 70, y + 20, width=455, justify=True)
    book.save()


def footnotes(directory):
    book = Book(directory, "footnote_marks")
    first = PARAGRAPHS[2].replace("thirty-one years.", "thirty-one years.<sup>1</sup>").replace(
        "forty volumes,", "forty volumes,<sup>2</sup>")
    book.say(PARAGRAPHS[2].replace("thirty-one years.", "thirty-one years.1").replace("forty volumes,", "forty volumes,2"))
    y = 60 + book.put(first, 70, 60, width=455, justify=True, markup=True) + 8
    book.say(PARAGRAPHS[3])
    book.put(PARAGRAPHS[3], 70, y, width=455, justify=True)
    c = book.context
    c.move_to(70, 740)
    c.line_to(200, 740)
    c.set_line_width(0.5)
    c.stroke()
    for i, note in enumerate(["1 From the spring of 1851 to the autumn of 1882.",
                              "2 Now in the archive of the harbour office, where they may be read on request."]):
        book.say(note)
        book.put("<sup>%s</sup>%s" % tuple(note.split(" ", 1)), 70, 748 + 14 * i, font="DejaVu Serif 8", markup=True)
        book.truth[-1] = note.replace(" ", "", 1)
    book.save()


def drop_cap(directory):
    book = Book(directory, "drop_cap")
    text = PARAGRAPHS[0]
    book.say(text)
    book.put(text[0], 70, 48, font="DejaVu Serif 40")
    rest = text[1:]
    layout = book.layout(rest, width=410, justify=False)
    # Two lines beside the letter, the others below it.
    line = layout.get_lines_readonly()[2]
    cut = line.start_index
    beside, below = rest.encode()[:cut].decode(), rest.encode()[cut:].decode()
    book.put(beside, 106, 60, width=420)
    book.put(below, 70, 60 + 2 * 18.2, width=455)
    book.say(PARAGRAPHS[1])
    book.put(PARAGRAPHS[1], 70, 200, width=455)
    book.save()


def lists(directory):
    book = Book(directory, "nested_lists")
    items = [(0, "1.", "Wind the clockwork every ninety minutes, also in fog, and write down the time."),
             (1, "a)", "Turn the handle slowly until the bell rings twice."),
             (1, "b)", "Never turn it while the lens is being cleaned."),
             (0, "2.", "Trim the wicks before the sun goes down and once more at midnight, when the oil is filled up."),
             (0, "3.", "Write the names of all ships into the journal; where a name cannot be read, describe the rig."),
             (1, "•", "Sails are counted from the bow."), (1, "•", "Steamers are noted with the colour of the funnel.")]
    book.say("Rules of the watch")
    book.put("Rules of the watch", 70, 50, font="DejaVu Sans Bold 15")
    y = 90
    for level, mark, text in items:
        book.put(mark, 70 + 22 * level, y)
        y += book.put(text, 92 + 22 * level, y, width=360) + 4
        book.say(f"{mark} {text}")
    book.save()


def headings(directory):
    """Headings over two lines, letter-spaced, and in small capitals."""
    book = Book(directory, "spaced_headings")
    y = 50
    long = "On the building of the second tower, and on the winter in which it nearly failed"
    book.say(long)
    y += book.put(long, 70, y, font="DejaVu Sans Bold 17", width=420) + 10
    book.say(PARAGRAPHS[1])
    y += book.put(PARAGRAPHS[1], 70, y, width=455, justify=True) + 20
    book.say("THE KEEPERS")
    y += book.put('<span letter_spacing="4096">THE KEEPERS</span>', 70, y, font="DejaVu Sans 13", markup=True) + 10
    book.say(PARAGRAPHS[2])
    y += book.put(PARAGRAPHS[2], 70, y, width=455, justify=True) + 20
    book.say("THE LENS FROM PARIS")
    y += book.put('<span size="14000">T</span><span size="10500">HE </span><span size="14000">L</span>'
                  '<span size="10500">ENS FROM </span><span size="14000">P</span><span size="10500">ARIS</span>', 70, y,
                  font="DejaVu Serif 14", markup=True) + 10
    book.say(PARAGRAPHS[3])
    book.put(PARAGRAPHS[3], 70, y, width=455, justify=True)
    book.save()


def scripts(directory):
    """Raised and lowered type, signs and dashes."""
    book = Book(directory, "raised_and_lowered")
    lines = [("Water is H<sub>2</sub>O, and the area was 14 m<sup>2</sup> on the 3<sup>rd</sup> of May.",
              "Water is H2O, and the area was 14 m2 on the 3rd of May."),
             ("The beam reached 20–24 miles—farther than any other—at a price of £1 200 (±5 %).",
              "The beam reached 20–24 miles—farther than any other—at a price of £1 200 (±5 %)."),
             ("“Is it the light?” asked the captain. ‘No,’ said the pilot, ‘it’s the moon…’",
              "“Is it the light?” asked the captain. ‘No,’ said the pilot, ‘it’s the moon…’"),
             ("The efficient official’s final office: fjord, flour, affluent, waffle, off-line.",
              "The efficient official’s final office: fjord, flour, affluent, waffle, off-line.")]
    y = 60
    for markup, text in lines:
        book.say(text)
        y += book.put(markup, 70, y, font="DejaVu Serif 11", width=455, markup=True) + 10
    book.save()


HEBREW = "המגדלור הראשון על החוף הזה היה מגדל עץ ובראשו סל ברזל. השומרים שרפו בו פחם בכל לילה, והאור נראה למרחק של 11 מיל."
ARABIC = "كانت المنارة الأولى على هذا الساحل برجا من الخشب. كان الحراس يحرقون فيها الفحم كل ليلة، وكان الضوء يرى من مسافة بعيدة."
PERSIAN = "نخستین فانوس دریایی این ساحل برجی چوبی بود. نگهبانان هر شب در آن زغال می‌سوزاندند."


def right_to_left(directory):
    book = Book(directory, "right_to_left")
    y = 60
    for text in (HEBREW, ARABIC, PERSIAN):
        book.say(text)
        y += book.put(text, 70, y, font="DejaVu Sans 12", width=455, rtl=True) + 16
    book.save()


def mixed_directions(directory):
    book = Book(directory, "mixed_directions")
    lines = ["The Hebrew word מגדלור means lighthouse, and אור means light.",
             "In Arabic the word is منارة and the light is ضوء in this dictionary.",
             "המגדלור נבנה בשנת 1824 על ידי Johanna Feldt בעיר Hamburg ונשרף.",
             "In the year 1824 the tower (in Hebrew מגדל) was 28 m high."]
    y = 60
    for i, text in enumerate(lines):
        book.say(text)
        y += book.put(text, 70, y, font="DejaVu Sans 12", width=455, rtl=i == 2) + 14
    book.save()


CHINESE = ("这座海岸上的第一座灯塔是一座木塔，塔顶有一个铁篮子，守塔人在里面烧煤。风大的时候，一夜要用半吨煤，灯光在十一海里外都能看见。"
           "一八二三年冬天木塔烧毁以后，港务局决定用花岗岩建造第二座灯塔。石料在大陆上切割、编号、试装，然后才运到岛上。")
JAPANESE = ("この海岸の最初の灯台は木の塔で、頂上の鉄の籠で石炭を燃やしていた。風の強い夜には半トンの石炭を使い、光は十一マイル先から見えた。"
            "一八二三年の冬に塔が焼けると、港の役所は花崗岩の二番目の塔を建てることにした。石は本土で切られ、番号を付けられた。")


def east_asian(directory):
    book = Book(directory, "east_asian_columns")
    for text, font, x in ((CHINESE, "WenQuanYi Micro Hei 11", 60), (JAPANESE, "IPAGothic 11", 310)):
        book.say(text)
        book.put(text, x, 60, font=font, width=220)
    book.save()


def rotated_table(directory):
    """A page in portrait with a table that is read when the page is turned."""
    book = Book(directory, "rotated_table")
    rows = [("Station", "Height", "Built", "Sign"), ("North Rock", "41 metres", "1824", "one flash"),
            ("South Bank", "28 metres", "1856", "two flashes"), ("Harbour Mole", "12 metres", "1911", "fixed red")]
    c = book.context
    c.save()
    c.translate(80, 780)
    c.rotate(-1.5707963267948966)
    for i, row in enumerate(rows):
        book.say(" ".join(row))
        for x, cell in zip((0, 190, 340, 470), row):
            book.put(cell, x, 26 * i, font="DejaVu Sans 11")
    c.restore()
    book.save()


def key_columns(directory):
    """A column of keys beside a column of what they mean, one of it over two lines."""
    book = Book(directory, "key_columns")
    rows = [("W", "wind the clockwork"), ("T", "trim the wicks"), ("F5", "ring the fog bell twice a minute, and go on "
            "until the southern bank can be seen again"), ("Esc", "leave the watch"), ("L 2", "light the second lamp")]
    book.say("Keys of the watch")
    book.put("Keys of the watch", 70, 50, font="DejaVu Sans Bold 15")
    y = 90
    for key, meaning in rows:
        book.say(f"{key} {meaning}")
        book.put(key, 70, y, spacing=1.1)
        y += book.put(meaning, 220, y, width=250, spacing=1.1) + 1
    book.say(PARAGRAPHS[0])
    book.put(PARAGRAPHS[0], 70, y + 30, width=455)
    book.save()


def running_heads(directory):
    """Heads that differ on even and odd pages, feet with numbers, a rule between; sentences run over the page."""
    book = Book(directory, "heads_and_feet")
    paragraphs = PARAGRAPHS * 4
    pages = [[(70, 90, 455, 330)] for _ in range(12)]
    columns = [page[0] for page in pages]

    class Paged(list):
        """Turns the page as the next column is taken."""

        def __getitem__(self, index):
            if index > 0:
                book.next_page()
            head = "The Lighthouse Book" if index % 2 == 0 else f"Chapter {1 + index // 4}: Keepers and Lenses"
            book.put(head, 70 if index % 2 == 0 else 330, 45, font="DejaVu Serif Italic 9")
            book.context.move_to(70, 62)
            book.context.line_to(525, 62)
            book.context.set_line_width(0.4)
            book.context.stroke()
            book.put(f"Page {index + 1} of 12", 265, 800, font="DejaVu Serif 8")
            return list.__getitem__(self, index)

    flow(book, paragraphs, Paged(columns), justify=True)
    book.save()


def margin_notes(directory):
    book = Book(directory, "margin_notes")
    notes = ["The coal fire", "Built of granite", "Her journals"]
    y = 60
    for note, text in zip(notes, PARAGRAPHS):
        height = book.put(text, 160, y, width=365, justify=True)
        book.put(note, 50, y, font="DejaVu Sans Oblique 8", width=95)
        book.say(note)
        book.say(text)
        y += height + 16
    book.save()


ALL = [three_columns, two_columns_with_figure, table, footnotes, drop_cap, lists, headings, scripts, right_to_left,
       mixed_directions, east_asian, rotated_table, key_columns, running_heads, margin_notes]

if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    for make in ALL:
        if len(sys.argv) < 3 or make.__name__ in sys.argv[2:]:
            make(sys.argv[1])
