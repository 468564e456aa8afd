// The queue of documents: whose turn it is, what gives way, what is full, what is tried again.
#include <algorithm>
#include <future>
#include <latch>
#include <mutex>
#include <set>

#include "gmock/gmock.h"
#include "library_fixture.h"

namespace carrel::retrieval {
namespace {

using testing::HasSubstr;

// Reads as PlainTextExtractor does; of a text that begins with "bomb" never, until it is stopped or defused.
class BombExtractor final : public Extractor {
 public:
  absl::StatusOr<Extraction> Extract(ExtractionRequest request) override {
    char head[4] = {};
    if (::pread(request.bytes.get(), head, sizeof(head), 0) == 4 && std::string_view(head, 4) == "bomb") {
      ++begun_;
      while (!defused_ && !request.stop.stop_requested()) absl::SleepFor(absl::Milliseconds(1));
      if (request.stop.stop_requested()) return absl::CancelledError("stopped");
      return Extraction{.verdict = Verdict::kLimit, .message = "Reading it took too long."};
    }
    return plain_.Extract(std::move(request));
  }
  void Defuse() { defused_ = true; }
  int begun() const { return begun_; }

 private:
  PlainTextExtractor plain_;
  std::atomic<bool> defused_ = false;
  std::atomic<int> begun_ = 0;
};

class QueueTest : public LibraryFixture {
 protected:
  ~QueueTest() override {
    bombs_.Defuse();
    library_.reset();
  }
  void OpenWithBombs(LibraryOptions options = {}) {
    library_.reset();
    options.directory = directory_;
    absl::StatusOr<std::unique_ptr<Library>> opened = Library::Open(std::move(options), {&embedder_}, bombs_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    library_ = *std::move(opened);
    ASSERT_TRUE(MakeStore("s").ok());
  }

  BombExtractor bombs_;
};

TEST_F(QueueTest, BombsDoNotKeepOthersWaiting) {
  OpenWithBombs({.ingest_workers = 2, .ingest_slice = absl::Milliseconds(20)});
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(Add("s", absl::StrCat("bomb", i), absl::StrCat("bomb ", i)).ok());
  // In the same store, behind them, and in another.
  ASSERT_TRUE(MakeStore("other").ok());
  for (int i = 0; i < 12; ++i) {
    const std::string text = absl::StrCat("note ", i, " about item", i);
    ASSERT_TRUE(Add("s", absl::StrCat("d", i), text).ok());
    ASSERT_TRUE(Add("other", absl::StrCat("d", i), text + " there").ok());
  }
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(Wait("s", absl::StrCat("d", i))->status, DocumentStatus::kCompleted);
    EXPECT_EQ(Wait("other", absl::StrCat("d", i))->status, DocumentStatus::kCompleted);
  }
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(Get("s", absl::StrCat("bomb", i))->status, DocumentStatus::kInProgress);
  }
  bombs_.Defuse();
  for (int i = 0; i < 8; ++i) {
    const absl::StatusOr<DocumentInfo> bomb = Wait("s", absl::StrCat("bomb", i));
    EXPECT_EQ(bomb->status, DocumentStatus::kFailed);
    EXPECT_EQ(bomb->verdict, Verdict::kLimit);
    EXPECT_EQ(bomb->message, "Reading it took too long.");
  }
}

TEST_F(QueueTest, ABombAloneIsNotBegunTwice) {
  OpenWithBombs({.ingest_workers = 2, .ingest_slice = absl::Milliseconds(5)});
  ASSERT_TRUE(Add("s", "bomb", "bomb").ok());
  while (bombs_.begun() == 0) absl::SleepFor(absl::Milliseconds(1));
  absl::SleepFor(absl::Milliseconds(50));
  bombs_.Defuse();
  EXPECT_EQ(Wait("s", "bomb")->status, DocumentStatus::kFailed);
  EXPECT_EQ(bombs_.begun(), 1);
}

TEST_F(QueueTest, ALongDocumentGivesWayWhileItIsEmbedded) {
  std::mutex mutex;
  std::vector<std::string> order;
  std::latch begun(1), added(1);
  std::atomic<bool> first = true;
  embedder_.Before([&](std::span<const std::string_view> texts) {
    if (first.exchange(false)) {
      begun.count_down();
      added.wait();
    }
    const std::lock_guard lock(mutex);
    for (const std::string_view text : texts) order.emplace_back(text);
  });
  Open({.ingest_workers = 1});
  ASSERT_TRUE(MakeStore("s").ok());
  std::string text;
  for (int i = 0; i < 8'000; ++i) absl::StrAppend(&text, "Sentence number ", i, " of the long one. ");
  ASSERT_TRUE(Add("s", "long", text).ok());
  begun.wait();
  ASSERT_TRUE(Add("s", "short", "The short one is here.").ok());
  added.count_down();
  EXPECT_EQ(Wait("s", "short")->status, DocumentStatus::kCompleted);
  const absl::StatusOr<DocumentInfo> done = Wait("s", "long");
  EXPECT_EQ(done->status, DocumentStatus::kCompleted);
  library_.reset();
  const std::lock_guard lock(mutex);
  const auto place = std::find(order.begin(), order.end(), "The short one is here.");
  ASSERT_NE(place, order.end());
  EXPECT_LT(place - order.begin(), 200);
  EXPECT_GT(order.end() - place, 400) << "the long one was cut into too few pieces to say anything";
  EXPECT_EQ(std::set<std::string>(order.begin(), order.end()).size(), order.size()) << "nothing was embedded twice";
}

TEST_F(QueueTest, AFullQueueIsToldAndEmptiesItself) {
  OpenWithBombs({.ingest_workers = 2, .queue_length_max = 3});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Add("s", absl::StrCat("bomb", i), absl::StrCat("bomb ", i)).ok());
  const absl::Status full = Add("s", "d", "one too many").status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), HasSubstr("the queue is full: 3 documents"));
  EXPECT_EQ(Get("s", "d").status().code(), absl::StatusCode::kNotFound);
  bombs_.Defuse();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Wait("s", absl::StrCat("bomb", i))->status, DocumentStatus::kFailed);
  EXPECT_EQ(AddAndWait("s", "d", "one too many")->status, DocumentStatus::kCompleted);
}

