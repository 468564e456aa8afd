#include "cli/data_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/base/temp_dir.h"
#include "support/missing_layer.h"

namespace carrel::cli {
namespace {

using ::testing::HasSubstr;

std::string Message(const absl::Status& status) { return {status.message().data(), status.message().size()}; }

mode_t ModeOf(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

TEST(DataDirLock, OneServePerDataDirectory) {
  const TempDir temp = *TempDir::Create();
  {
    const auto first = DataDirLock::Take(temp.path());
    ASSERT_TRUE(first.ok()) << first.status();
    const auto second = DataDirLock::Take(temp.path());
    EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
    EXPECT_THAT(Message(second.status()), HasSubstr("pid " + std::to_string(::getpid())));
  }
  EXPECT_TRUE(DataDirLock::Take(temp.path()).ok());
}

TEST(PrepareDataDir, InUsernsEverythingIsOurs) {
  const TempDir temp = *TempDir::Create();
  Place place{.data_dir = temp.path() + "/data"};
  place.config.jail.tier = "userns";
  ASSERT_TRUE(PrepareDataDir(place).ok());
  EXPECT_EQ(ModeOf(place.data_dir), 0700u);
  EXPECT_EQ(ModeOf(place.data_dir + "/run/interpreter"), 0700u);
  EXPECT_EQ(ModeOf(place.data_dir + "/retrieval"), 0700u);
  EXPECT_FALSE(ServerUid(place, Part::kInterpreter).has_value());
}

TEST(PrepareDataDir, InFullEachServerOwnsItsDirectoriesAndNoOthers) {
  CARREL_NEED("ROOT", ::geteuid() == 0, "it needs root");
  const TempDir temp = *TempDir::Create();
  ASSERT_EQ(::chmod(temp.path().c_str(), 0711), 0);
  const Place place{.data_dir = temp.path() + "/data"};
  ASSERT_TRUE(PrepareDataDir(place).ok());
  EXPECT_NE(ServerUid(place, Part::kInterpreter), ServerUid(place, Part::kRetrieval));
  for (const Part part : {Part::kInterpreter, Part::kRetrieval}) {
    struct stat info {};
    const std::string run = place.data_dir + "/run/" + std::string(NameOf(part));
    ASSERT_EQ(::stat(run.c_str(), &info), 0);
    EXPECT_EQ(info.st_uid, *ServerUid(place, part));
    // The gateway, and it alone, passes through to the socket.
    EXPECT_EQ(info.st_gid, *GatewayUid(place));
    EXPECT_NE(*GatewayUid(place), *ServerUid(place, part));
    EXPECT_EQ(ModeOf(run), 0710u);
    EXPECT_EQ(ModeOf(DataDirOf(place, part)), 0700u);
  }
  EXPECT_EQ(ModeOf(place.data_dir), 0711u);
  struct stat gateway {};
  ASSERT_EQ(::stat(GatewayDirOf(place).c_str(), &gateway), 0);
  EXPECT_EQ(gateway.st_uid, *GatewayUid(place));
  EXPECT_EQ(ModeOf(GatewayDirOf(place)), 0700u);
}

TEST(PrepareDataDir, InFullAClosedDirectoryAboveIsNamed) {
  CARREL_NEED("ROOT", ::geteuid() == 0, "it needs root");
  const TempDir temp = *TempDir::Create();  // 0700
  const absl::Status status = PrepareDataDir({.data_dir = temp.path() + "/data"});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), HasSubstr(temp.path()));
  EXPECT_THAT(Message(status), HasSubstr("chmod o+x"));
}

TEST(AddressOf, IsTheSocketInTheDataDirectoryUnlessConfigured) {
  Place place{.data_dir = "/d"};
  EXPECT_EQ(AddressOf(place, Part::kRetrieval)->ToString(), "unix:/d/run/retrieval.sock");
  EXPECT_EQ(ListenAddressOf(place, Part::kRetrieval)->ToString(), "unix:/d/run/retrieval/grpc.sock");
  place.config.interpreter.listen = "127.0.0.1:9000";
  EXPECT_EQ(AddressOf(place, Part::kInterpreter)->ToString(), "127.0.0.1:9000");
  place.data_dir = "/" + std::string(100, 'x');
  EXPECT_FALSE(AddressOf(place, Part::kRetrieval).ok());
}

}  // namespace
}  // namespace carrel::cli
