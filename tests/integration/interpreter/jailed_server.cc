#include "tests/integration/interpreter/jailed_server.h"

#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>
#include <utility>

#include "carrel/interpreter/v1/code_interpreter.grpc.pb.h"

namespace carrel::testing {
namespace {

constexpr absl::Duration kStartMax = absl::Seconds(60);

bool Ready(const std::string& address) {
  const auto stub =
      interpreter::v1::CodeInterpreter::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
  interpreter::v1::Capabilities capabilities;
  if (!stub->GetCapabilities(&context, {}, &capabilities).ok()) return false;
  for (const auto& runtime : capabilities.runtimes()) {
    if (runtime.name() == "python" && runtime.ready()) return true;
  }
  return false;
}

}  // namespace

std::string JailedServer::BuiltRuntimes() { return std::string(CARREL_SHARE) + "/runtimes"; }

absl::StatusOr<std::unique_ptr<JailedServer>> JailedServer::Start(const std::vector<std::string>& server_arguments,
                                                                  const std::vector<std::string>& jailer_arguments,
                                                                  const std::vector<std::string>& runtimes) {
  absl::StatusOr<TempDir> directory = TempDir::Create();
  if (!directory.ok()) return directory.status();
  // The server's user must be able to pass through.
  if (::chmod(directory->path().c_str(), 0755) != 0) return absl::InternalError("chmod");
  const std::string data = directory->path() + "/data";
  std::filesystem::create_directory(data);
  const std::string bin = CARREL_BIN;
  const char* tier = std::getenv("CARREL_TEST_TIER");
  SpawnOptions spawn;
  spawn.argv = {
      bin + "/carrel-jailer", "--server", bin + "/carrel-interpreter", "--tier", tier != nullptr ? tier : "auto",
      "--data-dir",           data};
  for (const std::string& runtime : runtimes) spawn.argv.insert(spawn.argv.end(), {"--runtimes", runtime});
  // An ordinary user has no memory cgroup where cgroups are v1.
  if (::geteuid() != 0) spawn.argv.emplace_back("--allow-no-cgroup");
  spawn.argv.insert(spawn.argv.end(), jailer_arguments.begin(), jailer_arguments.end());
  spawn.argv.insert(spawn.argv.end(), {"--", "--data", data, "--set", "log.level=warning"});
  spawn.argv.insert(spawn.argv.end(), server_arguments.begin(), server_arguments.end());
  absl::StatusOr<ChildProcess> jailer = ChildProcess::Spawn(spawn);
  if (!jailer.ok()) return jailer.status();
  auto server =
      std::unique_ptr<JailedServer>(new JailedServer(*std::move(directory), std::move(spawn.argv), *std::move(jailer)));
  if (absl::Status ready = server->AwaitReady(); !ready.ok()) return ready;
  return server;
}

absl::Status JailedServer::AwaitReady() {
  const absl::Time deadline = absl::Now() + kStartMax;
  while (!Ready(address())) {
    if (const auto end = jailer_.Wait(absl::ZeroDuration())) {
      return absl::UnavailableError("carrel-jailer " + Describe(*end));
    }
    if (absl::Now() > deadline) return absl::UnavailableError("the runtime did not become ready");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return absl::OkStatus();
}

absl::Status JailedServer::KillAndRestart() {
  jailer_.Signal(SIGKILL).IgnoreError();
  if (!jailer_.Wait(absl::Seconds(20))) return absl::UnavailableError("the jailer did not die");
  SpawnOptions spawn;
  spawn.argv = arguments_;
  absl::StatusOr<ChildProcess> jailer = ChildProcess::Spawn(spawn);
  if (!jailer.ok()) return jailer.status();
  jailer_ = *std::move(jailer);
  return AwaitReady();
}

}  // namespace carrel::testing
