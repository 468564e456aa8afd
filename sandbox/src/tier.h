// How much of the jail a jailer makes.
#pragma once

#include <cstdint>

namespace carrel::sandbox {

enum class Tier : uint8_t {
  kFull,      // root: all layers, a uid for each session
  kUserns,    // anybody with user namespaces: the same, with one uid
  kConfined,  // no namespaces: one session at a time, in directories that are emptied after it
};

[[nodiscard]] constexpr const char* TierName(Tier tier) {
  switch (tier) {
    case Tier::kFull:
      return "full";
    case Tier::kUserns:
      return "userns";
    case Tier::kConfined:
      return "confined";
  }
  return "unknown";
}

}  // namespace carrel::sandbox
