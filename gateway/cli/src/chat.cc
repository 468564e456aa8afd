// carrel assistants chat: a conversation with an assistant, streamed.
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <iterator>
#include <optional>
#include <set>

#include "api_command.h"
#include "assistant_objects.h"
#include "citation_text.h"
#include "cli/commands.h"
#include "cli/out_dir.h"
#include "event_stream.h"
#include "rpc/log.h"
#include "run_follower.h"
#include "strings.h"

namespace carrel::cli {
namespace {

constexpr size_t kMessageBytesMax = 256'000;
// Between two signs of life; the server gives one every 15 s.
constexpr absl::Duration kSilenceMax = absl::Minutes(2);

ExitCode ExitCodeOfRun(const Json& run) {
  const std::string status = Text(run, "status");
  if (status == "completed") return ExitCode::kOk;
  if (status == "incomplete" || status == "expired") return ExitCode::kLimit;
  const std::string code = Text(Below(run, "last_error"), "code");
  if (code == "rate_limit_exceeded") return ExitCode::kLimit;
  if (code == "invalid_prompt") return ExitCode::kUsage;
  return code == "server_error" ? ExitCode::kUnreachable : ExitCode::kUserFailed;
}

class Chat final {
 public:
  Chat(ApiClient& api, const AssistantOptions& options, rpc::ShutdownSignals& signals, Console& console)
      : api_(api), options_(options), signals_(signals), console_(console), thread_(options.thread) {}

  absl::StatusOr<ExitCode> Run() {
    if (!options_.out_dir.empty()) {
      auto opened = OutDir::Open(options_.out_dir);
      if (!opened.ok()) return opened.status();
      out_ = *std::move(opened);
    }
    api_.SetTick([this] {
      return signals_.Wait(absl::ZeroDuration()) == 0 ? absl::OkStatus() : absl::CancelledError("interrupted");
    });
    if (auto status = FindOrMakeAssistant(); !status.ok()) return status;
    auto result = Converse();
    if (made_assistant_) {
      const auto deleted = api_.Delete(StrCat("/v1/assistants/", EncodeUrl(assistant_)));
      if (!deleted.ok()) console_.Say(StrCat("the assistant of this chat, ", assistant_, ", was not deleted"));
    }
    return result;
  }

