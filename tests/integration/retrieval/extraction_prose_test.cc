// PDFs of known text (tests/support/pdf/make_documents.py) through the real extractor: every sentence is there
// verbatim, on its pages, in its box; every heading and label is found; running heads are out of the flow; and what
// must hold of any document and its passages holds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "citation_properties.h"
#include "extract_file.h"

namespace carrel::retrieval {
namespace {

namespace fs = std::filesystem;

const char kDirectory[] = CARREL_TESTDATA "/pdf/prose";

std::vector<std::string> Documents() {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(kDirectory)) {
    if (entry.path().extension() == ".pdf") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

using Fact = std::vector<std::string>;

std::vector<Fact> FactsOf(const std::string& name) {
  std::ifstream in(std::string(kDirectory) + "/" + name + ".expect");
  std::vector<Fact> facts;
  for (std::string line; std::getline(in, line);) facts.push_back(absl::StrSplit(line, '\t'));
  return facts;
}

class Prose : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto extraction = testing::ExtractFile(std::string(kDirectory) + "/" + GetParam() + ".pdf");
    ASSERT_TRUE(extraction.ok()) << extraction.status();
    ASSERT_EQ(extraction->verdict, Verdict::kRead) << extraction->message;
    document_ = std::move(extraction->document);
    // Citations are made of what the store gives back.
    for (Page& page : document_.pages) {
      auto stored = DecodePage(EncodePage(page));
      ASSERT_TRUE(stored.ok()) << "page " << page.number;
      page = *std::move(stored);
    }
    facts_ = FactsOf(GetParam());
    ASSERT_FALSE(facts_.empty());
  }

  // A kept line break is white space too.
  [[nodiscard]] std::u32string Flat(uint32_t begin, uint32_t end) const {
    std::u32string text = document_.text.substr(begin, end - begin);
    std::replace(text.begin(), text.end(), U'\n', U' ');
    return text;
  }

  [[nodiscard]] std::string TextOf(Span span) const {
    return ToUtf8(std::u32string_view(document_.text).substr(span.begin, span.size()));
  }

  [[nodiscard]] Box UnionOn(uint32_t number, Span span) const {
    Box all{1e9F, 1e9F, -1, -1};
    for (const PageBox& one : BoxesOf(document_.pages, span)) {
      if (one.page != number) continue;
      all = {std::min(all.x_min, one.box.x_min), std::min(all.y_min, one.box.y_min), std::max(all.x_max, one.box.x_max),
             std::max(all.y_max, one.box.y_max)};
    }
    return all;
  }

  ExtractedDocument document_;
  std::vector<Fact> facts_;
};

TEST_P(Prose, EverySentenceIsVerbatimOnItsPagesInItsBox) {
  const std::u32string body = Flat(0, document_.body_end);
  size_t checked = 0;
  for (const Fact& fact : facts_) {
    if (fact[0] != "sentence") continue;
    ++checked;
    const std::u32string wanted = *FromUtf8(fact[7]);
    const size_t at = body.find(wanted);
    if (at == std::u32string::npos) {
      ADD_FAILURE() << "not in the text: " << fact[7] << "\nnear: "
                    << ToUtf8(body.substr(body.find(wanted.substr(0, 12)) == std::u32string::npos
                                              ? 0
                                              : body.find(wanted.substr(0, 12)),
                                          wanted.size() + 20));
      continue;
    }
    const Span span{static_cast<uint32_t>(at), static_cast<uint32_t>(at + wanted.size())};
    const PageRange pages = PagesOf(document_.pages, span);
    EXPECT_EQ(std::to_string(document_.pages[pages.first].number), fact[1]) << fact[7];
    EXPECT_EQ(std::to_string(document_.pages[pages.last].number), fact[2]) << fact[7];
    if (fact[3] == "-1.0" && fact[4] == "-1.0") continue;
    const Box box = UnionOn(document_.pages[pages.first].number, span);
    // The generator's box is of the type's size, Poppler's of the font's ascent and descent.
    EXPECT_NEAR(box.x_min, std::stof(fact[3]), 1.5F) << fact[7];
    EXPECT_NEAR(box.y_min, std::stof(fact[4]), 5) << fact[7];
    EXPECT_NEAR(box.x_max, std::stof(fact[5]), 1.5F) << fact[7];
    EXPECT_NEAR(box.y_max, std::stof(fact[6]), 5) << fact[7];
  }
  EXPECT_GT(checked, 0U);
}

TEST_P(Prose, RunningHeadsAreKeptOutOfTheFlow) {
  const std::u32string body = Flat(0, document_.body_end);
  for (const Fact& fact : facts_) {
    if (fact[0] != "margin") continue;
    const Page& page = document_.pages.at(std::stoul(fact[1]) - 1);
    EXPECT_THAT(TextOf(page.margin), ::testing::HasSubstr(fact[2])) << "page " << fact[1];
    if (fact[2].size() > 5) {
      EXPECT_EQ(body.find(*FromUtf8(fact[2])), std::u32string::npos) << fact[2];
    }
  }
}

TEST_P(Prose, HeadingsAndLabelsAreFound) {
  std::vector<std::pair<std::string, std::string>> wanted;
  for (const Fact& fact : facts_) {
    if (fact[0] == "heading") wanted.emplace_back(fact[1], fact[2]);
    if (fact[0] == "label") {
      EXPECT_EQ(document_.pages.at(std::stoul(fact[1]) - 1).label, fact[2]);
    }
    if (fact[0] == "pages") {
      EXPECT_EQ(document_.pages.size(), std::stoul(fact[1]));
    }
  }
  if (wanted.empty()) return;
  std::vector<std::pair<std::string, std::string>> found;
  for (const Heading& heading : document_.headings) {
    found.emplace_back(std::to_string(heading.level), heading.title);
    EXPECT_EQ(TextOf(heading.span), heading.title);
    // Not in the table of contents.
    if (GetParam() == "outline") {
      EXPECT_GT(PagesOf(document_.pages, heading.span).first, 0U) << heading.title;
    }
  }
  EXPECT_EQ(found, wanted);
}

TEST_P(Prose, WhatHoldsOfEveryDocumentHolds) {
  for (const ChunkingOptions& options :
       {ChunkingOptions{}, ChunkingOptions{.max_tokens = 100, .overlap_tokens = 50, .window_tokens = 254},
        ChunkingOptions{.max_tokens = 4096, .overlap_tokens = 0, .window_tokens = 60}}) {
    const auto chunks = Chunk(document_, options, testing::CountTokensRoughly);
    ASSERT_TRUE(chunks.ok()) << chunks.status();
    EXPECT_THAT(testing::FaultsOf(document_, *chunks, options), ::testing::IsEmpty());
  }
}

INSTANTIATE_TEST_SUITE_P(Generated, Prose, ::testing::ValuesIn(Documents()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace carrel::retrieval
