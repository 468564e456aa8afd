#include "cli/exit_code.h"

namespace carrel::cli {

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitCode::kOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kOutOfRange:
      return ExitCode::kUsage;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
      return ExitCode::kUserFailed;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kUnimplemented:
      return ExitCode::kUnreachable;
    case absl::StatusCode::kResourceExhausted:
      return ExitCode::kLimit;
    case absl::StatusCode::kPermissionDenied:
      return ExitCode::kPolicy;
    default:
      return ExitCode::kInternal;
  }
}

ExitCode ExitCodeOf(const interpreter::v1::Outcome& outcome) {
  using interpreter::v1::OutcomeKind;
  switch (outcome.kind()) {
    case OutcomeKind::COMPLETED:
      return ExitCode::kOk;
    case OutcomeKind::EXITED:
      return outcome.exit_code() == 0 ? ExitCode::kOk : ExitCode::kUserFailed;
    case OutcomeKind::RAISED:
    case OutcomeKind::SIGNALLED:
    case OutcomeKind::CANCELLED:
      return ExitCode::kUserFailed;
    case OutcomeKind::TIME_LIMIT:
    case OutcomeKind::CPU_LIMIT:
    case OutcomeKind::MEMORY_LIMIT:
    case OutcomeKind::OUTPUT_LIMIT:
    case OutcomeKind::FILE_LIMIT:
    case OutcomeKind::PROCESS_LIMIT:
      return ExitCode::kLimit;
    case OutcomeKind::DENIED_SYSCALL:
      return ExitCode::kPolicy;
    default:
      return ExitCode::kInternal;
  }
}

}  // namespace carrel::cli
