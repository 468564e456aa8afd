// csv and json: text that says by itself what is what.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "csv.h"
#include "json.h"
#include "run_reader.h"
#include "table_rows.h"

namespace carrel::retrieval::extract {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using wire::DocumentType;
using wire::ExtractLimit;
using wire::ExtractVerdict;

ReaderResult Csv(std::string_view bytes, DocumentType type = DocumentType::kCsv) {
  return RunReader([&](FrameWriter& out) { return ExtractCsv(bytes, type, out); });
}
ReaderResult JsonOf(std::string_view bytes, DocumentType type = DocumentType::kJson) {
  return RunReader([&](FrameWriter& out) { return ExtractJson(bytes, type, out); });
}

TEST(Csv, EachRowSaysWhatItsColumnsAre) {
  std::string table = "name,city,age\r\n";
  for (int i = 0; i < 6000; ++i) table += "Ada" + std::to_string(i) + ",Turin," + std::to_string(i) + "\r\n";
  const ReaderResult result = Csv(table);
  EXPECT_EQ(result.verdict.verdict, ExtractVerdict::kRead);
  EXPECT_TRUE(result.document.by_line);
  EXPECT_THAT(result.text, StartsWith("name; city; age\nname: Ada0; city: Turin; age: 0\n"));
  EXPECT_THAT(result.text, HasSubstr("\nname: Ada5000; city: Turin; age: 5000\n"));
}

TEST(Csv, QuotedFields) {
  EXPECT_EQ(Csv("a,b\n\"x, y\",\"say \"\"no\"\"\"\n\"two\nlines\",\"\"\n").text,
            "a; b\na: x, y; b: say \"no\"\na: two lines");
  EXPECT_EQ(Csv("a,b\n5\" pipe,x\n").text, "a; b\na: 5\" pipe; b: x") << "a quote within a field is itself";
  EXPECT_EQ(Csv("a,b\n\"open,x\ny\n").text, "a; b\na: open,x y") << "a quote that is not closed";
}

TEST(Csv, RaggedRows) { EXPECT_EQ(Csv("a,b\n1\n1,2,3\n,,\n,2\n").text, "a; b\na: 1\na: 1; b: 2; 3\nb: 2"); }

TEST(Csv, WithoutNamesCellsStandAlone) {
  EXPECT_EQ(Csv("1,2\n3,4\n").text, "1; 2\n3; 4");
  EXPECT_EQ(Csv("x,x\n3,4\n").text, "x; x\n3; 4") << "the same name twice names nothing";
  EXPECT_EQ(Csv("only,one,row\n").text, "only; one; row");
  EXPECT_EQ(Csv(",name\n0,Ada\n").text, "name\n0; name: Ada") << "an index column, as pandas writes it";
}

TEST(Csv, Delimiters) {
  EXPECT_EQ(Csv("a\tb\n1,5\t2\n", DocumentType::kTsv).text, "a; b\na: 1,5; b: 2");
  EXPECT_EQ(Csv("a;b\n1,5;2\n").text, "a; b\na: 1,5; b: 2");
  EXPECT_EQ(Csv("sep=|\r\na|b\r\n1|2\r\n").text, "a; b\na: 1; b: 2");
  EXPECT_EQ(Csv("\"a;x\",b\n1,2\n").text, "a;x; b\na;x: 1; b: 2");
}

TEST(Csv, LineEndsOfEveryKindAndUtf16) {
  EXPECT_EQ(Csv("a,b\r1,2\r3,4").text, "a; b\na: 1; b: 2\na: 3; b: 4");
  using namespace std::string_view_literals;
  EXPECT_EQ(Csv("\xFF\xFE"
                "a\0,\0b\0\n\0\xE9\0,\0x\0"sv)
                .text,
            "a; b\na: é; b: x");
}

TEST(Csv, MoreColumnsThanThereCanBe) {
  const ReaderResult result = Csv("a,b\n1,2\n" + std::string(3'000'000, ','));
  EXPECT_EQ(result.verdict.limit, ExtractLimit::kShape);
  EXPECT_EQ(result.verdict.sentence, "at most 16384 columns of a row are read, and row 3 has more");
  EXPECT_EQ(result.text, "a; b\na: 1; b: 2");
}

TEST(Csv, ACellWithoutEnd) {
  const ReaderResult result = Csv("a,b\n1,\"" + std::string(3'000'000, 'x'));
  EXPECT_EQ(result.verdict.limit, ExtractLimit::kShape);
  EXPECT_THAT(result.verdict.sentence, HasSubstr("1 MiB of a cell"));
  EXPECT_EQ(result.text.size(), std::string("a; b\na: 1; b: ").size() + kCsvCellBytesMax);
}

TEST(Csv, WhatIsNoText) {
  EXPECT_EQ(Csv("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1 and more").verdict.sentence,
            "Its name says CSV and its bytes are an old or encrypted Office document.");
  EXPECT_THAT(Csv("caf\xE9,1").verdict.sentence, HasSubstr("no UTF-8 at byte 3"));
  EXPECT_EQ(Csv("%PDF-1.7 x,y").verdict.verdict, ExtractVerdict::kUnsupported);
}

TEST(TableRows, Numbers) {
  for (const char* number : {"1", "-1,234.5", "12 %", "2024-05-01", "10:30", "1e9"})
    EXPECT_TRUE(LooksLikeNumber(number));
  for (const char* word : {"", "-", "a1", "E", "12 m"}) EXPECT_FALSE(LooksLikeNumber(word)) << word;
}

TEST(JsonReader, PathsAndValues) {
  EXPECT_EQ(JsonOf(R"({"team": [{"name": "Ada", "age": 36, "tags": ["a", "b"], "boss": null}, {"name": "Bo"}],
                       "open": true, "rate": 1.50, "note": "two\nlines"})")
                .text,
            "team[0]: name: Ada; age: 36\nteam[0].tags: a, b\nteam[0]: boss: null\nteam[1]: name: Bo\n"
            "open: true; rate: 1.50; note: two lines");
  EXPECT_EQ(JsonOf("[[1, 2], [3]]").text, "[0]: 1, 2\n[1]: 3");
  EXPECT_EQ(JsonOf("\"alone\"").text, "alone");
  EXPECT_EQ(JsonOf("{\"a\": \"Gr\\u00fc\\u00dfe \\ud83d\\ude42\"}").text, "a: Grüße \U0001F642");
  EXPECT_EQ(JsonOf("{// as editors keep it\n\"a\": 1 /* one */}").text, "a: 1");
}

