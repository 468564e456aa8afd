#include "bench_library.h"

#include <grpcpp/grpcpp.h>

#include <charconv>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/time/clock.h"
#include "rpc/status.h"
#include "strings.h"

namespace carrel::cli {
namespace {

namespace v1 = carrel::retrieval::v1;
namespace fs = std::filesystem;

constexpr auto kCallMax = std::chrono::minutes(10);
constexpr size_t kMessageBytes = 1u << 20;

void SetDeadline(grpc::ClientContext& context) { context.set_deadline(std::chrono::system_clock::now() + kCallMax); }

// One unary call.
template <typename Reply, typename Request, typename Method>
absl::StatusOr<Reply> Call(v1::Retrieval::Stub& stub, Method method, const Request& request) {
  grpc::ClientContext context;
  SetDeadline(context);
  Reply reply;
  const grpc::Status status = (stub.*method)(&context, request, &reply);
  if (!status.ok()) return rpc::FromGrpc(status, context);
  return reply;
}

// "VmRSS:  123 kB" of /proc/PID/status, and the like.
std::string Field(const fs::path& status, std::string_view name) {
  std::ifstream file(status);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    const size_t begin = line.find_first_not_of(" \t", name.size());
    return begin == line.npos ? "" : line.substr(begin);
  }
  return "";
}

uint64_t Number(const std::string& text) {
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BenchLibrary>> BenchLibrary::Open(const Place& place, const std::string& server) {
  auto library = std::unique_ptr<BenchLibrary>(new BenchLibrary());
  std::shared_ptr<grpc::Channel> channel;
  if (server.empty()) {
    auto own = BenchServer::Start(place, {.program = "carrel-retrieval", .policies = "policies"});
    if (!own.ok()) return own.status();
    library->own_ = *std::move(own);
    channel = library->own_->channel();
  } else {
    auto other = ConnectTo(server, absl::Seconds(5));
    if (!other.ok()) return other.status();
    channel = *std::move(other);
  }
  library->stub_ = v1::Retrieval::NewStub(channel);
  return library;
}

BenchLibrary::~BenchLibrary() {
  for (const std::string& store : stores_) {
    v1::DeleteStoreRequest request;
    request.set_store_id(store);
    // What cannot be deleted goes with the temporary directory, or is the other server's to say.
    (void)Call<v1::DeleteStoreResponse>(*stub_, &v1::Retrieval::Stub::DeleteStore, request);
  }
}

absl::StatusOr<std::string> BenchLibrary::CreateStore(uint32_t chunk_tokens) {
  v1::CreateStoreRequest request;
  request.set_name("carrel bench search");
  request.set_expires_after_days(1);  // should we be ended before we delete it
  if (chunk_tokens > 0) {
    request.mutable_chunking()->set_max_chunk_size_tokens(chunk_tokens);
    request.mutable_chunking()->set_chunk_overlap_tokens(0);
  }
  const auto store = Call<v1::Store>(*stub_, &v1::Retrieval::Stub::CreateStore, request);
  if (!store.ok()) return store.status();
  stores_.push_back(store->store_id());
  return store->store_id();
}

absl::StatusOr<v1::Store> BenchLibrary::GetStore(const std::string& store) {
  v1::GetStoreRequest request;
  request.set_store_id(store);
  return Call<v1::Store>(*stub_, &v1::Retrieval::Stub::GetStore, request);
}

absl::StatusOr<v1::Document> BenchLibrary::Add(const std::string& store, const BenchDocument& document, double number) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::Document reply;
  const auto writer = stub_->AddDocument(&context, &reply);
  v1::AddDocumentRequest part;
  part.mutable_header()->set_store_id(store);
  part.mutable_header()->set_file_name(document.file_name);
  (*part.mutable_header()->mutable_attributes())["number"].set_number(number);
  bool going = writer->Write(part);
  for (size_t begin = 0; going && begin < document.bytes.size(); begin += kMessageBytes) {
    part.set_data(document.bytes.substr(begin, kMessageBytes));
    going = writer->Write(part);
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (!status.ok()) return rpc::FromGrpc(status, context);
  return reply;
}

absl::StatusOr<v1::Document> BenchLibrary::Get(const std::string& store, const std::string& document) {
  v1::GetDocumentRequest request;
  request.set_store_id(store);
  request.set_document_id(document);
  return Call<v1::Document>(*stub_, &v1::Retrieval::Stub::GetDocument, request);
}

absl::StatusOr<v1::SearchResponse> BenchLibrary::Search(const v1::SearchRequest& request) {
  return Call<v1::SearchResponse>(*stub_, &v1::Retrieval::Stub::Search, request);
}

absl::StatusOr<v1::EmbedResponse> BenchLibrary::Embed(const std::vector<std::string>& texts, bool queries) {
  v1::EmbedRequest request;
  for (const std::string& text : texts) request.add_texts(text);
  request.set_as_query(queries);
  return Call<v1::EmbedResponse>(*stub_, &v1::Retrieval::Stub::Embed, request);
}

uint64_t BenchLibrary::MemoryBytes() const {
  if (own_ == nullptr) return 0;
  std::error_code error;
  for (const auto& process : fs::directory_iterator("/proc", error)) {
    const fs::path status = process.path() / "status";
    if (Number(process.path().filename().string()) == 0) continue;
    // The kernel keeps fifteen characters of a name.
    if (Field(status, "Name:") == "carrel-retrieva" &&
        Number(Field(status, "PPid:")) == static_cast<uint64_t>(own_->jailer_pid())) {
      return Number(Field(status, "VmRSS:")) << 10;
    }
  }
  return 0;
}

uint64_t BenchLibrary::DiskBytes() const {
  if (own_ == nullptr) return 0;
  uint64_t sum = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(own_->directory(), error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->is_regular_file(ignored)) sum += at->file_size(ignored);
  }
  return sum;
}

}  // namespace carrel::cli
