// Values of the interpreter's contract and of the gateway, one into the other.
#pragma once

#include <optional>

#include "carrel/interpreter/v1/code_interpreter.pb.h"
#include "gateway/ports/container_host.h"
#include "gateway/types/outcome.h"

namespace carrel::gateway {

Outcome FromProto(const interpreter::v1::Outcome& outcome);
CodeLimits FromProto(const interpreter::v1::Limits& limits);
LiveContainer FromProto(const interpreter::v1::Session& session);
ContainerFile FromProto(const interpreter::v1::File& file);
ContainerFiles FromProto(const interpreter::v1::ListFilesResponse& files);
WorkspaceSummary FromProto(const interpreter::v1::WorkspaceSummary& summary);
// nullopt: an event of a newer service.
std::optional<CodeEvent> FromProto(interpreter::v1::ExecuteEvent event);

interpreter::v1::Outcome ToProto(const Outcome& outcome);
interpreter::v1::Limits ToProto(const CodeLimits& limits);
interpreter::v1::SessionState ToProto(LiveContainer::State state);
interpreter::v1::ReturnFiles ToProto(ReturnFiles return_files);
interpreter::v1::File ToProto(const ContainerFile& file);
interpreter::v1::ListFilesResponse ToProto(const ContainerFiles& files);
interpreter::v1::WorkspaceSummary ToProto(const WorkspaceSummary& summary);
interpreter::v1::ExecuteEvent ToProto(CodeEvent event);

}  // namespace carrel::gateway
