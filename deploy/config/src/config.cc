#include "config/config.h"

#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "schema.h"
#include "strings.h"

namespace carrel::config {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;
constexpr size_t kUidsMax = 64;
constexpr size_t kMapEntriesMax = 1000;
constexpr size_t kMapTextBytesMax = 256;

// "carrel.toml:12", "the environment", "--set": where a value came from, for its complaint.
absl::Status Refuse(std::string_view where, std::string_view what) {
  return absl::InvalidArgumentError(StrCat(where, ": ", what));
}

std::string DidYouMean(std::string_view word, const std::vector<std::string_view>& known) {
  const std::string_view nearest = Nearest(word, known);
  return nearest.empty() ? StrCat(" (there are: ", Join(known, ", "), ")")
                         : StrCat("; did you mean \"", nearest, "\"?");
}

std::vector<std::string_view> SectionNames() {
  std::vector<std::string_view> names;
  for (const Key& key : Keys()) {
    if (names.empty() || names.back() != key.section) names.push_back(key.section);
  }
  return names;
}

std::vector<std::string_view> KeyNames(std::string_view section) {
  std::vector<std::string_view> names;
  for (const Key& key : Keys()) {
    if (key.section == section) names.push_back(key.name);
  }
  return names;
}

absl::StatusOr<const Key*> RequireKey(std::string_view where, std::string_view section, std::string_view name) {
  if (!IsSection(section)) {
    return Refuse(where, StrCat("unknown section [", section, "]", DidYouMean(section, SectionNames())));
  }
  const Key* key = FindKey(section, name);
  if (key == nullptr) {
    return Refuse(where, StrCat("unknown key \"", name, "\" in [", section, "]", DidYouMean(name, KeyNames(section))));
  }
  return key;
}

std::string FullName(const Key& key) { return StrCat(key.section, ".", key.name); }

absl::Status SetNumber(Config& config, const Key& key, std::string_view where, uint64_t value) {
  const auto& number = std::get<NumberKey>(key.type);
  if (value < number.min || value > number.max) {
    return Refuse(where, StrCat(FullName(key), " is ", value, ": expected ", number.min, " to ", number.max));
  }
  number.at(config) = value;
  return absl::OkStatus();
}

absl::Status SetText(Config& config, const Key& key, std::string_view where, std::string value) {
  const auto& text = std::get<TextKey>(key.type);
  if (!text.choices.empty() && std::find(text.choices.begin(), text.choices.end(), value) == text.choices.end()) {
    return Refuse(where, StrCat(FullName(key), " is \"", value, "\": expected one of ", Join(text.choices, ", ")));
  }
  if (text.is_absolute_path && !value.empty() && !value.starts_with('/')) {
    return Refuse(where, StrCat(FullName(key), " is \"", value, "\": expected an absolute path, or nothing"));
  }
  if (value.find('\0') != std::string::npos) return Refuse(where, StrCat(FullName(key), " holds a NUL byte"));
  text.at(config) = std::move(value);
  return absl::OkStatus();
}

absl::Status SetUids(Config& config, const Key& key, std::string_view where, const std::vector<uint64_t>& uids) {
  if (uids.size() > kUidsMax) {
    return Refuse(where, StrCat(FullName(key), " has ", uids.size(), " entries: at most ", kUidsMax));
  }
  std::vector<uint32_t> values;
  for (const uint64_t uid : uids) {
    if (uid >= UINT32_MAX) return Refuse(where, StrCat(FullName(key), " holds ", uid, ", which is no uid"));
    values.push_back(static_cast<uint32_t>(uid));
  }
  std::get<UidListKey>(key.type).at(config) = std::move(values);
  return absl::OkStatus();
}

absl::Status SetMap(Config& config, const Key& key, std::string_view where, std::map<std::string, std::string> map) {
  if (map.size() > kMapEntriesMax) {
    return Refuse(where, StrCat(FullName(key), " has ", map.size(), " entries: at most ", kMapEntriesMax));
  }
  for (const auto& [name, value] : map) {
    const bool good = !name.empty() && !value.empty() && name.size() <= kMapTextBytesMax &&
                      value.size() <= kMapTextBytesMax &&
                      // What flags and the environment could not say.
                      (name + value).find_first_of(std::string_view("\0,=", 3)) == std::string::npos;
    if (!good) {
      return Refuse(where, StrCat(FullName(key), " has the entry \"", name.substr(0, kMapTextBytesMax),
                                  "\": expected texts of 1 to ", kMapTextBytesMax, " bytes without , and ="));
    }
  }
  std::get<MapKey>(key.type).at(config) = std::move(map);
  return absl::OkStatus();
}

// "a=b,c=d"
absl::Status SetMapFromText(Config& config, const Key& key, std::string_view where, std::string_view text) {
  std::map<std::string, std::string> map;
  for (const absl::string_view entry : absl::StrSplit(Absl(text), ',', absl::SkipWhitespace())) {
    const size_t equals = entry.find('=');
    if (equals == absl::string_view::npos) {
      return Refuse(where, StrCat(FullName(key), " has \"", entry, "\": expected NAME=NAME, separated by commas"));
    }
    map[std::string(absl::StripAsciiWhitespace(entry.substr(0, equals)))] =
        std::string(absl::StripAsciiWhitespace(entry.substr(equals + 1)));
  }
  return SetMap(config, key, where, std::move(map));
}

// A value as it is written in the environment or in a flag.
absl::Status SetFromText(Config& config, const Key& key, std::string_view where, std::string_view text) {
  if (std::holds_alternative<TextKey>(key.type)) return SetText(config, key, where, std::string(text));
  if (std::holds_alternative<MapKey>(key.type)) return SetMapFromText(config, key, where, text);
  if (const auto* flag = std::get_if<FlagKey>(&key.type)) {
    if (text != "true" && text != "false") {
      return Refuse(where, StrCat(FullName(key), " is \"", text, "\": expected true or false"));
    }
    flag->at(config) = text == "true";
    return absl::OkStatus();
  }
  const bool list = std::holds_alternative<UidListKey>(key.type);
  std::vector<uint64_t> numbers;
  for (const absl::string_view part : absl::StrSplit(Absl(text), ',', absl::SkipEmpty())) {
    uint64_t number = 0;
    if (!absl::SimpleAtoi(part, &number)) {
      return Refuse(where, StrCat(FullName(key), " is \"", text, "\": expected ",
                                  list ? "whole numbers, separated by commas" : "a whole number"));
    }
    numbers.push_back(number);
  }
  if (list) return SetUids(config, key, where, numbers);
  if (numbers.size() != 1) {
    return Refuse(where, StrCat(FullName(key), " is \"", text, "\": expected a whole number"));
  }
  return SetNumber(config, key, where, numbers.front());
}

absl::Status SetFromToml(Config& config, const Key& key, std::string_view where, const toml::node& node) {
  if (std::holds_alternative<TextKey>(key.type)) {
    if (const auto* text = node.as_string()) return SetText(config, key, where, text->get());
    return Refuse(where, StrCat(FullName(key), " must be a text in quotes"));
  }
  if (const auto* flag = std::get_if<FlagKey>(&key.type)) {
    const auto* value = node.as_boolean();
    if (value == nullptr) return Refuse(where, StrCat(FullName(key), " must be true or false"));
    flag->at(config) = value->get();
    return absl::OkStatus();
  }
  if (std::holds_alternative<NumberKey>(key.type)) {
    const auto* value = node.as_integer();
    if (value == nullptr || value->get() < 0) {
      return Refuse(where, StrCat(FullName(key), " must be a whole number, 0 or more"));
    }
    return SetNumber(config, key, where, static_cast<uint64_t>(value->get()));
  }
  if (std::holds_alternative<MapKey>(key.type)) {
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      return Refuse(where,
                    StrCat(FullName(key), " must be a table: [", FullName(key), "] with a line NAME = \"NAME\" each"));
    }
    std::map<std::string, std::string> map;
    for (const auto& [name, value] : *table) {
      const auto* text = value.as_string();
      if (text == nullptr) return Refuse(where, StrCat(FullName(key), ".", name.str(), " must be a text in quotes"));
      map[std::string(name.str())] = text->get();
    }
    return SetMap(config, key, where, std::move(map));
  }
  const auto* list = node.as_array();
  std::vector<uint64_t> uids;
  bool good = list != nullptr;
  if (good) {
    for (const toml::node& item : *list) {
      const auto* value = item.as_integer();
      good = good && value != nullptr && value->get() >= 0;
      if (good) uids.push_back(static_cast<uint64_t>(value->get()));
    }
  }
  if (!good) return Refuse(where, StrCat(FullName(key), " must be a list of user numbers, such as [1000]"));
  return SetUids(config, key, where, uids);
}

