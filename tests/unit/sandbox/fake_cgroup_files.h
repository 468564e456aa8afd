// The kernel's tables of control groups, and a cgroupfs of plain files: it remembers what was written, and does
// nothing.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "sandbox/base/temp_dir.h"
#include "sandbox/cgroup.h"

namespace carrel::sandbox {

class FakeCgroupFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(directory_.ok());
    options_ = {.mounts = Path("mountinfo"), .own_groups = Path("cgroup"), .root = Path("root"), .kernel = false};
  }

  [[nodiscard]] std::string Path(const std::string& name) const { return directory_->path() + "/" + name; }
  void Write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(Path(name)).parent_path());
    std::ofstream(Path(name)) << text;
  }

  absl::StatusOr<TempDir> directory_ = TempDir::Create();
  CgroupOptions options_;
};

}  // namespace carrel::sandbox
