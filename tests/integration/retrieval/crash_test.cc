// kill -9 of the retrieval server in the midst of its work, over and over, and what a restart makes of it.
//
// usage: retrieval_crash_test [--kills N] [--seed N]
//
// The server is a process of its own with the real library, service and database; the embedder and the extractor are
// stand-ins, so that a kill costs tenths of a second. Clients add, delete, search, change attributes and change models,
// all at once. The process is ended at a random time, or by itself at a random file operation, or at one of a kind (the
// third rename, say), also while it starts. After each restart:
//
// * what was acknowledged is there: whole, searchable by words and by vectors, with the attributes last acknowledged;
// * what was deleted is not, by name or in either leg; in the end its words are nowhere on the disk;
// * what was on its way is there whole, or not at all;
// * every document comes to its end, every store to the model that it was told to have, and new work is taken.
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "carrel/retrieval/v1/retrieval.grpc.pb.h"
#include "file_faults.h"
#include "retrieval/fakes.h"
#include "retrieval/library.h"
#include "retrieval/service/retrieval_service.h"
#include "rpc/client.h"
#include "rpc/log.h"
#include "rpc/server.h"

namespace carrel::retrieval {
namespace {

using carrel::testing::FileFault;
using carrel::testing::FileOperation;
using Dice = std::mt19937_64;

constexpr char kOwner[] = "project-a";
constexpr int kClients = 4;
constexpr int kStores = 3;
constexpr size_t kLiveMax = 40;  // documents of a client, from which on it deletes more than it adds
constexpr absl::Duration kPatience = absl::Seconds(30);

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "VIOLATION: %s\n", what.c_str());
  std::exit(1);
}

uint64_t Throw(Dice& dice, uint64_t sides) { return dice() % sides; }

// --- the server ---

int Serve(const std::string& directory, const FileFault& fault) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  rpc::SetLogLevel(rpc::LogLevel::kError);
  if (fault.at > 0) carrel::testing::SetFileFault(directory + "/data", fault);
  FakeEmbedder fake("fake", 256), other("other", 192);
  PlainTextExtractor extractor;
  // Indexes and their caches from the first passages on.
  absl::StatusOr<std::unique_ptr<Library>> library = Library::Open(
      {.directory = directory + "/data", .indexed_vectors_min = 40, .indexed_terms_min = 40, .index_tail_max = 8},
      {&fake, &other}, extractor);
  if (!library.ok()) {
    std::fprintf(stderr, "open: %s\n", library.status().ToString().c_str());
    return 3;
  }
  const auto service = MakeRetrievalService({.version = "test", .reading = {.document_bytes_max = 1u << 20}}, **library,
                                            {&fake, &other}, nullptr);
  absl::StatusOr<std::unique_ptr<rpc::Server>> server =
      rpc::Server::Start({.listen = *rpc::ParseAddress(absl::StrCat("unix:", directory, "/s"))},
                         {{service.get(), std::string(v1::Retrieval::service_full_name())}});
  if (!server.ok()) {
    std::fprintf(stderr, "listen: %s\n", server.status().ToString().c_str());
    return 4;
  }
  (*server)->SetServing(true);
  std::printf("ready\n");
  std::fflush(stdout);
  int signal = 0;
  ::sigwait(&ends, &signal);
  (*server)->Shutdown();
  return 0;
}

class Process {
 public:
  Process(const std::string& self, const std::string& directory, const FileFault& fault) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    const std::string at = absl::StrCat(fault.at), operation = absl::StrCat(static_cast<int>(fault.operation));
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      ::execl(self.c_str(), self.c_str(), "--serve", directory.c_str(), at.c_str(), operation.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    output_ = ends[0];
  }
  ~Process() {
    if (pid_ > 0) Kill();
    ::close(output_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // False: it ended before it was ready.
  bool AwaitReady() const {
    char buffer[16];
    return ::read(output_, buffer, sizeof(buffer)) > 0;
  }
  // Whether it has ended within `patience`.
  bool Ended(absl::Duration patience) {
    for (const absl::Time end = absl::Now() + patience; pid_ > 0; absl::SleepFor(absl::Milliseconds(2))) {
      if (::waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
      if (absl::Now() >= end) break;
    }
    return pid_ < 0;
  }
  void Kill() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &status_, 0);
    pid_ = -1;
  }
  int Terminate() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, &status_, 0);
    pid_ = -1;
    return status_;
  }
  [[nodiscard]] bool killed() const { return WIFSIGNALED(status_) && WTERMSIG(status_) == SIGKILL; }
  [[nodiscard]] int status() const { return status_; }

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  int status_ = 0;
};

