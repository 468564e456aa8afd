// Porter and client over a plain directory: the files of a workspace without a jail around them.
#include "porter.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "sandbox/base/message_socket.h"
#include "sandbox/base/temp_dir.h"
#include "workspace_client.h"

namespace carrel::sandbox {
namespace {

class PorterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // A tmpfs where there is one: the temporary files of an upload need O_TMPFILE.
    auto directory = TempDir::Create();
    ASSERT_TRUE(directory.ok()) << directory.status();
    directory_ = std::make_unique<TempDir>(*std::move(directory));
    auto pair = MakeSocketPair();
    ASSERT_TRUE(pair.ok());
    UniqueFd workspace(::open(directory_->path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    client_ = std::make_unique<WorkspaceClient>(std::move(pair->first));
    server_ = std::thread([this, socket = std::move(pair->second), root = std::move(workspace)]() mutable {
      Porter porter(std::move(socket), std::move(root), {.uid = ::getuid(), .gid = ::getgid()});
      while (!stop_) {
        std::vector<pollfd> polled;
        porter.AddTo(&polled);
        ::poll(polled.data(), polled.size(), 20);
        porter.Serve(polled, 0);
      }
    });
  }
  void TearDown() override {
    stop_ = true;
    server_.join();
  }

  [[nodiscard]] std::string Path(const std::string& name) const { return directory_->path() + "/" + name; }
  static UniqueFd Holding(const std::string& text) {
    auto pipe = MakePipe();
    EXPECT_TRUE(pipe.ok());
    EXPECT_EQ(::write(pipe->write.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    return std::move(pipe->read);
  }

  std::unique_ptr<TempDir> directory_;
  std::unique_ptr<WorkspaceClient> client_;
  std::atomic<bool> stop_ = false;
  std::thread server_;
};

TEST_F(PorterTest, WritesReadsListsAndRemoves) {
  const auto written = client_->Write("a/b", Holding("text"), {});
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(written->size_bytes, 4);
  auto opened = client_->OpenRead("a/b");
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->size_bytes, 4);
  auto listing = client_->List({});
  ASSERT_TRUE(listing.ok());
  ASSERT_EQ(listing->entries.size(), 2);
  EXPECT_EQ(listing->entries[0].path, "a");
  EXPECT_EQ(listing->entries[1].path, "a/b");
  EXPECT_TRUE(client_->Remove("a/b").value_or(false));
  EXPECT_FALSE(client_->Remove("a/b").value_or(true));
}

TEST_F(PorterTest, HostilePathsAreRefused) {
  for (const std::string& path :
       {std::string("/etc/passwd"), std::string("../x"), std::string("a/../../x"), std::string("."), std::string(""),
        std::string("a//b"), std::string("a/"), std::string("a\0b", 3)}) {
    EXPECT_EQ(client_->OpenRead(path).status().code(), absl::StatusCode::kFailedPrecondition) << path;
    EXPECT_EQ(client_->Write(path, Holding("x"), {.replace = true}).status().code(),
              absl::StatusCode::kFailedPrecondition)
        << path;
    EXPECT_EQ(client_->Remove(path).status().code(), absl::StatusCode::kFailedPrecondition) << path;
  }
  EXPECT_EQ(client_->OpenRead(std::string(5000, 'x')).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(PorterTest, NeitherFifoNorLinkNorDirectoryIsAFile) {
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  ASSERT_EQ(::symlink("/etc/passwd", Path("link").c_str()), 0);
  ASSERT_EQ(::mkdir(Path("directory").c_str(), 0700), 0);
  for (const char* path : {"fifo", "link", "directory"}) {
    EXPECT_EQ(client_->OpenRead(path).status().code(), absl::StatusCode::kFailedPrecondition) << path;
  }
}

TEST_F(PorterTest, ManyCallersAtOnce) {
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([this, i] {
      for (int round = 0; round < 20; ++round) {
        const std::string path = "f" + std::to_string(i) + "/" + std::to_string(round);
        EXPECT_TRUE(client_->Write(path, Holding(path), {}).ok());
        auto opened = client_->OpenRead(path);
        ASSERT_TRUE(opened.ok()) << opened.status();
        EXPECT_EQ(opened->size_bytes, path.size());
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(client_->List({})->entries.size(), 8 * 21);
}

}  // namespace
}  // namespace carrel::sandbox
