// A victim: a small hostile program (or a harmless one, its twin), and the verdict that it must get.
//
// The program is a Python file, or one of bash (*.sh); the lines of its head say what must come of it:
//
//     # What it does, one sentence.
//     # limits: processes=32 wall_ms=5000           of the session; fields of the contract's Limits
//     # return: bytes                               ReturnFiles; default references
//     # verdict: RAISED BlockingIOError | EXITED 3 | TIME_LIMIT        one of these; "any": any at all
//     # state: kept | dead
//     # signal: 6          # errno: 28              errno: of an OSError, by the exception's text "[Errno 28]"
//     # touched: LIMIT_PROCESSES                    where a control group counts
//     # prints: TEXT                                stdout holds it; prints-if-completed: only then
//     # stdout-max: BYTES
//     # artifact: PATH     # no-artifact: PATH     # skipped: REASON     # no-content: TEXT
//     # then: answers                             what comes next in its session works as if nothing had been
//     # tiers: full userns                          default: all
//
// What differs in a tier has its name before it: userns-verdict is the verdict in `userns` and, where there is no
// confined-verdict, in `confined` (neither has a control group); a state goes with its verdict.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/jailed_server.h"

namespace carrel::testing {

struct Victim {
  std::string name;  // of the file, without .py or .sh
  std::string runtime;
  std::string code;
  std::multimap<std::string, std::string> head;  // as written

  // As it is for the tier.
  [[nodiscard]] std::vector<std::string> All(const std::string& key, Tier tier) const;
  [[nodiscard]] std::optional<std::string> One(const std::string& key, Tier tier) const;
  [[nodiscard]] bool RunsIn(Tier tier) const;
};

// Every *.py and *.sh in the directory, by name.
[[nodiscard]] std::vector<Victim> LoadVictims(const std::string& directory);

}  // namespace carrel::testing
