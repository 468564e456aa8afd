// The gateway as it is, over a real model endpoint, with a code tool and a search tool that are only as clever as the
// client suites need: for machines without a jail, and for answers that do not depend on Python.
//
// usage: gateway_with_fakes DATA_DIR MODEL_BASE_URL [HOST:PORT [RUNS_IN_FLIGHT_MAX]]; prints "listening HOST:PORT" and
// "key KEY", ends on SIGTERM or SIGINT. The key is CARREL_BOOTSTRAP_KEY, when there is one.
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <regex>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/synchronization/notification.h"
#include "fakes/plain_container_host.h"
#include "gateway/server/assembly.h"
#include "gateway/storage/blob_directory.h"
#include "gateway/types/status_macros.h"
#include "gateway/upstream/openai_chat_model.h"

namespace carrel::gateway {
namespace {

constexpr char kPng[] =
    "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\b\6\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9c\x63\x60\0\0\0\2\0\1"
    "\xe5\x27\xde\xfc\0\0\0\0IEND\xae\x42\x60\x82";

absl::StatusOr<std::string> ReadAll(FileStore& files, const Blob& blob) {
  GATEWAY_ASSIGN_OR_RETURN(std::unique_ptr<BlobReader> reader, files.Open(blob.sha256));
  std::string text(reader->size_bytes(), '\0');
  GATEWAY_ASSIGN_OR_RETURN(size_t got, reader->Read({text.data(), text.size()}));
  text.resize(got);
  return text;
}

// "Runs" time.sleep(SECONDS) by waiting, print('…') by printing what stands in the quotes, and makes a picture of
// savefig('/mnt/data/NAME'). What it was given to run is in DATA_DIR/executed, a line each.
class FakeCodeTool final : public CodeTool {
 public:
  FakeCodeTool(FileStore& files, const std::string& executed) : files_(files), executed_(executed, std::ios::app) {}

  std::unique_ptr<CodeCall> Start(CodeRequest request, std::shared_ptr<CodeListener> listener) override {
    class Call final : public CodeCall {
     public:
      Call(FakeCodeTool& tool, CodeRequest request, std::shared_ptr<CodeListener> listener)
          : thread_([this, &tool, request = std::move(request), listener = std::move(listener)] {
              tool.Note(request.code);
              if (interrupted_.WaitForNotificationWithTimeout(SleepOf(request.code))) return;
              absl::StatusOr<CodeResult> result = tool.Run(request.code);
              if (result.ok()) listener->OnLogs(result->text);
              listener->OnEnd(std::move(result));
            }) {}
      ~Call() override {
        interrupted_.Notify();
        thread_.join();
      }

     private:
      absl::Notification interrupted_;
      std::thread thread_;
    };
    return std::make_unique<Call>(*this, std::move(request), std::move(listener));
  }
  absl::Status Delete(const ProjectId&, const ContainerId&) override { return absl::OkStatus(); }

 private:
  void Note(const std::string& code) {
    const std::lock_guard lock(executed_mutex_);
    executed_ << code << std::endl;
  }

  static absl::Duration SleepOf(const std::string& code) {
    static const std::regex kSleep(R"(time\.sleep\(([\d.]+)\))");
    std::smatch found;
    return std::regex_search(code, found, kSleep) ? absl::Seconds(std::stod(found[1])) : absl::ZeroDuration();
  }

  absl::StatusOr<CodeResult> Run(const std::string& code) {
    CodeResult result;
    static const std::regex kPrint(R"(print\('([^']*)'\))");
    static const std::regex kSave(R"(savefig\('/mnt/data/([^']*)'\))");
    for (std::sregex_iterator at(code.begin(), code.end(), kPrint), end; at != end; ++at) {
      result.text += (*at)[1].str() + "\n";
    }
    for (std::sregex_iterator at(code.begin(), code.end(), kSave), end; at != end; ++at) {
      GATEWAY_ASSIGN_OR_RETURN(std::unique_ptr<BlobWriter> writer, files_.Create(1 << 20));
      GATEWAY_RETURN_IF_ERROR(writer->Append({kPng, sizeof(kPng) - 1}));
      GATEWAY_ASSIGN_OR_RETURN(StoredBlob stored, writer->Finish());
      result.images.push_back({.path = (*at)[1].str(), .media_type = "image/png", .stored = stored});
      result.files.push_back({.path = (*at)[1].str(), .media_type = "image/png", .stored = std::move(stored)});
    }
    return result;
  }

  FileStore& files_;
  std::mutex executed_mutex_;
  std::ofstream executed_;
};

// Finds the files in which a word of the query stands; the passage is the whole text.
class FakeSearchTool final : public SearchTool {
 public:
  explicit FakeSearchTool(FileStore& files) : files_(files) {}