TEST(JsonReader, LongListsAreCutIntoLinesWithTheirPath) {
  std::string list = "{\"primes\": [2";
  for (int i = 0; i < 3000; ++i) list += ", " + std::to_string(i);
  const std::string text = JsonOf(list + "]}").text;
  EXPECT_THAT(text, StartsWith("primes: 2, 0, 1, 2"));
  EXPECT_THAT(text, HasSubstr("\nprimes: "));
}

TEST(JsonReader, JsonLines) {
  EXPECT_EQ(JsonOf("{\"a\": 1}\n\n{\"a\": 2, \"b\": [3]}\r\n", DocumentType::kJsonLines).text, "a: 1\na: 2\nb: 3");
  EXPECT_THAT(JsonOf("{\"a\": 1}\n{\"a\": }\n", DocumentType::kJsonLines).verdict.sentence,
              HasSubstr("line 2, byte 7"));
}

TEST(JsonReader, WhatIsNoJsonIsDamagedAtAPlace) {
  const Verdict verdict = JsonOf("{\n  \"a\": 1,\n  oops\n}").verdict;
  EXPECT_EQ(verdict.verdict, ExtractVerdict::kDamaged);
  EXPECT_EQ(verdict.sentence, "Its name says JSON and it cannot be read as such: line 3, byte 3 of the line.");
  EXPECT_EQ(JsonOf("{\"a\": 1").verdict.verdict, ExtractVerdict::kDamaged);
  EXPECT_EQ(JsonOf("{\"a\": \"\\ud800\"}").verdict.verdict, ExtractVerdict::kDamaged);
}

TEST(JsonReader, TooDeep) {
  const ReaderResult result =
      JsonOf("{\"first\": \"kept\", \"x\": " + std::string(100'000, '[') + std::string(100'000, ']') + "}");
  EXPECT_EQ(result.verdict.limit, ExtractLimit::kShape);
  EXPECT_EQ(result.verdict.sentence, "at most 256 levels of nesting are read");
  EXPECT_EQ(result.text, "first: kept");
}

TEST(JsonReader, LongKeysDoNotMultiply) {
  std::string deep;
  for (int i = 0; i < 200; ++i) deep += "{\"" + std::string(5000, 'k') + "\": ";
  const ReaderResult result = JsonOf(deep + "1" + std::string(200, '}'));
  EXPECT_EQ(result.verdict.verdict, ExtractVerdict::kRead);
  EXPECT_LT(result.text.size(), 1000U);
  EXPECT_THAT(result.text, StartsWith("\u2026kkk"));
}

}  // namespace
}  // namespace carrel::retrieval::extract
