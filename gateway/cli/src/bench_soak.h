// Many executions and kills, and then whether anything of them was left behind.
#pragma once

#include "bench_target.h"
#include "cli/bench.h"
#include "cli/console.h"
#include "cli/exit_code.h"

namespace carrel::cli {

// kOk; kInternal: an outcome was wrong, or a process, descriptor, control group, mount or file was left, or memory
// grew. Only of a server of our own: of another's nobody else may be a client meanwhile.
[[nodiscard]] ExitCode Soak(BenchTarget& target, const BenchOptions& options, Console& console);

}  // namespace carrel::cli
