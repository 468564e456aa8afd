// A server of which something is taken away: descriptors, processes, disk. What cannot be done is refused, with the
// reason; what does not need it goes on, and everything is as before when it is there again.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "sandbox/base/temp_dir.h"
#include "support/missing_layer.h"
#include "tests/integration/interpreter/client.h"
#include "tests/integration/interpreter/jailed_server.h"

namespace carrel::testing {
namespace {

namespace v1 = interpreter::v1;
using ::testing::AnyOf;
using ::testing::HasSubstr;

// The jailer's child of that name, as the kernel has it.
pid_t ChildNamed(pid_t parent, const std::string& name) {
  std::ifstream children("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children");
  for (pid_t pid = 0; children >> pid;) {
    std::string found;
    std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/comm") >> std::ws, found);
    if (found == name) return pid;
  }
  return -1;
}

// As the process's own user, who needs no right for that: root may be without CAP_SYS_RESOURCE.
bool LimitDescriptors(pid_t pid, rlim_t soft) {
  uid_t uid = ::geteuid();
  std::ifstream status_file("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; status_file >> word && word != "Uid:";) {
  }
  status_file >> uid;
  const pid_t child = ::fork();
  if (child == 0) {
    rlimit limit{};
    if (uid != ::geteuid() && (::setresgid(uid, uid, uid) != 0 || ::setresuid(uid, uid, uid) != 0)) ::_exit(1);
    if (::prlimit(pid, RLIMIT_NOFILE, nullptr, &limit) != 0) ::_exit(2);
    limit.rlim_cur = std::min(soft, limit.rlim_max);
    ::_exit(::prlimit(pid, RLIMIT_NOFILE, &limit, nullptr) == 0 ? 0 : 3);
  }
  int status = 0;
  return ::waitpid(child, &status, 0) == child && status == 0;
}

class ScarcityTest : public ::testing::Test {
 protected:
  void Start() {
    // No pool: each session is made when it is asked for.
    auto server = JailedServer::Start({"--set", "interpreter.pool_size=0"});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::make_unique<Client>(grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
    kept_ = client_->NewSession();
    ASSERT_EQ(client_->Run(kept_, "kept = 'kept'").outcome.kind(), v1::COMPLETED);
    ASSERT_EQ(Throwaway().outcome.kind(), v1::COMPLETED);
  }
  // A call with a session of its own.
  Ran Throwaway() {
    v1::ExecuteRequest request;
    request.set_code("print(6 * 7)");
    return client_->Execute(request);
  }
  // Whether it was refused, as it must be if it is.
  bool IsRefused(const std::string& when) {
    const auto begin = std::chrono::steady_clock::now();
    const Ran ran = Throwaway();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30)) << when;
    EXPECT_FALSE(server_->jailer().Wait(absl::ZeroDuration()).has_value()) << when;
    if (ran.status.ok()) {
      EXPECT_EQ(ran.outcome.kind(), v1::COMPLETED) << when << ": " << ran.outcome.ShortDebugString();
      EXPECT_EQ(ran.out, "42\n") << when;
      return false;
    }
    EXPECT_THAT(ran.status.error_code(), AnyOf(grpc::RESOURCE_EXHAUSTED, grpc::UNAVAILABLE))
        << when << ": " << ran.status.error_message();
    EXPECT_NE(ran.status.error_message(), "") << when;
    return true;
  }
  void ExpectAllIsWell() {
    EXPECT_EQ(Throwaway().out, "42\n");
    EXPECT_EQ(client_->Run(kept_, "kept").result(), "'kept'");
    EXPECT_EQ(client_->Upload(kept_, "file", std::string(1 << 20, 'x'), true).error_message(), "");
  }