// --- the clients ---

struct Known {
  std::string store, id, text, word;
  bool add_acknowledged = false;
  bool delete_sent = false;
  bool delete_acknowledged = false;
  double number_sent = 0, number_acknowledged = 0;
  [[nodiscard]] bool live() const { return add_acknowledged && !delete_sent; }
};

class Client {
 public:
  explicit Client(const std::string& directory) {
    stub_ = v1::Retrieval::NewStub(
        *rpc::MakeChannel({.address = *rpc::ParseAddress(absl::StrCat("unix:", directory, "/s"))}));
  }

  template <typename Request, typename Reply>
  grpc::Status Call(grpc::Status (v1::Retrieval::Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
                    Request& request, Reply& reply) {
    request.set_owner(kOwner);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return (stub_.get()->*method)(&context, request, &reply);
  }

  grpc::Status CreateStore(const std::string& id) {
    v1::CreateStoreRequest request;
    v1::Store reply;
    request.set_store_id(id);
    request.mutable_chunking()->set_max_chunk_size_tokens(100);
    return Call(&v1::Retrieval::Stub::CreateStore, request, reply);
  }
  grpc::Status ChangeModel(const std::string& id, const std::string& model) {
    v1::UpdateStoreRequest request;
    v1::Store reply;
    request.set_store_id(id);
    request.set_model(model);
    return Call(&v1::Retrieval::Stub::UpdateStore, request, reply);
  }
  std::optional<v1::Store> Store(const std::string& id) {
    v1::GetStoreRequest request;
    v1::Store reply;
    request.set_store_id(id);
    if (!Call(&v1::Retrieval::Stub::GetStore, request, reply).ok()) return std::nullopt;
    return reply;
  }
  grpc::Status Add(const Known& document, bool wait) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    v1::Document reply;
    const auto writer = stub_->AddDocument(&context, &reply);
    v1::AddDocumentRequest part;
    v1::AddDocumentHeader& header = *part.mutable_header();
    header.set_owner(kOwner);
    header.set_store_id(document.store);
    header.set_document_id(document.id);
    header.set_file_name("note.txt");
    header.set_wait(wait);
    if (writer->Write(part)) {
      part.set_data(document.text);
      writer->Write(part);
    }
    writer->WritesDone();
    return writer->Finish();
  }
  grpc::Status Delete(const Known& document) {
    v1::DeleteDocumentRequest request;
    v1::DeleteDocumentResponse reply;
    request.set_store_id(document.store);
    request.set_document_id(document.id);
    return Call(&v1::Retrieval::Stub::DeleteDocument, request, reply);
  }
  grpc::Status SetNumber(const Known& document, double number) {
    v1::UpdateDocumentRequest request;
    v1::Document reply;
    request.set_store_id(document.store);
    request.set_document_id(document.id);
    (*request.mutable_attributes())["n"].set_number(number);
    return Call(&v1::Retrieval::Stub::UpdateDocument, request, reply);
  }
  grpc::Status Get(const Known& document, v1::Document& reply) {
    v1::GetDocumentRequest request;
    request.set_store_id(document.store);
    request.set_document_id(document.id);
    return Call(&v1::Retrieval::Stub::GetDocument, request, reply);
  }
  grpc::Status Search(const Known& document, std::optional<v1::Hit>& hit) {
    v1::SearchRequest request;
    v1::SearchResponse reply;
    request.add_store_ids(document.store);
    request.add_queries(document.text);
    request.set_max_results(50);
    const grpc::Status status = Call(&v1::Retrieval::Stub::Search, request, reply);
    for (const v1::Hit& one : reply.hits()) {
      if (one.document_id() == document.id) hit = one;
    }
    return status;
  }
  std::string Content(const Known& document) {
    grpc::ClientContext context;
    v1::GetContentRequest request;
    request.set_owner(kOwner);
    request.set_store_id(document.store);
    request.set_document_id(document.id);
    const auto reader = stub_->GetContent(&context, request);
    std::string text;
    for (v1::GetContentResponse piece; reader->Read(&piece);) text += piece.text();
    reader->Finish();
    return text;
  }