TEST_F(QueueTest, WhatWaitsSaysWhy) {
  std::mutex mutex;
  std::vector<std::string> told;
  const LibraryOptions options{.postponed = [&](const std::string& reason) {
    const std::lock_guard lock(mutex);
    told.push_back(reason);
  }};
  embedder_.FailNext(1'000'000, absl::UnavailableError("nobody answers at that address"));
  Open(options);
  ASSERT_TRUE(MakeStore("s").ok());
  ASSERT_TRUE(Add("s", "a", "tomatoes need sun").ok());
  ASSERT_TRUE(Add("s", "b", "beans climb on poles").ok());
  for (const char* id : {"a", "b"}) {
    while (Get("s", id)->message.empty()) absl::SleepFor(absl::Milliseconds(5));
    EXPECT_EQ(Get("s", id)->status, DocumentStatus::kInProgress);
    EXPECT_EQ(Get("s", id)->message, "It waits to be tried again: nobody answers at that address");
  }
  const LibraryStatistics waiting = library_->Statistics().value();
  EXPECT_EQ(waiting.queue_length, 2u);
  EXPECT_EQ(waiting.postponed, 2u);
  EXPECT_EQ(waiting.stores, 1u);
  // It is not forgotten over a restart; who waits a thousand times is told of once.
  Open(options);
  EXPECT_THAT(Get("s", "a")->message, HasSubstr("nobody answers"));
  embedder_.FailNext(0);
  for (const char* id : {"a", "b"}) {
    EXPECT_EQ(Wait("s", id)->status, DocumentStatus::kCompleted);
    EXPECT_EQ(Get("s", id)->message, "");
  }
  const LibraryStatistics done = library_->Statistics().value();
  EXPECT_EQ(done.queue_length + done.postponed, 0u);
  const std::lock_guard lock(mutex);
  EXPECT_LE(told.size(), 2u);  // by either process at most
  EXPECT_EQ(told.at(0), "nobody answers at that address");
}

TEST_F(QueueTest, EndingInTheMidstIsNoAttempt) {
  OpenWithBombs();
  ASSERT_TRUE(Add("s", "bomb", "bomb").ok());
  for (int i = 0; i < 25; ++i) {
    const int begun = bombs_.begun();
    OpenWithBombs();
    while (bombs_.begun() == begun) absl::SleepFor(absl::Milliseconds(1));
  }
  bombs_.Defuse();
  EXPECT_EQ(Wait("s", "bomb")->message, "Reading it took too long.");
}

TEST_F(QueueTest, DeletingStopsABomb) {
  OpenWithBombs({.ingest_workers = 1});
  ASSERT_TRUE(Add("s", "bomb", "bomb").ok());
  while (bombs_.begun() == 0) absl::SleepFor(absl::Milliseconds(1));
  ASSERT_EQ(Delete("s", "bomb").value(), true);
  EXPECT_EQ(AddAndWait("s", "d", "the worker is free")->status, DocumentStatus::kCompleted);
}

}  // namespace
}  // namespace carrel::retrieval