 private:
  absl::Status FindOrMakeAssistant() {
    absl::StatusOr<Json> assistant;
    if (!options_.assistant.empty()) {
      if (!options_.model.empty() || !options_.instructions.empty() || !options_.tools.empty()) {
        return absl::InvalidArgumentError(
            "--assistant has a model, instructions and tools of its own: leave out --model, --instructions and --tool");
      }
      assistant = FindAssistant(api_, options_.assistant);
    } else {
      AssistantOptions fresh = options_;
      fresh.name = "carrel assistants chat";
      // The stores are the thread's; files want a tool that reads them.
      if (!fresh.stores.empty()) fresh.tools.emplace_back("file_search");
      fresh.stores.clear();
      if (!fresh.files.empty() && fresh.tools.empty()) fresh.tools.emplace_back("code_interpreter");
      assistant = CreateAssistant(api_, fresh);
      made_assistant_ = assistant.ok();
    }
    if (!assistant.ok()) return assistant.status();
    assistant_ = Text(*assistant, "id");
    for (const Json& tool : Below(*assistant, "tools")) {
      if (Text(tool, "type") != "function") tools_.push_back({{"type", Text(tool, "type")}});
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ExitCode> Converse() {
    if (!options_.message.empty()) return Say(options_.message);
    if (!console_.interactive() || console_.json()) {
      const std::string message{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
      if (message.empty())
        return absl::InvalidArgumentError("there is no message: give it as the last argument, or on stdin");
      return Say(message);
    }
    ExitCode last = ExitCode::kOk;
    while (const auto line = Ask()) {
      if (line->empty()) continue;
      auto said = Say(*line);
      if (!said.ok()) return said;
      last = *said;
    }
    if (!thread_.empty()) console_.Say(StrCat("--thread ", thread_, " goes on with this conversation"));
    return last;
  }

  // A line of the terminal; nothing at its end and on Ctrl-C.
  std::optional<std::string> Ask() {
    console_.Prompt("> ");
    pollfd waiting[] = {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                        {.fd = signals_.fd(), .events = POLLIN, .revents = 0}};
    // What an earlier read took along is in the stream's buffer.
    if (std::cin.rdbuf()->in_avail() <= 0) {
      while (::poll(waiting, 2, -1) < 0 && errno == EINTR) {
      }
      if (waiting[1].revents != 0) {
        static_cast<void>(signals_.Wait(absl::ZeroDuration()));
        console_.Prompt("\n");
        return std::nullopt;
      }
    }
    std::string line;
    if (std::getline(std::cin, line)) return line;
    console_.Prompt("\n");
    return std::nullopt;
  }

  absl::StatusOr<ExitCode> Say(const std::string& message) {
    if (message.size() > kMessageBytesMax) {
      return absl::InvalidArgumentError(
          StrCat("the message has ", message.size(), " bytes: at most ", kMessageBytesMax, "; give data as --file"));
    }
    auto request = RequestFor(message);
    if (!request.ok()) return request.status();
    RunFollower follower(console_);
    if (auto status = Follow(*std::move(request), follower); !status.ok()) return status;
    if (thread_.empty()) thread_ = follower.thread();
    ShowFootnotes(follower);
    const ExitCode saved = SaveFiles(follower);
    const ExitCode ended = TellEnd(follower);
    return ended != ExitCode::kOk ? ended : saved;
  }

  absl::StatusOr<Json> Attachments() {
    Json attachments = Json::array();
    for (const std::string& path : options_.files) {
      const auto file = api_.UploadFile(path, std::filesystem::path(path).filename().string(), console_);
      if (!file.ok()) return file.status();
      attachments.push_back({{"file_id", Text(*file, "id")}, {"tools", tools_}});
    }
    return attachments;
  }

  absl::StatusOr<HttpRequest> RequestFor(const std::string& text) {
    Json message = {{"role", "user"}, {"content", text}};
    if (!std::exchange(attached_, true) && !options_.files.empty()) {
      auto attachments = Attachments();
      if (!attachments.ok()) return attachments.status();
      message["attachments"] = *std::move(attachments);
    }
    Json body = {{"assistant_id", assistant_}, {"stream", true}};
    std::string path;
    if (thread_.empty()) {
      path = "/v1/threads/runs";
      body["thread"] = {{"messages", Json::array({message})}};
      if (!options_.stores.empty()) {
        const auto ids = StoreIds(api_, options_.stores);
        if (!ids.ok()) return ids.status();
        body["thread"]["tool_resources"] = {{"file_search", {{"vector_store_ids", *ids}}}};
      }
    } else {
      path = StrCat("/v1/threads/", EncodeUrl(thread_), "/runs");
      body["additional_messages"] = Json::array({message});
    }
    return HttpRequest{.method = "POST", .path = std::move(path), .json = Dump(body), .patience = kSilenceMax};
  }

  absl::Status Follow(HttpRequest request, RunFollower& follower) {
    EventStream stream;
    request.sink = [&](std::string_view bytes) {
      return stream.Feed(bytes, [&](const std::string& event, const std::string& data) {
        auto status = follower.Handle(event, data);
        if (status.ok() && event == "thread.run.requires_action") Cancel(follower);
        return status;
      });
    };
    bool interrupted = false;
    request.tick = [&]() -> absl::Status {
      if (signals_.Wait(absl::ZeroDuration()) == 0) return absl::OkStatus();
      if (std::exchange(interrupted, true) || follower.run().empty()) return absl::CancelledError("interrupted");
      console_.Say("cancelling; Ctrl-C again leaves at once");
      Cancel(follower);
      return absl::OkStatus();
    };
    const auto reply = api_.Perform(request);
    if (!reply.ok()) return reply.status();
    // The stream ends where outputs of functions are waited for; it was cancelled then.
    if (follower.status().empty()) return absl::UnavailableError("the server ended the stream before the run began");
    return absl::OkStatus();
  }

  // On a connection of its own: the stream has the other.
  void Cancel(const RunFollower& follower) {
    ApiClient other(api_.target());
    const auto cancelled = other.Post(
        StrCat("/v1/threads/", EncodeUrl(follower.thread()), "/runs/", EncodeUrl(follower.run()), "/cancel"), nullptr);
    if (!cancelled.ok()) console_.Say(StrCat("cancelling failed: ", std::string(cancelled.status().message())));
  }

  std::string FileName(const std::string& id) {
    auto found = names_.find(id);
    if (found != names_.end()) return found->second;
    const auto file = api_.Get(StrCat("/v1/files/", EncodeUrl(id)));
    // The name only: the server does not choose the directory.
    std::string name = file.ok() ? std::filesystem::path(Text(*file, "filename")).filename().string() : id;
    return names_[id] = name.empty() ? id : name;
  }

  void ShowFootnotes(const RunFollower& follower) {
    size_t number = 0;
    for (const Footnote& footnote : follower.footnotes()) {
      const std::string pages = PagesOf(footnote.citation);
      const std::string quote = Text(footnote.citation, "quote");
      console_.Print(StrCat("[", ++number, "] ", SafeText(FileName(footnote.file_id), false), pages.empty() ? "" : ", ",
                            pages, quote.empty() ? "" : StrCat(": \"", OneLine(quote), "\"")));
    }
  }

  ExitCode SaveFiles(const RunFollower& follower) {
    ExitCode worst = ExitCode::kOk;
    for (const std::string& id : follower.files()) {
      const std::string name = FreeName(FileName(id));
      if (!out_.has_value()) {
        console_.Say(StrCat(SafeText(name, false), " (", id, ") is not saved: --out DIR saves it"));
        continue;
      }
      const auto bytes = SaveFile(id, name);
      if (!bytes.ok()) {
        console_.Say(StrCat("not saved: ", std::string(bytes.status().message())));
        worst = std::max(worst, ExitCodeOf(bytes.status()));
        continue;
      }
      const std::string path = StrCat(out_->path(), "/", name);
      console_.PrintJsonText(Dump({{"saved", {{"file_id", id}, {"file", path}, {"size_bytes", *bytes}}}}));
      console_.Say(StrCat("saved ", path, " (", HumanBytes(*bytes), ")"));
    }
    return worst;
  }

  absl::StatusOr<uint64_t> SaveFile(const std::string& id, const std::string& name) {
    auto file = out_->Create(name);
    if (!file.ok()) return file.status();
    uint64_t received = 0;
    auto status = api_.DownloadFile(id, [&](std::string_view bytes) {
      received += bytes.size();
      console_.Progress(StrCat("saving ", name, ": ", HumanBytes(received)));
      return file->Write(bytes);
    });
    if (status.ok()) status = file->Commit();
    if (!status.ok()) return status;
    return received;
  }

  // Two files of one name in one conversation: plot.png, plot-2.png.
  std::string FreeName(const std::string& name) {
    const std::filesystem::path path(name);
    std::string free = name;
    for (int number = 2; !saved_.insert(free).second; ++number) {
      free = StrCat(path.stem().string(), "-", number, path.extension().string());
    }
    return free;
  }

  ExitCode TellEnd(const RunFollower& follower) {
    if (follower.status() == "completed") return ExitCode::kOk;
    const std::string why = Text(Below(follower.last(), "last_error"), "message");
    const std::string reason = Text(Below(follower.last(), "incomplete_details"), "reason");
    if (follower.status() == "requires_action") {
      console_.Say("the assistant called a function of a program's, which only that program has; the run is cancelled");
    } else {
      console_.Say(StrCat("the run ", follower.status() == "incomplete" ? "is incomplete" : follower.status(),
                          why.empty() ? "" : StrCat(": ", why), reason.empty() ? "" : StrCat(": ", reason)));
    }
    return ExitCodeOfRun(follower.last());
  }

  ApiClient& api_;
  const AssistantOptions& options_;
  rpc::ShutdownSignals& signals_;
  Console& console_;
  std::optional<OutDir> out_;
  std::string assistant_;
  bool made_assistant_ = false;
  Json tools_ = Json::array();
  std::string thread_;
  bool attached_ = false;
  std::map<std::string, std::string> names_;
  std::set<std::string> saved_;
};

}  // namespace

ExitCode AssistantsChat(const CommonOptions& common, const AssistantOptions& options, rpc::ShutdownSignals& signals,
                        Console& console) {
  return WithApi(common, console, [&](ApiClient& api) { return Chat(api, options, signals, console).Run(); });
}

}  // namespace carrel::cli
