// Why there is no session, in words for who asked for it.
#pragma once

#include "absl/status/status.h"
#include "nursery_protocol.h"
#include "sandbox/enter.h"

namespace carrel::sandbox {

inline constexpr char kNoDescriptors[] =
    "the jailer has no descriptor left for it (RLIMIT_NOFILE); try again when sessions have ended";

[[nodiscard]] absl::Status EnterError(const EnterReport& report);
[[nodiscard]] absl::Status SetupFailure(SetupStage stage, int error);

}  // namespace carrel::sandbox
