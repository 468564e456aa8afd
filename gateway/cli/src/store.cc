// carrel store: stores, and documents going in and out.
#include <fcntl.h>
#include <grpcpp/client_context.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>

#include "absl/time/clock.h"
#include "cli/commands.h"
#include "rpc/status.h"
#include "sandbox/base/unique_fd.h"
#include "stores.h"
#include "strings.h"

namespace carrel::cli {
namespace {

namespace v1 = retrieval::v1;

constexpr absl::Duration kCallMax = absl::Minutes(1);
constexpr absl::Duration kTransferMax = absl::Minutes(30);
constexpr size_t kUploadChunkBytes = 256 << 10;
constexpr absl::Duration kPollEvery = absl::Milliseconds(150);

void SetDeadline(grpc::ClientContext& context, absl::Duration timeout) {
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

// Connects, and gives what `action` gives; an error is told.
ExitCode WithRetrieval(const CommonOptions& common, Console& console,
                       const std::function<absl::StatusOr<ExitCode>(v1::Retrieval::Stub&)>& action) {
  const auto run = [&]() -> absl::StatusOr<ExitCode> {
    const auto place = FindPlace(common);
    if (!place.ok()) return place.status();
    auto channel = Connect(*place, Part::kRetrieval);
    if (!channel.ok()) return channel.status();
    v1::Retrieval::Stub stub(*channel);
    return action(stub);
  };
  const auto result = run();
  if (result.ok()) return *result;
  console.Fail(result.status());
  return ExitCodeOf(result.status());
}

absl::StatusOr<v1::Store> CreateStore(v1::Retrieval::Stub& stub, const std::string& name) {
  grpc::ClientContext context;
  SetDeadline(context, kCallMax);
  v1::CreateStoreRequest request;
  request.set_name(name);
  v1::Store store;
  const grpc::Status status = stub.CreateStore(&context, request, &store);
  if (!status.ok()) return rpc::FromGrpc(status, context);
  return store;
}

absl::StatusOr<std::vector<v1::Document>> ListDocuments(v1::Retrieval::Stub& stub, const std::string& store_id) {
  std::vector<v1::Document> documents;
  v1::ListDocumentsRequest request;
  request.set_store_id(store_id);
  request.set_limit(1000);
  for (;;) {
    grpc::ClientContext context;
    SetDeadline(context, kCallMax);
    v1::ListDocumentsResponse response;
    const grpc::Status status = stub.ListDocuments(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpc(status, context);
    documents.insert(documents.end(), response.documents().begin(), response.documents().end());
    if (!response.has_more() || response.documents().empty()) return documents;
    request.set_after(documents.back().document_id());
  }
}

std::string StatusWord(const v1::Document& document) {
  switch (document.status()) {
    case v1::COMPLETED:
      return document.verdict() == v1::PARTIAL ? "partial" : "completed";
    case v1::IN_PROGRESS:
      return "in progress";
    case v1::CANCELLED:
      return "cancelled";
    default:
      return "failed";
  }
}

// "1 page", "2 pages".
std::string Counted(uint64_t count, const char* noun) { return StrCat(count, " ", noun, count == 1 ? "" : "s"); }

std::string StoreLine(const v1::Store& store) {
  return StrCat(store.store_id(), "  ", SafeText(store.name(), false), "  ", store.documents().completed(), " of ",
                Counted(store.documents().total(), "document"), ", ", Counted(store.passages(), "passage"), ", ",
                HumanBytes(store.usage_bytes()));
}

std::string DocumentLine(const v1::Document& document) {
  std::string line =
      StrCat(document.document_id(), "  ", SafeText(document.file_name(), false), "  ", StatusWord(document));
  if (document.status() == v1::COMPLETED) {
    StrAppend(&line, ", ", Counted(document.pages(), "page"), ", ", Counted(document.passages(), "passage"));
  }
  if (!document.message().empty()) StrAppend(&line, ": ", SafeText(document.message(), false));
  return line;
}

absl::StatusOr<v1::Document> Upload(v1::Retrieval::Stub& stub, const std::string& store_id, const std::string& path,
                                    Console& console) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(StrCat(path, " cannot be read, or is no file"));
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  grpc::ClientContext context;
  SetDeadline(context, kTransferMax);
  v1::Document document;
  const auto writer = stub.AddDocument(&context, &document);
  v1::AddDocumentRequest request;
  request.mutable_header()->set_store_id(store_id);
  request.mutable_header()->set_file_name(std::filesystem::path(path).filename().string());
  bool open = writer->Write(request);
  std::string buffer(kUploadChunkBytes, '\0');
  uint64_t sent = 0;
  while (open) {
    const ssize_t read = ::read(fd.get(), buffer.data(), buffer.size());
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) {
      context.TryCancel();
      static_cast<void>(writer->Finish());
      return absl::InvalidArgumentError(StrCat("reading ", path, " failed"));
    }
    if (read == 0) break;
    request.set_data(buffer.data(), static_cast<size_t>(read));
    open = writer->Write(request);
    sent += static_cast<uint64_t>(read);
    console.Progress(StrCat("uploading ", path, ": ", HumanBytes(sent), " of ", HumanBytes(size)));
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (!status.ok()) return rpc::FromGrpc(status, context);
  return document;
}

absl::StatusOr<v1::Document> GetDocument(v1::Retrieval::Stub& stub, const v1::Document& document) {
  grpc::ClientContext context;
  SetDeadline(context, kCallMax);
  v1::GetDocumentRequest request;
  request.set_store_id(document.store_id());
  request.set_document_id(document.document_id());
  v1::Document now;
  const grpc::Status status = stub.GetDocument(&context, request, &now);
  if (!status.ok()) return rpc::FromGrpc(status, context);
  return now;
}

std::string ProgressLine(const v1::Document& document) {
  const v1::Progress& progress = document.progress();
  std::string line = StrCat(SafeText(document.file_name(), false), ": ", SafeText(progress.phase(), false));
  if (progress.phase() == "embedding") {
    StrAppend(&line, " ", progress.embedded(), " of ", progress.to_embed(), " passages");
  } else if (progress.pages_done() > 0) {
    StrAppend(&line, " ", progress.pages_done(), progress.pages() > 0 ? StrCat(" of ", progress.pages()) : "",
              " pages");
  }
  return line;
}

// Waits until it is read and embedded, or has failed.
absl::StatusOr<v1::Document> AwaitDocument(v1::Retrieval::Stub& stub, v1::Document document, Console& console) {
  while (document.status() == v1::IN_PROGRESS) {
    console.Progress(ProgressLine(document));
    absl::SleepFor(kPollEvery);
    auto now = GetDocument(stub, document);
    if (!now.ok()) return now;
    document = *std::move(now);
  }
  return document;
}

absl::StatusOr<ExitCode> AddAll(v1::Retrieval::Stub& stub, const StoreOptions& options, Console& console) {
  auto store = FindStore(stub, options.store);
  if (absl::IsNotFound(store.status())) {
    store = CreateStore(stub, options.store);
    if (store.ok()) console.Say(StrCat("made the store ", options.store, " (", store->store_id(), ")"));
  }
  if (!store.ok()) return store.status();
  ExitCode worst = ExitCode::kOk;
  std::vector<v1::Document> documents;
  for (const std::string& path : options.paths) {
    auto document = Upload(stub, store->store_id(), path, console);
    if (!document.ok()) {
      console.Fail(document.status());
      worst = std::max(worst, ExitCodeOf(document.status()));
      // Nobody there any more: the other files will not fare better.
      if (absl::IsUnavailable(document.status())) return worst;
      continue;
    }
    documents.push_back(*std::move(document));
  }
  for (v1::Document& document : documents) {
    if (!options.no_wait) {
      auto end = AwaitDocument(stub, document, console);
      if (!end.ok()) return end.status();
      document = *std::move(end);
      worst = std::max(worst, ExitCodeOf(document));
    }
    console.PrintJson(document);
    console.Print(DocumentLine(document));
  }
  return worst;
}

absl::StatusOr<ExitCode> RemoveAll(v1::Retrieval::Stub& stub, const StoreOptions& options, Console& console) {
  const auto store = FindStore(stub, options.store);
  if (!store.ok()) return store.status();
  const auto documents = ListDocuments(stub, store->store_id());
  if (!documents.ok()) return documents.status();
  for (const std::string& wanted : options.documents) {
    std::vector<std::string> ids;
    for (const v1::Document& document : *documents) {
      if (document.document_id() == wanted || document.file_name() == wanted) ids.push_back(document.document_id());
    }
    if (ids.empty()) return absl::NotFoundError(StrCat("there is no document ", SafeText(wanted, false), " in it"));
    if (ids.size() > 1) {
      std::string all;
      for (const std::string& id : ids) StrAppend(&all, all.empty() ? "" : ", ", id);
      return absl::InvalidArgumentError(
          StrCat(ids.size(), " documents are named ", SafeText(wanted, false), ": say which by id: ", all));
    }
    grpc::ClientContext context;
    SetDeadline(context, kCallMax);
    v1::DeleteDocumentRequest request;
    request.set_store_id(store->store_id());
    request.set_document_id(ids.front());
    v1::DeleteDocumentResponse response;
    const grpc::Status status = stub.DeleteDocument(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpc(status, context);
    console.PrintJson(response);
    console.Print(StrCat("removed ", ids.front()));
  }
  return ExitCode::kOk;
}

}  // namespace

ExitCode StoreCreate(const CommonOptions& common, const StoreOptions& options, Console& console) {
  return WithRetrieval(common, console, [&](v1::Retrieval::Stub& stub) -> absl::StatusOr<ExitCode> {
    const auto store = CreateStore(stub, options.store);
    if (!store.ok()) return store.status();
    console.PrintJson(*store);
    console.Print(store->store_id());
    return ExitCode::kOk;
  });
}

ExitCode StoreList(const CommonOptions& common, Console& console) {
  return WithRetrieval(common, console, [&](v1::Retrieval::Stub& stub) -> absl::StatusOr<ExitCode> {
    grpc::ClientContext context;
    SetDeadline(context, kCallMax);
    v1::ListStoresResponse response;
    const grpc::Status status = stub.ListStores(&context, {}, &response);
    if (!status.ok()) return rpc::FromGrpc(status, context);
    for (const v1::Store& store : response.stores()) {
      console.PrintJson(store);
      console.Print(StoreLine(store));
    }
    if (response.stores().empty()) console.Say("there is no store: `carrel store add NAME FILE` makes one");
    return ExitCode::kOk;
  });
}

ExitCode StoreShow(const CommonOptions& common, const StoreOptions& options, Console& console) {
  return WithRetrieval(common, console, [&](v1::Retrieval::Stub& stub) -> absl::StatusOr<ExitCode> {
    const auto store = FindStore(stub, options.store);
    if (!store.ok()) return store.status();
    const auto documents = ListDocuments(stub, store->store_id());
    if (!documents.ok()) return documents.status();
    console.PrintJson(*store);
    console.Print(StoreLine(*store));
    for (const v1::Document& document : *documents) {
      console.PrintJson(document);
      console.Print(StrCat("  ", DocumentLine(document)));
    }
    return ExitCode::kOk;
  });
}

ExitCode StoreAdd(const CommonOptions& common, const StoreOptions& options, Console& console) {
  return WithRetrieval(common, console, [&](v1::Retrieval::Stub& stub) { return AddAll(stub, options, console); });
}

ExitCode StoreRemove(const CommonOptions& common, const StoreOptions& options, Console& console) {
  return WithRetrieval(common, console, [&](v1::Retrieval::Stub& stub) { return RemoveAll(stub, options, console); });
}

ExitCode StoreDelete(const CommonOptions& common, const StoreOptions& options, Console& console) {
  return WithRetrieval(common, console, [&](v1::Retrieval::Stub& stub) -> absl::StatusOr<ExitCode> {
    const auto store = FindStore(stub, options.store);
    if (!store.ok()) return store.status();
    grpc::ClientContext context;
    SetDeadline(context, kCallMax);
    v1::DeleteStoreRequest request;
    request.set_store_id(store->store_id());
    v1::DeleteStoreResponse response;
    const grpc::Status status = stub.DeleteStore(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpc(status, context);
    console.PrintJson(response);
    console.Print(StrCat("deleted ", store->store_id()));
    return ExitCode::kOk;
  });
}

}  // namespace carrel::cli
