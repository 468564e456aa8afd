#include "jail_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "sandbox/base/process_info.h"
#include "sandbox/doctor.h"
#include "sandbox/jailer_client.h"

namespace carrel::sandbox {
namespace {

constexpr const char kCommon[] =
    "description a policy of the tests\n"
    "version 1\n"
    "bind /usr /usr  # programs and libraries\n"
    "env PATH=/usr/bin:/bin\n"
    "env HOME=/mnt/data\n"
    "syscalls calls\n"
    "landlock execute /usr  # programs\n"
    "landlock read /etc  # names\n"
    "landlock write /mnt/data  # work\n"
    "landlock write /tmp  # work\n"
    "landlock write /dev  # null\n"
    "landlock write /proc  # oneself\n"
    "default memory_bytes 268435456\ncap memory_bytes 1073741824\n"
    "default processes 64\ncap processes 256\n"
    "default cpu_millis 1000\ncap cpu_millis 2000\n"
    "default workspace_bytes 16777216\ncap workspace_bytes 67108864\n"
    "default workspace_files 256\ncap workspace_files 4096\n"
    "default tmp_bytes 16777216\ncap tmp_bytes 67108864\n"
    "default open_files 256\ncap open_files 1024\n"
    "default cpu_seconds 0\ncap cpu_seconds 600\n";

void WritePolicy(const std::string& directory, const std::string& name, const std::string& lines) {
  const std::string place = absl::StrCat(directory, "/", name);
  std::filesystem::create_directory(place);
  // The lines come last: a bind over a part of another must follow it.
  std::ofstream(place + "/manifest") << "name " << name << "\n" << kCommon << lines;
  std::filesystem::copy_file(CARREL_SYSCALLS, place + "/calls");
  for (const char* file : {"/manifest", "/calls"}) ::chmod((place + file).c_str(), 0644);
  ::chmod(place.c_str(), 0755);
}

}  // namespace

absl::StatusOr<std::unique_ptr<JailerUnderTest>> JailerUnderTest::Start(const Options& options) {
  ::signal(SIGPIPE, SIG_IGN);  // a program that ends without reading its input is no reason for us to die
  auto directory = TempDir::Create();
  if (!directory.ok()) return directory.status();
  const std::string runtimes = directory->path();
  WritePolicy(runtimes, "shell", "kind exec\ncommand /bin/sh -s\n" + options.more_manifest + options.every_manifest);
  WritePolicy(runtimes, "python", "kind exec\ncommand /usr/bin/python3 -I -\n" + options.every_manifest);
  WritePolicy(runtimes, "forks",
              "kind zygote\ncommand /opt/test_zygote\n"
              "bind " CARREL_TESTS_BIN "/test_zygote /opt/test_zygote  # the zygote\n" +
                  options.every_manifest);
  auto jailer = std::unique_ptr<JailerUnderTest>(new JailerUnderTest(*std::move(directory)));
  auto pair = MakeSocketPair();
  if (!pair.ok()) return pair.status();
  const std::string log = runtimes + ".log";  // beside it: what is in it are policies
  UniqueFd errors(::open(log.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  ::unlink(log.c_str());
  SpawnOptions spawn;
  if (!options.world.empty()) {
    spawn.argv = {"/usr/bin/unshare"};
    spawn.argv.insert(spawn.argv.end(), options.unshare.begin(), options.unshare.end());
    spawn.argv.insert(spawn.argv.end(), {"--", "/bin/sh", "-ec", options.world, "sh"});
  }
  spawn.argv.insert(spawn.argv.end(), {CARREL_BIN "/carrel-jailer", "--server", CARREL_TESTS_BIN "/jailer_relay",
                                       "--runtimes", runtimes});
  spawn.argv.insert(spawn.argv.end(), options.arguments.begin(), options.arguments.end());
  spawn.fds = {{pair->second.get(), 0}, {options.errors >= 0 ? options.errors : errors.get(), 2}};
  spawn.dies_with_parent = true;
  auto process = ChildProcess::Spawn(spawn);
  if (!process.ok()) return process.status();
  jailer->process_ = *std::move(process);
  pair->second.reset();
  auto received = ReceiveMessage(pair->first.get(), WritableBytesOf(jailer->server_pid_));
  if (!received.ok()) return received.status();
  if (received->fds.size() != 1) return absl::UnavailableError(ReadFile(errors.get()));
  jailer->to_relay_ = std::move(pair->first);
  jailer->log_ = std::move(errors);
  if (options.raw) {
    jailer->socket_ = std::move(received->fds[0]);
    return jailer;
  }
  auto maker = ConnectToJailer(std::move(received->fds[0]));
  if (!maker.ok()) return maker.status();
  jailer->maker_ = *std::move(maker);
  return jailer;
}

JailerUnderTest::~JailerUnderTest() {
  maker_.reset();
  socket_.reset();
  to_relay_.reset();
  if (::testing::Test::HasFailure()) std::fprintf(stderr, "the jailer's words:\n%s", ReadFile(log_.get()).c_str());
  if (process_ && !process_->Wait(absl::Seconds(20))) ADD_FAILURE() << "the jailer does not end with its server";
}

std::string ReadToEnd(int fd) {
  std::string text;
  char buffer[4096];
  ssize_t got;
  while ((got = ::read(fd, buffer, sizeof buffer)) > 0) text.append(buffer, static_cast<size_t>(got));
  return text;
}

std::string ReadFile(int fd) {
  ::lseek(fd, 0, SEEK_SET);
  return ReadToEnd(fd);
}

std::string RunningJail::Finish(const std::string& input_text) {
  EXPECT_EQ(::write(input.get(), input_text.data(), input_text.size()), static_cast<ssize_t>(input_text.size()));
  input.reset();
  return ReadToEnd(output.get());
}

absl::StatusOr<RunningJail> StartJail(JailMaker& maker, const std::string& policy, const JailLimits& limits,
                                      absl::Duration patience) {
  auto input = MakePipe();
  if (!input.ok()) return input.status();
  auto output = MakePipe();
  if (!output.ok()) return output.status();
  JailRequest request{.policy = policy, .limits = limits};
  request.standard_error.reset(::dup(output->write.get()));
  request.standard_input = std::move(input->read);
  request.standard_output = std::move(output->write);
  auto jail = maker.Create(std::move(request), absl::Now() + patience);
  if (!jail.ok()) return jail.status();
  return RunningJail{*std::move(jail), std::move(input->write), std::move(output->read)};
}

std::string RunScript(JailMaker& maker, const std::string& script, const JailLimits& limits) {
  auto running = StartJail(maker, "shell", limits);
  if (!running.ok()) return running.status().ToString();
  return running->Finish(script);
}

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (absl::Now() < deadline) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return condition();
}

std::vector<pid_t> Children(pid_t pid) {
  std::vector<pid_t> found;
  std::error_code ended;
  for (const auto& task : std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/task"), ended)) {
    auto children = ReadSmallFile(task.path().string() + "/children");
    if (!children.ok()) continue;
    std::istringstream numbers(*children);
    for (pid_t child = 0; numbers >> child;) found.push_back(child);
  }
  return found;
}

std::vector<pid_t> Descendants(pid_t pid) {
  std::vector<pid_t> found;
  for (const pid_t child : Children(pid)) {
    found.push_back(child);
    for (const pid_t below : Descendants(child)) found.push_back(below);
  }
  return found;
}

pid_t JailerUnderTest::nursery_pid() const {
  for (const pid_t pid : Children(process_->pid())) {
    const auto name = ReadSmallFile(absl::StrCat("/proc/", pid, "/comm"));
    if (pid != server_pid_ && name.ok() && *name != "carrel-disk\n") return pid;
  }
  return -1;
}

bool IsAlive(pid_t pid) {
  auto status = ReadSmallFile(absl::StrCat("/proc/", pid, "/stat"));
  // A zombie is dead.
  return status.ok() && status->find(") Z") == std::string::npos;
}

std::vector<std::string> UsualArguments() {
  const char* const workspaces = std::getenv("CARREL_TEST_WORKSPACES");
  if (::geteuid() == 0 && workspaces != nullptr) return {"--workspaces", workspaces};
  if (::geteuid() == 0) return {};
  for (const LayerState& layer : ExamineMachine().layers) {
    if (layer.name == "cgroup" && !layer.active) return {"--allow-no-cgroup"};
  }
  return {};
}

}  // namespace carrel::sandbox
