// The real clock, and ids from the kernel's random numbers.
#pragma once

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "gateway/ports/clock.h"

namespace carrel::gateway {

class SystemClock final : public Clock {
 public:
  absl::Time Now() override;
};

class RandomIds final : public Ids {
 public:
  // 24 characters of base 62; for stores, batches, containers and uploads 32 of hexadecimal, as clients know them.
  std::string New(std::string_view prefix) override;
};

// `count` characters of [A-Za-z0-9], from the kernel.
std::string RandomText(size_t count);

}  // namespace carrel::gateway
