// Every key of the configuration: its name, where it is kept, and what it may be.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.h"

namespace carrel::config {

struct TextKey {
  std::string& (*at)(Config&);
  std::vector<std::string_view> choices;  // empty: any text
  bool is_absolute_path = false;          // or empty
};
struct NumberKey {
  uint64_t& (*at)(Config&);
  uint64_t min = 0;
  uint64_t max = 0;
};
struct FlagKey {
  bool& (*at)(Config&);
};
struct UidListKey {
  std::vector<uint32_t>& (*at)(Config&);
};

// A table of texts.
struct MapKey {
  std::map<std::string, std::string>& (*at)(Config&);
};

struct Key {
  std::string_view section;
  std::string_view name;
  std::variant<TextKey, NumberKey, FlagKey, UidListKey, MapKey> type;
  // Printed as "<redacted>", refused as a flag, and handed on to children by the environment only.
  bool secret = false;
};

[[nodiscard]] std::span<const Key> Keys();
[[nodiscard]] const Key* FindKey(std::string_view section, std::string_view name);
[[nodiscard]] bool IsSection(std::string_view section);

// The one of `known` that was probably meant, or "".
[[nodiscard]] std::string_view Nearest(std::string_view word, std::span<const std::string_view> known);

}  // namespace carrel::config
