#include "bench_server.h"

#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "rpc/address.h"
#include "rpc/client.h"
#include "strings.h"

namespace carrel::cli {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kStartMax = absl::Seconds(120);
constexpr auto kPause = std::chrono::milliseconds(5);

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> ConnectTo(const std::string& address, absl::Duration timeout) {
  const auto parsed = rpc::ParseAddress(address);
  if (!parsed.ok()) return parsed.status();
  auto channel = rpc::MakeChannel({.address = *parsed});
  if (!channel.ok()) return channel.status();
  const absl::Status connected = rpc::WaitUntilConnected(**channel, *parsed, timeout);
  if (!connected.ok()) return connected;
  return *std::move(channel);
}

absl::StatusOr<std::unique_ptr<BenchServer>> BenchServer::Start(const Place& place, const BenchServerOptions& options) {
  const auto jailer = ProgramBeside("carrel-jailer");
  if (!jailer.ok()) return jailer.status();
  const auto program = ProgramBeside(options.program);
  if (!program.ok()) return program.status();
  auto directory = TempDir::Create();
  if (!directory.ok()) return directory.status();
  auto server = std::unique_ptr<BenchServer>(new BenchServer());
  server->directory_ = *std::move(directory);
  // The server may be another user, who must be able to pass through.
  if (::chmod(server->directory().c_str(), 0755) != 0) return absl::InternalError("chmod of the temporary directory");
  const std::string data = server->directory() + "/data";
  std::error_code error;
  fs::create_directory(data, error);
  if (error) return absl::InternalError(StrCat(data, ": ", error.message()));
  const fs::path share = fs::path(*jailer).parent_path().parent_path() / "share" / "carrel";
  const std::string address = "unix:" + data + "/bench.sock";
  SpawnOptions spawn;
  spawn.argv = {*jailer,
                "--server",
                *program,
                "--runtimes",
                (share / options.policies).string(),
                "--tier",
                place.config.jail.tier,
                "--data-dir",
                data};
  if (place.config.jail.allow_no_cgroup) spawn.argv.emplace_back("--allow-no-cgroup");
  if (const std::string& workspaces = place.config.interpreter.workspace_directory;
      options.policies == "runtimes" && !workspaces.empty()) {
    spawn.argv.insert(spawn.argv.end(), {"--workspaces", workspaces});
  }
  spawn.argv.insert(spawn.argv.end(), {"--", "--data", data, "--listen", address, "--set", "log.level=warning"});
  for (const std::string& setting : options.settings) spawn.argv.insert(spawn.argv.end(), {"--set", setting});
  for (const config::Setting& setting : config::Changed(place.config)) {
    spawn.argv.insert(spawn.argv.end(), {"--set", StrCat(setting.key, "=", setting.value)});
  }
  spawn.dies_with_parent = true;  // a benchmark that was interrupted leaves no server behind
  server->started_ = absl::Now();
  auto process = ChildProcess::Spawn(spawn);
  if (!process.ok()) return process.status();
  server->jailer_ = *std::move(process);
  while (true) {
    auto channel = ConnectTo(address, absl::Milliseconds(50));
    if (channel.ok()) {
      server->channel_ = *std::move(channel);
      return server;
    }
    if (const auto end = server->jailer_->Wait(absl::ZeroDuration())) {
      return absl::UnavailableError(StrCat("carrel-jailer ", Describe(*end)));
    }
    if (absl::Now() - server->started_ > kStartMax) {
      return absl::UnavailableError("the server did not start in time");
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace carrel::cli