 private:
  std::unique_ptr<v1::Retrieval::Stub> stub_;
};

// What a server that dies may leave a call with; anything else is its own word, and wrong here.
bool MayBeDeath(const grpc::Status& status) {
  const grpc::StatusCode code = status.error_code();
  return code == grpc::StatusCode::UNAVAILABLE || code == grpc::StatusCode::CANCELLED ||
         code == grpc::StatusCode::UNKNOWN;
}

// One client's work until its server is gone; the documents are its own.
class Worker {
 public:
  Worker(int number, uint64_t seed) : number_(number), dice_(seed) {}

  void Work(const std::string& directory) {
    Client client(directory);
    while (Step(client)) {
    }
  }

  std::vector<Known>& documents() { return documents_; }
  std::map<std::string, std::string>& models() { return models_; }  // acknowledged, by store

 private:
  bool Step(Client& client) {
    const uint64_t what = Throw(dice_, 100);
    std::vector<size_t> live;
    for (size_t i = 0; i < documents_.size(); ++i) {
      if (documents_[i].live()) live.push_back(i);
    }
    if (live.empty() || what < (live.size() > kLiveMax ? 20 : 45)) return Add(client);
    Known& one = documents_[live[Throw(dice_, live.size())]];
    if (what < 65) {
      one.delete_sent = true;
      const grpc::Status status = client.Delete(one);
      one.delete_acknowledged = status.ok();
      return Fine("delete", status);
    }
    if (what < 80) {
      const double number = one.number_sent = one.number_sent + 1;
      const grpc::Status status = client.SetNumber(one, number);
      if (status.ok()) one.number_acknowledged = number;
      return Fine("update", status);
    }
    if (what < 97) {
      std::optional<v1::Hit> hit;
      return Fine("search", client.Search(one, hit));
    }
    // Only one client changes models, so that it knows what was said last.
    if (number_ != 0) return true;
    const std::string store = absl::StrCat("s", Throw(dice_, kStores));
    const std::string model = Throw(dice_, 2) == 0 ? "fake" : "other";
    models_.erase(store);
    const grpc::Status status = client.ChangeModel(store, model);
    if (status.ok()) models_[store] = model;
    return Fine("model", status);
  }

  bool Add(Client& client) {
    Known document{.store = absl::StrCat("s", Throw(dice_, kStores)),
                   .id = absl::StrCat("d-", number_, "-", ++added_),
                   .word = absl::StrCat("zq", number_, "x", added_, "q")};
    const uint64_t sentences = 1 + Throw(dice_, 40);
    for (uint64_t i = 0; i < sentences; ++i) {
      absl::StrAppend(&document.text, "The note ", document.word, " says that lamp ", i, " of ", dice_() % 1000,
                      " is green. ");
    }
    documents_.push_back(document);
    const grpc::Status status = client.Add(document, Throw(dice_, 3) == 0);
    documents_.back().add_acknowledged = status.ok();
    return Fine("add", status);
  }

  static bool Fine(const char* call, const grpc::Status& status) {
    if (!status.ok() && !MayBeDeath(status)) {
      Die(absl::StrCat(call, ": ", static_cast<int>(status.error_code()), " ", status.error_message()));
    }
    return status.ok();
  }

  const int number_;
  Dice dice_;
  uint64_t added_ = 0;
  std::vector<Known> documents_;
  std::map<std::string, std::string> models_;
};

