// What counts as a change of a runtime.
#include "runtime_files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "sandbox/base/temp_dir.h"

namespace carrel::sandbox {
namespace {

namespace fs = std::filesystem;

class RuntimeFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    policy_.directory = directory_->path();
    policy_.binds = {{.source = "/usr", .target = "/usr"},
                     {.source = Path("packages"), .target = "/opt/packages"},
                     {.source = Path("driver.py"), .target = "/opt/driver.py"}};
    fs::create_directory(Path("packages"));
    Write("manifest");
    Write("driver.py");
    Write("packages/one");
  }
  [[nodiscard]] std::string Path(const std::string& name) const { return directory_->path() + "/" + name; }
  void Write(const std::string& name, const std::string& text = "x") const { std::ofstream(Path(name)) << text; }
  // Whether `change` changes what is looked at.
  template <typename Change>
  [[nodiscard]] bool Sees(Change change) const {
    const std::string before = FingerprintRuntime(policy_);
    change();
    return FingerprintRuntime(policy_) != before;
  }

  absl::StatusOr<TempDir> directory_ = TempDir::Create();
  Policy policy_;
};

TEST_F(RuntimeFilesTest, NothingHappened) {
  EXPECT_FALSE(Sees([] {}));
  EXPECT_FALSE(Sees([this] { Write("elsewhere"); })) << "it is bound nowhere";
}

TEST_F(RuntimeFilesTest, AFileIsWrittenAddedOrRemoved) {
  EXPECT_TRUE(Sees([this] { Write("manifest", "other"); }));
  EXPECT_TRUE(Sees([this] { Write("driver.py", "other"); }));
  EXPECT_TRUE(Sees([this] { Write("packages/one", "other"); }));
  EXPECT_TRUE(Sees([this] { Write("packages/two"); }));
  EXPECT_TRUE(Sees([this] { fs::remove(Path("packages/one")); }));
  EXPECT_TRUE(Sees([this] { fs::remove_all(Path("packages")); }));
}

TEST_F(RuntimeFilesTest, BytecodeIsNoChange) {
  EXPECT_FALSE(Sees([this] { fs::create_directory(Path("packages/__pycache__")); }));
  EXPECT_FALSE(Sees([this] { fs::create_hard_link(Path("packages/one"), Path("elsewhere")); }));
}

TEST_F(RuntimeFilesTest, OfVeryManyTheNamesAreStillLookedAt) {
  for (int i = 0; i < 2100; ++i) Write("packages/a" + std::to_string(i));
  EXPECT_TRUE(Sees([this] { Write("packages/zz"); }));
  EXPECT_TRUE(Sees([this] { fs::remove(Path("packages/zz")); }));
}

}  // namespace
}  // namespace carrel::sandbox
