#include "support/jailed_server.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/time/clock.h"
#include "rpc/address.h"
#include "rpc/client.h"

namespace carrel::testing {
namespace {

// An ordinary user that no machine has.
constexpr uid_t kOrdinaryUser = 12345;
// Nor has any machine these; each test has one of its own, because the kernel counts a pod's processes by user.
uid_t PodUser() { return 200'000 + static_cast<uid_t>(getpid()) % 100'000; }
uid_t UserOf(Tier tier) { return tier == Tier::kConfined ? PodUser() : kOrdinaryUser; }
constexpr absl::Duration kStopMax = absl::Seconds(20);

// Shows executables and runtimes below another directory: the checkout may lie in root's home, where an ordinary user
// cannot go, and policies must be files of root's.
constexpr char kShowPrograms[] = R"sh(
set -e
top=$1 bin=$2 share=$3 uid=$4
shift 4
mount --make-rprivate /
show() {
  mkdir -p "$1/bin" "$1/share/carrel"
  mount --bind "$bin" "$1/bin"
  for file in $(cd "$share" && find . -mindepth 3 -maxdepth 3 -path './*/*/*'); do
    mkdir -p "$1/share/carrel/${file%/*}"
    if [ -d "$share/$file" ]; then
      mkdir -p "$1/share/carrel/$file"
      mount --bind "$(realpath "$share/$file")" "$1/share/carrel/$file"
    else
      install -m 644 "$share/$file" "$1/share/carrel/$file"
    fi
  done
}
)sh";

// Root becomes an ordinary user in a mount namespace of its own.
constexpr char kAsOrdinaryUser[] = R"sh(
show "$top"
exec setpriv --pdeathsig KILL --reuid "$uid" --regid "$uid" --clear-groups "$@"
)sh";

// The test's directory lies in /tmp, which the pod has for itself: it is shown below /mnt too.
constexpr char kInPod[] = R"sh(
without=$1 calls=$2
shift 2
mount -t tmpfs -o mode=755 pod /mnt
mkdir /mnt/top /mnt/data
mount --bind "$top" /mnt/top
cp "$without" /mnt/without_calls
# As the image of a pod names its user.
{ cat /etc/passwd; echo "user:x:$uid:$uid::/tmp:/bin/bash"; } >/mnt/passwd
{ cat /etc/group; echo "user:x:$uid:"; } >/mnt/group
mount --bind /mnt/passwd /etc/passwd
mount --bind /mnt/group /etc/group
show /mnt
mount -t tmpfs -o mode=1777,size=64m,nr_inodes=64k pod /mnt/data
mount -t tmpfs -o mode=1777,size=64m,nr_inodes=64k pod /dev/shm
mount -t tmpfs -o mode=1777,size=64m,nr_inodes=64k pod /tmp
cd /
exec setpriv --pdeathsig KILL --reuid "$uid" --regid "$uid" --clear-groups --inh-caps=-all --bounding-set=-all \
  --no-new-privs /mnt/without_calls "$calls" "$@"
)sh";

std::string ReadText(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

struct Places {
  std::string bin;   // of the executables
  std::string data;  // the server's directory
};

// Where the processes see what is theirs.
Places PlacesFor(Tier tier, const std::string& top) {
  if (tier == Tier::kConfined) return {.bin = "/mnt/bin", .data = "/mnt/top/data"};
  const bool as_other = tier == Tier::kUserns && geteuid() == 0;
  return {.bin = as_other ? top + "/bin" : CARREL_BIN, .data = top + "/data"};
}

// What makes the world in which the command that follows is executed.
std::vector<std::string> WorldOf(Tier tier, const std::string& top) {
  if (tier == Tier::kFull || geteuid() != 0) return {};
  std::vector<std::string> argv = {"/usr/bin/unshare", "--mount", "/bin/sh", "-c"};
  argv.push_back(std::string(kShowPrograms) + (tier == Tier::kConfined ? kInPod : kAsOrdinaryUser));
  argv.insert(argv.end(), {"sh", top, CARREL_BIN, CARREL_SHARE, std::to_string(UserOf(tier))});
  if (tier == Tier::kConfined) {
    argv.insert(argv.end(), {CARREL_TESTS_BIN "/without_calls", ReadText(CARREL_POD_SYSCALLS)});
  }
  return argv;
}

std::vector<std::string> CommandOf(const JailedServerOptions& options, const std::string& top) {
  const Places places = PlacesFor(options.tier, top);
  std::vector<std::string> argv = WorldOf(options.tier, top);
  if (!options.refused_calls.empty()) {
    argv.insert(argv.end(), {CARREL_TESTS_BIN "/without_calls", options.refused_calls});
  }
  argv.insert(argv.end(), {places.bin + "/carrel-jailer", "--server", places.bin + "/" + options.server, "--data-dir",
                           places.data});
  const char* const tier = options.tier == Tier::kFull ? "full" : options.tier == Tier::kUserns ? "userns" : "confined";
  argv.insert(argv.end(), {"--tier", tier});
  if (options.tier != Tier::kFull) argv.emplace_back("--allow-no-cgroup");
  // The same tests once more with workspaces on disk.
  const char* const workspaces = std::getenv("CARREL_TEST_WORKSPACES");
  if (options.tier == Tier::kFull && workspaces != nullptr) argv.insert(argv.end(), {"--workspaces", workspaces});
  argv.insert(argv.end(), {"--", "--data", places.data, "--listen", "unix:" + places.data + "/" + options.socket,
                           "--set", "log.level=warning", "--set", "rpc.drain_ms=500",
                           // Whoever counts processes counts those of sessions.
                           "--set", "interpreter.pool_size=0"});
  argv.insert(argv.end(), options.server_arguments.begin(), options.server_arguments.end());
  return argv;
}

}  // namespace

const char* NameOf(Tier tier) {
  switch (tier) {
    case Tier::kFull:
      return "Full";
    case Tier::kUserns:
      return "Userns";
    case Tier::kConfined:
      return "Confined";
  }
  return "";
}

absl::StatusOr<std::unique_ptr<JailedServer>> JailedServer::Start(const JailedServerOptions& options) {
  if (options.tier != Tier::kUserns && geteuid() != 0) {
    return absl::FailedPreconditionError(options.tier == Tier::kFull ? "the tier full needs root"
                                                                     : "making a pod for the tier confined needs root");
  }
  auto watch = std::make_unique<LeftoverWatch>();
  absl::StatusOr<TempDir> directory = TempDir::Create();
  if (!directory.ok()) return directory.status();
  const std::string top = directory->path();
  const std::string data = top + "/data";
  const std::string socket = data + "/" + options.socket;
  // The server has another uid and must be able to pass through.
  if (chmod(top.c_str(), 0755) != 0 || mkdir(data.c_str(), 0700) != 0) return absl::ErrnoToStatus(errno, data);
  if (options.tier != Tier::kFull && geteuid() == 0 &&
      chown(data.c_str(), UserOf(options.tier), UserOf(options.tier)) != 0) {
    return absl::ErrnoToStatus(errno, data);
  }
  SpawnOptions spawn;
  spawn.argv = CommandOf(options, top);
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
