// carrel store: stores, and documents going in and out.
#include <algorithm>
#include <filesystem>

#include "absl/time/clock.h"
#include "api_command.h"
#include "cli/commands.h"
#include "documents.h"
#include "rpc/log.h"
#include "stores.h"
#include "strings.h"

namespace carrel::cli {
namespace {

constexpr absl::Duration kPollEvery = absl::Milliseconds(150);
constexpr absl::Duration kPollEveryMax = absl::Seconds(2);
// Files of ours are told by this attribute: taking them out of the store takes them away altogether.
constexpr char kAddedBy[] = "added_by";
constexpr char kUs[] = "carrel store add";

// "1 page", "2 pages".
std::string Counted(uint64_t count, const char* noun) { return StrCat(count, " ", noun, count == 1 ? "" : "s"); }

std::string StoreLine(const Json& store) {
  const Json& counts = Below(store, "file_counts");
  return StrCat(Text(store, "id"), "  ", SafeText(Text(store, "name"), false), "  ", Count(counts, "completed"), " of ",
                Counted(Count(counts, "total"), "document"), ", ", HumanBytes(Count(store, "usage_bytes")));
}

std::string NameOf(const Json& file) {
  const std::string name = Text(Below(file, "x_carrel"), "filename");
  return SafeText(name.empty() ? Text(file, "id") : name, false);
}

std::string DocumentLine(const Json& file) {
  const Json& more = Below(file, "x_carrel");
  const bool completed = Text(file, "status") == "completed";
  const std::string status = completed && Text(more, "verdict") == "PARTIAL" ? "partial" : Text(file, "status");
  std::string line =
      StrCat(Text(file, "id"), "  ", NameOf(file), "  ", status == "in_progress" ? "in progress" : status);
  if (completed && more.is_object()) {
    StrAppend(&line, ", ", Counted(Count(more, "pages"), "page"), ", ", Counted(Count(more, "passages"), "passage"));
  }
  std::string why = Text(Below(file, "last_error"), "message");
  if (why.empty()) why = Text(more, "message");
  if (!why.empty()) StrAppend(&line, ": ", SafeText(why, false));
  return line;
}

// Of a file that is no longer in progress.
ExitCode ExitCodeOfFile(const Json& file) {
  if (Text(file, "status") == "completed") return ExitCode::kOk;
  const std::string verdict = Text(Below(file, "x_carrel"), "verdict");
  if (verdict == "LIMIT") return ExitCode::kLimit;
  if (verdict == "INTERNAL" || Text(Below(file, "last_error"), "code") == "server_error") return ExitCode::kInternal;
  return ExitCode::kUserFailed;
}

absl::StatusOr<Json> AddOne(ApiClient& api, const Json& store, const DocumentPath& document, Console& console) {
  const auto uploaded =
      api.UploadFile(document.path, std::filesystem::path(document.path).filename().string(), console);
  if (!uploaded.ok()) return uploaded.status();
  const std::string id = Text(*uploaded, "id");
  auto added = api.Post(StorePath(store, "/files"),
                        {{"file_id", id}, {"attributes", {{kAddedBy, kUs}, {"path", document.below}}}});
  if (!added.ok()) {
    // What is in no store is of no use to anybody.
    static_cast<void>(api.Delete(StrCat("/v1/files/", EncodeUrl(id))));
  }
  return added;
}

constexpr uint64_t kBarWidth = 24;

// "[#########...............]  37 %"
std::string Bar(uint64_t done, uint64_t of) {
  const uint64_t filled = of == 0 ? 0 : std::min(done, of) * kBarWidth / of;
  return StrCat("[", std::string(filled, '#'), std::string(kBarWidth - filled, '.'), "] ",
                of == 0 ? 0 : std::min(done, of) * 100 / of, " %");
}

// How far a file in progress is: reading is told by pages, embedding by passages.
std::string ProgressLine(const Json& file) {
  const Json& progress = Below(Below(file, "x_carrel"), "progress");
  const std::string phase = Text(progress, "phase");
  const std::string name = NameOf(file);
  if (phase == "embedding") {
    const uint64_t done = Count(progress, "embedded"), of = Count(progress, "to_embed");
    return StrCat(name, ": embedding ", Bar(done, of), "  ", done, " of ", of);
  }
  if (phase == "extracting") {
    const uint64_t done = Count(progress, "pages_done"), of = Count(progress, "pages");
    return of == 0 ? StrCat(name, ": is being read")
                   : StrCat(name, ": reading ", Bar(done, of), "  page ", done, " of ", of);
  }
  const std::string why = Text(progress, "message");
  return why.empty() ? StrCat(name, ": waits for its turn") : StrCat(name, ": ", why);
}

// Waits until it is read and embedded, or has failed.
absl::StatusOr<Json> AwaitFile(ApiClient& api, const Json& store, Json file, Console& console) {
  for (absl::Duration pause = kPollEvery; Text(file, "status") == "in_progress";
       pause = std::min(pause * 1.2, kPollEveryMax)) {
    console.Progress(ProgressLine(file));
    absl::SleepFor(pause);
    auto now = api.Get(StorePath(store, StrCat("/files/", EncodeUrl(Text(file, "id")))));
    if (!now.ok()) return now;
    file = *std::move(now);
  }
  return file;
}

absl::StatusOr<ExitCode> AddAll(ApiClient& api, const StoreOptions& options, Console& console) {
  const auto documents = FindDocuments(options.paths, console);
  if (!documents.ok()) return documents.status();
  auto store = FindStore(api, options.store);
  if (absl::IsNotFound(store.status())) {
    store = CreateStore(api, options.store);
    if (store.ok()) console.Say(StrCat("made the store ", options.store, " (", Text(*store, "id"), ")"));
  }
  if (!store.ok()) return store.status();
  ExitCode worst = ExitCode::kOk;
  std::vector<Json> files;
  for (const DocumentPath& document : *documents) {
    auto added = AddOne(api, *store, document, console);
    if (!added.ok()) {
      console.Fail(added.status());
      worst = std::max(worst, ExitCodeOf(added.status()));
      // Nobody there any more: the other files will not fare better.
      if (absl::IsUnavailable(added.status())) return worst;
      continue;
    }
    files.push_back(*std::move(added));
  }
  for (Json& file : files) {
    if (!options.no_wait) {
      auto end = AwaitFile(api, *store, file, console);
      if (!end.ok()) return end.status();
      file = *std::move(end);
      worst = std::max(worst, ExitCodeOfFile(file));
    }
    console.PrintJsonText(Dump(file));
    console.Print(DocumentLine(file));
  }
  return worst;
}

// A file that `store add` uploaded goes with its place in the store; one that a program uploaded is the program's.
absl::Status DeleteIfOurs(ApiClient& api, const Json& file) {
  if (Text(Below(file, "attributes"), kAddedBy) != kUs) return absl::OkStatus();
  const auto deleted = api.Delete(StrCat("/v1/files/", EncodeUrl(Text(file, "id"))));
  return absl::IsNotFound(deleted.status()) ? absl::OkStatus() : deleted.status();
}

absl::StatusOr<ExitCode> RemoveAll(ApiClient& api, const StoreOptions& options, Console& console) {
  const auto store = FindStore(api, options.store);
  if (!store.ok()) return store.status();
  const auto files = FilesOfStore(api, *store);
  if (!files.ok()) return files.status();
  for (const std::string& wanted : options.documents) {
    const auto file = FileNamed(*files, wanted);
    if (!file.ok()) return file.status();
    const std::string id = Text(*file, "id");
    const auto removed = api.Delete(StorePath(*store, StrCat("/files/", EncodeUrl(id))));
    if (!removed.ok()) return removed.status();
    if (auto status = DeleteIfOurs(api, *file); !status.ok()) return status;
    console.PrintJsonText(Dump(*removed));
    console.Print(StrCat("removed ", id));
  }
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> ReembedAll(ApiClient& api, const StoreOptions& options, Console& console) {
  const auto found = FindStore(api, options.store);
  if (!found.ok()) return found.status();
  auto store = api.Post(StorePath(*found), {{"x_carrel", {{"model", options.model}}}});
  for (absl::Duration pause = kPollEvery; store.ok(); pause = std::min(pause * 1.2, kPollEveryMax)) {
    const Json& change = Below(Below(*store, "x_carrel"), "reembedding");
    if (!change.is_object() || options.no_wait) break;
    const uint64_t done = Count(change, "documents_done"), of = Count(change, "documents");
    const uint64_t failed = Count(change, "documents_failed");
    if (failed > 0 && done + failed == of) {
      console.PrintJsonText(Dump(*store));
      console.Say(StrCat(Counted(failed, "document"), " could not be embedded anew, so the store keeps its model. ",
                         Text(change, "message")));
      return ExitCode::kInternal;
    }
    console.Progress(StrCat(SafeText(options.store, false), ": ", Text(change, "model"), " ", Bar(done, of), "  ", done,
                            " of ", Counted(of, "document"), ", ", Count(change, "embedded"), " passages"));
    absl::SleepFor(pause);
    store = api.Get(StorePath(*found));
  }
  if (!store.ok()) return store.status();
  console.PrintJsonText(Dump(*store));
  const Json& more = Below(*store, "x_carrel");
  const Json& change = Below(more, "reembedding");
  console.Print(change.is_object() ? StrCat(Text(*store, "id"), "  is being embedded with ", Text(change, "model"))
                                   : StrCat(Text(*store, "id"), "  is embedded with ", Text(more, "model")));
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> DeleteAll(ApiClient& api, const StoreOptions& options, Console& console) {
  const auto store = FindStore(api, options.store);
  if (!store.ok()) return store.status();
  const auto files = FilesOfStore(api, *store);
  if (!files.ok()) return files.status();
  const auto deleted = api.Delete(StorePath(*store));
  if (!deleted.ok()) return deleted.status();
  for (const Json& file : *files) {
    if (auto status = DeleteIfOurs(api, file); !status.ok()) return status;
  }
  console.PrintJsonText(Dump(*deleted));
  console.Print(StrCat("deleted ", Text(*store, "id")));
  return ExitCode::kOk;
}

}  // namespace

ExitCode StoreCreate(const CommonOptions& common, const StoreOptions& options, Console& console) {
  return WithApi(common, console, [&](ApiClient& api) -> absl::StatusOr<ExitCode> {
    const auto store = CreateStore(api, options.store);
    if (!store.ok()) return store.status();
    console.PrintJsonText(Dump(*store));
    console.Print(Text(*store, "id"));
    return ExitCode::kOk;
  });
}

ExitCode StoreList(const CommonOptions& common, Console& console) {
  return WithApi(common, console, [&](ApiClient& api) -> absl::StatusOr<ExitCode> {
    const auto stores = api.List("/v1/vector_stores", "order=asc");
    if (!stores.ok()) return stores.status();
    for (const Json& store : *stores) {
      console.PrintJsonText(Dump(store));
      console.Print(StoreLine(store));
    }
    if (stores->empty()) console.Say("there is no store: `carrel store add NAME FILE` makes one");
    return ExitCode::kOk;
  });
}

ExitCode StoreShow(const CommonOptions& common, const StoreOptions& options, Console& console) {
  return WithApi(common, console, [&](ApiClient& api) -> absl::StatusOr<ExitCode> {
    const auto store = FindStore(api, options.store);
    if (!store.ok()) return store.status();
    const auto files = FilesOfStore(api, *store);
    if (!files.ok()) return files.status();
    console.PrintJsonText(Dump(*store));
    console.Print(StoreLine(*store));
    for (const Json& file : *files) {
      console.PrintJsonText(Dump(file));
      console.Print(StrCat("  ", DocumentLine(file)));
    }
    return ExitCode::kOk;
  });
}

ExitCode StoreAdd(const CommonOptions& common, const StoreOptions& options, Console& console) {
  return WithApi(common, console, [&](ApiClient& api) { return AddAll(api, options, console); });
}

ExitCode StoreRemove(const CommonOptions& common, const StoreOptions& options, Console& console) {
  return WithApi(common, console, [&](ApiClient& api) { return RemoveAll(api, options, console); });
}

ExitCode StoreReembed(const CommonOptions& common, const StoreOptions& options, Console& console) {
  return WithApi(common, console, [&](ApiClient& api) { return ReembedAll(api, options, console); });
}

ExitCode StoreDelete(const CommonOptions& common, const StoreOptions& options, Console& console) {
  return WithApi(common, console, [&](ApiClient& api) { return DeleteAll(api, options, console); });
}

}  // namespace carrel::cli
