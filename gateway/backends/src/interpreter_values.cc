#include "interpreter_values.h"

namespace carrel::gateway {
namespace {

namespace pb = carrel::interpreter::v1;

// Our enumerators are the contract's without its "unspecified".
static_assert(static_cast<int>(Outcome::Kind::kCompleted) + 1 == pb::COMPLETED);
static_assert(static_cast<int>(Outcome::Kind::kInternal) + 1 == pb::INTERNAL);
static_assert(static_cast<int>(LimitKind::kWall) + 1 == pb::LIMIT_WALL);
static_assert(static_cast<int>(LimitKind::kArtifacts) + 1 == pb::LIMIT_ARTIFACTS);

// What a newer service may say, and we do not know, is an internal outcome.
Outcome::Kind KindOf(pb::OutcomeKind kind) {
  const bool known = kind >= pb::COMPLETED && kind <= pb::INTERNAL;
  return known ? static_cast<Outcome::Kind>(static_cast<int>(kind) - 1) : Outcome::Kind::kInternal;
}

std::optional<LimitKind> LimitOf(int limit) {
  if (limit < pb::LIMIT_WALL || limit > pb::LIMIT_ARTIFACTS) return std::nullopt;
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
                            .display_bytes = from.usage().display_bytes()},
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
          .cpu_millis = from.cpu_millis()};
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
  return limits;
}

}  // namespace carrel::gateway
