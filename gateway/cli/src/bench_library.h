// The retrieval service that carrel bench search measures: one of our own in a temporary directory, or somebody's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench_documents.h"
#include "bench_server.h"
#include "carrel/retrieval/v1/retrieval.grpc.pb.h"
#include "cli/bench_search.h"

namespace carrel::cli {

// Thread-safe. Every store that it made is deleted at the end.
class BenchLibrary final {
 public:
  // Starts the server, or connects. UNAVAILABLE with the server's own words on stderr.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<BenchLibrary>> Open(const Place& place,
                                                                          const std::string& server);
  ~BenchLibrary();
  BenchLibrary(const BenchLibrary&) = delete;
  BenchLibrary& operator=(const BenchLibrary&) = delete;

  // Its id. `chunk_tokens` without overlap; 0: the defaults.
  [[nodiscard]] absl::StatusOr<std::string> CreateStore(uint32_t chunk_tokens);
  [[nodiscard]] absl::StatusOr<retrieval::v1::Store> GetStore(const std::string& store);
  // With the attribute "number". Returns when its bytes are acknowledged.
  [[nodiscard]] absl::StatusOr<retrieval::v1::Document> Add(const std::string& store, const BenchDocument& document,
                                                            double number);
  [[nodiscard]] absl::StatusOr<retrieval::v1::Document> Get(const std::string& store, const std::string& document);
  [[nodiscard]] absl::StatusOr<retrieval::v1::SearchResponse> Search(const retrieval::v1::SearchRequest& request);
  [[nodiscard]] absl::StatusOr<retrieval::v1::EmbedResponse> Embed(const std::vector<std::string>& texts, bool queries);

  // Of our own server; 0: another's. Resident memory of carrel-retrieval, and files of its data directory, in bytes.
  [[nodiscard]] uint64_t MemoryBytes() const;
  [[nodiscard]] uint64_t DiskBytes() const;

 private:
  BenchLibrary() = default;

  std::unique_ptr<BenchServer> own_;  // null: somebody else's
  std::unique_ptr<retrieval::v1::Retrieval::Stub> stub_;
  std::vector<std::string> stores_;
};

}  // namespace carrel::cli
