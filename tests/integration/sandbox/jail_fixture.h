// A real carrel-jailer with policies of the test's own, its server replaced by a relay, so that the test is the server.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sandbox/base/child_process.h"
#include "sandbox/base/message_socket.h"
#include "sandbox/base/temp_dir.h"
#include "sandbox/jail.h"

namespace carrel::sandbox {

// Everything a jailer needs to start, written into a directory of its own:
//   shell   /bin/sh -s: runs what it reads from stdin
//   python  /usr/bin/python3 -I -
//   forks   test_zygote.cc
class JailerUnderTest final {
 public:
  struct Options {
    std::vector<std::string> arguments;  // of the jailer
    std::string more_manifest;           // lines of the policy `shell`
    std::string every_manifest;          // and of all three
    // A shell script that changes the world and then executes the jailer: exec "$@". Under `unshare` with these flags.
    std::string world;
    std::vector<std::string> unshare;
    // The server's socket stays the test's own (socket()), and there is no maker().
    bool raw = false;
    // Its stderr; -1: a file that is shown when a test fails.
    int errors = -1;
  };
  // UNAVAILABLE with the jailer's own words when it ended.
  static absl::StatusOr<std::unique_ptr<JailerUnderTest>> Start(const Options& options);
  ~JailerUnderTest();

  [[nodiscard]] JailMaker& maker() { return *maker_; }
  [[nodiscard]] ChildProcess& process() { return *process_; }
  [[nodiscard]] UniqueFd& socket() { return socket_; }
  [[nodiscard]] pid_t server_pid() const { return server_pid_; }
  // The jailer's child that is not the server (it was started as one, whatever its number in its own namespace).
  [[nodiscard]] pid_t nursery_pid() const;

 private:
  explicit JailerUnderTest(TempDir directory) : directory_(std::move(directory)) {}

  TempDir directory_;
  UniqueFd log_;
  UniqueFd to_relay_;
  UniqueFd socket_;
  std::optional<ChildProcess> process_;
  std::unique_ptr<JailMaker> maker_;
  pid_t server_pid_ = -1;
};

// A jail with pipes at its ends.
struct RunningJail {
  std::unique_ptr<Jail> jail;
  UniqueFd input;
  UniqueFd output;

  // Gives the program its input, to the end, and everything it writes until it has ended.
  std::string Finish(const std::string& input_text);
};
absl::StatusOr<RunningJail> StartJail(JailMaker& maker, const std::string& policy, const JailLimits& limits = {},
                                      absl::Duration patience = absl::Seconds(20));

// What a shell script prints (stdout and stderr) in a fresh jail.
std::string RunScript(JailMaker& maker, const std::string& script, const JailLimits& limits = {});

std::string ReadToEnd(int fd);
// From its beginning.
std::string ReadFile(int fd);
// Waits until the condition holds, for at most ten seconds.
bool Eventually(const std::function<bool()>& condition);
// Those whose parent is `pid`.
std::vector<pid_t> Children(pid_t pid);
// Processes that have `pid` as an ancestor.
std::vector<pid_t> Descendants(pid_t pid);
bool IsAlive(pid_t pid);

// The tests run as root in `full` and as anybody else in `userns`; where a user cannot have cgroups they are allowed to
// be missing. $CARREL_TEST_WORKSPACES: as root, with workspaces on disk there.
std::vector<std::string> UsualArguments();

class JailTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto jailer = JailerUnderTest::Start({.arguments = UsualArguments()});
    ASSERT_TRUE(jailer.ok()) << jailer.status();
    jailer_ = *std::move(jailer);
  }
  [[nodiscard]] JailMaker& maker() { return jailer_->maker(); }

  std::unique_ptr<JailerUnderTest> jailer_;
};

}  // namespace carrel::sandbox
