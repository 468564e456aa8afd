#!/usr/bin/env python3
"""Makes the reference data beside this file: wordpiece.json and a vectors-MODEL.json for each model.

Usage: make_reference.py MODELS
       (a directory as build/share/carrel/models: MODEL/manifest.json with the files that it names)
Needs `tokenizers`, `onnxruntime` and `numpy` from PyPI, in a throw-away venv; the files were made with tokenizers
0.23.3 and onnxruntime 1.32.0. Deterministic: the same versions make the same files.
"""
import json
import pathlib
import random
import sys

import numpy
import onnxruntime
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).parent


def hostile_strings():
    """A few hundred strings that tokenizers disagree on: scripts, marks, controls, punctuation, long words."""
    fixed = [
        "", " ", "\t\n\r", "hello world", "Hello, World!", "don't can't won't", "U.S.A. e.g. i.e.", "3.14159 1,000,000",
        "e-mail re-enter co-operate", "naïve café résumé Ångström", "nai\u0308ve cafe\u0301", "İstanbul Iğdır ıspanak",
        "ΣΊΣΥΦΟΣ ὈΔΥΣΣΕΎΣ", "ЁЛКА Йод ӣ", "straße STRASSE ẞ", "ﬁne ﬂow oﬃce", "Ⅳ ⅷ ½ ² ③", "北京市 東京都 서울", "機械学習とは何か", "안녕하세요 세계",
        "สวัสดีชาวโลก", "नमस्ते दुनिया", "مرحبا بالعالم", "שָׁלוֹם עוֹלָם", "Việt Nam Đà Nẵng", "zażółć gęślą jaźń", "a\u200bb a\u200db a\ufeffb",
        "a\u00adb soft\u00adhyphen", "\u202eright to left\u202c", "nul\x00byte bell\x07 esc\x1b[0m", "\ufffd replacement", "tab\tnewline\nreturn\rform\x0cvt\x0b",
        "nbsp\u00a0em\u2003ideographic\u3000line\u2028par\u2029", "“quoted” ‘single’ «guillemets» „low“", "em—dash en–dash hyphen‐minus−",
        "…ellipsis… ‽ ¿qué? ¡sí!", "$100 €50 £20 ¥1000 ₿1", "a+b=c <tag> x^2 `code` |pipe| ~tilde~", "© ® ™ ° § ¶ † ‡ •", "😀😃 👨‍👩‍👧‍👦 🇫🇷 👍🏽", "♠♥♦♣ ★☆ →←↑↓ ∀∃∈∉ ∑∏∫",
        "x" * 99, "x" * 100, "x" * 101, "x" * 5000, "é" * 100, "é" * 101, "北" * 300, "ab" * 60 + " tail", "[CLS] [SEP] [PAD] [UNK] [MASK]", "[cls] ##ing ## #", "##a ##b",
        "camelCase snake_case SCREAMING_CASE kebab-case", "http://example.org/a?b=c&d=e#f", "user@example.org", "C:\\dir\\file.txt", "a.b.c.d", "日本語text混合mixed",
        "\U00020000\U0002a6d6 \U0002f800", "\u1e9b\u0323", "a\u0300\u0301\u0302\u0303", "\u0300leading mark", " \u0301 ", "\u0345\u03b1", "ǅ ǆ Ǆ", "ŉ ǰ ΐ", "ꜩ Ꙁ ⰀⰁ", "𝐇𝐞𝐥𝐥𝐨 𝒲𝑜𝓇𝓁𝒹",
        "ｆｕｌｌｗｉｄｔｈ　ＡＢＣ１２３", "ｶﾀｶﾅ がぎぐ ガギグ パピプ", "각 각", "\u0e33 \u0eb3 \u0f77", "०१२ ٠١٢ １２３", "\u061c\u2066isolate\u2069", "\ue000 \uf8ff private", "A\u030a Å Å", "K Ω ℃ ℉ №", "fi\u200cfi",
        "İ", "I\u0307", "ß", "ŒUVRE œuvre ÆON", "Ð Þ Ø Ł Đ Ħ", "٪ ؟ ، ؛", "。、「」『』【】", "・ー～", "۔ । ॥ ၊ ။", "_ __ ___ _a_ a_b", "'' \"\" `` ´´", "- -- --- ---- -----", "\\ / | \\\\ //",
    ]
    rng = random.Random(20240411)
    ranges = [(0x20, 0x7E)] * 6 + [(0xA0, 0x17F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x5F4), (0x600, 0x6FF), (0x900, 0x97F),
              (0xE01, 0xE5B), (0x1E00, 0x1EFF), (0x1F00, 0x1FFE), (0x2000, 0x206F), (0x20A0, 0x20BF), (0x2100, 0x214F), (0x2200, 0x22FF), (0x3000, 0x30FF),
              (0x4E00, 0x4EFF), (0xAC00, 0xACFF), (0xFB00, 0xFB06), (0xFF00, 0xFF60), (0x1F300, 0x1F5FF), (0x0, 0x1F), (0x80, 0x9F)]
    words = "the of retrieval passage embedding Aerodynamics boundary-layer 1958 hypersonic unbelievable antidisestablishmentarianism tokenization".split()
    for _ in range(300):
        parts = []
        for _ in range(rng.randint(1, 24)):
            if rng.random() < 0.3:
                parts.append(rng.choice(words))
            else:
                low, high = rng.choice(ranges)
                parts.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 6))))
            if rng.random() < 0.6:
                parts.append(" ")
        fixed.append("".join(parts))
    return fixed


