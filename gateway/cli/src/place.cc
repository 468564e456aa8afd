#include "cli/place.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/time/time.h"
#include "strings.h"

namespace carrel::cli {
namespace {

// A server that is there answers at once; one that starts gets this long.
constexpr absl::Duration kConnectMax = absl::Seconds(10);

std::string HomeDir() {
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return home;
  // No other thread runs yet that could ask the same.
  const passwd* entry = ::getpwuid(::geteuid());  // NOLINT(concurrency-mt-unsafe)
  return entry != nullptr ? entry->pw_dir : "/";
}

std::string ChooseDataDir(const CommonOptions& options) {
  if (!options.data_dir.empty()) return options.data_dir;
  const char* named = std::getenv("CARREL_DATA");
  if (named != nullptr && named[0] != '\0') return named;
  return ::geteuid() == 0 ? "/var/lib/carrel" : HomeDir() + "/.local/share/carrel";
}

absl::StatusOr<std::vector<config::Setting>> ReadSettings(const std::vector<std::string>& texts) {
  std::vector<config::Setting> settings;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError(StrCat("--set wants section.key=value, not ", text));
    }
    settings.push_back({.key = text.substr(0, equals), .value = text.substr(equals + 1)});
  }
  return settings;
}

}  // namespace

absl::StatusOr<Place> FindPlace(const CommonOptions& options) {
  auto settings = ReadSettings(options.settings);
  if (!settings.ok()) return settings.status();
  auto config = config::Load(
      {.file = options.config_file, .environment = config::ProcessEnvironment(), .flags = *std::move(settings)});
  if (!config.ok()) return config.status();
  std::error_code error;
  // Absolute, because the servers have another working directory; links on the way are resolved by the kernel.
  const std::filesystem::path data = std::filesystem::absolute(ChooseDataDir(options), error).lexically_normal();
  if (error) return absl::InvalidArgumentError(StrCat("--data ", options.data_dir, ": ", error.message()));
  std::string text = data.string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return Place{.data_dir = std::move(text), .config = *std::move(config)};
}

std::string_view NameOf(Part part) { return part == Part::kInterpreter ? "interpreter" : "retrieval"; }

namespace {

absl::StatusOr<rpc::Address> ConfiguredOr(const Place& place, Part part, std::string_view socket) {
  const std::string& listen =
      part == Part::kInterpreter ? place.config.interpreter.listen : place.config.retrieval.listen;
  return rpc::ParseAddress(listen.empty() ? StrCat("unix:", place.data_dir, "/run/", NameOf(part), socket) : listen);
}

}  // namespace

absl::StatusOr<rpc::Address> AddressOf(const Place& place, Part part) { return ConfiguredOr(place, part, ".sock"); }

absl::StatusOr<rpc::Address> ListenAddressOf(const Place& place, Part part) {
  return ConfiguredOr(place, part, "/grpc.sock");
}

std::string DataDirOf(const Place& place, Part part) { return StrCat(place.data_dir, "/", NameOf(part)); }

absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const Place& place, Part part) {
  auto address = AddressOf(place, part);
  if (!address.ok()) return address.status();
  const config::RpcConfig& rpc = place.config.rpc;
  auto channel = rpc::MakeChannel(
      {.address = *address,
       .tls = {.cert_file = rpc.tls_cert_file, .key_file = rpc.tls_key_file, .ca_file = rpc.tls_ca_file},
       .token_file = rpc.token_file});
  if (!channel.ok()) return channel;
  if (auto status = rpc::WaitUntilConnected(**channel, *address, kConnectMax); !status.ok()) return status;
  return channel;
}

absl::StatusOr<std::string> ProgramBeside(std::string_view name) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return absl::InternalError(StrCat("/proc/self/exe: ", error.message()));
  const std::string path = (self.parent_path() / name).string();
  if (::access(path.c_str(), X_OK) != 0) {
    return absl::NotFoundError(StrCat(path, " is not there or cannot be executed: is Carrel installed whole?"));
  }
  return path;
}

}  // namespace carrel::cli
