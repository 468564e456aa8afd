"""The chat model behind the README's examples: the scripted one, which also knows what to do with the README's questions.
It does by rote what a real model does by itself: calls the tools, and answers with what they said."""

import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))

import scripted_model

CODE = ("import pandas as pd, matplotlib.pyplot as plt\\n"
        "cups = pd.read_csv('/mnt/data/{file}')\\n"
        "cups.plot('day', 'cups'); plt.savefig('/mnt/data/cups.png')\\n"
        "print(cups.cups.sum())").replace("\\n", "\n")


class Turn(scripted_model.Turn):
    @staticmethod
    def calls_in(orders, request):
        calls = []
        code, code_argument = scripted_model.tool_named(request, "code")
        search, search_argument = scripted_model.tool_named(request, "search")
        if search and "pump" in orders:
            calls.append((search, json.dumps({search_argument: "pump loud no water comes"})))
        if code and "plot" in orders:
            # The ids of the files stand in the tool's description.
            file = re.search(r"file-\w+", json.dumps(request.get("tools")))
            calls.append((code, json.dumps({code_argument: CODE.format(file=file[0] if file else "cups.csv")})))
        return calls or scripted_model.Turn.calls_in(orders, request)

    @staticmethod
    def answer(orders, outputs, count):
        if "pump" not in orders or not outputs:
            return scripted_model.Turn.answer(orders, outputs, count)
        said = "\n".join(outputs)
        marker = re.search(r"【[^】]*】", said)
        total = re.search(r"^(\d+)$", said, re.M)
        text = f"There is air in the line{marker[0] if marker else ''}: fill the tank, open the steam valve and run the pump."
        return text + (f" You drank {total[1]} cups; [here is the plot](sandbox:/mnt/data/cups.png)." if total else "")


def start():
    server = scripted_model.start()
    server.turn_type = Turn
    return server
