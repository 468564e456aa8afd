#include "served.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "retrieval/service/retrieval_service.h"
#include "rpc/client.h"

namespace carrel::bench {

namespace v1 = retrieval::v1;

void Die(const char* what, const absl::Status& why) {
  std::fprintf(stderr, "carrel-bench-search: %s: %s\n", what, why.ToString().c_str());
  std::exit(6);
}

absl::StatusOr<std::vector<retrieval::Embedding>> CorpusEmbedder::Embed(std::span<const std::string_view> texts,
                                                                        retrieval::TextRole role) {
  if (role == retrieval::TextRole::kQuery) {
    absl::StatusOr<std::vector<retrieval::Embedding>> real = real_.Embed(texts, role);
    if (!real.ok()) return real;
  }
  std::vector<retrieval::Embedding> out;
  for (const std::string_view text : texts) out.push_back({.values = vectors_.OfText(text)});
  return out;
}

absl::StatusOr<retrieval::Extraction> CorpusExtractor::Extract(retrieval::ExtractionRequest request) {
  char buffer[64] = {};
  if (::read(request.bytes.get(), buffer, sizeof(buffer) - 1) <= 0) return absl::InternalError("read");
  char* rest = nullptr;
  const uint64_t first = std::strtoull(buffer, &rest, 10), count = std::strtoull(rest, nullptr, 10);
  std::string text;
  for (uint64_t i = first; i < first + count; ++i) {
    absl::StrAppend(&text, text.empty() ? "" : "\n\n", corpus_.Paragraph(i));
  }
  retrieval::Extraction out{.verdict = retrieval::Verdict::kRead, .pages = 1};
  absl::StatusOr<std::u32string> wide = retrieval::FromUtf8(text);
  if (!wide.ok()) return wide.status();
  const auto size = static_cast<uint32_t>(wide->size());
  out.document.text = *std::move(wide);
  out.document.body_end = size;
  out.document.pages.push_back({.number = 1, .label = "1", .body = {0, size}, .margin = {size, size}});
  return out;
}

Served::Served(const ServedOptions& served, retrieval::Embedder& embedder, retrieval::Extractor& extractor)
    : socket_(absl::StrCat(served.directory, "/bench.sock")) {
  retrieval::LibraryOptions options{.directory = served.directory + "/data",
                                    .sync_full = false,
                                    .queue_length_max = 1'000'000,
                                    .index_bytes_max = served.index_bytes_max};
  if (!served.indexes) options.indexed_vectors_min = ~0u;
  library_ = OrDie(retrieval::Library::Open(std::move(options), {&embedder}, extractor), "open");
  service_ = retrieval::MakeRetrievalService({.version = "bench"}, *library_, {&embedder}, nullptr);
  const rpc::Address address = OrDie(rpc::ParseAddress("unix:" + socket_), "address");
  server_ = OrDie(
      rpc::Server::Start({.listen = address}, {{service_.get(), std::string(v1::Retrieval::service_full_name())}}),
      "serve");
  server_->SetServing(true);
  stub_ = v1::Retrieval::NewStub(OrDie(rpc::MakeChannel({.address = address}), "connect"));
}

Served::~Served() { server_->Shutdown(); }

v1::SearchResponse Served::Search(const v1::SearchRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(10));
  v1::SearchResponse reply;
  const grpc::Status status = stub_->Search(&context, request, &reply);
  if (!status.ok()) Die("search", absl::InternalError(status.error_message()));
  return reply;
}

std::string Served::MakeStore() {
  return OrDie(library_->CreateStore({.name = "bench", .chunking = {.max_tokens = 100, .overlap_tokens = 0}}),
               "create a store")
      .id;
}

std::string Served::Add(const std::string& store, uint64_t first_paragraph, uint32_t paragraphs, double number) {
  auto upload = OrDie(library_->NewUpload(), "upload");
  if (absl::Status s = upload->Write(absl::StrCat(first_paragraph, " ", paragraphs)); !s.ok()) Die("upload", s);
  return OrDie(library_->AddDocument({.store_id = store,
                                      .file_name = absl::StrCat(first_paragraph, ".txt"),
                                      .attributes = {{"number", number}}},
                                     std::move(upload)),
               "add")
      .id;
}

void Served::Await(const std::string& store, uint64_t documents) {
  while (true) {
    const auto counts = OrDie(library_->GetStore("", store), "get").documents;
    if (counts.failed > 0) Die("read", absl::InternalError("a document was not read"));
    if (counts.completed >= documents) return;
    absl::SleepFor(absl::Milliseconds(50));
  }
}

}  // namespace carrel::bench
