// Documents in a library, from their addition to their deletion: what is acknowledged stays, what is deleted is gone.
#include "library_test.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <future>
#include <latch>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace carrel::retrieval {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(LibraryTest, ADocumentIsFoundAndCitedVerbatim) {
  Open();
  const std::string store = MakeStore();
  const DocumentInfo garden = AddAndWait(store, "garden.txt", kGarden);
  AddAndWait(store, "engine.txt", kEngine);
  EXPECT_EQ(garden.status, DocumentStatus::kCompleted);
  EXPECT_EQ(garden.verdict, Verdict::kRead);
  const std::vector<Hit> hits = Search({store}, "How much sun do tomatoes need?");
  ASSERT_FALSE(hits.empty());
  EXPECT_EQ(hits[0].file_name, "garden.txt");
  EXPECT_EQ(hits[0].document_id, garden.id);
  EXPECT_EQ(hits[0].score, 1.0);
  ASSERT_FALSE(hits[0].citations.empty());
  const Citation& citation = hits[0].citations[0];
  EXPECT_THAT(citation.quote, HasSubstr("Tomatoes need six hours of sun"));
  EXPECT_EQ(citation.quote, Content(store, garden.id, citation.span));
  EXPECT_EQ(hits[0].passage, Content(store, garden.id, hits[0].passage_span));
  EXPECT_EQ(citation.first_page, 1u);
  EXPECT_EQ(citation.first_page_label, "1");
}

TEST_F(LibraryTest, ContentComesBackWholeAndByCodePoints) {
  Open();
  const std::string store = MakeStore();
  std::string text;
  for (int i = 0; i < 4000; ++i) text += absl::StrCat("Größe ", i, " — 東京. ");
  const DocumentInfo document = AddAndWait(store, "long.txt", text);
  EXPECT_EQ(Content(store, document.id), text);
  EXPECT_EQ(Content(store, document.id, Span{0, 5}), "Größe");
  const Span across{16'380, 16'390};
  absl::StatusOr<std::u32string> points = FromUtf8(text);
  ASSERT_TRUE(points.ok());
  EXPECT_EQ(Content(store, document.id, across), ToUtf8(points->substr(across.begin, across.size())));
  EXPECT_EQ(
      library_->ReadContent({kOwner, store, document.id}, Span{5, 1'000'000}, [](auto, auto) { return true; }).code(),
      absl::StatusCode::kOutOfRange);
}

TEST_F(LibraryTest, FatesAreValues) {
  Open();
  const std::string store = MakeStore();
  EXPECT_EQ(AddAndWait(store, "a.txt", "").verdict, Verdict::kEmpty);
  EXPECT_EQ(AddAndWait(store, "b.txt", "\xff\xfe\xfd").verdict, Verdict::kDamaged);
  const DocumentInfo exe = AddAndWait(store, "c.exe", "MZ");
  EXPECT_EQ(exe.verdict, Verdict::kUnsupported);
  EXPECT_THAT(exe.message, HasSubstr(".exe"));
  EXPECT_THAT(exe.message, HasSubstr(".pdf"));
  const absl::StatusOr<StoreInfo> info = library_->GetStore(kOwner, store);
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->documents.failed, 3u);
}

TEST_F(LibraryTest, TheSameBytesAreReadOnce) {
  Open();
  const std::string first = MakeStore(), second = MakeStore();
  AddAndWait(first, "garden.txt", kGarden);
  const size_t embedded = embedder_.passages_embedded();
  AddAndWait(second, "copy.txt", kGarden);
  AddAndWait(second, "again.txt", kGarden);
  EXPECT_EQ(extractor_.calls(), 1);
  EXPECT_EQ(embedder_.passages_embedded(), embedded);
  EXPECT_THAT(Search({second}, "tomatoes"), SizeIs(1));
  EXPECT_THAT(Search({first, second}, "tomatoes"), SizeIs(1));  // the same passage is one hit
}