  std::unique_ptr<JailedServer> server_;
  std::unique_ptr<Client> client_;
  std::string kept_;
};

TEST_F(ScarcityTest, WithoutDescriptorsACallIsRefusedAndTheRestLivesOn) {
  Start();
  const pid_t server = ChildNamed(server_->jailer().pid(), "carrel-interpre");
  ASSERT_GT(server, 0);
  rlim_t taken = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(server) + "/fd")) {
    taken = std::max<rlim_t>(taken, std::stoul(entry.path().filename().string()) + 1);
  }
  int refused = 0;
  // Each limit lets another step be the one that fails.
  for (rlim_t more = 0; more < 24 && !HasFailure(); ++more) {
    ASSERT_TRUE(LimitDescriptors(server, taken + more));
    refused += IsRefused("with " + std::to_string(more) + " descriptors") ? 1 : 0;
  }
  EXPECT_GT(refused, 3);
  ASSERT_TRUE(LimitDescriptors(server, RLIM_INFINITY));
  ExpectAllIsWell();
}

TEST_F(ScarcityTest, WithoutRoomForAProcessACallIsRefusedAndTheRestLivesOn) {
  const std::string all = "/sys/fs/cgroup/pids/cgroup.procs";
  if (::geteuid() != 0 || !std::filesystem::exists(all)) {
    GTEST_SKIP() << "only root, and where the number of processes has a hierarchy of its own";
  }
  const std::string group = "/sys/fs/cgroup/pids/carrel-test-" + std::to_string(::getpid());
  ASSERT_EQ(::mkdir(group.c_str(), 0755), 0);
  std::ofstream(group + "/cgroup.procs") << ::getpid();  // whose children are there too
  Start();
  std::ofstream(all) << ::getpid();
  if (!HasFatalFailure()) {
    int refused = 0;
    for (int more = 0; more < 8 && !HasFailure(); ++more) {
      int processes = 0;
      std::ifstream(group + "/pids.current") >> processes;
      std::ofstream(group + "/pids.max") << processes + more;
      refused += IsRefused("with room for " + std::to_string(more)) ? 1 : 0;
    }
    EXPECT_GT(refused, 0);
    std::ofstream(group + "/pids.max") << "max";
    ExpectAllIsWell();
  }
  if (server_ != nullptr) {  // politely, so that it removes its groups
    server_->jailer().Signal(SIGTERM).IgnoreError();
    EXPECT_TRUE(server_->jailer().Wait(absl::Seconds(20)).has_value());
  }
  for (int i = 0; i < 500 && ::rmdir(group.c_str()) != 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_FALSE(std::filesystem::exists(group));
}

TEST_F(ScarcityTest, OnAFullDiskAnUploadIsRefusedAndTheRestLivesOn) {
  CARREL_NEED("ROOT", ::geteuid() == 0, "mounting a small disk takes root");
  auto directory = TempDir::Create();
  ASSERT_TRUE(directory.ok()) << directory.status();
  const std::string disk = directory->path();
  ASSERT_EQ(::chmod(disk.c_str(), 0755), 0);
  // Seen by what this thread starts, and by nobody else.
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  ASSERT_EQ(::mount("disk", disk.c_str(), "tmpfs", 0, "mode=755,size=8m"), 0);
  ASSERT_EQ(::setenv("TMPDIR", disk.c_str(), 1), 0);
  Start();
  ASSERT_EQ(::unsetenv("TMPDIR"), 0);
  if (!HasFatalFailure()) {
    const std::string filler = disk + "/filler";
    {
      std::ofstream file(filler);
      const std::string block(64 << 10, 'x');
      while (file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
      }
    }
    const grpc::Status full = client_->Upload(kept_, "large", std::string(1 << 20, 'x'), true);
    EXPECT_EQ(full.error_code(), grpc::RESOURCE_EXHAUSTED) << full.error_message();
    EXPECT_THAT(full.error_message(), HasSubstr("No space left on device"));
    // Neither a session nor a call needs the disk.
    EXPECT_FALSE(IsRefused("with the disk full"));
    EXPECT_EQ(client_->Run(kept_, "kept").result(), "'kept'");
    EXPECT_EQ(client_->Download(kept_, "large"), "error 5") << "half an upload is none";
    ASSERT_EQ(::unlink(filler.c_str()), 0);
    ExpectAllIsWell();
  }
  server_.reset();
  EXPECT_EQ(::umount2(disk.c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace carrel::testing
