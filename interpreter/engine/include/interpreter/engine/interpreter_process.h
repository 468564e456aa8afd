// A jailed interpreter that has started, answered, and run nothing of anybody's: what a session is made of.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "interpreter/engine/call.h"
#include "interpreter/engine/statistics.h"
#include "sandbox/jail.h"

namespace carrel::interpreter {

struct InterpreterProcess {
  std::unique_ptr<sandbox::Jail> jail;
  SessionPipes pipes;
};

struct StartOptions {
  std::string runtime;
  sandbox::JailLimits limits;
  // How long all of it may take.
  absl::Duration start_max = absl::Seconds(30);
  // Has the driver run its warm-up in this process, so that the first cell finds no page that it shares with the
  // zygote.
  bool warm = false;
};

// UNAVAILABLE: no jail, or the interpreter did not come up. INVALID_ARGUMENT: the jail refused a limit.
[[nodiscard]] absl::StatusOr<InterpreterProcess> StartInterpreter(const StartOptions& options,
                                                                  sandbox::JailMaker& jails, Statistics& statistics);

}  // namespace carrel::interpreter
