#include "victim.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace carrel::testing {

std::vector<std::string> Victim::All(const std::string& key) const {
  std::vector<std::string> values;
  const auto [first, last] = head.equal_range(key);
  for (auto entry = first; entry != last; ++entry) values.push_back(entry->second);
  return values;
}

std::optional<std::string> Victim::One(const std::string& key) const {
  const auto entry = head.find(key);
  return entry == head.end() ? std::nullopt : std::optional(entry->second);
}

std::vector<Victim> LoadVictims(const std::string& directory) {
  std::vector<Victim> victims;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() != ".py") continue;
    Victim victim{.name = entry.path().stem()};
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    victim.code = text.str();
    std::istringstream lines(victim.code);
    std::string line;
    while (std::getline(lines, line) && line.starts_with("# ")) {
      const size_t colon = line.find(": ");
      if (colon != std::string::npos) victim.head.emplace(line.substr(2, colon - 2), line.substr(colon + 2));
    }
    victims.push_back(std::move(victim));
  }
  std::sort(victims.begin(), victims.end(), [](const Victim& a, const Victim& b) { return a.name < b.name; });
  return victims;
}

}  // namespace carrel::testing
