#include "bench_documents.h"

#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/str_join.h"
#include "cli/seeded_random.h"
#include "strings.h"

namespace carrel::cli {
namespace {

constexpr uint32_t kParagraphWords = 70;
constexpr uint32_t kParagraphsPerPage = 5;
constexpr uint32_t kLineCharacters = 90;
constexpr double kRareWords = 50'000;

// The commonest first: a word of rank r is chosen about as 1 / r.
constexpr const char* kWords[] = {
    "the",      "of",        "and",       "to",          "a",         "in",       "is",       "for",      "that",
    "with",     "on",        "as",        "by",          "from",      "at",       "pressure", "water",    "valve",
    "machine",  "heat",      "steam",     "filter",      "pump",      "motor",    "table",    "result",   "value",
    "method",   "surface",   "flow",      "temperature", "measure",   "report",   "system",   "model",    "test",
    "power",    "line",      "speed",     "load",        "design",    "section",  "wall",     "point",    "theory",
    "number",   "effect",    "body",      "energy",      "wave",      "layer",    "shock",    "wing",     "plate",
    "velocity", "boundary",  "harbour",   "garden",      "river",     "bridge",   "winter",   "summer",   "letter",
    "market",   "price",     "contract",  "customer",    "delivery",  "invoice",  "payment",  "account",  "balance",
    "law",      "court",     "judge",     "witness",     "evidence",  "appeal",   "licence",  "permit",   "doctor",
    "patient",  "treatment", "dose",      "symptom",     "recovery",  "hospital", "nurse",    "school",   "teacher",
    "lesson",   "student",   "exam",      "library",     "book",      "page",     "music",    "violin",   "concert",
    "choir",    "painting",  "museum",    "colour",      "canvas",    "forest",   "mountain", "valley",   "glacier",
    "storm",    "rain",      "cloud",     "wind",        "engine",    "wheel",    "brake",    "gear",     "clutch",
    "fuel",     "tank",      "exhaust",   "network",     "server",    "packet",   "router",   "signal",   "antenna",
    "cable",    "battery",   "bread",     "flour",       "oven",      "butter",   "coffee",   "bean",     "roast",
    "grinder",  "ship",      "anchor",    "captain",     "cargo",     "crane",    "pier",     "tide",     "lighthouse",
    "planet",   "orbit",     "telescope", "star",        "galaxy",    "comet",    "gravity",  "eclipse",  "carbon",
    "oxygen",   "nitrogen",  "acid",      "crystal",     "solution",  "reaction", "catalyst", "bacteria", "virus",
    "protein",  "enzyme",    "membrane",  "nucleus",     "gene",      "mutation", "election", "council",  "mayor",
    "district", "budget",    "tax",       "reform",      "committee", "railway",  "station",  "ticket",   "carriage",
    "platform", "tunnel",    "driver",    "timetable"};
constexpr size_t kWordCount = std::size(kWords);

// Syllables, so that a tokenizer has with them what it has with names.
std::string RareWord(SeededRandom& random) {
  static constexpr const char* kSyllables[] = {"ba", "ren", "lo", "mi",  "ska", "tor", "ve", "dun",
                                               "ka", "li",  "no", "pet", "ro",  "sun", "ta", "wil"};
  auto number = static_cast<uint64_t>(std::pow(kRareWords, random.Unit()));
  std::string word;
  do {
    word += kSyllables[number % std::size(kSyllables)];
    number /= std::size(kSyllables);
  } while (number > 0);
  return word + "er";
}

std::string Word(SeededRandom& random, uint64_t topic) {
  if (random.Below(12) == 0) return RareWord(random);
  // Half of the words that say something are of the paragraph's topic: eight neighbours in the list.
  if (random.Below(3) == 0) return kWords[16 + (topic * 8 + random.Below(8)) % (kWordCount - 16)];
  return kWords[static_cast<size_t>(std::pow(static_cast<double>(kWordCount), random.Unit())) - 1];
}

std::vector<std::string> Paragraphs(uint64_t first, uint32_t pages) {
  std::vector<std::string> out;
  for (uint32_t i = 0; i < pages * kParagraphsPerPage; ++i) out.push_back(BenchParagraph(first + i));
  return out;
}

std::string Csv(const std::vector<std::string>& paragraphs) {
  std::string out = "number,text\n";
  for (size_t i = 0; i < paragraphs.size(); ++i) StrAppend(&out, i, ",\"", paragraphs[i], "\"\n");
  return out;
}

std::string Html(const std::vector<std::string>& paragraphs) {
  std::string out = "<!DOCTYPE html><html><head><title>A report</title></head><body>\n";
  for (size_t i = 0; i < paragraphs.size(); ++i) {
    if (i % kParagraphsPerPage == 0) StrAppend(&out, "<h2>Part ", i / kParagraphsPerPage + 1, "</h2>\n");
    StrAppend(&out, "<p>", paragraphs[i], "</p>\n");
  }
  return out + "</body></html>\n";
}

std::string Json(const std::vector<std::string>& paragraphs) {
  std::string out = "[\n";
  for (size_t i = 0; i < paragraphs.size(); ++i) {
    StrAppend(&out, i == 0 ? "" : ",\n", "{\"number\": ", i, ", \"text\": \"", paragraphs[i], "\"}");
  }
  return out + "\n]\n";
}

std::string Markdown(const std::vector<std::string>& paragraphs) {
  std::string out = "# A report\n";
  for (size_t i = 0; i < paragraphs.size(); ++i) {
    if (i % kParagraphsPerPage == 0) StrAppend(&out, "\n## Part ", i / kParagraphsPerPage + 1, "\n");
    StrAppend(&out, "\n", paragraphs[i], "\n");
  }
  return out;
}

std::vector<std::string> Lines(const std::string& paragraph) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < paragraph.size();) {
    size_t end = std::min(paragraph.size(), begin + kLineCharacters);
    if (end < paragraph.size()) end = paragraph.rfind(' ', end);
    lines.push_back(paragraph.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

// One column of Helvetica on A4; nothing in the text needs escaping.
std::string Pdf(const std::vector<std::string>& paragraphs) {
  const size_t pages = paragraphs.size() / kParagraphsPerPage;
  std::vector<std::string> objects = {"<< /Type /Catalog /Pages 2 0 R >>", "",
                                      "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"};
  std::vector<std::string> kids;
  for (size_t page = 0; page < pages; ++page) {
    std::string stream = "BT /F1 10 Tf 12 TL 60 780 Td\n";
    for (size_t i = 0; i < kParagraphsPerPage; ++i) {
      for (const std::string& line : Lines(paragraphs[page * kParagraphsPerPage + i])) {
        StrAppend(&stream, "(", line, ") Tj T*\n");
      }
      stream += "T*\n";
    }
    stream += "ET";
    const size_t number = objects.size() + 1;
    kids.push_back(StrCat(number, " 0 R"));
    objects.push_back(
        StrCat("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> ",
               "/Contents ", number + 1, " 0 R >>"));
    objects.push_back(StrCat("<< /Length ", stream.size(), " >>\nstream\n", stream, "\nendstream"));
  }
  objects[1] = StrCat("<< /Type /Pages /Count ", pages, " /Kids [", absl::StrJoin(kids, " "), "] >>");
  std::string out = "%PDF-1.4\n";
  std::string table = StrCat("xref\n0 ", objects.size() + 1, "\n0000000000 65535 f \n");
  for (size_t i = 0; i < objects.size(); ++i) {
    char entry[32];
    std::snprintf(entry, sizeof entry, "%010zu 00000 n \n", out.size());
    table += entry;
    StrAppend(&out, i + 1, " 0 obj\n", objects[i], "\nendobj\n");
  }
  const size_t table_at = out.size();
  StrAppend(&out, table, "trailer << /Size ", objects.size() + 1, " /Root 1 0 R >>\nstartxref\n", table_at,
            "\n%%EOF\n");
  return out;
}

constexpr std::pair<std::string_view, std::string (*)(const std::vector<std::string>&)> kTypes[] = {
    {"txt", [](const std::vector<std::string>& p) { return absl::StrJoin(p, "\n\n"); }},
    {"md", Markdown},
    {"csv", Csv},
    {"html", Html},
    {"json", Json},
    {"pdf", Pdf}};

}  // namespace

std::string BenchParagraph(uint64_t number) {
  SeededRandom random(number);
  const uint64_t topic = random.Below(kWordCount / 8);
  std::string out;
  uint64_t rest = 0;  // words until the sentence ends
  for (uint32_t i = 0; i < kParagraphWords; ++i) {
    std::string word = Word(random, topic);
    if (rest == 0) {
      word[0] = static_cast<char>(word[0] - 'a' + 'A');
      if (i > 0) out += ".";
      rest = 8 + random.Below(12);
    }
    --rest;
    StrAppend(&out, out.empty() ? "" : " ", word);
  }
  return out + ".";
}

std::string BenchQuestion(uint64_t number) {
  SeededRandom random(number ^ 0x5bd1e995);
  std::string out = "What about the";
  const uint64_t topic = random.Below(kWordCount / 8);
  for (int i = 0; i < 6; ++i) StrAppend(&out, " ", Word(random, topic));
  return out + "?";
}

std::vector<std::string> BenchDocumentTypes() {
  std::vector<std::string> out;
  for (const auto& [type, make] : kTypes) out.emplace_back(type);
  return out;
}

absl::StatusOr<BenchDocument> MakeBenchDocument(std::string_view type, uint64_t first, uint32_t pages) {
  for (const auto& [known, make] : kTypes) {
    if (known != type) continue;
    return BenchDocument{.file_name = StrCat("report-", first, ".", type), .bytes = make(Paragraphs(first, pages))};
  }
  return absl::InvalidArgumentError(StrCat("there is no generated document of the type ", type,
                                           "; there are: ", absl::StrJoin(BenchDocumentTypes(), ", ")));
}

}  // namespace carrel::cli
