// The decoder against a sender that lies.
#include "retrieval/frame_decoder.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "frames.h"

namespace carrel::retrieval {
namespace {

using wire::FrameType;

std::string OnePage() {
  Bytes page = PageHead(1, 2);
  PutWord(page, "Hello", 100, 100);
  PutWord(page, "world", 130, 100);
  return Magic() + DocumentFrame(3) + BeginFrame(1) + Frame(FrameType::kPage, page);
}

absl::Status Decode(const std::string& bytes) { return FrameDecoder({}).Feed(bytes); }

TEST(FrameDecoder, ReadsWhatASoundExtractorSends) {
  FrameDecoder decoder({});
  ASSERT_TRUE(decoder
                  .Feed(OnePage() + Frame(FrameType::kOutline, Bytes().U8(2).Str16("Part")) +
                        VerdictFrame(wire::ExtractVerdict::kRead))
                  .ok());
  const RawDocument& document = decoder.document();
  EXPECT_EQ(document.title, "A title");
  EXPECT_EQ(document.pages_in_all, 3U);
  ASSERT_EQ(document.pages.size(), 1U);
  EXPECT_EQ(document.pages[0].label, "vii");
  ASSERT_EQ(document.pages[0].words.size(), 2U);
  EXPECT_TRUE(document.pages[0].chars == U"Helloworld");
  EXPECT_EQ(document.pages[0].words[1].chars, (Span{5, 10}));
  EXPECT_EQ(document.pages[0].words[1].box, (Box{130, 100, 155, 110}));
  ASSERT_EQ(document.outline.size(), 1U);
  ASSERT_TRUE(document.verdict.has_value());
  EXPECT_TRUE(decoder.at_frame_end());
}

TEST(FrameDecoder, BytesMayBeCutAnywhere) {
  const std::string bytes = OnePage() + VerdictFrame(wire::ExtractVerdict::kRead);
  for (size_t step : {1, 2, 3, 7, 64}) {
    FrameDecoder decoder({});
    for (size_t at = 0; at < bytes.size(); at += step) {
      ASSERT_TRUE(decoder.Feed(std::string_view(bytes).substr(at, step)).ok());
    }
    EXPECT_EQ(decoder.document().pages.size(), 1U);
    EXPECT_TRUE(decoder.document().verdict.has_value());
  }
}

TEST(FrameDecoder, EveryTruncationKeepsWhatWasWhole) {
  const std::string bytes = OnePage() + VerdictFrame(wire::ExtractVerdict::kRead);
  for (size_t size = 0; size < bytes.size(); ++size) {
    FrameDecoder decoder({});
    EXPECT_TRUE(decoder.Feed(bytes.substr(0, size)).ok());
    EXPECT_FALSE(decoder.document().verdict.has_value());
  }
}

TEST(FrameDecoder, RefusesForeignBytes) {
  EXPECT_FALSE(Decode("%PDF-1.7 and so on").ok());
  EXPECT_FALSE(Decode(std::string(64, '\0')).ok());
}

TEST(FrameDecoder, RefusesAFrameThatClaimsTooMuchBeforeReadingIt) {
  EXPECT_FALSE(Decode(Magic() + Bytes().U32(wire::kFrameBytesMax + 1).U8(4).str()).ok());
  EXPECT_FALSE(Decode(Magic() + Bytes().U32(0xFFFFFFFF).U8(4).str()).ok());
}

TEST(FrameDecoder, RefusesWordCountsThatAreNotThere) {
  for (const uint32_t words : {2U, 1000U, 0xFFFFFFFFU}) {
    Bytes page = PageHead(1, words);
    PutWord(page, "one", 10, 10);
    EXPECT_FALSE(Decode(Magic() + DocumentFrame(1) + BeginFrame(1) + Frame(FrameType::kPage, page)).ok()) << words;
  }
}

TEST(FrameDecoder, RefusesMoreWordsThanAllowed) {
  Bytes page = PageHead(1, 3);
  for (int i = 0; i < 3; ++i) PutWord(page, "one", 10, 10);
  FrameDecoder decoder({.words_per_page_max = 2});
  EXPECT_FALSE(decoder.Feed(Magic() + DocumentFrame(1) + BeginFrame(1) + Frame(FrameType::kPage, page)).ok());
}

TEST(FrameDecoder, RefusesMoreOutputThanAllowed) {
  FrameDecoder decoder({.output_bytes_max = 10'000});
  ASSERT_TRUE(decoder.Feed(Magic() + DocumentFrame(0, "", wire::DocumentType::kText)).ok());
  const std::string frame = Frame(FrameType::kText, Bytes().Str32(std::string(1000, 'a')));
  absl::Status status;
  size_t frames = 0;
  while (status.ok() && frames < 100) {
    status = decoder.Feed(frame);
    ++frames;
  }
  EXPECT_FALSE(status.ok());
  EXPECT_LT(frames, 16U);
}

TEST(FrameDecoder, RefusesNumbersThatAreNone) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Bytes page = PageHead(1, 1);
    page.Str16("one").F32(bad).F32(1).F32(2).F32(3).F32(10).U8(0).U8(0);
    EXPECT_FALSE(Decode(Magic() + DocumentFrame(1) + BeginFrame(1) + Frame(FrameType::kPage, page)).ok());
    EXPECT_FALSE(
        Decode(Magic() + DocumentFrame(1) + BeginFrame(1) + Frame(FrameType::kPage, PageHead(1, 0, bad, 800))).ok());
  }
  EXPECT_FALSE(
      Decode(Magic() + DocumentFrame(1) + BeginFrame(1) + Frame(FrameType::kPage, PageHead(1, 0, -5, 800))).ok());
}

TEST(FrameDecoder, BringsBoxesIntoThePage) {
  Bytes page = PageHead(1, 2);
  page.Str16("far").F32(-50).F32(-1e30F).F32(1e30F).F32(900).F32(10).U8(0).U8(0);
  page.Str16("turned").F32(300).F32(400).F32(200).F32(350).F32(10).U8(0).U8(0);
  FrameDecoder decoder({});
  ASSERT_TRUE(decoder.Feed(Magic() + DocumentFrame(1) + BeginFrame(1) + Frame(FrameType::kPage, page)).ok());
  EXPECT_EQ(decoder.document().pages[0].words[0].box, (Box{0, 0, 600, 800}));
  EXPECT_EQ(decoder.document().pages[0].words[1].box, (Box{200, 350, 300, 400}));
}

TEST(FrameDecoder, RefusesTextThatIsNotUtf8) {
  for (const char* bad : {"\xFF", "\xC3", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\xC0\x80", "a\xE2\x82"}) {
    Bytes page = PageHead(1, 1);
    PutWord(page, bad, 10, 10);
    EXPECT_FALSE(Decode(Magic() + DocumentFrame(1) + BeginFrame(1) + Frame(FrameType::kPage, page)).ok());
    EXPECT_FALSE(Decode(Magic() + DocumentFrame(1, bad)).ok());
    EXPECT_FALSE(Decode(Magic() + DocumentFrame(1) + Frame(FrameType::kOutline, Bytes().U8(1).Str16(bad))).ok());
    EXPECT_FALSE(Decode(Magic() + VerdictFrame(wire::ExtractVerdict::kDamaged, wire::ExtractLimit::kNone, bad)).ok());
  }
}

TEST(FrameDecoder, RefusesPagesOutOfOrder) {
  const auto page = [](uint32_t number) { return Frame(FrameType::kPage, PageHead(number, 0)); };
  const std::string start = Magic() + DocumentFrame(3);
  EXPECT_TRUE(Decode(start + BeginFrame(1) + page(1) + BeginFrame(3) + page(3)).ok());
  EXPECT_FALSE(Decode(start + page(1)).ok()) << "not begun";
  EXPECT_FALSE(Decode(start + BeginFrame(1) + page(1) + page(1)).ok()) << "twice";
  EXPECT_FALSE(Decode(start + BeginFrame(1) + page(2)).ok()) << "another than was begun";
  EXPECT_FALSE(Decode(start + BeginFrame(2) + BeginFrame(1)).ok()) << "backwards";
  EXPECT_FALSE(Decode(start + BeginFrame(0)).ok()) << "page 0";
  EXPECT_FALSE(Decode(start + BeginFrame(4) + page(4)).ok()) << "past the last";
  EXPECT_FALSE(Decode(start + BeginFrame(0xFFFFFFFF)).ok()) << "over the limit";
}

TEST(FrameDecoder, RefusesFramesOutOfPlace) {
  const std::string verdict = VerdictFrame(wire::ExtractVerdict::kRead);
  EXPECT_FALSE(Decode(Magic() + BeginFrame(1)).ok()) << "before DOCUMENT";
  EXPECT_FALSE(Decode(Magic() + DocumentFrame(1) + DocumentFrame(1)).ok());
  EXPECT_FALSE(Decode(Magic() + DocumentFrame(1) + verdict + verdict).ok());
  EXPECT_FALSE(Decode(Magic() + DocumentFrame(1) + verdict + BeginFrame(1)).ok());
  EXPECT_FALSE(Decode(Magic() + DocumentFrame(1) + Frame(FrameType::kText, Bytes().Str32("text"))).ok()) << "in a PDF";
  EXPECT_FALSE(Decode(Magic() + DocumentFrame(1) + Frame(static_cast<FrameType>(99), Bytes())).ok());
  EXPECT_FALSE(
      Decode(Magic() + DocumentFrame(1, "t", static_cast<wire::DocumentType>(wire::kDocumentTypeMax + 1))).ok());
  EXPECT_FALSE(Decode(Magic() + VerdictFrame(static_cast<wire::ExtractVerdict>(77))).ok());
  EXPECT_FALSE(Decode(Magic() + VerdictFrame(wire::ExtractVerdict::kLimit, static_cast<wire::ExtractLimit>(77))).ok());
}

TEST(FrameDecoder, RefusesPayloadsOfTheWrongSize) {
  EXPECT_FALSE(Decode(Magic() + Frame(FrameType::kDocument, Bytes().U8(1))).ok());
  EXPECT_FALSE(Decode(Magic() + DocumentFrame(1) + Frame(FrameType::kBegin, Bytes().U32(1).U8(0))).ok());
  EXPECT_FALSE(Decode(Magic() + DocumentFrame(1) + BeginFrame(1) + Frame(FrameType::kPage, PageHead(1, 0).U8(7))).ok());
  EXPECT_FALSE(Decode(Magic() + DocumentFrame(1) + Frame(FrameType::kOutline, Bytes().U8(1).U16(500))).ok());
}

TEST(FrameDecoder, StaysInItsFirstErrorAndKeepsWhatCameBefore) {
  FrameDecoder decoder({});
  ASSERT_TRUE(decoder.Feed(OnePage()).ok());
  const absl::Status first = decoder.Feed(Frame(static_cast<FrameType>(42), Bytes()));
  EXPECT_FALSE(first.ok());
  EXPECT_EQ(decoder.Feed(VerdictFrame(wire::ExtractVerdict::kRead)), first);
  EXPECT_EQ(decoder.document().pages.size(), 1U);
  EXPECT_FALSE(decoder.document().verdict.has_value());
}

// Single bytes changed everywhere: never a crash, never a box outside its page.
TEST(FrameDecoder, SurvivesDamagedStreams) {
  const std::string good = OnePage() + VerdictFrame(wire::ExtractVerdict::kRead, wire::ExtractLimit::kNone, "fine");
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string bad = good;
    for (uint32_t i = 0; i <= random() % 3; ++i) bad[random() % bad.size()] = static_cast<char>(random());
    FrameDecoder decoder({});
    static_cast<void>(decoder.Feed(bad));
    for (const RawPage& page : decoder.document().pages) {
      for (const RawWord& word : page.words) {
        ASSERT_LE(word.chars.end, page.chars.size());
        ASSERT_GE(word.box.x_min, 0);
        ASSERT_LE(word.box.x_max, page.width);
        ASSERT_LE(word.box.y_max, page.height);
      }
    }
  }
}

}  // namespace
}  // namespace carrel::retrieval
