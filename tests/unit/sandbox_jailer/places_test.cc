// How a container is recognised.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "confined_places.h"
#include "sandbox/base/temp_dir.h"

namespace carrel::sandbox {
namespace {

class ContainerKindTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TempDir::Create();
    ASSERT_TRUE(directory.ok()) << directory.status();
    root_ = directory->path();
    directory_.emplace(*std::move(directory));
    ::unsetenv("KUBERNETES_SERVICE_HOST");  // NOLINT(concurrency-mt-unsafe)
  }
  void Put(const std::string& path, const std::string& text = "") {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  std::string Kind() { return ContainerKind(root_); }

  std::optional<TempDir> directory_;
  std::string root_;
};

TEST_F(ContainerKindTest, NoneWithoutASign) {
  EXPECT_EQ(Kind(), "");
  Put("/proc/1/cgroup", "0::/init.scope\n");
  EXPECT_EQ(Kind(), "");
}

TEST_F(ContainerKindTest, ByTheFileThatEachLeaves) {
  Put("/run/.containerenv");
  EXPECT_EQ(Kind(), "podman (/run/.containerenv)");
  Put("/.dockerenv");
  EXPECT_EQ(Kind(), "docker (/.dockerenv)");
}

TEST_F(ContainerKindTest, ByKubernetesAccountsAndVariables) {
  Put("/var/run/secrets/kubernetes.io/serviceaccount/token");
  EXPECT_EQ(Kind(), "Kubernetes");
  std::filesystem::remove_all(root_ + "/var");
  EXPECT_EQ(Kind(), "");
  ::setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);  // NOLINT(concurrency-mt-unsafe)
  EXPECT_EQ(Kind(), "Kubernetes");
  ::unsetenv("KUBERNETES_SERVICE_HOST");  // NOLINT(concurrency-mt-unsafe)
}

TEST_F(ContainerKindTest, ByTheControlGroupOfTheFirstProcess) {
  for (const char* group : {"0::/kubepods/besteffort/pod1/x", "3:memory:/docker/0123", "0::/lxc/one",
                            "1:pids:/machine/libpod-1", "0::/system.slice/containerd.service/x"}) {
    Put("/proc/1/cgroup", group);
    EXPECT_EQ(Kind(), "a container (the cgroup of process 1)") << group;
  }
}

}  // namespace
}  // namespace carrel::sandbox
