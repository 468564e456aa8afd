#include "cli/console.h"

#include <gtest/gtest.h>

#include "cli/exit_code.h"

namespace carrel::cli {
namespace {

TEST(SafeText, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(SafeText("a\x1b]52;c;x\x07z", true), "a\\x1b]52;c;x\\x07z");
  EXPECT_EQ(SafeText("line\nnext\ttab", true), "line\nnext\ttab");
  EXPECT_EQ(SafeText("line\nnext", false), "line\\x0anext");
  EXPECT_EQ(SafeText("\xC2\x9B"
                     "31m",
                     true),
            "\\x9b31m");
  EXPECT_EQ(SafeText("\x7F", true), "\\x7f");
  EXPECT_EQ(SafeText("grün ⟨∅⟩", false), "grün ⟨∅⟩");
}

TEST(HumanBytes, UsesDecimalUnits) {
  EXPECT_EQ(HumanBytes(0), "0 bytes");
  EXPECT_EQ(HumanBytes(1), "1 byte");
  EXPECT_EQ(HumanBytes(999), "999 bytes");
  EXPECT_EQ(HumanBytes(1500), "1.5 kB");
  EXPECT_EQ(HumanBytes(12'300'000), "12.3 MB");
}

TEST(ExitCode, OfEveryOutcome) {
  const auto code = [](interpreter::v1::OutcomeKind kind, int exit_code = 0) {
    interpreter::v1::Outcome outcome;
    outcome.set_kind(kind);
    outcome.set_exit_code(exit_code);
    return ToInt(ExitCodeOf(outcome));
  };
  EXPECT_EQ(code(interpreter::v1::COMPLETED), 0);
  EXPECT_EQ(code(interpreter::v1::EXITED, 0), 0);
  EXPECT_EQ(code(interpreter::v1::EXITED, 3), 1);
  EXPECT_EQ(code(interpreter::v1::RAISED), 1);
  EXPECT_EQ(code(interpreter::v1::SIGNALLED), 1);
  EXPECT_EQ(code(interpreter::v1::CANCELLED), 1);
  EXPECT_EQ(code(interpreter::v1::TIME_LIMIT), 4);
  EXPECT_EQ(code(interpreter::v1::CPU_LIMIT), 4);
  EXPECT_EQ(code(interpreter::v1::MEMORY_LIMIT), 4);
  EXPECT_EQ(code(interpreter::v1::OUTPUT_LIMIT), 4);
  EXPECT_EQ(code(interpreter::v1::FILE_LIMIT), 4);
  EXPECT_EQ(code(interpreter::v1::PROCESS_LIMIT), 4);
  EXPECT_EQ(code(interpreter::v1::DENIED_SYSCALL), 5);
  EXPECT_EQ(code(interpreter::v1::INTERNAL), 6);
  EXPECT_EQ(code(interpreter::v1::OUTCOME_KIND_UNSPECIFIED), 6);
}

TEST(ExitCode, OfErrors) {
  EXPECT_EQ(ToInt(ExitCodeOf(absl::OkStatus())), 0);
  EXPECT_EQ(ToInt(ExitCodeOf(absl::InvalidArgumentError(""))), 2);
  EXPECT_EQ(ToInt(ExitCodeOf(absl::NotFoundError(""))), 2);
  EXPECT_EQ(ToInt(ExitCodeOf(absl::UnavailableError(""))), 3);
  EXPECT_EQ(ToInt(ExitCodeOf(absl::UnauthenticatedError(""))), 3);
  EXPECT_EQ(ToInt(ExitCodeOf(absl::ResourceExhaustedError(""))), 4);
  EXPECT_EQ(ToInt(ExitCodeOf(absl::PermissionDeniedError(""))), 5);
  EXPECT_EQ(ToInt(ExitCodeOf(absl::InternalError(""))), 6);
}

}  // namespace
}  // namespace carrel::cli
