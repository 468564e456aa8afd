#include "cli/out_dir.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "sandbox/base/temp_dir.h"

namespace carrel::cli {
namespace {

namespace fs = std::filesystem;

std::string Read(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class OutDirTest : public testing::Test {
 protected:
  OutDirTest() : temp_(*TempDir::Create()), out_(*OutDir::Open(temp_.path() + "/a/out")) {}

  absl::Status Save(std::string_view name, std::string_view bytes = "new") {
    auto file = out_.Create(name);
    if (!file.ok()) return file.status();
    if (auto status = file->Write(bytes); !status.ok()) return status;
    return file->Commit();
  }
  [[nodiscard]] std::string In(const std::string& name) const { return out_.path() + "/" + name; }

  TempDir temp_;
  OutDir out_;
};

TEST_F(OutDirTest, SavesAndReplaces) {
  EXPECT_TRUE(Save("plot.png", "one").ok());
  EXPECT_TRUE(Save("plot.png", "two").ok());
  EXPECT_EQ(Read(In("plot.png")), "two");
  EXPECT_TRUE(Save("deep/er/data.csv").ok());
  EXPECT_EQ(Read(In("deep/er/data.csv")), "new");
  EXPECT_TRUE(Save("-rf").ok());
  EXPECT_TRUE(Save("grün ☂.txt").ok());
}

TEST_F(OutDirTest, NamesThatLeadElsewhereAreRefused) {
  for (const std::string name : {"../evil", "/etc/evil", "a/../../evil", "..", ".", "", "a//b", "a/", "./a", "a/./b",
                                 "new\nline", "esc\x1b[2J"}) {
    EXPECT_EQ(Save(name).code(), absl::StatusCode::kPermissionDenied) << name;
  }
  EXPECT_EQ(Save(std::string("nul\0byte", 8)).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Save(std::string(300, 'x')).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Save(std::string(2000, 'x')).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_FALSE(fs::exists(temp_.path() + "/a/evil"));
  EXPECT_FALSE(fs::exists(temp_.path() + "/evil"));
}

TEST_F(OutDirTest, ALinkedDirectoryIsNotFollowed) {
  fs::create_directory(temp_.path() + "/elsewhere");
  fs::create_directory_symlink(temp_.path() + "/elsewhere", In("link"));
  EXPECT_EQ(Save("link/evil").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(fs::is_empty(temp_.path() + "/elsewhere"));
}

TEST_F(OutDirTest, ALinkedFileIsReplacedNotWrittenThrough) {
  std::ofstream(temp_.path() + "/precious") << "old";
  fs::create_symlink(temp_.path() + "/precious", In("plot.png"));
  EXPECT_TRUE(Save("plot.png").ok());
  EXPECT_EQ(Read(temp_.path() + "/precious"), "old");
  EXPECT_FALSE(fs::is_symlink(In("plot.png")));
  EXPECT_EQ(Read(In("plot.png")), "new");
}

TEST_F(OutDirTest, WhatIsNotCommittedLeavesNothing) {
  {
    auto file = out_.Create("half");
    ASSERT_TRUE(file.ok());
    EXPECT_TRUE(file->Write("some").ok());
  }
  EXPECT_TRUE(fs::is_empty(out_.path()));
}

TEST_F(OutDirTest, AFileOrDirectoryInTheWayIsAnError) {
  EXPECT_TRUE(Save("file").ok());
  EXPECT_FALSE(Save("file/below").ok());
  fs::create_directory(In("dir"));
  EXPECT_FALSE(Save("dir").ok());
}

}  // namespace
}  // namespace carrel::cli
