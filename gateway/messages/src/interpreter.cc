#include "gateway/messages/interpreter.h"

#include <utility>

#include "absl/time/time.h"

namespace carrel::gateway {
namespace {

namespace pb = carrel::interpreter::v1;

// Our enumerators are the contract's without its "unspecified".
static_assert(static_cast<int>(Outcome::Kind::kCompleted) + 1 == pb::COMPLETED);
static_assert(static_cast<int>(Outcome::Kind::kInternal) + 1 == pb::INTERNAL);
static_assert(static_cast<int>(LimitKind::kWall) + 1 == pb::LIMIT_WALL);
static_assert(static_cast<int>(LimitKind::kSessionCpu) + 1 == pb::LIMIT_SESSION_CPU);

// What a newer service may say, and we do not know, is an internal outcome.
Outcome::Kind KindOf(pb::OutcomeKind kind) {
  const bool known = kind >= pb::COMPLETED && kind <= pb::INTERNAL;
  return known ? static_cast<Outcome::Kind>(static_cast<int>(kind) - 1) : Outcome::Kind::kInternal;
}

std::optional<LimitKind> LimitOf(int limit) {
  if (limit < pb::LIMIT_WALL || limit > pb::LIMIT_SESSION_CPU) return std::nullopt;
  return static_cast<LimitKind>(limit - 1);
}

}  // namespace

Outcome FromProto(const pb::Outcome& from) {
  Outcome outcome{.kind = KindOf(from.kind()),
                  .message = from.message(),
                  .exit_code = from.exit_code(),
                  .signal = from.signal(),
                  .limit = LimitOf(from.limit()),
                  .limit_value = from.limit_value(),
                  .state_kept = from.state_kept(),
                  .usage = {.wall_ms = from.usage().wall_ms(),
                            .cpu_ms = from.usage().cpu_ms(),
                            .memory_peak_bytes = from.usage().memory_peak_bytes(),
                            .stdout_bytes = from.usage().stdout_bytes(),
                            .stderr_bytes = from.usage().stderr_bytes(),
                            .display_bytes = from.usage().display_bytes(),
                            .session_cpu_ms = from.usage().session_cpu_ms()},
                  .removed = {from.removed().begin(), from.removed().end()},
                  .isolation = from.isolation(),
                  .weakened = {from.weakened().begin(), from.weakened().end()}};
  if (from.has_exception()) {
    outcome.exception = CodeException{
        .name = from.exception().name(), .value = from.exception().value(), .traceback = from.exception().traceback()};
  }
  for (const int touched : from.limits_touched()) {
    if (const auto limit = LimitOf(touched)) outcome.limits_touched.push_back(*limit);
  }
  for (const pb::SkippedFile& file : from.skipped()) outcome.skipped.push_back({file.path(), file.reason()});
  return outcome;
}

CodeLimits FromProto(const pb::Limits& from) {
  return {.wall_ms = from.wall_ms(),
          .cpu_ms = from.cpu_ms(),
          .memory_bytes = from.memory_bytes(),
          .processes = from.processes(),
          .workspace_bytes = from.workspace_bytes(),
          .workspace_files = from.workspace_files(),
          .output_bytes = from.output_bytes(),
          .display_bytes = from.display_bytes(),
          .artifacts = from.artifacts(),
          .artifact_bytes = from.artifact_bytes(),
          .cpu_millis = from.cpu_millis(),
          .session_cpu_ms = from.session_cpu_ms()};
}

pb::Limits ToProto(const CodeLimits& from) {
  pb::Limits limits;
  limits.set_wall_ms(from.wall_ms);
  limits.set_cpu_ms(from.cpu_ms);
  limits.set_memory_bytes(from.memory_bytes);
  limits.set_processes(from.processes);
  limits.set_workspace_bytes(from.workspace_bytes);
  limits.set_workspace_files(from.workspace_files);
  limits.set_output_bytes(from.output_bytes);
  limits.set_display_bytes(from.display_bytes);
  limits.set_artifacts(from.artifacts);
  limits.set_artifact_bytes(from.artifact_bytes);
  limits.set_cpu_millis(from.cpu_millis);
  limits.set_session_cpu_ms(from.session_cpu_ms);
  return limits;
}

LiveContainer FromProto(const pb::Session& from) {
  return {.id = ContainerId(from.session_id()),
          .runtime = from.runtime(),
          .state = from.state() == pb::SESSION_STATE_BUSY   ? LiveContainer::State::kBusy
                   : from.state() == pb::SESSION_STATE_DEAD ? LiveContainer::State::kDead
                                                            : LiveContainer::State::kReady,
          .death_reason = from.death_reason(),
          .limits = FromProto(from.limits()),
          .idle_timeout = absl::Milliseconds(from.idle_timeout_ms()),
          .created_at = absl::FromUnixMillis(from.created_at_ms()),
          .last_used_at = absl::FromUnixMillis(from.last_used_at_ms()),
          .calls = from.calls(),
          .isolation = from.isolation()};
}

ContainerFile FromProto(const pb::File& from) {
  return {
      .path = from.path(), .size_bytes = from.size_bytes(), .modified_at = absl::FromUnixMillis(from.modified_at_ms())};
}

ContainerFiles FromProto(const pb::ListFilesResponse& from) {
  ContainerFiles files;
  for (const pb::File& file : from.files()) files.files.push_back(FromProto(file));
  for (const pb::SkippedFile& file : from.skipped()) files.skipped.push_back({file.path(), file.reason()});
  return files;
}

WorkspaceSummary FromProto(const pb::WorkspaceSummary& from) {
  WorkspaceSummary summary{.files = from.files(), .directories = from.directories(), .bytes = from.bytes()};
  for (const pb::SkippedFile& file : from.skipped()) summary.skipped.push_back({file.path(), file.reason()});
  return summary;
}

std::optional<CodeEvent> FromProto(pb::ExecuteEvent event) {
  switch (event.event_case()) {
    case pb::ExecuteEvent::kStarted:
      return CodeStarted{.container = ContainerId(event.started().session_id()),
                         .queued = absl::Milliseconds(event.started().queued_ms()),
                         .linger = absl::Milliseconds(event.started().linger_ms())};
    case pb::ExecuteEvent::kStdout:
      return CodeStdout{.text = std::move(*event.mutable_stdout())};
    case pb::ExecuteEvent::kStderr:
      return CodeStderr{.text = std::move(*event.mutable_stderr())};
    case pb::ExecuteEvent::kDisplay: {
      CodeDisplay display{.is_result = event.display().is_result()};
      for (auto& [type, data] : *event.mutable_display()->mutable_data()) display.data[type] = std::move(data);
      return display;
    }
    case pb::ExecuteEvent::kArtifact: {
      pb::Artifact& artifact = *event.mutable_artifact();
      return CodeWroteFile{.path = artifact.path(),
                           .size_bytes = artifact.size_bytes(),
                           .media_type = artifact.media_type(),
                           .sha256 = artifact.sha256(),
                           .content = std::move(*artifact.mutable_content())};
    }
    case pb::ExecuteEvent::kFinished:
      return FromProto(event.finished());
    case pb::ExecuteEvent::EVENT_NOT_SET:
      break;
  }
  return std::nullopt;
}

pb::Outcome ToProto(const Outcome& from) {
  pb::Outcome outcome;
  outcome.set_kind(static_cast<pb::OutcomeKind>(static_cast<int>(from.kind) + 1));
  outcome.set_message(from.message);
  if (from.exception.has_value()) {
    outcome.mutable_exception()->set_name(from.exception->name);
    outcome.mutable_exception()->set_value(from.exception->value);
    outcome.mutable_exception()->set_traceback(from.exception->traceback);
  }
  outcome.set_exit_code(from.exit_code);
  outcome.set_signal(from.signal);
  const auto limit_of = [](LimitKind limit) { return static_cast<pb::LimitName>(static_cast<int>(limit) + 1); };
  if (from.limit.has_value()) outcome.set_limit(limit_of(*from.limit));
  outcome.set_limit_value(from.limit_value);
  for (const LimitKind limit : from.limits_touched) outcome.add_limits_touched(limit_of(limit));
  outcome.set_state_kept(from.state_kept);
  pb::Usage& usage = *outcome.mutable_usage();
  usage.set_wall_ms(from.usage.wall_ms);
  usage.set_cpu_ms(from.usage.cpu_ms);
  usage.set_memory_peak_bytes(from.usage.memory_peak_bytes);
  usage.set_stdout_bytes(from.usage.stdout_bytes);
  usage.set_stderr_bytes(from.usage.stderr_bytes);
  usage.set_display_bytes(from.usage.display_bytes);
  usage.set_session_cpu_ms(from.usage.session_cpu_ms);
  for (const SkippedFile& file : from.skipped) {
    pb::SkippedFile& skipped = *outcome.add_skipped();
    skipped.set_path(file.path);
    skipped.set_reason(file.reason);
  }
  for (const std::string& path : from.removed) outcome.add_removed(path);
  outcome.set_isolation(from.isolation);
  for (const std::string& layer : from.weakened) outcome.add_weakened(layer);
  return outcome;
}

pb::SessionState ToProto(LiveContainer::State state) {
  switch (state) {
    case LiveContainer::State::kReady:
      return pb::SESSION_STATE_READY;
    case LiveContainer::State::kBusy:
      return pb::SESSION_STATE_BUSY;
    case LiveContainer::State::kDead:
      break;
  }
  return pb::SESSION_STATE_DEAD;
}

pb::ReturnFiles ToProto(ReturnFiles return_files) {
  switch (return_files) {
    case ReturnFiles::kNone:
      return pb::RETURN_FILES_NONE;
    case ReturnFiles::kBytes:
      return pb::RETURN_FILES_BYTES;
    case ReturnFiles::kReferences:
      break;
  }
  return pb::RETURN_FILES_REFERENCES;
}

pb::File ToProto(const ContainerFile& from) {
  pb::File file;
  file.set_path(from.path);
  file.set_size_bytes(from.size_bytes);
  file.set_modified_at_ms(absl::ToUnixMillis(from.modified_at));
  return file;
}

pb::ListFilesResponse ToProto(const ContainerFiles& from) {
  pb::ListFilesResponse files;
  for (const ContainerFile& file : from.files) *files.add_files() = ToProto(file);
  for (const SkippedFile& file : from.skipped) {
    pb::SkippedFile& skipped = *files.add_skipped();
    skipped.set_path(file.path);
    skipped.set_reason(file.reason);
  }
  return files;
}

namespace {

// Sets the one member of `out` that says what happened.
struct EventWriter {
  pb::ExecuteEvent& out;