// --- the judgement ---

// True: it is there. What was not known before is known now.
bool Judge(Client& client, Known& document) {
  const auto violation = [&](const std::string& what) { Die(absl::StrCat(document.id, ": ", what)); };
  v1::Document found;
  grpc::Status status;
  for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end; absl::SleepFor(absl::Milliseconds(5))) {
    status = client.Get(document, found);
    if (!status.ok() || found.status() != v1::IN_PROGRESS) break;
  }
  std::optional<v1::Hit> hit;
  const grpc::Status searched = client.Search(document, hit);
  if (!searched.ok()) violation(absl::StrCat("search: ", searched.error_message()));
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) {
    if (document.live()) violation("was acknowledged, and is gone");
    if (hit) violation("is gone, and found");
    document.add_acknowledged = document.delete_sent = document.delete_acknowledged = true;
    return false;
  }
  if (!status.ok()) violation(status.error_message());
  if (document.delete_acknowledged) violation("was deleted, and has come back");
  if (found.status() != v1::COMPLETED) {
    violation(absl::StrCat("did not come to its end: ", v1::DocumentStatus_Name(found.status()), " ", found.message(),
                           found.progress().phase()));
  }
  if (client.Content(document) != document.text) violation("its text is another");
  if (!hit) violation("is there, and not found");
  if (hit->text_rank() == 0 || hit->vector_rank() == 0) {
    violation(absl::StrCat("is found by one leg: ", hit->text_rank(), " ", hit->vector_rank()));
  }
  const double number = found.attributes().contains("n") ? found.attributes().at("n").number() : 0;
  if (number != document.number_acknowledged && number != document.number_sent) {
    violation(absl::StrCat("its attribute is ", number, ", neither ", document.number_acknowledged, " nor ",
                           document.number_sent));
  }
  document.number_acknowledged = document.number_sent = number;
  document.add_acknowledged = true;
  document.delete_sent = false;  // it did not get there
  return true;
}

// Words of deleted documents that stand in some file.
std::set<std::string> WordsOnDisk(const std::string& directory, const std::set<std::string>& deleted) {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    for (size_t at = bytes.find("zq"); at != bytes.npos; at = bytes.find("zq", at + 1)) {
      const size_t end = bytes.find('q', at + 2);
      if (end != bytes.npos && deleted.contains(bytes.substr(at, end + 1 - at))) {
        found.insert(absl::StrCat(bytes.substr(at, end + 1 - at), " in ", entry.path().filename().string()));
      }
    }
  }
  return found;
}

std::set<std::string> Deleted(const std::vector<std::unique_ptr<Worker>>& workers) {
  std::set<std::string> words;
  for (const auto& worker : workers) {
    for (const Known& document : worker->documents()) {
      if (!document.live()) words.insert(document.word);
    }
  }
  return words;
}

FileFault RandomFault(Dice& dice) {
  switch (Throw(dice, 4)) {
    case 0:
    case 1:
      return {.at = 0};  // by time
    case 2:
      return {.at = 1 + Throw(dice, Throw(dice, 2) == 0 ? 60 : 1500)};
    default:
      return {.operation = static_cast<FileOperation>(1 + Throw(dice, 6)), .at = 1 + Throw(dice, 40)};
  }
}

