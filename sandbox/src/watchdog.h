// What stands in for the memory cgroup where there is none: somebody who counts.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "session.h"

namespace carrel::sandbox {

inline constexpr int kWatchdogPeriodMillis = 50;

// Bytes that the session's processes and its tmpfs hold now. Pages that several processes share count once. Where the
// exact number is dear and an upper bound already lies below `enough`, gives that bound.
[[nodiscard]] uint64_t MeasureSession(const Session& session, uint64_t enough);

}  // namespace carrel::sandbox
