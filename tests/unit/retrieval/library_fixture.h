// A library in a directory of its own, with the stand-ins of fakes.h.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "retrieval/fakes.h"
#include "retrieval/library.h"

namespace carrel::retrieval {

inline constexpr char kOwner[] = "project-a";

class LibraryFixture : public ::testing::Test {
 protected:
  LibraryFixture() {
    std::string path = ::testing::TempDir() + "/library-XXXXXX";
    directory_ = ::mkdtemp(path.data());
  }
  ~LibraryFixture() override {
    library_.reset();
    std::filesystem::remove_all(directory_);
  }

  absl::Status TryOpen(std::vector<Embedder*> models, LibraryOptions options = {}) {
    library_.reset();
    options.directory = directory_;
    absl::StatusOr<std::unique_ptr<Library>> opened = Library::Open(std::move(options), std::move(models), extractor_);
    if (opened.ok()) library_ = *std::move(opened);
    return opened.status();
  }
  void Open(LibraryOptions options = {}) {
    const absl::Status status = TryOpen({&embedder_}, std::move(options));
    ASSERT_TRUE(status.ok()) << status;
  }

  absl::StatusOr<StoreInfo> MakeStore(const std::string& id) {
    return library_->CreateStore(
        {.owner = kOwner, .name = "notes", .chunking = {.max_tokens = 100, .overlap_tokens = 50}, .id = id});
  }

  absl::StatusOr<DocumentInfo> Add(const std::string& store, const std::string& id, const std::string& text,
                                   const std::string& file_name = "a.txt") {
    absl::StatusOr<std::unique_ptr<Upload>> upload = library_->NewUpload();
    if (!upload.ok()) return upload.status();
    if (absl::Status status = (*upload)->Write(text); !status.ok()) return status;
    return library_->AddDocument({.owner = kOwner, .store_id = store, .file_name = file_name, .id = id},
                                 *std::move(upload));
  }
  absl::StatusOr<DocumentInfo> Wait(const std::string& store, const std::string& id) {
    return library_->WaitForDocument({kOwner, store, id}, absl::Now() + absl::Seconds(30), [] { return false; });
  }
  absl::StatusOr<DocumentInfo> AddAndWait(const std::string& store, const std::string& id, const std::string& text) {
    absl::StatusOr<DocumentInfo> added = Add(store, id, text);
    return added.ok() ? Wait(store, id) : added;
  }
  absl::StatusOr<DocumentInfo> Get(const std::string& store, const std::string& id) {
    return library_->GetDocument({kOwner, store, id});
  }
  absl::StatusOr<bool> Delete(const std::string& store, const std::string& id) {
    return library_->DeleteDocument({kOwner, store, id});
  }
  absl::StatusOr<SearchAnswer> Search(const std::string& store, const std::string& text) {
    return library_->Search({.owner = kOwner, .store_ids = {store}, .queries = {text}});
  }
  // Whether a search for `text` finds the document, in each leg.
  struct Legs {
    bool words = false;
    bool vectors = false;
    bool operator==(const Legs&) const = default;
  };
  Legs Found(const std::string& store, const std::string& id, const std::string& text) {
    const absl::StatusOr<SearchAnswer> answer = Search(store, text);
    EXPECT_TRUE(answer.ok()) << answer.status();
    if (!answer.ok()) return {};
    for (const Hit& hit : answer->hits) {
      if (hit.document_id == id) return {.words = hit.text_rank > 0, .vectors = hit.vector_rank > 0};
    }
    return {};
  }
  absl::StatusOr<std::string> Content(const std::string& store, const std::string& id) {
    std::string text;
    const absl::Status status = library_->ReadContent({kOwner, store, id}, {}, [&](uint32_t, std::string_view piece) {
      text += piece;
      return true;
    });
    if (!status.ok()) return status;
    return text;
  }

  std::string directory_;
  FakeEmbedder embedder_;
  PlainTextExtractor extractor_;
  std::unique_ptr<Library> library_;
};

}  // namespace carrel::retrieval
