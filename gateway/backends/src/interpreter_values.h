// Values of the interpreter's contract and of the gateway, one into the other.
#pragma once

#include "carrel/interpreter/v1/code_interpreter.pb.h"
#include "gateway/types/outcome.h"

namespace carrel::gateway {

Outcome FromProto(const interpreter::v1::Outcome& outcome);
CodeLimits FromProto(const interpreter::v1::Limits& limits);
interpreter::v1::Limits ToProto(const CodeLimits& limits);

}  // namespace carrel::gateway