def vector_texts():
    """Texts of all lengths, in English and not."""
    sentence = "The pressure distribution over the upper surface was measured at several angles of attack. "
    return [
        "probe", "What is the boiling point of water at high altitude?", "a", "42", "How do I reset the device to its factory settings?",
        "To reset the device, hold the power button for ten seconds until the light blinks twice.",
        "An experimental study of a wing in a propeller slipstream was made in order to determine the spanwise distribution of the lift increase.",
        "Paris is the capital of France.", "La capitale de la France est Paris.", "東京は日本の首都です。", "Столица России — Москва.", "naïve café résumé",
        "def add(a, b):\n    return a + b", "😀 emoji and text", "[CLS] is plain text here", "x" * 300, sentence * 3, sentence * 12, sentence * 17, sentence * 40,
    ]


def reference_tokenizer(path):
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # "[CLS]" in a text is text
    return tokenizer


def write(name, cases):
    (HERE / name).write_text(json.dumps(cases, separators=(",", ":")).replace('{"text"', '\n{"text"') + "\n")


def main():
    for directory in sorted(path.parent for path in pathlib.Path(sys.argv[1]).glob("*/manifest.json")):
        model = json.loads((directory / "manifest.json").read_text())
        tokenizer = reference_tokenizer(directory / model["tokenizer"]["file"])
        if directory.name == "all-MiniLM-L6-v2":  # the vocabulary of both is BERT's
            write("wordpiece.json", [{"text": t, "ids": tokenizer.encode(t, add_special_tokens=False).ids} for t in hostile_strings()])
        session = onnxruntime.InferenceSession(str(directory / model["weights"]["file"]), providers=["CPUExecutionProvider"])
        names, room = {i.name for i in session.get_inputs()}, model["window_tokens"] - 2
        vectors = []
        for text in vector_texts():
            ids = tokenizer.encode(model["passage_prefix"] + text, add_special_tokens=False).ids
            kept = [101] + ids[:room] + [102]
            feed = {"input_ids": numpy.array([kept]), "attention_mask": numpy.ones((1, len(kept)), numpy.int64),
                    "token_type_ids": numpy.zeros((1, len(kept)), numpy.int64)}
            hidden = session.run(None, {k: v for k, v in feed.items() if k in names})[0][0]
            pooled = hidden.mean(axis=0) if model["pooling"] == "mean" else hidden[0]
            pooled /= numpy.linalg.norm(pooled)
            vectors.append({"text": text, "tokens": len(kept), "truncated": len(ids) > room, "values": [round(float(v), 7) for v in pooled]})
        write(f"vectors-{model['name']}.json", vectors)


main()