std::string Where(const std::string& file, const toml::source_region& source) {
  return StrCat(file, ":", source.begin.line);
}

absl::Status ApplyTable(Config& config, const std::string& file, const toml::table& table) {
  for (const auto& [section, node] : table) {
    const std::string where = Where(file, section.source());
    const toml::table* keys = node.as_table();
    if (keys == nullptr) {
      return Refuse(where, StrCat("\"", section.str(), "\" stands outside any section: expected one of [",
                                  Join(SectionNames(), "], ["), "]"));
    }
    if (!IsSection(section.str())) return RequireKey(where, section.str(), "").status();
    for (const auto& [name, value] : *keys) {
      const std::string at = Where(file, name.source());
      const auto key = RequireKey(at, section.str(), name.str());
      if (!key.ok()) return key.status();
      if (auto status = SetFromToml(config, **key, at, value); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::Status ApplyFile(Config& config, const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::error_code ignored;
  if (!in.is_open() || std::filesystem::is_directory(file, ignored)) {
    return absl::InvalidArgumentError(StrCat("the configuration ", file, " cannot be read"));
  }
  std::string text(kFileBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kFileBytesMax) {
    return absl::InvalidArgumentError(StrCat("the configuration ", file, " has more than 1 MiB"));
  }
  try {
    return ApplyTable(config, file, toml::parse(text, file));
  } catch (const toml::parse_error& error) {
    return Refuse(Where(file, error.source()), error.description());
  }
}

// CARREL_<SECTION>_<KEY>=value. Variables of no section of ours (CARREL_DATA, CARREL_URL) are somebody else's business.
absl::Status ApplyEnvironment(Config& config, const std::vector<std::string>& environment) {
  for (const std::string& entry : environment) {
    const size_t equals = entry.find('=');
    if (equals == std::string::npos || !entry.starts_with("CARREL_")) continue;
    const std::string variable = entry.substr(0, equals);
    const std::string lower = absl::AsciiStrToLower(variable.substr(7));
    for (const std::string_view section : SectionNames()) {
      if (!lower.starts_with(StrCat(section, "_"))) continue;
      const std::string where = StrCat("environment ", variable);
      const auto key = RequireKey(where, section, std::string_view(lower).substr(section.size() + 1));
      if (!key.ok()) return key.status();
      if (auto status = SetFromText(config, **key, where, std::string_view(entry).substr(equals + 1)); !status.ok()) {
        return status;
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ApplyFlags(Config& config, const std::vector<Setting>& flags) {
  for (const Setting& setting : flags) {
    const std::string where = StrCat("flag ", setting.key);
    const auto [section, name] =
        std::pair<std::string, std::string>(absl::StrSplit(setting.key, absl::MaxSplits('.', 1)));
    const auto key = RequireKey(where, section, name);
    if (!key.ok()) return key.status();
    if ((*key)->secret) return Refuse(where, "a secret is given by the environment or by a file, never by a flag");
    if (auto status = SetFromText(config, **key, where, setting.value); !status.ok()) return status;
  }
  return absl::OkStatus();
}

std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      StrAppend(&quoted, "\\u", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad4));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string ValueText(const Key& key, Config& config) {
  // That there is none is no secret.
  if (key.secret && !std::get<TextKey>(key.type).at(config).empty()) return "\"<redacted>\"";
  if (const auto* text = std::get_if<TextKey>(&key.type)) return Quote(text->at(config));
  if (const auto* number = std::get_if<NumberKey>(&key.type)) return StrCat(number->at(config));
  if (const auto* flag = std::get_if<FlagKey>(&key.type)) return flag->at(config) ? "true" : "false";
  if (const auto* map = std::get_if<MapKey>(&key.type)) {
    std::vector<std::string> entries;
    for (const auto& [name, value] : map->at(config)) entries.push_back(StrCat(Quote(name), " = ", Quote(value)));
    return entries.empty() ? "{}" : StrCat("{ ", Join(entries, ", "), " }");
  }
  return StrCat("[", Join(std::get<UidListKey>(key.type).at(config), ", "), "]");
}

// As SetFromText reads it.
std::string FlagText(const Key& key, Config& config) {
  if (const auto* text = std::get_if<TextKey>(&key.type)) return text->at(config);
  if (const auto* uids = std::get_if<UidListKey>(&key.type)) return Join(uids->at(config), ",");
  if (const auto* map = std::get_if<MapKey>(&key.type)) {
    std::vector<std::string> entries;
    for (const auto& [name, value] : map->at(config)) entries.push_back(StrCat(name, "=", value));
    return Join(entries, ",");
  }
  return ValueText(key, config);
}

}  // namespace

absl::StatusOr<Config> Load(const LoadOptions& options) {
  Config config;
  if (!options.file.empty()) {
    if (auto status = ApplyFile(config, options.file); !status.ok()) return status;
  }
  if (auto status = ApplyEnvironment(config, options.environment); !status.ok()) return status;
  if (auto status = ApplyFlags(config, options.flags); !status.ok()) return status;
  return config;
}

std::vector<std::string> ProcessEnvironment() {
  std::vector<std::string> entries;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) entries.emplace_back(*entry);
  return entries;
}

std::vector<Setting> Changed(const Config& config) {
  Config copy = config;
  Config defaults;
  std::vector<Setting> settings;
  for (const Key& key : Keys()) {
    if (key.secret) continue;  // never on a command line, which everybody can read
    std::string value = FlagText(key, copy);
    if (value != FlagText(key, defaults)) settings.push_back({FullName(key), std::move(value)});
  }
  return settings;
}

std::string Print(const Config& config) {
  Config copy = config;
  std::string text;
  std::string_view section;
  for (const Key& key : Keys()) {
    if (key.section != section) {
      StrAppend(&text, section.empty() ? "[" : "\n[", key.section, "]\n");
      section = key.section;
    }
    StrAppend(&text, key.name, " = ", ValueText(key, copy), "\n");
  }
  return text;
}

}  // namespace carrel::config
