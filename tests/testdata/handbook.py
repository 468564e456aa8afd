"""Writes handbook.pdf, the manual of an espresso machine, for the README's examples: three pages with an outline."""

from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate

CHAPTERS = [
    ("Before the first use", [
        "Rinse the water tank and fill it with fresh water up to the mark. Put the machine on a level surface, with a "
        "hand's breadth of free space on every side.",
        "Switch the machine on and let two cups of water run through the empty brew group. This removes what is left of "
        "the protective oil. The machine is ready when the lamp stops blinking, after about four minutes.",
    ]),
    ("Every day", [
        "Use between 16 and 18 grams of ground coffee for a double espresso, and press it evenly. A good shot takes 25 to "
        "30 seconds. If it runs faster, grind finer; if it runs slower, grind coarser.",
        "After the last cup, rinse the brew group with hot water and empty the drip tray. Wipe the steam wand at once: "
        "dried milk blocks its tip.",
    ]),
    ("When something is wrong", [
        "If the pump is loud and no water comes, there is air in the line. Fill the tank, open the steam valve, and run "
        "the pump for ten seconds at a time until water flows.",
        "A lamp that blinks red asks for descaling. Dissolve 50 grams of citric acid in one litre of water, run half of it "
        "through the machine, wait twenty minutes, run the rest, and rinse with two full tanks.",
    ]),
]

styles = getSampleStyleSheet()
styles["BodyText"].fontSize, styles["BodyText"].leading = 11, 15
story = []
for title, paragraphs in CHAPTERS:
    story += [Paragraph(title, styles["Heading1"]), *(Paragraph(text, styles["BodyText"]) for text in paragraphs),
              PageBreak()]
SimpleDocTemplate("/mnt/data/handbook.pdf", pagesize=A5, title="Espresso machine: handbook").build(story)
print("wrote handbook.pdf,", len(CHAPTERS), "chapters")
