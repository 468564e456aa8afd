#include "mapping.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "interpreter/engine/errors.h"
#include "interpreter/engine/text.h"
#include "rpc/status.h"

namespace carrel::interpreter {

// The engine's enumerators have the contract's numbers.
static_assert(static_cast<int>(OutcomeKind::kInternal) == v1::INTERNAL);
static_assert(static_cast<int>(OutcomeKind::kDeniedSyscall) == v1::DENIED_SYSCALL);
static_assert(static_cast<int>(LimitName::kSessionCpu) == v1::LIMIT_SESSION_CPU);
static_assert(static_cast<int>(LimitName::kWorkspace) == v1::LIMIT_WORKSPACE);
static_assert(static_cast<int>(SessionState::kDead) == v1::SESSION_STATE_DEAD);

Limits FromProto(const v1::Limits& limits) {
  return {.wall_ms = limits.wall_ms(),
          .cpu_ms = limits.cpu_ms(),
          .memory_bytes = limits.memory_bytes(),
          .processes = limits.processes(),
          .workspace_bytes = limits.workspace_bytes(),
          .workspace_files = limits.workspace_files(),
          .output_bytes = limits.output_bytes(),
          .display_bytes = limits.display_bytes(),
          .artifacts = limits.artifacts(),
          .artifact_bytes = limits.artifact_bytes(),
          .cpu_millis = limits.cpu_millis(),
          .session_cpu_ms = limits.session_cpu_ms()};
}

v1::Limits ToProto(const Limits& limits) {
  v1::Limits proto;
  proto.set_wall_ms(limits.wall_ms);
  proto.set_cpu_ms(limits.cpu_ms);
  proto.set_memory_bytes(limits.memory_bytes);
  proto.set_processes(limits.processes);
  proto.set_workspace_bytes(limits.workspace_bytes);
  proto.set_workspace_files(limits.workspace_files);
  proto.set_output_bytes(limits.output_bytes);
  proto.set_display_bytes(limits.display_bytes);
  proto.set_artifacts(limits.artifacts);
  proto.set_artifact_bytes(limits.artifact_bytes);
  proto.set_cpu_millis(limits.cpu_millis);
  proto.set_session_cpu_ms(limits.session_cpu_ms);
  return proto;
}

absl::StatusOr<ReturnFiles> FromProto(v1::ReturnFiles return_files) {
  switch (return_files) {
    case v1::RETURN_FILES_UNSPECIFIED:
    case v1::RETURN_FILES_REFERENCES:
      return ReturnFiles::kReferences;
    case v1::RETURN_FILES_NONE:
      return ReturnFiles::kNone;
    case v1::RETURN_FILES_BYTES:
      return ReturnFiles::kBytes;
    default:
      return InvalidField("return_files", StrCat(static_cast<int>(return_files)), "0 to 3");
  }
}

v1::Session ToProto(const SessionInfo& info) {
  v1::Session proto;
  proto.set_session_id(info.session_id);
  proto.set_owner(info.owner);
  proto.set_runtime(info.runtime);
  proto.set_state(static_cast<v1::SessionState>(info.state));
  proto.set_death_reason(info.death_reason);
  *proto.mutable_limits() = ToProto(info.limits);
  proto.set_idle_timeout_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(info.idle_timeout)));
  proto.set_created_at_ms(absl::ToUnixMillis(info.created_at));
  proto.set_last_used_at_ms(absl::ToUnixMillis(info.last_used_at));
  proto.set_calls(info.calls);
  proto.set_isolation(info.isolation);
  proto.set_predecessor(info.predecessor);
  proto.set_lifetime_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(info.lifetime)));
  proto.set_expires_at_ms(
      absl::ToUnixMillis(std::min(info.last_used_at + info.idle_timeout, info.created_at + info.lifetime)));
  return proto;
}

v1::StepTime ToProto(const StepSummary& summary) {
  const auto us = [](absl::Duration length) { return static_cast<uint64_t>(absl::ToInt64Microseconds(length)); };
  v1::StepTime proto;
  proto.set_step(std::string(StepName(summary.step)));
  proto.set_count(summary.count);
  proto.set_sum_us(us(summary.sum));
  proto.set_p50_us(us(summary.p50));
  proto.set_p95_us(us(summary.p95));
  proto.set_p99_us(us(summary.p99));
  proto.set_max_us(us(summary.max));
  return proto;
}

