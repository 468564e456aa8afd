#include "mappings.h"

#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace carrel::interpreter {

std::optional<std::vector<Mapping>> ReadMappings() {
  std::FILE* maps = std::fopen("/proc/self/maps", "re");
  if (maps == nullptr) return std::nullopt;
  std::vector<Mapping> mappings;
  std::array<char, 4096> line;
  while (std::fgets(line.data(), line.size(), maps) != nullptr) {
    Mapping mapping;
    std::array<char, 5> rights{};
    if (std::sscanf(line.data(), "%" SCNxPTR "-%" SCNxPTR " %4s", &mapping.start, &mapping.end, rights.data()) != 3) {
      continue;
    }
    mapping.own_writable = rights[1] == 'w' && rights[3] == 'p';
    mapping.heap = std::strstr(line.data(), "[heap]") != nullptr;
    mappings.push_back(mapping);
  }
  std::fclose(maps);
  return mappings;
}

}  // namespace carrel::interpreter
