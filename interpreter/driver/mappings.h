// What this process has mapped, as the kernel lists it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace carrel::interpreter {

struct Mapping {
  uintptr_t start = 0;
  uintptr_t end = 0;
  bool own_writable = false;  // writable, and a write to it is seen by nobody else
  bool heap = false;          // the part of it that brk(2) gave
};

// In the order of their addresses. nullopt: /proc cannot be read.
[[nodiscard]] std::optional<std::vector<Mapping>> ReadMappings();

}  // namespace carrel::interpreter
