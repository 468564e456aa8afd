// carrel bench sandbox: what sessions and calls cost, beside what else there is, in the same run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/place.h"

namespace carrel::cli {

struct BenchOptions {
  std::string server;    // "unix:PATH" or "HOST:PORT" of an interpreter; "": one of its own, in a temporary directory
  uint32_t rounds = 60;  // of single sessions, each beside a bare fork
  std::vector<uint32_t> concurrency = {1, 2, 4, 8};  // of throw-away executions
  uint32_t seconds = 4;                              // for each of them
  uint32_t sessions = 200;                           // at once, for the memory of one; 0: not measured
  std::string jupyter;  // directory with jupyter_client and ipykernel; "": no such comparison
  bool baselines = true;
  // Instead of measuring: so many executions and so many kills, and then whether anything was left behind.
  uint32_t soak = 0;
  uint32_t kills = 0;
};

// kOk; kInternal: something was left behind, or a call failed; kUnreachable: no server.
[[nodiscard]] ExitCode BenchSandbox(const CommonOptions& common, const BenchOptions& options, Console& console);

}  // namespace carrel::cli