  void operator()(CodeStarted& started) const {
    out.mutable_started()->set_session_id(started.container.value);
    out.mutable_started()->set_queued_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(started.queued)));
    out.mutable_started()->set_linger_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(started.linger)));
  }
  void operator()(CodeStdout& said) const { out.set_stdout(std::move(said.text)); }
  void operator()(CodeStderr& said) const { out.set_stderr(std::move(said.text)); }
  void operator()(CodeDisplay& display) const {
    out.mutable_display()->set_is_result(display.is_result);
    for (auto& [type, data] : display.data) (*out.mutable_display()->mutable_data())[type] = std::move(data);
  }
  void operator()(CodeWroteFile& file) const {
    pb::Artifact& artifact = *out.mutable_artifact();
    artifact.set_path(file.path);
    artifact.set_size_bytes(file.size_bytes);
    artifact.set_media_type(file.media_type);
    artifact.set_sha256(file.sha256);
    artifact.set_content(std::move(file.content));
  }
  void operator()(Outcome& outcome) const { *out.mutable_finished() = ToProto(outcome); }
};

}  // namespace

pb::WorkspaceSummary ToProto(const WorkspaceSummary& from) {
  pb::WorkspaceSummary summary;
  summary.set_files(from.files);
  summary.set_directories(from.directories);
  summary.set_bytes(from.bytes);
  for (const SkippedFile& file : from.skipped) {
    pb::SkippedFile& skipped = *summary.add_skipped();
    skipped.set_path(file.path);
    skipped.set_reason(file.reason);
  }
  return summary;
}

pb::ExecuteEvent ToProto(CodeEvent event) {
  pb::ExecuteEvent out;
  std::visit(EventWriter{out}, event);
  return out;
}

}  // namespace carrel::gateway
