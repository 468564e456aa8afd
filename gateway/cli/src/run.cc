// carrel run: code in, what it printed, showed and wrote out.
#include <fcntl.h>
#include <grpcpp/client_context.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "carrel/gateway/v1/containers.grpc.pb.h"
#include "cli/commands.h"
#include "cli/gateway_endpoint.h"
#include "cli/out_dir.h"
#include "rpc/log.h"
#include "rpc/status.h"
#include "sandbox/base/unique_fd.h"
#include "strings.h"

namespace carrel::cli {
namespace {

namespace v1 = interpreter::v1;
namespace gateway = carrel::gateway::v1;

constexpr size_t kCodeBytesMax = 1 << 20;
constexpr size_t kUploadChunkBytes = 256 << 10;
// Making a session waits for the zygote, which imports for seconds after the server's start.
constexpr absl::Duration kCallMax = absl::Minutes(2);
constexpr absl::Duration kTransferMax = absl::Minutes(30);

// Of one call: with the key, and an end.
void Prepare(grpc::ClientContext& context, const GatewayChannel& gateway, absl::Duration timeout) {
  gateway.Authorize(context);
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

absl::StatusOr<std::string> ReadCode(const RunOptions& options) {
  if (options.has_code) return options.code;
  std::string code;
  if (options.source == "-") {
    code.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  } else {
    std::ifstream in(options.source, std::ios::binary);
    if (!in.is_open() || std::filesystem::is_directory(options.source)) {
      return absl::InvalidArgumentError(StrCat(options.source, " cannot be read"));
    }
    code.assign(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  if (code.size() > kCodeBytesMax) {
    return absl::InvalidArgumentError(
        StrCat("the code has ", code.size(), " bytes: at most 1 MiB; give data as --file"));
  }
  return code;
}

// "wall_ms=500" and so on, by the names of the proto.
absl::StatusOr<v1::Limits> ReadLimits(const std::vector<std::string>& texts) {
  v1::Limits limits;
  const auto* descriptor = v1::Limits::descriptor();
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    const auto* field = descriptor->FindFieldByName(text.substr(0, equals));
    if (equals == std::string::npos || field == nullptr) {
      std::string names;
      for (int i = 0; i < descriptor->field_count(); ++i) {
        StrAppend(&names, i == 0 ? "" : ", ", descriptor->field(i)->name());
      }
      return absl::InvalidArgumentError(StrCat("--limit wants NAME=NUMBER with one of ", names, ", not ", text));
    }
    uint64_t value = 0;
    if (!absl::SimpleAtoi(text.substr(equals + 1), &value) || value == 0) {
      return absl::InvalidArgumentError(StrCat("--limit ", text, ": expected a whole number, 1 or more"));
    }
    limits.GetReflection()->SetUInt64(&limits, field, value);
  }
  return limits;
}

// The extension for a picture that can be saved; "" for other media types.
std::string_view PictureExtension(std::string_view media_type) {
  if (media_type == "image/png") return "png";
  if (media_type == "image/jpeg") return "jpg";
  if (media_type == "image/svg+xml") return "svg";
  if (media_type == "application/pdf") return "pdf";
  return "";
}

// Turns Ctrl-C into an interrupt of the running code, and a second one into the end of the call.
class InterruptWatch final {
 public:
  InterruptWatch(rpc::ShutdownSignals& signals, const GatewayChannel& channel, gateway::Containers::Stub& stub,
                 grpc::ClientContext& call)
      : signals_(signals), channel_(channel), stub_(stub), call_(call), thread_([this](const std::stop_token& stop) {
          Run(stop);
        }) {}

  void SetContainer(const std::string& container_id) {
    const std::lock_guard lock(mutex_);
    container_id_ = container_id;
  }

 private:
  void Run(const std::stop_token& stop) {
    bool interrupted = false;
    while (!stop.stop_requested()) {
      if (signals_.Wait(absl::Milliseconds(50)) == 0) continue;
      if (interrupted || !Interrupt()) call_.TryCancel();
      interrupted = true;
    }
  }

  bool Interrupt() {
    gateway::InterruptRequest request;
    {
      const std::lock_guard lock(mutex_);
      request.set_container_id(container_id_);
    }
    if (request.container_id().empty()) return false;
    grpc::ClientContext context;
    Prepare(context, channel_, absl::Seconds(2));
    v1::InterruptResponse response;
    return stub_.Interrupt(&context, request, &response).ok() && response.interrupted();
  }

  rpc::ShutdownSignals& signals_;
  const GatewayChannel& channel_;
  gateway::Containers::Stub& stub_;
  grpc::ClientContext& call_;
  std::mutex mutex_;
  std::string container_id_;
  std::jthread thread_;  // last: it uses all of the above
};

class Runner final {
 public:
  Runner(const RunOptions& options, GatewayChannel channel, std::optional<OutDir> out, rpc::ShutdownSignals& signals,
         Console& console)
      : options_(options),
        channel_(std::move(channel)),
        stub_(channel_.channel()),
        out_(std::move(out)),
        signals_(signals),
        console_(console) {}

  absl::StatusOr<ExitCode> Run(const std::string& code, const v1::Limits& limits) {
    if (auto status = OpenContainer(limits); !status.ok()) return status;
    if (auto status = Import(); !status.ok()) return status;
    for (const std::string& file : options_.files) {
      if (auto status = Upload(file); !status.ok()) return status;
    }
    if (auto status = Execute(code, limits); !status.ok()) return status;
    const ExitCode saved = std::max(SaveAll(), ReportExport(Export()));
    console_.PrintJson(finished_);
    if (!console_.json()) ShowOutcome(finished_.finished());
    const ExitCode ran = ExitCodeOf(finished_.finished());
    return ran != ExitCode::kOk ? ran : saved;
  }

  // A container that only this call made is not left behind.
  void CloseContainer() {
    if (!delete_container_ || container_id_.empty()) return;
    grpc::ClientContext context;
    Prepare(context, channel_, absl::Seconds(10));
    gateway::DeleteContainerRequest request;
    request.set_container_id(container_id_);
    gateway::DeleteContainerResponse response;
    const grpc::Status status = stub_.DeleteContainer(&context, request, &response);
    if (!status.ok()) console_.Say(StrCat("the throw-away session was not deleted: ", status.error_message()));
  }

 private:
  absl::Status OpenContainer(const v1::Limits& limits) {
    const bool has_files = !options_.files.empty() || !options_.import_file.empty() || !options_.export_file.empty();
    if (options_.session.empty() && !has_files) return absl::OkStatus();
    grpc::ClientContext context;
    Prepare(context, channel_, kCallMax);
    gateway::CreateContainerRequest request;
    request.set_name(options_.session);
    request.set_runtime(options_.runtime);
    *request.mutable_limits() = limits;
    gateway::Container container;
    if (const grpc::Status status = stub_.CreateContainer(&context, request, &container); !status.ok()) {
      return rpc::FromGrpc(status, context);
    }
    container_id_ = container.container_id();
    delete_container_ = options_.session.empty();
    created_ = container.created();
    return absl::OkStatus();
  }

  // A file of ours, opened to be sent; `flag` names it in an error.
  struct Source {
    UniqueFd fd;
    uint64_t size_bytes = 0;
  };
  static absl::StatusOr<Source> OpenSource(std::string_view flag, const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
      return absl::InvalidArgumentError(StrCat(flag, " ", path, " cannot be read, or is no file"));
    }
    return Source{.fd = std::move(fd), .size_bytes = static_cast<uint64_t>(info.st_size)};
  }

  // The header that `request` holds, then the file. Whoever does not want it says why at Finish.
  template <typename Request>
  absl::Status Send(const std::string& path, const Source& source, grpc::ClientContext& context,
                    grpc::ClientWriter<Request>& writer, Request& request) {
    bool open = writer.Write(request);
    std::string buffer(kUploadChunkBytes, '\0');
    uint64_t sent = 0;
    while (open) {
      const ssize_t size = ::read(source.fd.get(), buffer.data(), buffer.size());
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) {
        context.TryCancel();
        static_cast<void>(writer.Finish());
        return absl::InvalidArgumentError(StrCat("reading ", path, " failed"));
      }
      if (size == 0) break;
      request.set_data(buffer.data(), static_cast<size_t>(size));
      open = writer.Write(request);
      sent += static_cast<uint64_t>(size);
      console_.Progress(StrCat("uploading ", path, ": ", HumanBytes(sent), " of ", HumanBytes(source.size_bytes)));
    }
    writer.WritesDone();
    return absl::OkStatus();
  }

  absl::Status Upload(const std::string& path) {
    auto source = OpenSource("--file", path);
    if (!source.ok()) return source.status();
    grpc::ClientContext context;
    Prepare(context, channel_, kTransferMax);
    v1::File file;
    const auto writer = stub_.UploadContainerFile(&context, &file);
    gateway::UploadContainerFileRequest request;
    auto* header = request.mutable_header();
    header->set_container_id(container_id_);
    header->set_path(std::filesystem::path(path).filename().string());
    header->set_size_bytes(source->size_bytes);
    header->set_replace(true);
    if (auto status = Send(path, *source, context, *writer, request); !status.ok()) return status;
    return rpc::FromGrpc(writer->Finish(), context);
  }

  absl::Status Import() {
    if (options_.import_file.empty()) return absl::OkStatus();
    auto source = OpenSource("--import", options_.import_file);
    if (!source.ok()) return source.status();
    grpc::ClientContext context;
    Prepare(context, channel_, kTransferMax);
    v1::ImportWorkspaceResponse response;
    const auto writer = stub_.ImportContainerFiles(&context, &response);
    gateway::ImportContainerFilesRequest request;
    request.mutable_header()->set_container_id(container_id_);
    request.mutable_header()->set_replace(true);
    if (auto status = Send(options_.import_file, *source, context, *writer, request); !status.ok()) return status;
    if (const grpc::Status status = writer->Finish(); !status.ok()) return rpc::FromGrpc(status, context);
    console_.Say(StrCat("imported ", options_.import_file, ": ", Describe(response.summary())));
    return absl::OkStatus();
  }

  // The archive stands under its name when all of it has come.
  absl::StatusOr<v1::WorkspaceSummary> Export() {
    if (options_.export_file.empty()) return v1::WorkspaceSummary();
    const std::filesystem::path path(options_.export_file);
    const auto directory = OutDir::Open(path.has_parent_path() ? path.parent_path().string() : ".");
    if (!directory.ok()) return directory.status();
    auto file = directory->Create(path.filename().string());
    if (!file.ok()) return file.status();
    grpc::ClientContext context;
    Prepare(context, channel_, kTransferMax);
    gateway::ExportContainerFilesRequest request;
    request.set_container_id(container_id_);
    const auto reader = stub_.ExportContainerFiles(&context, request);
    v1::ExportWorkspaceResponse response;
    while (reader->Read(&response)) {
      if (auto status = file->Write(response.data()); !status.ok()) {
        context.TryCancel();
        static_cast<void>(reader->Finish());
        return status;
      }
    }
    if (const grpc::Status status = reader->Finish(); !status.ok()) return rpc::FromGrpc(status, context);
    if (!response.has_summary()) return absl::InternalError("the archive came without its end");
    if (auto status = file->Commit(); !status.ok()) return status;
    return response.summary();
  }

  ExitCode ReportExport(const absl::StatusOr<v1::WorkspaceSummary>& summary) {
    if (options_.export_file.empty()) return ExitCode::kOk;
    if (!summary.ok()) {
      const absl::Status& status = summary.status();
      console_.Say(StrCat("not exported: ", std::string(status.message().data(), status.message().size())));
      return ExitCodeOf(status);
    }
    console_.PrintJsonText(StrCat("{\"exported\":{\"file\":", rpc::JsonQuote(options_.export_file),
                                  ",\"files\":", summary->files(), ",\"bytes\":", summary->bytes(), "}}"));
    console_.Say(StrCat("exported ", options_.export_file, ": ", Describe(*summary)));
    for (const v1::SkippedFile& skipped : summary->skipped()) {
      console_.Say(StrCat("not in the archive: ", SafeText(skipped.path(), false), " (",
                          SafeText(skipped.reason(), false), ")"));
    }
    return ExitCode::kOk;
  }

  static std::string Describe(const v1::WorkspaceSummary& summary) {
    return StrCat(summary.files(), summary.files() == 1 ? " file, " : " files, ", HumanBytes(summary.bytes()));
  }

  absl::Status Execute(const std::string& code, const v1::Limits& limits) {
    grpc::ClientContext context;
    channel_.Authorize(context);
    gateway::ExecuteRequest request;
    request.set_container_id(container_id_);
    request.set_code(code);
    if (!created_) request.set_runtime(options_.runtime);
    request.set_return_files(v1::RETURN_FILES_REFERENCES);
    *request.mutable_limits() = CallLimits(limits);
    InterruptWatch watch(signals_, channel_, stub_, context);
    watch.SetContainer(container_id_);
    const auto reader = stub_.Execute(&context, request);
    v1::ExecuteEvent event;
    while (reader->Read(&event)) {
      if (event.has_started()) {
        watch.SetContainer(event.started().session_id());
        TakeStarted(event);
      }
      Handle(event);
    }
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return rpc::FromGrpc(status, context);
    if (!finished_.has_finished()) return absl::InternalError("the server ended the call without an outcome");
    return absl::OkStatus();
  }

  // Limits that are fixed at creation are refused in a call to a session that is there.
  [[nodiscard]] v1::Limits CallLimits(const v1::Limits& limits) const {
    if (container_id_.empty() || !created_) return limits;
    v1::Limits call;
    call.set_wall_ms(limits.wall_ms());
    call.set_cpu_ms(limits.cpu_ms());
    call.set_output_bytes(limits.output_bytes());
    call.set_display_bytes(limits.display_bytes());
    call.set_artifacts(limits.artifacts());
    call.set_artifact_bytes(limits.artifact_bytes());
    return call;
  }

  void TakeStarted(v1::ExecuteEvent& event) {
    if (container_id_.empty()) {
      container_id_ = event.started().session_id();
      throw_away_ = true;
    }
    // People know it by its name.
    if (!options_.session.empty()) event.mutable_started()->set_session_id(options_.session);
  }

  void Handle(const v1::ExecuteEvent& event) {
    if (event.has_finished()) {
      finished_ = event;  // printed last, after what is saved
      return;
    }
    console_.PrintJson(event);
    switch (event.event_case()) {
      case v1::ExecuteEvent::kStdout:
        console_.WriteStdout(event.stdout());
        break;
      case v1::ExecuteEvent::kStderr:
        console_.WriteStderr(event.stderr());
        break;
      case v1::ExecuteEvent::kDisplay:
        Show(event.display());
        break;
      case v1::ExecuteEvent::kArtifact:
        artifacts_.push_back(event.artifact());
        break;
      default:
        break;  // an event of a newer server
    }
  }

  void Show(const v1::Display& display) {
    bool picture = false;
    for (const auto& [type, data] : display.data()) {
      if (PictureExtension(type).empty()) continue;
      pictures_.emplace_back(type, data);
      picture = true;
      break;
    }
    const auto text = display.data().find("text/plain");
    if (!picture && text != display.data().end()) console_.WriteStdout(StrCat(text->second, "\n"));
  }

  // What is worse wins.
  ExitCode SaveAll() {
    if (throw_away_ && !artifacts_.empty()) delete_container_ = true;
    ExitCode worst = ExitCode::kOk;
    std::set<std::string> names;
    for (const v1::Artifact& artifact : artifacts_) {
      names.insert(artifact.path());
      worst = std::max(worst, Report(artifact.path(), out_.has_value() ? SaveArtifact(artifact) : absl::OkStatus(),
                                     artifact.size_bytes()));
    }
    int number = 0;
    for (const auto& [type, data] : pictures_) {
      std::string name;
      do {
        name = StrCat("figure-", ++number, ".", PictureExtension(type));
      } while (names.contains(name));
      worst = std::max(worst, Report(name, out_.has_value() ? SavePicture(name, data) : absl::OkStatus(), data.size()));
    }
    return worst;
  }

  ExitCode Report(const std::string& name, const absl::Status& status, uint64_t bytes) {
    if (!status.ok()) {
      console_.Say(StrCat("not saved: ", std::string(status.message().data(), status.message().size())));
      return ExitCodeOf(status);
    }
    if (!out_.has_value()) {
      console_.Say(StrCat(name, " (", HumanBytes(bytes), ") is not saved: --out DIR saves it"));
      return ExitCode::kOk;
    }
    const std::string file = StrCat(out_->path(), "/", name);
    console_.PrintJsonText(StrCat("{\"saved\":{\"path\":", rpc::JsonQuote(name), ",\"file\":", rpc::JsonQuote(file),
                                  ",\"size_bytes\":", bytes, "}}"));
    console_.Say(StrCat("saved ", file, " (", HumanBytes(bytes), ")"));
    return ExitCode::kOk;
  }

  absl::Status SavePicture(const std::string& name, const std::string& data) {
    auto file = out_->Create(name);
    if (!file.ok()) return file.status();
    if (auto status = file->Write(data); !status.ok()) return status;
    return file->Commit();
  }

  absl::Status SaveArtifact(const v1::Artifact& artifact) {
    auto file = out_->Create(artifact.path());
    if (!file.ok()) return file.status();
    grpc::ClientContext context;
    Prepare(context, channel_, kTransferMax);
    gateway::DownloadContainerFileRequest request;
    request.set_container_id(container_id_);
    request.set_path(artifact.path());
    const auto reader = stub_.DownloadContainerFile(&context, request);
    v1::DownloadFileResponse response;
    uint64_t received = 0;
    uint64_t expected = artifact.size_bytes();
    while (reader->Read(&response)) {
      if (response.has_file()) expected = response.file().size_bytes();
      received += response.data().size();
      if (auto status = file->Write(response.data()); !status.ok()) {
        context.TryCancel();
        static_cast<void>(reader->Finish());
        return status;
      }
      console_.Progress(StrCat("saving ", artifact.path(), ": ", HumanBytes(received), " of ", HumanBytes(expected)));
    }
    if (const grpc::Status status = reader->Finish(); !status.ok()) return rpc::FromGrpc(status, context);
    if (received != expected) {
      return absl::InternalError(StrCat(artifact.path(), " came with ", received, " of ", expected, " bytes"));
    }
    return file->Commit();
  }

  void ShowOutcome(const v1::Outcome& outcome) {
    if (outcome.kind() == v1::RAISED && !outcome.exception().traceback().empty()) {
      const std::string& traceback = outcome.exception().traceback();
      console_.WriteStderr(traceback.back() == '\n' ? traceback : StrCat(traceback, "\n"));
    } else if (outcome.kind() != v1::COMPLETED) {
      console_.Say(outcome.message().empty() ? v1::OutcomeKind_Name(outcome.kind()) : outcome.message());
    }
    for (const int limit : outcome.limits_touched()) {
      console_.Say(StrCat("limit touched: ", v1::LimitName_Name(static_cast<v1::LimitName>(limit))));
    }
    for (const v1::SkippedFile& skipped : outcome.skipped()) {
      console_.Say(
          StrCat("not an artifact: ", SafeText(skipped.path(), false), " (", SafeText(skipped.reason(), false), ")"));
    }
    if (!options_.session.empty() && !outcome.state_kept()) {
      console_.Say(StrCat("session ", options_.session, " is dead; its files can still be read"));
    }
  }

  const RunOptions& options_;
  const GatewayChannel channel_;
  gateway::Containers::Stub stub_;
  const std::optional<OutDir> out_;
  rpc::ShutdownSignals& signals_;
  Console& console_;
  std::string container_id_;
  bool created_ = false;           // by us, with the limits
  bool throw_away_ = false;        // by the server, for this call
  bool delete_container_ = false;  // when we are done
  std::vector<v1::Artifact> artifacts_;
  std::vector<std::pair<std::string, std::string>> pictures_;  // media type, bytes
  v1::ExecuteEvent finished_;
};

absl::StatusOr<ExitCode> RunOrStatus(const CommonOptions& common, const RunOptions& options,
                                     rpc::ShutdownSignals& signals, Console& console) {
  const auto code = ReadCode(options);
  if (!code.ok()) return code.status();
  const auto limits = ReadLimits(options.limits);
  if (!limits.ok()) return limits.status();
  const auto place = FindPlace(common);
  if (!place.ok()) return place.status();
  std::optional<OutDir> out;
  if (!options.out_dir.empty()) {
    auto opened = OutDir::Open(options.out_dir);
    if (!opened.ok()) return opened.status();
    out = *std::move(opened);
  }
  auto channel = ConnectGateway(*place);
  if (!channel.ok()) return channel.status();
  Runner runner(options, *std::move(channel), std::move(out), signals, console);
  auto result = runner.Run(*code, *limits);
  runner.CloseContainer();
  return result;
}

}  // namespace

ExitCode Run(const CommonOptions& common, const RunOptions& options, rpc::ShutdownSignals& signals, Console& console) {
  const auto result = RunOrStatus(common, options, signals, console);
  if (result.ok()) return *result;
  console.Fail(result.status());
  return ExitCodeOf(result.status());
}

}  // namespace carrel::cli
