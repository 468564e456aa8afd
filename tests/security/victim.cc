#include "victim.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"

namespace carrel::testing {

namespace {

// The key as the head has it for this tier: the most special one that is there.
std::string KeyFor(const std::multimap<std::string, std::string>& head, const std::string& key, Tier tier) {
  std::vector<std::string> prefixes;
  if (tier == Tier::kConfined) prefixes = {"confined-", "userns-"};
  if (tier == Tier::kUserns) prefixes = {"userns-"};
  for (const std::string& prefix : prefixes) {
    // A state that was not said for another verdict is not known.
    if (head.contains(prefix + key) || (key == "state" && head.contains(prefix + "verdict"))) return prefix + key;
  }
  return key;
}

}  // namespace

std::vector<std::string> Victim::All(const std::string& key, Tier tier) const {
  std::vector<std::string> values;
  const auto [first, last] = head.equal_range(KeyFor(head, key, tier));
  for (auto entry = first; entry != last; ++entry) values.push_back(entry->second);
  return values;
}

std::optional<std::string> Victim::One(const std::string& key, Tier tier) const {
  const auto entry = head.find(KeyFor(head, key, tier));
  return entry == head.end() ? std::nullopt : std::optional(entry->second);
}

bool Victim::RunsIn(Tier tier) const {
  const auto tiers = head.find("tiers");
  if (tiers == head.end()) return true;
  std::istringstream words(tiers->second);
  const std::string own = absl::AsciiStrToLower(NameOf(tier));
  for (std::string word; words >> word;) {
    if (word == own) return true;
  }
  return false;
}

std::vector<Victim> LoadVictims(const std::string& directory) {
  std::vector<Victim> victims;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string extension = entry.path().extension();
    if (extension != ".py" && extension != ".sh") continue;
    Victim victim{.name = entry.path().stem(), .runtime = extension == ".sh" ? "bash" : "python"};
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
