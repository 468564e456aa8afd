#include "support/jailed_server.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/time/clock.h"
#include "rpc/address.h"
#include "rpc/client.h"

namespace carrel::testing {
namespace {

// An ordinary user that no machine has.
constexpr uid_t kOrdinaryUser = 12345;
constexpr absl::Duration kStopMax = absl::Seconds(20);

// Root becomes an ordinary user in a mount namespace of its own, where executables and runtimes are shown below the
// test's directory: the checkout may lie in root's home, where that user cannot go.
constexpr char kAsOrdinaryUser[] = R"sh(
set -e
top=$1 bin=$2 share=$3 uid=$4
shift 4
mount --make-rprivate /
mkdir -p "$top/bin" "$top/share/carrel"
mount --bind "$bin" "$top/bin"
for file in $(cd "$share" && find . -mindepth 3 -maxdepth 3 -path './*/*/*'); do
  mkdir -p "$top/share/carrel/${file%/*}"
  if [ -d "$share/$file" ]; then
    mkdir -p "$top/share/carrel/$file"
    mount --bind "$(realpath "$share/$file")" "$top/share/carrel/$file"
  else
    install -m 644 "$share/$file" "$top/share/carrel/$file"
  fi
done
exec setpriv --pdeathsig KILL --reuid "$uid" --regid "$uid" --clear-groups "$@"
)sh";

std::vector<std::string> CommandOf(const JailedServerOptions& options, const std::string& top, const std::string& data,
                                   const std::string& socket) {
  const bool as_other = options.tier == Tier::kUserns && geteuid() == 0;
  const std::string bin = as_other ? top + "/bin" : CARREL_BIN;
  std::vector<std::string> argv;
  if (as_other) {
    argv = {
        "/usr/bin/unshare",           "--mount", "/bin/sh", "-c", kAsOrdinaryUser, "sh", top, CARREL_BIN, CARREL_SHARE,
        std::to_string(kOrdinaryUser)};
  }
  argv.insert(argv.end(), {bin + "/carrel-jailer", "--server", bin + "/" + options.server, "--data-dir", data});
  if (options.tier == Tier::kUserns) {
    argv.insert(argv.end(), {"--tier", "userns", "--allow-no-cgroup"});
  } else {
    argv.insert(argv.end(), {"--tier", "full"});
  }
  argv.insert(argv.end(), {"--", "--data", data, "--listen", "unix:" + socket, "--set", "log.level=warning", "--set",
                           "rpc.drain_ms=500",
                           // Whoever counts processes counts those of sessions.
                           "--set", "interpreter.pool_size=0"});
  argv.insert(argv.end(), options.server_arguments.begin(), options.server_arguments.end());
  return argv;
}

}  // namespace

absl::StatusOr<std::unique_ptr<JailedServer>> JailedServer::Start(const JailedServerOptions& options) {
  if (options.tier == Tier::kFull && geteuid() != 0) {
    return absl::FailedPreconditionError("the tier full needs root");
  }
  auto watch = std::make_unique<LeftoverWatch>();
  absl::StatusOr<TempDir> directory = TempDir::Create();
  if (!directory.ok()) return directory.status();
  const std::string top = directory->path();
  const std::string data = top + "/data";
  const std::string socket = data + "/" + options.socket;
  // The server has another uid and must be able to pass through.
  if (chmod(top.c_str(), 0755) != 0 || mkdir(data.c_str(), 0700) != 0) return absl::ErrnoToStatus(errno, data);
  if (options.tier == Tier::kUserns && geteuid() == 0 && chown(data.c_str(), kOrdinaryUser, kOrdinaryUser) != 0) {
    return absl::ErrnoToStatus(errno, data);
  }
  SpawnOptions spawn;
  spawn.argv = CommandOf(options, top, data, socket);
  // A test that is killed leaves no server.
  spawn.dies_with_parent = true;
  absl::StatusOr<ChildProcess> jailer = ChildProcess::Spawn(spawn);
  if (!jailer.ok()) return jailer.status();
  auto server = std::unique_ptr<JailedServer>(
      new JailedServer(std::move(watch), *std::move(directory), *std::move(jailer), socket));
  const rpc::Address address{.kind = rpc::Address::Kind::kUnix, .path = socket};
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = rpc::MakeChannel({.address = address});
  if (!channel.ok()) return channel.status();
  server->channel_ = *std::move(channel);
  const absl::Time deadline = absl::Now() + options.start_max;
  while (true) {
    if (const auto end = server->jailer_.Wait(absl::ZeroDuration())) {
      return absl::UnavailableError("carrel-jailer " + Describe(*end) + " before its server answered");
    }
    if (access(socket.c_str(), F_OK) == 0 && rpc::CheckHealth(server->channel_, "", absl::Seconds(1)).ok()) {
      return server;
    }
    if (absl::Now() > deadline) return absl::UnavailableError("the server does not answer");
    absl::SleepFor(absl::Milliseconds(20));
  }
}

std::string JailedServer::Stop() {
  if (stopped_) return "";
  stopped_ = true;
  jailer_.Signal(SIGTERM).IgnoreError();
  std::string left;
  if (!jailer_.Wait(kStopMax)) {
    left = "carrel-jailer did not end at SIGTERM\n";
    jailer_.Signal(SIGKILL).IgnoreError();
    static_cast<void>(jailer_.Wait(kStopMax));
  }
  return left + watch_->Find(jailer_.pid(), absl::Seconds(5));
}

std::string JailedServer::Kill() {
  if (stopped_) return "";
  stopped_ = true;
  jailer_.Signal(SIGKILL).IgnoreError();
  static_cast<void>(jailer_.Wait(kStopMax));
  return watch_->Find(jailer_.pid(), absl::Seconds(5));
}

JailedServer::~JailedServer() { static_cast<void>(Stop()); }

}  // namespace carrel::testing