  absl::Status EnsureStore(const ProjectId&, const StoreId&, const Chunking&) override { return absl::OkStatus(); }
  absl::Status DeleteStore(const ProjectId&, const StoreId& store) override {
    std::lock_guard lock(mutex_);
    documents_.erase(store.value);
    return absl::OkStatus();
  }
  absl::StatusOr<StoreModel> Model(const ProjectId&, const StoreId&) override { return StoreModel{.name = "fake"}; }
  absl::StatusOr<StoreModel> SetModel(const ProjectId&, const StoreId&, const std::string& model) override {
    return StoreModel{.name = model};
  }
  absl::StatusOr<StoreFileState> AddFile(const VectorStoreFile& file, const FileObject& object) override {
    GATEWAY_ASSIGN_OR_RETURN(std::string text, ReadAll(files_, object.blob));
    std::lock_guard lock(mutex_);
    documents_[file.store_id.value][file.file_id.value] = {object.filename, text, file.attributes};
    return StoreFileState{.status = StoreFileStatus::kInProgress, .error = std::nullopt, .usage_bytes = 0};
  }
  absl::StatusOr<StoreFileState> FileState(const ProjectId&, const StoreId& store, const FileId& file) override {
    std::lock_guard lock(mutex_);
    auto& documents = documents_[store.value];
    auto found = documents.find(file.value);
    if (found == documents.end()) return absl::NotFoundError("no such document");
    return StoreFileState{
        .status = StoreFileStatus::kCompleted, .error = std::nullopt, .usage_bytes = found->second.text.size()};
  }
  absl::Status SetAttributes(const ProjectId&, const StoreId& store, const FileId& file,
                             const Attributes& attributes) override {
    std::lock_guard lock(mutex_);
    documents_[store.value][file.value].attributes = attributes;
    return absl::OkStatus();
  }
  absl::Status DeleteFile(const ProjectId&, const StoreId& store, const FileId& file) override {
    std::lock_guard lock(mutex_);
    documents_[store.value].erase(file.value);
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> FileText(const ProjectId&, const StoreId& store, const FileId& file) override {
    std::lock_guard lock(mutex_);
    return documents_[store.value][file.value].text;
  }
  absl::StatusOr<Citation> Cite(const ProjectId&, const StoreId& store, const FileId& file,
                                const TextSpan& span) override {
    std::lock_guard lock(mutex_);
    const std::string& text = documents_[store.value][file.value].text;
    if (span.end > text.size()) return MakeError(ErrorKind::kInvalidRequest, "span", {"the text is shorter"});
    return Citation{
        .quote = text.substr(span.begin, span.end - span.begin), .span = span, .first_page = 1, .last_page = 1};
  }
  absl::StatusOr<PagePicture> RenderPage(const PictureRequest&) override {
    return MakeError(ErrorKind::kInvalidRequest, "", {"text has no layout that could be drawn"});
  }
  absl::StatusOr<SearchAnswer> Search(const SearchRequest& request) override {
    std::lock_guard lock(mutex_);
    SearchAnswer answer;
    for (const StoreId& store : request.stores) {
      for (const auto& [id, document] : documents_[store.value]) {
        if (!Mentions(document.text, request.queries)) continue;
        answer.results.push_back({.file_id = FileId(id),
                                  .file_name = document.name,
                                  .score = 0.9,
                                  .attributes = document.attributes,
                                  .passage = document.text,
                                  .citations = {{.quote = document.text}}});
      }
    }
    return answer;
  }

 private:
  struct Document {
    std::string name;
    std::string text;
    Attributes attributes;
  };

  static bool Mentions(const std::string& text, const std::vector<std::string>& queries) {
    static const std::regex kWord(R"(\w{4,})");
    for (const std::string& query : queries) {
      for (std::sregex_iterator at(query.begin(), query.end(), kWord), end; at != end; ++at) {
        if (text.find(at->str()) != std::string::npos) return true;
      }
    }
    return false;
  }

  FileStore& files_;
  std::mutex mutex_;
  std::map<std::string, std::map<std::string, Document>> documents_;
};

int Main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: gateway_with_fakes DATA_DIR MODEL_BASE_URL [HOST:PORT [RUNS_IN_FLIGHT_MAX]]\n";
    return 2;
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::string data = argv[1];
  auto files = OpenBlobDirectory(data + "/files");
  if (!files.ok()) return std::cerr << files.status() << "\n", 1;
  auto model = MakeOpenAiChatModel({.base_url = argv[2]});
  if (!model.ok()) return std::cerr << model.status() << "\n", 1;
  FakeCodeTool code(**files, data + "/executed");
  FakeSearchTool search(**files);
  PlainContainerHost containers;
  const char* given = std::getenv("CARREL_BOOTSTRAP_KEY");
  const std::string key = given != nullptr ? given : "sk-test-of-the-client-suites";
  AssemblyOptions options{.data_dir = data, .bootstrap_key = key};
  options.http.listen = argc > 3 ? argv[3] : "127.0.0.1:0";
  if (argc > 4) options.executor.runs_in_flight_max = std::stoul(argv[4]);
  auto assembly = Assembly::Start(std::move(options), {**files, **model, code, search, containers});
  if (!assembly.ok()) return std::cerr << assembly.status() << "\n", 1;
  std::cout << "listening " << (*assembly)->address() << "\nkey " << key << std::endl;
  int signal = 0;
  sigwait(&signals, &signal);
  (*assembly)->Drain(absl::Seconds(2));
  return 0;
}

}  // namespace
}  // namespace carrel::gateway

int main(int argc, char** argv) { return carrel::gateway::Main(argc, argv); }
