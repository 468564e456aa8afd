// The real library and service over gRPC on a unix socket in this process, with synthetic texts and vectors: what a
// user meets, but for the extractor and the passages' vectors, which are made up so that a million need not be
// embedded. A question is embedded by the real model, and gets a made-up vector after that was paid for.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "carrel/retrieval/v1/retrieval.grpc.pb.h"
#include "corpus.h"
#include "retrieval/extraction.h"
#include "retrieval/library.h"
#include "rpc/server.h"

namespace carrel::bench {

// The value, or the end of the program with what was wrong.
[[noreturn]] void Die(const char* what, const absl::Status& why);
template <typename Value>
Value OrDie(absl::StatusOr<Value> value, const char* what) {
  if (!value.ok()) Die(what, value.status());
  return *std::move(value);
}

class CorpusEmbedder final : public retrieval::Embedder {
 public:
  explicit CorpusEmbedder(retrieval::Embedder& real) : real_(real) {}
  const std::string& name() const override { return real_.name(); }
  const std::string& alias() const override { return real_.alias(); }
  const std::string& licence() const override { return real_.licence(); }
  uint32_t dimensions() const override { return Vectors::kDimensions; }
  uint32_t window_tokens() const override { return real_.window_tokens(); }
  uint32_t batch() const override { return real_.batch(); }
  size_t CountTokens(std::string_view utf8) const override { return utf8.empty() ? 0 : utf8.size() / 6 + 1; }
  absl::StatusOr<std::vector<retrieval::Embedding>> Embed(std::span<const std::string_view> texts,
                                                          retrieval::TextRole role) override;

 private:
  retrieval::Embedder& real_;
  const Vectors vectors_;
};

// The bytes of a document are the number of its first paragraph and how many it has: "1200 100".
class CorpusExtractor final : public retrieval::Extractor {
 public:
  explicit CorpusExtractor(const Corpus& corpus) : corpus_(corpus) {}
  absl::StatusOr<retrieval::Extraction> Extract(retrieval::ExtractionRequest request) override;

 private:
  const Corpus& corpus_;
};

struct ServedOptions {
  std::string directory;
  bool indexes = true;  // false: vectors are always scanned
  uint64_t index_bytes_max = 4ull << 30;
};

// The library behind its service, and a client.
class Served final {
 public:
  Served(const ServedOptions& options, retrieval::Embedder& embedder, retrieval::Extractor& extractor);
  ~Served();
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  [[nodiscard]] retrieval::Library& library() { return *library_; }
  [[nodiscard]] retrieval::v1::SearchResponse Search(const retrieval::v1::SearchRequest& request);
  // A store of passages of one paragraph.
  [[nodiscard]] std::string MakeStore();
  // Acknowledged, with the attribute "number"; its id.
  std::string Add(const std::string& store, uint64_t first_paragraph, uint32_t paragraphs, double number);
  // Until so many documents of the store have been read.
  void Await(const std::string& store, uint64_t documents);

 private:
  const std::string socket_;
  std::unique_ptr<retrieval::Library> library_;
  std::unique_ptr<retrieval::v1::Retrieval::Service> service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<retrieval::v1::Retrieval::Stub> stub_;
};

}  // namespace carrel::bench
