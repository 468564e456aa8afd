// The one place where the engine's words and the contract's meet.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "carrel/interpreter/v1/code_interpreter.pb.h"
#include "interpreter/engine/limits.h"
#include "interpreter/engine/outcome.h"
#include "interpreter/engine/session.h"
#include "interpreter/engine/statistics.h"
#include "sandbox/jail.h"

namespace carrel::interpreter {

[[nodiscard]] Limits FromProto(const v1::Limits& limits);
[[nodiscard]] v1::Limits ToProto(const Limits& limits);
[[nodiscard]] absl::StatusOr<ReturnFiles> FromProto(v1::ReturnFiles return_files);
[[nodiscard]] v1::Session ToProto(const SessionInfo& info);
[[nodiscard]] v1::StepTime ToProto(const StepSummary& summary);
[[nodiscard]] v1::Outcome ToProto(Outcome outcome);
[[nodiscard]] v1::Display ToProto(Display display);
[[nodiscard]] v1::Artifact ToProto(Artifact artifact);
[[nodiscard]] v1::File ToProto(const WorkspaceFile& file);
[[nodiscard]] v1::WorkspaceSummary ToProto(const ArchiveSummary& summary);
[[nodiscard]] v1::SkippedFile ToProto(const SkippedFile& file);
[[nodiscard]] common::v1::Layer ToProto(const sandbox::LayerState& layer);
// An engine's status with its facts as rpc_kit sends them.
[[nodiscard]] absl::Status WithDetail(absl::Status status);

}  // namespace carrel::interpreter
