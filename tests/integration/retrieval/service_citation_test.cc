// What the service cites, and the pictures of where it stands.
#include <filesystem>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "retrieval/document_text.h"
#include "retrieval/png_check.h"
#include "service_fixture.h"

namespace carrel::retrieval {
namespace {

using ::testing::HasSubstr;

TEST_F(ServiceTest, QuotesOfPdfsStandWhereTheySay) {
  const std::string store = MakeStore(200);
  int read = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(CARREL_TESTDATA "/pdf")) {
    if (entry.path().extension() != ".pdf") continue;
    const v1::Document document = Add(store, entry.path().filename().string(), ReadFile(entry.path()));
    EXPECT_NE(document.status(), v1::IN_PROGRESS);
    EXPECT_NE(document.verdict(), v1::INTERNAL) << document.message();
    if (document.status() != v1::COMPLETED) continue;
    ++read;
    const std::string text = Content(store, document.document_id());
    const absl::StatusOr<std::u32string> points = FromUtf8(text);
    ASSERT_TRUE(points.ok());
    EXPECT_EQ(points->size(), document.characters());
  }
  ASSERT_GT(read, 5);
  for (const char* query : {"the quiet river", "which letter crosses the bridge", "library catalogue", "series one two",
                            "temperature measurement in the laboratory", "東京", "expedition near the station"}) {
    const v1::SearchResponse answer = Search(store, query, 20);
    EXPECT_GT(answer.hits_size(), 0) << query;
    double last = 1;
    for (const v1::Hit& hit : answer.hits()) {
      EXPECT_LE(hit.score(), last);
      last = hit.score();
      CheckCitations(store, hit, true);
    }
  }
}

TEST_F(ServiceTest, SlidesAndSheetsAreCitedByTheirLabel) {
  const std::string store = MakeStore();
  for (const char* name : {"report.docx", "talk.pptx", "budget.xlsx"}) {
    const v1::Document document = Add(store, name, ReadFile(std::string(CARREL_TESTDATA "/office/") + name));
    ASSERT_EQ(document.status(), v1::COMPLETED) << name << ": " << document.message();
  }
  const std::pair<const char*, const char*> cases[] = {
      {"when does the library open on Monday", "sheet Opening hours"},
      {"joints are cheap to mend", "slide 3"},
      {"when was the old bridge built", "1"},
  };
  for (const auto& [query, label] : cases) {
    const v1::SearchResponse answer = Search(store, query, 1);
    ASSERT_EQ(answer.hits_size(), 1);
    EXPECT_EQ(answer.hits(0).citations(0).first_page_label(), label) << answer.hits(0).citations(0).quote();
    CheckCitations(store, answer.hits(0), false);
  }
  EXPECT_EQ(Add(store, "old.doc", "x").message(), "Files of the type \".doc\" are not read; save it as .docx.");
}

TEST_F(ServiceTest, ASpanIsCitedAndDrawn) {
  const std::string store = MakeStore();
  const v1::Document document = Add(store, "two.pdf", ReadFile(CARREL_TESTDATA "/pdf/prose/two_columns.pdf"));
  ASSERT_EQ(document.status(), v1::COMPLETED) << document.message();
  const v1::SearchResponse answer = Search(store, "the quiet river", 1);
  ASSERT_EQ(answer.hits_size(), 1);
  const v1::Citation& wanted = answer.hits(0).citations(0);
  const v1::Citation cited = Cite(store, document.document_id(), wanted.span().begin(), wanted.span().end());
  EXPECT_EQ(cited.SerializeAsString(), wanted.SerializeAsString());

  v1::RenderPageRequest request;
  request.set_store_id(store);
  request.set_document_id(document.document_id());
  *request.mutable_span() = wanted.span();
  const Drawn drawn = Draw(request);
  EXPECT_EQ(drawn.header.page(), wanted.first_page());
  EXPECT_EQ(drawn.header.page_label(), wanted.first_page_label());
  EXPECT_EQ(drawn.header.pages(), document.pages());
  EXPECT_EQ(drawn.header.dpi(), 144u);
  EXPECT_EQ(drawn.header.size_bytes(), drawn.png.size());
  EXPECT_EQ(drawn.header.citation().quote(), wanted.quote());
  const auto size = CheckPng(drawn.png);
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(size->width, drawn.header.width());
  EXPECT_EQ(size->height, drawn.header.height());

  // Boxes of one's own, on another page, at another resolution.
  request.clear_span();
  request.set_page(2);
  request.set_dpi(36);
  *request.add_boxes() = wanted.boxes(0);
  const Drawn other = Draw(request);
  EXPECT_EQ(other.header.page(), 2u);
  EXPECT_FALSE(other.header.has_citation());
  EXPECT_LT(other.header.width(), drawn.header.width());
}

TEST_F(ServiceTest, WhatCannotBeCitedOrDrawnIsNamed) {
  const std::string store = MakeStore();
  const v1::Document text = Add(store, "manual.md", kManual);
  const v1::Document pdf = Add(store, "plain.pdf", ReadFile(CARREL_TESTDATA "/pdf/prose/plain.pdf"));
  absl::Status status;
  const auto field = [&] { return rpc::DetailOf(status).has_value() ? rpc::DetailOf(status)->field() : "none"; };
  for (const auto& [begin, end] : {std::pair(5, 5), std::pair(9, 5), std::pair(0, 30'000), std::pair(1'000, 1'100)}) {
    Cite(store, text.document_id(), static_cast<uint64_t>(begin), static_cast<uint64_t>(end), &status);
    EXPECT_EQ(field(), "span") << begin << ":" << end << " " << status;
  }
  Cite(store, "file-none", 0, 5, &status);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);

  v1::RenderPageRequest request;
  request.set_store_id(store);
  request.set_document_id(pdf.document_id());
  Draw(request, &status);
  EXPECT_EQ(field(), "page") << status;
  request.set_page(999);
  Draw(request, &status);
  EXPECT_EQ(field(), "page") << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat(pdf.pages(), " pages")));
  request.mutable_span()->set_end(10);
  request.set_page(2);
  Draw(request, &status);
  EXPECT_THAT(std::string(status.message()), HasSubstr("where the span stands"));
  request.set_page(1);
  request.set_dpi(5);
  Draw(request, &status);
  EXPECT_EQ(field(), "dpi");
  request.set_dpi(0);
  request.set_owner("project-b");
  Draw(request, &status);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  request.set_owner(kOwner);
  request.set_document_id(text.document_id());
  Draw(request, &status);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("manual.md has no layout"));
}

TEST_F(ServiceTest, MarkersBecomeCitations) {
  const std::string store = MakeStore();
  Add(store, "manual.md", kManual);
  const v1::SearchResponse answer = Search(store, "How long is the guarantee?");
  ASSERT_GT(answer.hits_size(), 0);
  v1::AnnotateRequest request;
  request.set_text("Größe: two years 【4:0†manual.md】, says 【4:99†nobody】.");
  *request.mutable_hits() = answer.hits();
  const v1::AnnotateResponse reply = Call(&v1::Retrieval::Stub::Annotate, request);
  ASSERT_EQ(reply.annotations_size(), 2);
  EXPECT_EQ(reply.annotations(0).marker(), "【4:0†manual.md】");
  EXPECT_EQ(reply.annotations(0).marker_span().begin(), 17u);
  EXPECT_EQ(reply.annotations(0).marker_span().end(), 32u);
  EXPECT_EQ(reply.annotations(0).document_id(), answer.hits(0).document_id());
  EXPECT_EQ(reply.annotations(0).citation().quote(), answer.hits(0).citations(0).quote());
  EXPECT_FALSE(reply.annotations(1).has_hit());
}

}  // namespace
}  // namespace carrel::retrieval
