// The workspace from outside: files in and out, past everything that the session can plant there.
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "jail_fixture.h"

namespace carrel::sandbox {
namespace {

using ::testing::Contains;
using ::testing::Field;

// A pipe that already holds `text`.
UniqueFd PipeWith(const std::string& text) {
  auto pipe = MakePipe();
  EXPECT_TRUE(pipe.ok());
  EXPECT_EQ(::write(pipe->write.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  return std::move(pipe->read);
}

class WorkspaceTest : public JailTest {
 protected:
  // Runs the script to its end; the workspace stays.
  Workspace& After(const std::string& script) {
    auto running = StartJail(maker(), "shell");
    EXPECT_TRUE(running.ok()) << running.status();
    running_ = *std::move(running);
    running_.Finish(script);
    return running_.jail->workspace();
  }
  RunningJail running_;
};

TEST_F(WorkspaceTest, ListsWhatIsThere) {
  Workspace& workspace = After("mkdir -p a/b; echo hi >a/b/c; ln -s a link; mkfifo pipe; truncate -s 1000000 sparse");
  const auto listing = workspace.List({});
  ASSERT_TRUE(listing.ok()) << listing.status();
  using Kind = WorkspaceEntry::Kind;
  EXPECT_EQ(listing->entries.size(), 6);
  EXPECT_FALSE(listing->incomplete);
  const auto has = [&](const std::string& path, Kind kind, uint64_t size) {
    return std::any_of(listing->entries.begin(), listing->entries.end(), [&](const WorkspaceEntry& e) {
      return e.path == path && e.kind == kind && (kind != Kind::kRegular || e.size_bytes == size);
    });
  };
  EXPECT_TRUE(has("a", Kind::kDirectory, 0));
  EXPECT_TRUE(has("a/b/c", Kind::kRegular, 3));
  EXPECT_TRUE(has("link", Kind::kSymlink, 0));
  EXPECT_TRUE(has("pipe", Kind::kFifo, 0));
  EXPECT_TRUE(has("sparse", Kind::kRegular, 1000000));
  for (const WorkspaceEntry& entry : listing->entries) {
    if (entry.path == "sparse") {
      EXPECT_EQ(entry.blocks_bytes, 0);
    }
    EXPECT_GT(entry.modified_ns, 0);
  }
}

TEST_F(WorkspaceTest, ListingIsBounded) {
  Workspace& workspace = After("i=0; while [ $i -lt 100 ]; do : >f$i; i=$((i+1)); done; mkdir -p d/d/d/d/d/d/d/d");
  const auto few = workspace.List({.entries_max = 10});
  ASSERT_TRUE(few.ok()) << few.status();
  EXPECT_EQ(few->entries.size(), 10);
  EXPECT_TRUE(few->incomplete);
  const auto flat = workspace.List({.depth_max = 3});
  ASSERT_TRUE(flat.ok()) << flat.status();
  EXPECT_EQ(flat->entries.size(), 103);
  EXPECT_TRUE(flat->incomplete);
}

TEST_F(WorkspaceTest, LongListingsComeInParts) {
  Workspace& workspace =
      After("n=$(head -c 200 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 250 ]; do : >$n$i; i=$((i+1)); done");
  const auto listing = workspace.List({});
  ASSERT_TRUE(listing.ok()) << listing.status();
  EXPECT_EQ(listing->entries.size(), 250);
}

TEST_F(WorkspaceTest, LinksAreNotFollowed) {
  Workspace& workspace =
      After("ln -s /etc/passwd out; ln -s /proc/1/root root; mkdir d; echo x >d/x; ln -s d e; mkfifo p");
  for (const char* path : {"out", "root/etc/passwd", "e/x", "../etc/passwd", "/etc/passwd", "d/../d/x", "", "p", "d"}) {
    EXPECT_EQ(workspace.OpenRead(path).status().code(), absl::StatusCode::kFailedPrecondition) << path;
  }
  EXPECT_TRUE(workspace.OpenRead("d/x").ok());
  EXPECT_EQ(workspace.OpenRead("none").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(WorkspaceTest, UploadAppearsWholeAndBelongsToTheSession) {
  auto running = StartJail(maker(), "shell");
  ASSERT_TRUE(running.ok()) << running.status();
  Workspace& workspace = running->jail->workspace();
  const auto written = workspace.Write("in/deep/file.csv", PipeWith("a,b\n1,2\n"), {});
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(written->size_bytes, 8);
  EXPECT_EQ(written->path, "in/deep/file.csv");
  EXPECT_EQ(workspace.Write("in/deep/file.csv", PipeWith("x"), {}).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(workspace.Write("in/deep/file.csv", PipeWith("new\n"), {.replace = true}).ok());
  EXPECT_EQ(running->Finish("cat in/deep/file.csv; echo more >>in/deep/file.csv; rm -r in; ls -A"), "new\n");
}

TEST_F(WorkspaceTest, UploadNeverFollowsAPlantedLink) {
  Workspace& workspace = After("echo kept >target; ln -s target link; ln -s /tmp dir");
  EXPECT_EQ(workspace.Write("link", PipeWith("x"), {}).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(workspace.Write("link", PipeWith("own"), {.replace = true}).ok());
  EXPECT_EQ(workspace.Write("dir/x", PipeWith("x"), {.replace = true}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  auto target = workspace.OpenRead("target");
  ASSERT_TRUE(target.ok());
  EXPECT_EQ(ReadToEnd(target->fd.get()), "kept\n");
}

TEST_F(WorkspaceTest, UploadThatDoesNotFitLeavesNothing) {
  auto running = StartJail(maker(), "shell", {.workspace_bytes = 1 << 20});
  ASSERT_TRUE(running.ok()) << running.status();
  auto pipe = MakePipe();
  ASSERT_TRUE(pipe.ok());
  std::thread writer([&] {
    const std::string block(1 << 16, 'x');
    // Ends with EPIPE when the porter gives up; SIGPIPE is ignored in these tests.
    for (int i = 0; i < 64; ++i) {
      if (::write(pipe->write.get(), block.data(), block.size()) < 0) break;
    }
    pipe->write.reset();
  });
  const auto written = running->jail->workspace().Write("big", std::move(pipe->read), {});
  EXPECT_EQ(written.status().code(), absl::StatusCode::kResourceExhausted) << written.status();
  writer.join();
  EXPECT_EQ(running->Finish("ls -A; df --output=avail /mnt/data | tail -1 | tr -d ' '"), "1024\n");
}

TEST_F(WorkspaceTest, ASlowUploadHoldsUpNobody) {
  auto running = StartJail(maker(), "shell");
  ASSERT_TRUE(running.ok()) << running.status();
  auto pipe = MakePipe();
  ASSERT_TRUE(pipe.ok());
  Workspace& workspace = running->jail->workspace();
  std::thread writer([&] { EXPECT_TRUE(workspace.Write("slow", std::move(pipe->read), {}).ok()); });
  const auto listing = workspace.List({});
  EXPECT_TRUE(listing.ok());
  EXPECT_TRUE(listing->entries.empty());
  ASSERT_EQ(::write(pipe->write.get(), "x", 1), 1);
  pipe->write.reset();
  writer.join();
  EXPECT_TRUE(workspace.OpenRead("slow").ok());
}

TEST_F(WorkspaceTest, RemoveSaysWhetherItWasThere) {
  Workspace& workspace = After("echo x >file; mkdir -p full/empty; ln -s file link");
  EXPECT_EQ(workspace.Remove("none").value_or(true), false);
  EXPECT_EQ(workspace.Remove("link").value_or(false), true);
  EXPECT_EQ(workspace.Remove("file").value_or(false), true);
  EXPECT_EQ(workspace.Remove("full").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(workspace.Remove("full/empty").value_or(false), true);
}

TEST_F(WorkspaceTest, UnreadableFilesAreReadAllTheSame) {
  Workspace& workspace = After("echo x >file; chmod 000 file; mkdir d; echo y >d/y; chmod 000 d");
  EXPECT_TRUE(workspace.OpenRead("file").ok());
  EXPECT_TRUE(workspace.OpenRead("d/y").ok());
}

}  // namespace
}  // namespace carrel::sandbox