v1::Outcome ToProto(Outcome outcome) {
  v1::Outcome proto;
  proto.set_kind(static_cast<v1::OutcomeKind>(outcome.kind));
  proto.set_message(std::move(outcome.message));
  if (!outcome.exception.name.empty()) {
    v1::ExceptionInfo& exception = *proto.mutable_exception();
    exception.set_name(std::move(outcome.exception.name));
    exception.set_value(std::move(outcome.exception.value));
    exception.set_traceback(std::move(outcome.exception.traceback));
  }
  proto.set_exit_code(outcome.exit_code);
  proto.set_signal(outcome.signal);
  proto.set_limit(static_cast<v1::LimitName>(outcome.limit));
  proto.set_limit_value(outcome.limit_value);
  for (const LimitName limit : outcome.limits_touched) proto.add_limits_touched(static_cast<v1::LimitName>(limit));
  proto.set_state_kept(outcome.state_kept);
  v1::Usage& usage = *proto.mutable_usage();
  usage.set_wall_ms(outcome.usage.wall_ms);
  usage.set_cpu_ms(outcome.usage.cpu_ms);
  usage.set_session_cpu_ms(outcome.usage.session_cpu_ms);
  usage.set_memory_peak_bytes(outcome.usage.memory_peak_bytes);
  usage.set_stdout_bytes(outcome.usage.stdout_bytes);
  usage.set_stderr_bytes(outcome.usage.stderr_bytes);
  usage.set_display_bytes(outcome.usage.display_bytes);
  for (const SkippedFile& file : outcome.skipped) *proto.add_skipped() = ToProto(file);
  for (std::string& path : outcome.removed) proto.add_removed(std::move(path));
  proto.set_isolation(std::move(outcome.isolation));
  for (std::string& layer : outcome.weakened) proto.add_weakened(std::move(layer));
  return proto;
}

v1::Display ToProto(Display display) {
  v1::Display proto;
  for (auto& [media_type, data] : display.data) (*proto.mutable_data())[media_type] = std::move(data);
  proto.set_is_result(display.is_result);
  return proto;
}

v1::Artifact ToProto(Artifact artifact) {
  v1::Artifact proto;
  proto.set_path(std::move(artifact.path));
  proto.set_size_bytes(artifact.size_bytes);
  proto.set_media_type(std::move(artifact.media_type));
  proto.set_sha256(std::move(artifact.sha256));
  proto.set_content(std::move(artifact.content));
  return proto;
}

v1::File ToProto(const WorkspaceFile& file) {
  v1::File proto;
  proto.set_path(file.path);
  proto.set_size_bytes(file.size_bytes);
  proto.set_modified_at_ms(absl::ToUnixMillis(file.modified_at));
  return proto;
}

v1::WorkspaceSummary ToProto(const ArchiveSummary& summary) {
  v1::WorkspaceSummary proto;
  proto.set_files(summary.files);
  proto.set_directories(summary.directories);
  proto.set_bytes(summary.bytes);
  for (const SkippedFile& file : summary.skipped) *proto.add_skipped() = ToProto(file);
  return proto;
}

v1::SkippedFile ToProto(const SkippedFile& file) {
  v1::SkippedFile proto;
  proto.set_path(file.path);
  proto.set_reason(file.reason);
  return proto;
}

common::v1::Layer ToProto(const sandbox::LayerState& layer) {
  common::v1::Layer proto;
  proto.set_name(layer.name);
  proto.set_active(layer.active);
  proto.set_detail(layer.detail);
  proto.set_mend(layer.mend);
  return proto;
}

absl::Status WithDetail(absl::Status status) {
  const std::optional<ErrorFacts> facts = FactsOf(status);
  if (!facts) return status;
  if (!facts->field.empty()) return rpc::InvalidField(facts->field, facts->value, facts->expected);
  return rpc::RetryAfter(std::move(status), facts->retry_after);
}

}  // namespace carrel::interpreter
