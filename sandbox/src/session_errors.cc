#include "session_errors.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace carrel::sandbox {

absl::Status EnterError(const EnterReport& report) {
  return absl::UnavailableError(
      absl::StrCat("the jail could not be closed: ", EnterStageName(report.stage), ": ", std::strerror(report.error)));
}

absl::Status SetupFailure(SetupStage stage, int error) {
  if (stage == SetupStage::kDisk && error == ENOSPC) {
    return absl::ResourceExhaustedError(
        "the disk of the workspaces has no room for one of this size; sessions that end make room");
  }
  const char* mend =
      stage == SetupStage::kProc && error == EPERM
          ? " (a container that masks parts of /proc: run it with hostUsers: false and procMount: Unmasked, or do "
            "without one: `proc none` in the runtime's manifest)"
          : "";
  return absl::UnavailableError(
      absl::StrCat("the session could not be set up: ", SetupStageName(stage), ": ", std::strerror(error), mend));
}

}  // namespace carrel::sandbox
