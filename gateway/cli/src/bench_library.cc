#include "bench_library.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>

#include <charconv>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/time/clock.h"
#include "rpc/client.h"
#include "rpc/status.h"
#include "strings.h"

namespace carrel::cli {
namespace {

namespace v1 = carrel::retrieval::v1;
namespace fs = std::filesystem;

constexpr absl::Duration kStartMax = absl::Seconds(120);
constexpr auto kCallMax = std::chrono::minutes(10);
constexpr auto kPause = std::chrono::milliseconds(20);
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
  const absl::Status opened = server.empty() ? library->StartOwn(place) : library->Connect(server, absl::Seconds(5));
  if (!opened.ok()) return opened;
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

absl::Status BenchLibrary::Connect(const std::string& text, absl::Duration timeout) {
  const auto address = rpc::ParseAddress(text);
  if (!address.ok()) return address.status();
  const auto channel = rpc::MakeChannel({.address = *address});
  if (!channel.ok()) return channel.status();
  stub_ = v1::Retrieval::NewStub(*channel);
  return rpc::WaitUntilConnected(**channel, *address, timeout);
}

absl::Status BenchLibrary::StartOwn(const Place& place) {
  const auto jailer = ProgramBeside("carrel-jailer");
  if (!jailer.ok()) return jailer.status();
  const auto server = ProgramBeside("carrel-retrieval");
  if (!server.ok()) return server.status();
  auto directory = TempDir::Create();
  if (!directory.ok()) return directory.status();
  directory_ = *std::move(directory);
  // The server may be another user, who must be able to pass through.
  if (::chmod(directory_->path().c_str(), 0755) != 0) return absl::InternalError("chmod of the temporary directory");
  const std::string data = directory_->path() + "/data";
  std::error_code error;
  fs::create_directory(data, error);
  if (error) return absl::InternalError(StrCat(data, ": ", error.message()));
  const fs::path share = fs::path(*jailer).parent_path().parent_path() / "share" / "carrel";
  SpawnOptions spawn;
  spawn.argv = {
      *jailer,      "--server", *server, "--runtimes", (share / "policies").string(), "--tier", place.config.jail.tier,
      "--data-dir", data};
  if (place.config.jail.allow_no_cgroup) spawn.argv.emplace_back("--allow-no-cgroup");
  const std::string address = "unix:" + data + "/retrieval.sock";
  spawn.argv.insert(spawn.argv.end(), {"--", "--data", data, "--listen", address, "--set", "log.level=warning"});
  for (const config::Setting& setting : config::Changed(place.config)) {
    spawn.argv.insert(spawn.argv.end(), {"--set", StrCat(setting.key, "=", setting.value)});
  }
  const absl::Time started = absl::Now();
  auto process = ChildProcess::Spawn(spawn);
  if (!process.ok()) return process.status();
  jailer_ = *std::move(process);
  while (!Connect(address, absl::Milliseconds(50)).ok()) {
    if (const auto end = jailer_->Wait(absl::ZeroDuration())) {
      return absl::UnavailableError(StrCat("carrel-jailer ", Describe(*end)));
    }
    if (absl::Now() - started > kStartMax) return absl::UnavailableError("the server did not start in time");
    std::this_thread::sleep_for(kPause);
  }
  return absl::OkStatus();
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
  if (!jailer_) return 0;
  std::error_code error;
  for (const auto& process : fs::directory_iterator("/proc", error)) {
    const fs::path status = process.path() / "status";
    if (Number(process.path().filename().string()) == 0) continue;
    // The kernel keeps fifteen characters of a name.
    if (Field(status, "Name:") == "carrel-retrieva" &&
        Number(Field(status, "PPid:")) == static_cast<uint64_t>(jailer_->pid())) {
      return Number(Field(status, "VmRSS:")) << 10;
    }
  }
  return 0;
}

uint64_t BenchLibrary::DiskBytes() const {
  if (!directory_) return 0;
  uint64_t sum = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(directory_->path(), error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->is_regular_file(ignored)) sum += at->file_size(ignored);
  }
  return sum;
}

}  // namespace carrel::cli