int Run(const std::string& self, uint64_t kills, uint64_t seed) {
  Dice dice(seed);
  std::string directory = "/tmp/carrel-crash-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) std::abort();
  {
    Process first(self, directory, {.at = 0});
    if (!first.AwaitReady()) Die("the first start failed");
    Client client(directory);
    for (int i = 0; i < kStores; ++i) {
      if (!client.CreateStore(absl::StrCat("s", i)).ok()) Die("no store could be made");
    }
  }
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < kClients; ++i) workers.push_back(std::make_unique<Worker>(i, dice()));
  uint64_t by_time = 0, by_operation = 0, at_start = 0;
  const absl::Time begun = absl::Now();
  for (uint64_t kill = 1; kill <= kills; ++kill) {
    const FileFault fault = RandomFault(dice);
    {
      Process server(self, directory, fault);
      if (!server.AwaitReady()) {
        server.Ended(kPatience);
        if (!server.killed()) Die(absl::StrCat("a start failed: ", server.status()));
        ++at_start;
      } else {
        std::vector<std::thread> threads;
        for (auto& worker : workers) threads.emplace_back([&] { worker->Work(directory); });
        const bool by_itself = server.Ended(absl::Milliseconds(fault.at > 0 ? 1500 : 5 + Throw(dice, 250)));
        if (!by_itself) server.Kill();
        ++(by_itself ? by_operation : by_time);
        for (std::thread& thread : threads) thread.join();
        if (!server.killed()) Die(absl::StrCat("it ended otherwise: ", server.status()));
      }
    }
    Process server(self, directory, {.at = 0});
    if (!server.AwaitReady()) Die("it does not come up again");
    Client client(directory);
    const bool all = kill == kills;
    for (auto& worker : workers) {
      std::vector<Known>& documents = worker->documents();
      for (size_t i = 0; i < documents.size(); ++i) {
        // The last ones, and some of those that were judged before.
        if (all || i + 60 > documents.size() || Throw(dice, 20) == 0) Judge(client, documents[i]);
      }
    }
    for (const auto& [store, model] : workers[0]->models()) {
      std::optional<v1::Store> found;
      for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end; absl::SleepFor(absl::Milliseconds(20))) {
        found = client.Store(store);
        if (found && found->model() == model && !found->has_reembedding()) break;
      }
      if (!found || found->model() != model) Die(absl::StrCat(store, " did not come to the model ", model));
    }
    if (all) {
      // The words of what was deleted go with a round of maintenance.
      const std::set<std::string> deleted = Deleted(workers);
      for (const absl::Time end = absl::Now() + kPatience;
           absl::Now() < end && !WordsOnDisk(directory, deleted).empty();) {
        absl::SleepFor(absl::Seconds(1));
      }
      if (const int status = server.Terminate(); status != 0) Die(absl::StrCat("it does not end well: ", status));
    }
  }
  const std::set<std::string> deleted = Deleted(workers);
  size_t live = 0;
  for (auto& worker : workers) live += worker->documents().size();
  live -= deleted.size();
  for (const std::string& word : WordsOnDisk(directory, deleted)) Die(absl::StrCat("still on the disk: ", word));
  std::printf(
      "%llu kills: %llu by time, %llu at a file operation, %llu at the start; %llu documents live, %llu deleted, "
      "no violation; %.1f s\n",
      static_cast<unsigned long long>(kills), static_cast<unsigned long long>(by_time),
      static_cast<unsigned long long>(by_operation), static_cast<unsigned long long>(at_start),
      static_cast<unsigned long long>(live), static_cast<unsigned long long>(deleted.size()),
      absl::ToDoubleSeconds(absl::Now() - begun));
  std::filesystem::remove_all(directory);
  return 0;
}

}  // namespace
}  // namespace carrel::retrieval

int main(int argc, char** argv) {
  using carrel::testing::FileOperation;
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 4 && arguments[0] == "--serve") {
    return carrel::retrieval::Serve(arguments[1], {.operation = static_cast<FileOperation>(std::stoi(arguments[3])),
                                                   .at = std::stoull(arguments[2])});
  }
  uint64_t kills = 30, seed = static_cast<uint64_t>(::time(nullptr));
  for (size_t i = 0; i < arguments.size(); i += 2) {
    if (i + 1 == arguments.size() || (arguments[i] != "--kills" && arguments[i] != "--seed")) {
      std::fprintf(stderr, "usage: retrieval_crash_test [--kills N] [--seed N]\n");
      return 2;
    }
    (arguments[i] == "--kills" ? kills : seed) = std::stoull(arguments[i + 1]);
  }
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  return carrel::retrieval::Run(std::filesystem::read_symlink("/proc/self/exe").string(), kills, seed);
}
