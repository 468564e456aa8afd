// A victim: a small hostile program (or a harmless one, its twin), and the verdict that it must get.
//
// The program is a Python file; the lines of its head say what must come of it:
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
//     # tiers: full                                 default: full and userns
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace carrel::testing {

struct Victim {
  std::string name;  // of the file, without .py
  std::string code;
  std::multimap<std::string, std::string> head;

  [[nodiscard]] std::vector<std::string> All(const std::string& key) const;
  [[nodiscard]] std::optional<std::string> One(const std::string& key) const;
};

// Every *.py in the directory, by name.
[[nodiscard]] std::vector<Victim> LoadVictims(const std::string& directory);

}  // namespace carrel::testing
