#include "sandbox/landlock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "gtest/gtest.h"
#include "in_child.h"
#include "sandbox/base/temp_dir.h"
#include "support/missing_layer.h"

namespace carrel::sandbox {
namespace {

bool CanOpen(const std::string& path, int flags) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, 0600);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

class Landlock : public ::testing::Test {
 protected:
  void SetUp() override {
    CARREL_NEED("LANDLOCK", LandlockAbi() > 0, "this kernel has no Landlock");
    ASSERT_EQ(mkdir(Path("writable").c_str(), 0700), 0);
    ASSERT_EQ(mkdir(Path("readable").c_str(), 0700), 0);
    ASSERT_EQ(mkdir(Path("hidden").c_str(), 0700), 0);
    for (const char* folder : {"writable", "readable", "hidden"}) {
      ASSERT_TRUE(CanOpen(Path(folder) + "/file", O_CREAT | O_WRONLY));
    }
  }

  [[nodiscard]] std::string Path(const std::string& name) const { return directory_->path() + "/" + name; }

  // Restricted to writable/, readable/ and the programs of the system.
  [[nodiscard]] int Restrict() const {
    const std::string writable = Path("writable");
    const std::string readable = Path("readable");
    const std::array<LandlockRule, 3> rules = {LandlockRule{.path = writable.c_str(), .write = true},
                                               LandlockRule{.path = readable.c_str()},
                                               LandlockRule{.path = "/usr", .execute = true}};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
    return RestrictWithLandlock(rules);
  }

  absl::StatusOr<TempDir> directory_ = TempDir::Create();
};

TEST_F(Landlock, ShowsOnlyWhatTheRulesName) {
  EXPECT_EQ(InChild([this] {
              if (const int error = Restrict(); error != 0) return error;
              if (!CanOpen(Path("readable/file"), O_RDONLY)) return 100;
              if (CanOpen(Path("readable/file"), O_WRONLY)) return 101;
              if (CanOpen(Path("hidden/file"), O_RDONLY)) return 102;
              if (CanOpen("/etc/passwd", O_RDONLY)) return 103;
              if (!CanOpen(Path("writable/new"), O_CREAT | O_WRONLY)) return 104;
              if (unlink(Path("writable/new").c_str()) != 0) return 105;
              if (mkfifo(Path("writable/fifo").c_str(), 0600) != 0) return 106;
              if (symlink("file", Path("writable/link").c_str()) != 0) return 107;
              return 0;
            }),
            0);
}

TEST_F(Landlock, LetsFilesMoveBetweenDirectories) {
  if (LandlockAbi() < 2) GTEST_SKIP() << "before ABI 2 every such rename fails";
  EXPECT_EQ(InChild([this] {
              if (const int error = Restrict(); error != 0) return error;
              if (mkdir(Path("writable/below").c_str(), 0700) != 0) return 100;
              if (rename(Path("writable/file").c_str(), Path("writable/below/file").c_str()) != 0) return 101;
              // Not out of it.
              return rename(Path("writable/below/file").c_str(), Path("readable/moved").c_str()) == 0 ? 102 : 0;
            }),
            0);
}

TEST_F(Landlock, ExecutesOnlyWhatTheRulesName) {
  EXPECT_EQ(InChild([this] {
              if (const int error = Restrict(); error != 0) return error;
              execl("/usr/bin/true", "true", static_cast<char*>(nullptr));
              return 100;
            }),
            0);
  EXPECT_EQ(InChild([this] {
              if (symlink("/usr/bin/true", Path("hidden/true").c_str()) != 0) return 100;
              const int from = open("/usr/bin/true", O_RDONLY | O_CLOEXEC);
              const int to = open(Path("writable/true").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0700);
              std::array<char, 65536> block{};
              for (ssize_t got = 0; (got = read(from, block.data(), block.size())) > 0;) {
                if (write(to, block.data(), static_cast<size_t>(got)) != got) return 101;
              }
              close(to);
              if (const int error = Restrict(); error != 0) return error;
              execl(Path("writable/true").c_str(), "true", static_cast<char*>(nullptr));
              return errno == EACCES ? 0 : 102;
            }),
            0);
}

TEST_F(Landlock, ReachesNoSocketAndNoProcessOutside) {
  if (LandlockAbi() < 6) GTEST_SKIP() << "scopes come with ABI 6";
  const std::string name = "carrel-landlock-test-" + std::to_string(getpid());
  sockaddr_un address{.sun_family = AF_UNIX};
  std::memcpy(&address.sun_path[1], name.data(), name.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(listener, generic, length), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  const auto connects = [&] {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, generic, length) == 0;
  };
  EXPECT_EQ(InChild([&] {
              if (!connects()) return 100;
              if (const int error = Restrict(); error != 0) return error;
              if (connects()) return 101;
              if (kill(getppid(), 0) == 0) return 102;
              return kill(getpid(), 0) == 0 ? 0 : 103;
            }),
            0);
  close(listener);
}

TEST_F(Landlock, AMissingPathIsAnError) {
  EXPECT_EQ(InChild([] {
              const LandlockRule rule{.path = "/no/such/path"};
              if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 100;
              return RestrictWithLandlock({&rule, 1});
            }),
            ENOENT);
}

}  // namespace
}  // namespace carrel::sandbox
