// What `carrel` exits with; documented in --help, and held by tests.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "carrel/interpreter/v1/code_interpreter.pb.h"

namespace carrel::cli {

enum class ExitCode : uint8_t {
  kOk = 0,
  kUserFailed = 1,   // the user's code raised, exited or was killed; a document could not be read
  kUsage = 2,        // wrong arguments, configuration or names
  kUnreachable = 3,  // no server answers
  kLimit = 4,        // a limit ended it, or the server is full
  kPolicy = 5,       // refused by a policy: a system call, a hostile file name, a permission
  kInternal = 6,     // our fault
};

[[nodiscard]] constexpr int ToInt(ExitCode code) { return static_cast<int>(code); }

// Of a failed call.
[[nodiscard]] ExitCode ExitCodeOf(const absl::Status& status);
// Of code that ran.
[[nodiscard]] ExitCode ExitCodeOf(const interpreter::v1::Outcome& outcome);

// The table for --help.
inline constexpr char kExitCodeHelp[] =
    "Exit codes:\n"
    "  0  fine\n"
    "  1  the user's code failed, or a document could not be read\n"
    "  2  wrong usage, configuration or name\n"
    "  3  a server cannot be reached\n"
    "  4  a limit was hit\n"
    "  5  a policy was violated\n"
    "  6  internal error\n";

}  // namespace carrel::cli
