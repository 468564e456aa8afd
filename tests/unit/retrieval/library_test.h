// What the cases of a library have in common: notes of one owner, and a clock that can be put forward.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "library_fixture.h"
#include "retrieval/library.h"

namespace carrel::retrieval {

class LibraryTest : public LibraryFixture {
 protected:
  ~LibraryTest() override { library_.reset(); }  // it asks our clock

  void Open(LibraryOptions options = {}) {
    options.now_ms = [this] { return absl::ToUnixMillis(absl::Now()) + skew_ms_; };
    LibraryFixture::Open(std::move(options));
  }

  std::string MakeStore(const std::string& owner = kOwner) {
    absl::StatusOr<StoreInfo> store =
        library_->CreateStore({.owner = owner, .name = "notes", .chunking = {.max_tokens = 100, .overlap_tokens = 50}});
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? store->id : "";
  }

  absl::StatusOr<DocumentInfo> Add(const std::string& store, const std::string& name, const std::string& text,
                                   const std::string& id = "", Attributes attributes = {},
                                   std::optional<Chunking> chunking = std::nullopt) {
    absl::StatusOr<std::unique_ptr<Upload>> upload = library_->NewUpload();
    if (!upload.ok()) return upload.status();
    if (absl::Status status = (*upload)->Write(text); !status.ok()) return status;
    return library_->AddDocument({.owner = kOwner,
                                  .store_id = store,
                                  .file_name = name,
                                  .id = id,
                                  .attributes = std::move(attributes),
                                  .chunking = chunking},
                                 *std::move(upload));
  }

  DocumentInfo AddAndWait(const std::string& store, const std::string& name, const std::string& text,
                          const std::string& id = "", Attributes attributes = {}) {
    absl::StatusOr<DocumentInfo> added = Add(store, name, text, id, std::move(attributes));
    EXPECT_TRUE(added.ok()) << added.status();
    if (!added.ok()) return {};
    absl::StatusOr<DocumentInfo> done = Wait(store, added->id);
    EXPECT_TRUE(done.ok()) << done.status();
    return done.ok() ? *done : DocumentInfo{};
  }

  std::vector<Hit> Search(std::vector<std::string> stores, const std::string& text, std::optional<Filter> filter = {},
                          Ranking ranking = {}) {
    absl::StatusOr<SearchAnswer> answer = library_->Search({.owner = kOwner,
                                                            .store_ids = std::move(stores),
                                                            .queries = {text},
                                                            .filter = std::move(filter),
                                                            .ranking = ranking});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? answer->hits : std::vector<Hit>{};
  }

  std::string Content(const std::string& store, const std::string& id, std::optional<Span> span = {}) {
    std::string text;
    const absl::Status status = library_->ReadContent({kOwner, store, id}, span, [&](uint32_t, std::string_view piece) {
      text += piece;
      return true;
    });
    EXPECT_TRUE(status.ok()) << status;
    return text;
  }

  uint64_t BytesOnDisk() const {
    uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_)) {
      if (entry.is_regular_file()) bytes += entry.file_size();
    }
    return bytes;
  }

  std::atomic<int64_t> skew_ms_ = 0;
};

inline constexpr char kGarden[] =
    "The garden lies behind the house. Tomatoes need six hours of sun a day. Water them in the morning. "
    "Beans climb on poles of hazel wood.";
inline constexpr char kEngine[] =
    "The engine has four cylinders. Change the oil every ten thousand kilometres. The spark plugs are checked each "
    "spring.";

}  // namespace carrel::retrieval
