#include "config/server_flags.h"

#include <iostream>
#include <map>
#include <utility>

#include "strings.h"

namespace carrel::config {
namespace {

constexpr int kUsageError = 2;

constexpr std::string_view kHelp =
    "  --config FILE      TOML configuration; --print-config shows every key\n"
    "  --listen ADDRESS   unix:PATH or HOST:PORT (TCP needs mutual TLS or a token)\n"
    "  --data DIR         where its data is\n"
    "  --set KEY=VALUE    a key of the configuration, such as rpc.drain_ms=5000; may be repeated\n"
    "  --check-config     check the configuration and exit (0: good, 2: not)\n"
    "  --print-config     print the configuration in force and exit\n"
    "  --help, --version\n";

// Flags as given, before they mean anything.
struct RawFlags {
  std::map<std::string, std::string, std::less<>> values;
  std::vector<Setting> settings;
  std::string complaint;
};

RawFlags ReadArgv(int argc, const char* const* argv) {
  RawFlags raw;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string name(argument.substr(0, equals));
    if (name == "--help" || name == "--version" || name == "--check-config" || name == "--print-config") {
      raw.values[name] = "true";
      continue;
    }
    if (name != "--config" && name != "--listen" && name != "--data" && name != "--set") {
      raw.complaint = StrCat("unknown argument ", argument);
      return raw;
    }
    std::string value;
    if (equals != std::string_view::npos) {
      value = std::string(argument.substr(equals + 1));
    } else if (++i < argc) {
      value = argv[i];
    } else {
      raw.complaint = StrCat(name, " wants a value");
      return raw;
    }
    if (name != "--set") {
      raw.values[name] = value;
      continue;
    }
    const size_t split = value.find('=');
    if (split == std::string::npos) {
      raw.complaint = StrCat("--set wants section.key=value, not ", value);
      return raw;
    }
    raw.settings.push_back({value.substr(0, split), value.substr(split + 1)});
  }
  return raw;
}

ServerFlags Ended(int exit_code) {
  ServerFlags flags;
  flags.exit_code = exit_code;
  return flags;
}

}  // namespace

ServerFlags ParseServerFlags(int argc, const char* const* argv, std::string_view section, std::string_view version) {
  RawFlags raw = ReadArgv(argc, argv);
  const std::string program = StrCat("carrel-", section);
  if (!raw.complaint.empty()) {
    std::cerr << program << ": " << raw.complaint << "\n" << kHelp;
    return Ended(kUsageError);
  }
  if (raw.values.contains("--help")) {
    std::cout << "usage: " << program << " [flags]\n" << kHelp;
    return Ended(0);
  }
  if (raw.values.contains("--version")) {
    std::cout << program << " " << version << "\n";
    return Ended(0);
  }
  auto config = Load({.file = raw.values["--config"], .environment = ProcessEnvironment(), .flags = raw.settings});
  if (!config.ok()) {
    std::cerr << program << ": " << config.status().message() << "\n";
    return Ended(kUsageError);
  }
  if (raw.values.contains("--print-config")) {
    std::cout << Print(*config);
    return Ended(0);
  }
  if (raw.values.contains("--check-config")) return Ended(0);
  ServerFlags flags;
  flags.listen = raw.values["--listen"];
  if (flags.listen.empty()) {
    flags.listen = section == "interpreter" ? config->interpreter.listen
                   : section == "gateway"   ? config->gateway.listen
                                            : config->retrieval.listen;
  }
  flags.data_dir = raw.values["--data"];
  flags.config = *std::move(config);
  return flags;
}

}  // namespace carrel::config