TEST_F(LibraryTest, IdsAreIdempotent) {
  Open();
  const std::string store = MakeStore();
  ASSERT_TRUE(Add(store, "a.txt", kGarden, "doc").ok());
  EXPECT_TRUE(Add(store, "a.txt", kGarden, "doc").ok());
  EXPECT_EQ(Add(store, "a.txt", kEngine, "doc").status().code(), absl::StatusCode::kAlreadyExists);
  const NewStore fixed{.owner = kOwner, .name = "x", .id = "mine"};
  EXPECT_TRUE(library_->CreateStore(fixed).ok());
  EXPECT_TRUE(library_->CreateStore(fixed).ok());
  EXPECT_EQ(library_->CreateStore({.owner = kOwner, .name = "y", .id = "mine"}).status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(LibraryTest, AnotherOwnerSeesNothing) {
  Open();
  const std::string store = MakeStore();
  const DocumentInfo document = AddAndWait(store, "a.txt", kGarden);
  const std::string other = "project-b";
  EXPECT_EQ(library_->GetStore(other, store).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(library_->GetDocument({other, store, document.id}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(library_->DeleteDocument({other, store, document.id}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(library_->Search({.owner = other, .store_ids = {store}, .queries = {"sun"}}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(library_->DeleteStore(other, store).value(), false);
  EXPECT_THAT(library_->ListStores(other).value(), IsEmpty());
  EXPECT_THAT(library_->ListStores(kOwner).value(), SizeIs(1));
}

TEST_F(LibraryTest, ADeletedDocumentIsGoneFromBothLegsAndTheDisk) {
  Open();
  const std::string store = MakeStore();
  const DocumentInfo document = AddAndWait(store, "a.txt", absl::StrCat(kGarden, " The password is xyzzyplugh."));
  AddAndWait(store, "b.txt", kEngine);
  ASSERT_THAT(Search({store}, "xyzzyplugh", {}, {.embedding_weight = 0, .text_weight = 1}), SizeIs(1));
  EXPECT_EQ(library_->DeleteDocument({kOwner, store, document.id}).value(), true);
  EXPECT_EQ(library_->DeleteDocument({kOwner, store, document.id}).value(), false);
  EXPECT_THAT(Search({store}, "xyzzyplugh", {}, {.embedding_weight = 0, .text_weight = 1}), IsEmpty());
  for (const Hit& hit : Search({store}, "tomatoes")) EXPECT_EQ(hit.file_name, "b.txt");
  ASSERT_TRUE(library_->Maintain().ok());
  library_.reset();
  const std::string grep = absl::StrCat("grep -rqi xyzzyplugh ", directory_);
  EXPECT_NE(std::system(grep.c_str()), 0) << "the text is still on the disk";
  Open();
  EXPECT_THAT(Search({store}, "tomatoes"), testing::Each(testing::Field(&Hit::file_name, "b.txt")));
}

TEST_F(LibraryTest, DeletingAStorePurgesIt) {
  Open();
  const std::string store = MakeStore();
  AddAndWait(store, "a.txt", kGarden);
  EXPECT_EQ(library_->DeleteStore(kOwner, store).value(), true);
  EXPECT_EQ(library_->DeleteStore(kOwner, store).value(), false);
  EXPECT_EQ(library_->GetStore(kOwner, store).status().code(), absl::StatusCode::kNotFound);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_ + "/blobs")) {
    EXPECT_FALSE(entry.is_regular_file()) << entry.path();
  }
}

TEST_F(LibraryTest, OursFailingIsTriedAgain) {
  Open();
  const std::string store = MakeStore();
  embedder_.FailNext(2);
  EXPECT_EQ(AddAndWait(store, "a.txt", kGarden).status, DocumentStatus::kCompleted);
  EXPECT_EQ(extractor_.calls(), 1);  // it went on after the extraction
}

TEST_F(LibraryTest, AStoreExpiresAfterItsLastUse) {
  Open();
  absl::StatusOr<StoreInfo> store = library_->CreateStore({.owner = kOwner, .name = "short", .expires_after_days = 1});
  ASSERT_TRUE(store.ok());
  skew_ms_ = 23 * 3'600'000;
  EXPECT_TRUE(library_->Search({.owner = kOwner, .store_ids = {store->id}, .queries = {"x"}}).ok());  // a use
  skew_ms_ = 46 * 3'600'000;
  EXPECT_TRUE(library_->GetStore(kOwner, store->id).ok());
  skew_ms_ = 48 * 3'600'000;
  EXPECT_EQ(library_->GetStore(kOwner, store->id).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(library_->Maintain().ok());
  skew_ms_ = 0;
  EXPECT_EQ(library_->GetStore(kOwner, store->id).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(LibraryTest, DeletingWhileItIsReadStopsTheWork) {
  Open();
  const std::string store = MakeStore();
  std::latch reading(1), go_on(1);
  extractor_.Before([&] {
    reading.count_down();
    go_on.wait();
  });
  const absl::StatusOr<DocumentInfo> added = Add(store, "a.txt", kGarden);
  ASSERT_TRUE(added.ok());
  reading.wait();
  EXPECT_EQ(library_->GetDocument({kOwner, store, added->id})->progress.phase, Phase::kExtracting);
  EXPECT_EQ(library_->DeleteDocument({kOwner, store, added->id}).value(), true);
  extractor_.Before(nullptr);
  go_on.count_down();
  AddAndWait(store, "b.txt", kEngine);
  for (const Hit& hit : Search({store}, "tomatoes sun")) EXPECT_EQ(hit.file_name, "b.txt");
}

TEST_F(LibraryTest, StoresTakeTurns) {
  Open();
  const std::string busy = MakeStore(), quiet = MakeStore();
  // Owned by the callback, which the extractor calls until the library is closed, after this function's end.
  std::promise<void> queued;
  extractor_.Before([gate = queued.get_future().share()] { gate.wait(); });
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) ids.push_back(Add(busy, "a.txt", absl::StrCat(kGarden, " Number ", i))->id);
  const std::string one = Add(quiet, "b.txt", kEngine)->id;
  queued.set_value();
  ASSERT_TRUE(Wait(quiet, one).ok());
  // The quiet store's only document did not wait for all of the busy one's.
  EXPECT_EQ(library_->GetDocument({kOwner, busy, ids.back()})->status, DocumentStatus::kInProgress);
  library_.reset();  // its workers wait at our latch, which ends with this function
}

TEST_F(LibraryTest, AcknowledgedDocumentsSurviveKill) {
  // Children add documents and are killed at random moments; what they acknowledged over the pipe must all be there.
  std::vector<std::string> acknowledged;
  Open();
  const std::string store = MakeStore();
  library_.reset();
  for (int round = 0; round < 6; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(ends[0]);
      Open();
      for (int i = 0; library_ != nullptr; ++i) {
        const std::string id = absl::StrCat("doc-", round, "-", i);
        if (!Add(store, "a.txt", absl::StrCat(kGarden, " It is number ", round, " and ", i, "."), id).ok()) ::_exit(1);
        const std::string line = id + "\n";
        if (::write(ends[1], line.data(), line.size()) < 0) ::_exit(2);
      }
      ::_exit(3);
    }
    ::close(ends[1]);
    std::string lines;
    char buffer[512];
    const size_t enough = 60 + static_cast<size_t>(round) * 70;  // bytes of ids: another moment each time
    for (ssize_t n = 0; lines.size() < enough && (n = ::read(ends[0], buffer, sizeof(buffer))) > 0;) {
      lines.append(buffer, static_cast<size_t>(n));
    }
    ::kill(child, SIGKILL);
    for (ssize_t n = 0; (n = ::read(ends[0], buffer, sizeof(buffer))) > 0;)
      lines.append(buffer, static_cast<size_t>(n));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
    for (size_t begin = 0, end = 0; (end = lines.find('\n', begin)) != lines.npos; begin = end + 1) {
      acknowledged.push_back(lines.substr(begin, end - begin));
    }
  }
  Open();
  ASSERT_GT(acknowledged.size(), 20u);
  for (const std::string& id : acknowledged) {
    const absl::StatusOr<DocumentInfo> document = Wait(store, id);
    ASSERT_TRUE(document.ok()) << id << ": " << document.status();
    EXPECT_EQ(document->status, DocumentStatus::kCompleted) << id;
    const std::vector<Hit> hits = Search({store}, Content(store, id));
    ASSERT_FALSE(hits.empty());
  }
}

TEST_F(LibraryTest, AThousandAdditionsAndDeletionsDoNotGrowTheDisk) {
  Open();
  const std::string store = MakeStore();
  const auto text = [](int n, int sentences) {
    std::string out;
    for (int i = 0; i < sentences; ++i) {
      absl::StrAppend(&out, "Sentence ", i, " of document ", n, " speaks of item ", (i + n) * 7919 % 100'000, ". ");
    }
    return out;
  };
  for (int i = 0; i < 8; ++i) AddAndWait(store, "live.txt", text(100'000 + i, 120));
  ASSERT_TRUE(library_->Maintain().ok());
  const uint64_t before = BytesOnDisk();
  for (int i = 0; i < 1000; ++i) {
    const DocumentInfo document = AddAndWait(store, "a.txt", text(i, 1 + i % 97));
    ASSERT_EQ(document.status, DocumentStatus::kCompleted) << document.message;
    ASSERT_EQ(library_->DeleteDocument({kOwner, store, document.id}).value(), true);
  }
  ASSERT_TRUE(library_->Maintain().ok());
  EXPECT_LE(BytesOnDisk(), before * 3 / 2);
}

TEST_F(LibraryTest, OneProcessAtATime) {
  Open();
  FakeEmbedder embedder;
  PlainTextExtractor extractor;
  EXPECT_EQ(Library::Open({.directory = directory_}, {&embedder}, extractor).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

class FailedDocumentTest : public LibraryTest {
 protected:
  // What keeps failing is failed after five attempts with pauses between; the clock is moved over them.
  DocumentInfo AddUntilItFails(const std::string& store, const std::string& id) {
    embedder_.FailNext(1'000);
    EXPECT_TRUE(Add(store, "a.txt", kGarden, id).ok());
    absl::StatusOr<DocumentInfo> failed = absl::InternalError("");
    do {
      skew_ms_ += 60'000;
      failed =
          library_->WaitForDocument({kOwner, store, id}, absl::Now() + absl::Milliseconds(100), [] { return false; });
      if (!failed.ok()) return {};
    } while (failed->status == DocumentStatus::kInProgress);
    embedder_.FailNext(0);
    return *failed;
  }
};

TEST_F(FailedDocumentTest, IsTriedAgainWhenItComesAgain) {
  Open();
  const std::string store = MakeStore();
  const DocumentInfo failed = AddUntilItFails(store, "doc");
  EXPECT_EQ(failed.verdict, Verdict::kInternal);
  EXPECT_EQ(Add(store, "a.txt", kEngine, "doc").status().code(), absl::StatusCode::kAlreadyExists);

  const absl::StatusOr<DocumentInfo> again = Add(store, "b.txt", kGarden, "doc", {{"year", 2020.0}});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->status, DocumentStatus::kInProgress);
  const absl::StatusOr<DocumentInfo> done = Wait(store, "doc");
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(done->status, DocumentStatus::kCompleted);
  EXPECT_EQ(done->file_name, "b.txt");
  const Filter filter{Comparison{.key = "year", .values = {2020.0}}};
  EXPECT_THAT(Search({store}, "tomatoes", filter), SizeIs(1));
}

TEST_F(FailedDocumentTest, MayComeAgainInAnotherChunking) {
  Open();
  const std::string store = MakeStore(), other = MakeStore();
  AddUntilItFails(store, "doc");
  ASSERT_EQ(AddUntilItFails(other, "doc").status, DocumentStatus::kFailed);
  const Chunking chunking{.max_tokens = 200, .overlap_tokens = 20};
  ASSERT_TRUE(Add(store, "a.txt", kGarden, "doc", {}, chunking).ok());
  const absl::StatusOr<DocumentInfo> done = Wait(store, "doc");
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(done->status, DocumentStatus::kCompleted);
  EXPECT_EQ(done->chunking, chunking);
  EXPECT_THAT(Search({store}, "tomatoes"), SizeIs(1));
  // A document that was read keeps its chunking, and a failure of the document itself stays what it is.
  EXPECT_EQ(Add(store, "a.txt", kGarden, "doc").status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(AddAndWait(store, "b.txt", "\xff", "damaged").verdict, Verdict::kDamaged);
  const int calls = extractor_.calls();
  EXPECT_EQ(AddAndWait(store, "b.txt", "\xff", "damaged").verdict, Verdict::kDamaged);
  EXPECT_EQ(extractor_.calls(), calls);
  const absl::StatusOr<DocumentInfo> untouched = library_->GetDocument({kOwner, other, "doc"});
  ASSERT_TRUE(untouched.ok());
  EXPECT_EQ(untouched->status, DocumentStatus::kFailed);
}

}  // namespace
}  // namespace carrel::retrieval
